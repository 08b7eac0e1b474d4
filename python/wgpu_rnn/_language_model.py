"""Language models: the network of PyTorch's word-language-model example."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import Any, Iterator, List, Optional, Sequence, Union

from . import _native
from ._convert import count, integers, joined, numpy_kind, state_arrays, text, type_name
from ._device import Device, DeviceLike, device_of
from ._made import Made
from ._options import loading
from ._state_dict import Paths, StateDict, path_text, state_dict_of
from .errors import OptionError

#: A text, or its tokens.
Prompt = Union[str, Sequence[int]]

#: Tokens have 32 bits.
_TOKENS = 1 << 32


@dataclass(frozen=True)
class Score:
    """The quality of a model's predictions on a text.

    Attributes:
        tokens: the number of predicted tokens.
        loss: the mean negative log-likelihood of a token, in nats.
    """

    tokens: int
    loss: float

    @property
    def perplexity(self) -> float:
        """exp(loss): the number of equally likely tokens with the same uncertainty."""
        return math.exp(self.loss) if self.loss < 700 else math.inf


class LanguageModel(Made):
    """An embedding, a recurrent module and a decoder, with the vocabulary of their file.

    Several threads may call one model.
    """

    _wraps = (_native.LanguageModel,)
    _made_by = "make a model by LanguageModel.load(path)"
    _instead = "load it again, from its file, in the process that uses it"

    def __init__(self, native: _native.LanguageModel, device: Device) -> None:
        self._native = native
        self._device = device
        self._has_c = native.rnn.startswith("LSTM")

    @classmethod
    def load(
        cls,
        path: Union[Paths, StateDict],
        prefix: str = "",
        *,
        device: DeviceLike = "auto",
        key: Optional[str] = None,
        vocabulary: Optional[Union[str, os.PathLike[str]]] = None,
        nonlinearity: Optional[str] = None,
        weights: str = "f32",
        schedule: str = "auto",
        allow_unused: bool = False,
    ) -> LanguageModel:
        """Loads the model of a file: ``encoder.weight``, ``rnn.*``, ``decoder.*``.

        Args:
            path: a file of safetensors or ``torch.save``, or a :class:`StateDict`.
            vocabulary: a file with a token on each line, or in JSON a list of tokens, a dict from
                tokens to ids, or a ``tokenizer.json`` of words. When absent, the vocabulary in the
                metadata of the file, if there is one.

        The other arguments and the errors are those of :meth:`Recurrent.load`.
        """
        state_dict = state_dict_of(path, key)
        opened = device_of(device)
        options = loading(
            nonlinearity=nonlinearity,
            weights=weights,
            schedule=schedule,
            allow_unused=allow_unused,
        )
        words = None if vocabulary is None else path_text(vocabulary, "vocabulary")
        native = _native.LanguageModel.load(
            opened._native, state_dict._native, text(prefix, "prefix"), words, options
        )
        return cls(native, opened)

    @property
    def device(self) -> Device:
        """The device that holds the weights."""
        return self._device

    @property
    def vocabulary_size(self) -> int:
        """The number of tokens that the model knows."""
        return self._native.ntoken

    @property
    def has_vocabulary(self) -> bool:
        """Whether the model has a vocabulary, so that it reads and writes texts."""
        return self._native.has_vocabulary

    def encode(self, text: str) -> List[int]:
        """Returns the tokens of a text.

        Raises:
            UnknownNameError: the vocabulary lacks a word or character, and has no ``<unk>``.
            OptionError: the model has no vocabulary.
        """
        return self._native.encode(text)

    def decode(self, tokens: Sequence[int]) -> str:
        """Returns the text of tokens."""
        return self._native.decode(_tokens(tokens, "tokens"))

    def __call__(self, tokens: Any, state: Any = None) -> Any:
        """Returns the logits of each token, and the last state.

        Args:
            tokens: integers of shape ``[T, B]``, time first, or ``[T]``: a list, an array of numpy
                or a tensor of torch on the CPU.
            state: h, ``[L, B, H]``, or ``(h, c)`` of an LSTM; zero when absent.

        Returns:
            Arrays of numpy: the logits, ``[T, B, V]`` or ``[T, V]``, of V tokens, whose
            ``log_softmax`` PyTorch's example returns; and the state as above. The state keeps its
            axis B.
        """
        if getattr(tokens, "ndim", 1) == 2:
            batch, batched = int(tokens.shape[1]), True
            flat = _tokens(tokens.reshape(-1), "tokens")
        else:
            batch, batched = 1, False
            flat = self._prompt(tokens, "tokens")
        h, c = state_arrays(state, self._has_c, self._native.rnn.partition("(")[0])
        logits, h_n, c_n = self._native.forward(flat, batch, h, c)
        return logits if batched else logits[:, 0], joined(h_n, c_n, numpy_kind)

    def score(self, text: Prompt, streams: int = 1) -> Score:
        """Scores the predictions of every token of a text but the first.

        The text is cut into ``streams`` parts, each read from a zero state. One stream reads it in
        order; many keep a GPU busy.
        """
        tokens, loss = self._native.score(self._prompt(text, "text"), count(streams, "streams"))
        return Score(tokens, loss)

    def generate(
        self,
        prompt: Prompt,
        *,
        max_tokens: Optional[int] = None,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        seed: int = 0,
        stop: Optional[int] = None,
        chunk: int = 32,
    ) -> Iterator[int]:
        """Generates tokens after a prompt, and returns an iterator over them.

        Args:
            prompt: a text, or at least one token.
            max_tokens: the number of tokens; without end when absent.
            temperature: the divisor of the logits; 0 takes the likeliest token.
            top_k: the number of likeliest tokens to draw from; 0 for all.
            top_p: the share of probability to draw from; 1 for all.
            seed: the seed. It gives the same tokens on every device, unless probabilities tie
                within rounding.
            stop: the token that ends the text; it is the last one.
            chunk: tokens of one submission. More keep a GPU busier; fewer come more evenly.

        Raises:
            OptionError: a token or an option is out of range.
            ShapeError: the prompt is empty.
        """
        tokens = self._prompt(prompt, "prompt")
        together = count(chunk, "chunk", 1)
        options = {
            "temperature": _number(temperature, "temperature"),
            "top_k": count(top_k, "top_k"),
            "top_p": _number(top_p, "top_p"),
            "seed": count(seed, "seed", most=(1 << 64) - 1),
            "stop": None if stop is None else _tokens([stop], "stop")[0],
            "chunk": together,
            "position": 0,
        }
        most = None if max_tokens is None else count(max_tokens, "max_tokens")
        return _iterate(self._native.generate([tokens], options), most, together, stop)

    def generate_text(self, prompt: str, **options: Any) -> Iterator[str]:
        """Generates a text after a prompt, and returns an iterator over the texts of its tokens.

        The options are those of :meth:`generate`.
        """
        if not self.has_vocabulary:
            self.encode("")
        return (self.decode([token]) for token in self.generate(prompt, **options))

    def _prompt(self, prompt: Prompt, name: str) -> List[int]:
        return self.encode(prompt) if isinstance(prompt, str) else _tokens(prompt, name)

    def __repr__(self) -> str:
        return (
            f"<wgpu_rnn.LanguageModel of {self.vocabulary_size} tokens, {self._native.rnn}, on "
            f"{self._device._native}>"
        )


def _iterate(
    generation: _native.Generation, most: Optional[int], chunk: int, stop: Optional[int]
) -> Iterator[int]:
    while most is None or most > 0:
        steps = generation.chunk(chunk if most is None else min(chunk, most))
        if not steps:
            return
        for (token,) in steps:
            yield token
            if token == stop:
                return
        most = None if most is None else most - len(steps)


def _tokens(value: Any, name: str) -> List[int]:
    tokens = integers(value, name, "a token")
    for at, token in enumerate(tokens):
        if token >= _TOKENS:
            raise OptionError(f"index out of range in self: {name}[{at}] is {token}")
    return tokens


def _number(value: Any, name: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} should be a number, got {type_name(value)}") from None
