"""Definitions of networks."""

from __future__ import annotations

from typing import Any, List, Mapping, Optional, Tuple, Union

from . import _native
from ._convert import count, text, type_name
from ._device import DeviceLike, device_of
from ._network import Network
from ._options import loading
from ._state_dict import Paths, StateDict, state_dict_of
from .errors import OptionError

_PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


class Sequential:
    """The definition of a network: a chain of modules, which runs as one recording.

    ::

        network = (
            wgpu_rnn.Sequential(40)  # features of a step
            .conv1d("conv.", padding="causal").relu()
            .rnn("gru.").linear("fc.").sigmoid()
            .load("detector.pt", device="auto")
        )
        output = network(torch.zeros(100, 8, 40))  # [T, B, F]

    Each module maps the value of a time step to the value of a time step: ``[F]``, or ``[C, L]``
    for the channels and positions of convolutions inside a step. Recurrent modules, and
    convolutions over ``[F]``, connect the steps. Weights come from a module's prefix in the state
    dict. Each method adds a module and returns the definition, so that calls can be chained.

    Args:
        input: the features F of a step, its ``(channels, length)``, or ``"tokens"`` for integers,
            which ``embedding`` reads.
    """

    def __init__(self, input: Union[int, Tuple[int, int], str]) -> None:
        self._input: Optional[List[int]]
        if input == "tokens":
            self._input = None
        elif isinstance(input, tuple) and len(input) == 2:
            self._input = [count(size, "input") for size in input]
        else:
            self._input = [count(input, "input")]
        self._modules: List[Tuple[str, Tuple[Any, ...]]] = []

    def _add(self, name: str, *arguments: Any) -> Sequential:
        self._modules.append((name, arguments))
        return self

    def linear(self, prefix: str) -> Sequential:
        """Adds ``nn.Linear``: ``[F]`` to ``[F']``."""
        return self._add("linear", _name(prefix))

    def embedding(
        self, prefix: str, max_norm: Optional[float] = None, norm_type: float = 2.0
    ) -> Sequential:
        """Adds ``nn.Embedding``: a token to ``[F]``."""
        norm = None if max_norm is None else _number(max_norm, "max_norm")
        return self._add("embedding", _name(prefix), norm, _number(norm_type, "norm_type"))

    def rnn(self, prefix: str, nonlinearity: Optional[str] = None) -> Sequential:
        """Adds ``nn.LSTM``, ``nn.GRU`` or ``nn.RNN``, as its weights imply: ``[F]`` to ``[D·H]``.

        ``nonlinearity`` is for ``nn.RNN`` only: ``"tanh"``, as when absent, or ``"relu"``.
        """
        of = None if nonlinearity is None else _name(nonlinearity)
        return self._add("rnn", _name(prefix), of)

    def cell(self, prefix: str, nonlinearity: Optional[str] = None) -> Sequential:
        """Adds ``nn.LSTMCell``, ``nn.GRUCell`` or ``nn.RNNCell``, in a loop over the steps."""
        of = None if nonlinearity is None else _name(nonlinearity)
        return self._add("cell", _name(prefix), of)

    def conv1d(
        self,
        prefix: str,
        *,
        stride: int = 1,
        padding: Union[int, Tuple[int, int], str] = 0,
        padding_mode: str = "zeros",
        dilation: int = 1,
        groups: int = 1,
    ) -> Sequential:
        """Adds ``nn.Conv1d``: over time for steps of ``[F]``, inside the step for ``[C, L]``.

        ``padding`` is the positions on both sides, or before and after; ``"same"``, or ``"causal"``
        for zeros before the input only.
        """
        if padding_mode not in _PADDING_MODES:
            raise OptionError(
                f"padding_mode is {padding_mode!r}; expected {', '.join(_PADDING_MODES)}"
            )
        sides: Any = padding
        if isinstance(padding, tuple) and len(padding) == 2:
            sides = tuple(count(side, "padding") for side in padding)
        elif padding not in ("same", "causal"):
            sides = (count(padding, "padding"),) * 2
        numbers = [count(n, name) for n, name in ((dilation, "dilation"), (groups, "groups"))]
        step = count(stride, "stride")
        return self._add("conv1d", _name(prefix), step, sides, padding_mode, *numbers)

    def layer_norm(self, prefix: Optional[str] = None, eps: float = 1e-5) -> Sequential:
        """Adds ``nn.LayerNorm`` over the last axis; without weights if ``prefix`` is ``None``."""
        name = None if prefix is None else _name(prefix)
        return self._add("layer_norm", name, _number(eps, "eps"))

    def batch_norm1d(self, prefix: str, eps: float = 1e-5) -> Sequential:
        """Adds ``nn.BatchNorm1d`` in evaluation."""
        return self._add("batch_norm1d", _name(prefix), _number(eps, "eps"))

    def relu(self) -> Sequential:
        """Adds ``nn.ReLU``."""
        return self._add("relu")

    def leaky_relu(self, negative_slope: float = 0.01) -> Sequential:
        """Adds ``nn.LeakyReLU``."""
        return self._add("leaky_relu", _number(negative_slope, "negative_slope"))

    def sigmoid(self) -> Sequential:
        """Adds ``nn.Sigmoid``."""
        return self._add("sigmoid")

    def tanh(self) -> Sequential:
        """Adds ``nn.Tanh``."""
        return self._add("tanh")

    def gelu(self) -> Sequential:
        """Adds ``nn.GELU``."""
        return self._add("gelu")

    def gelu_tanh(self) -> Sequential:
        """Adds ``nn.GELU(approximate="tanh")``."""
        return self._add("gelu_tanh")

    def silu(self) -> Sequential:
        """Adds ``nn.SiLU``."""
        return self._add("silu")

    def softmax(self) -> Sequential:
        """Adds ``nn.Softmax`` over the last axis."""
        return self._add("softmax")

    def log_softmax(self) -> Sequential:
        """Adds ``nn.LogSoftmax`` over the last axis."""
        return self._add("log_softmax")

    def magnitude(self) -> Sequential:
        """Adds ``sqrt(re**2 + im**2)`` of the two halves of the features or channels."""
        return self._add("magnitude")

    def flatten(self) -> Sequential:
        """Makes ``[C·L]`` of ``[C, L]``."""
        return self._add("flatten")

    def unflatten(self, channels: int, length: int) -> Sequential:
        """Makes ``[C, L]`` of ``[C·L]``."""
        return self._add("unflatten", count(channels, "channels"), count(length, "length"))

    def dropout(self, p: float = 0.5) -> Sequential:
        """Adds ``nn.Dropout`` in evaluation, which changes nothing."""
        return self._add("dropout", _number(p, "p"))

    def name(self, name: str) -> Sequential:
        """Names the value at this place, for later modules. The input has the name ``input``."""
        return self._add("name", _name(name))

    def from_(self, name: str) -> Sequential:
        """Goes back to a named value: the next module reads it."""
        return self._add("from", _name(name))

    def concat(self, *names: str) -> Sequential:
        """Joins the features, or channels, of named values: ``torch.cat``."""
        return self._add("concat", *map(_name, names))

    def add(self, name: str) -> Sequential:
        """Adds a named value of the same shape, or of one feature."""
        return self._add("add", _name(name))

    def mul(self, name: str) -> Sequential:
        """Multiplies with a named value of the same shape, or of one feature."""
        return self._add("mul", _name(name))

    def hidden(self, prefix: str) -> Sequential:
        """Continues with the hidden state before this step of the recurrent module at a prefix."""
        return self._add("hidden", _name(prefix))

    def from_state_dict(
        self,
        tensors: Union[Mapping[str, Any], StateDict],
        prefix: str = "",
        *,
        device: DeviceLike = "auto",
        batch_first: bool = False,
        weights: str = "f32",
        schedule: str = "auto",
        allow_unused: bool = False,
    ) -> Network:
        """Copies the weights of a state dict onto a device; as :meth:`LSTM.from_state_dict`.

        Raises:
            StateDictError: tensors are missing, unexpected, or of a wrong shape or dtype.
            ConfigError, ShapeError, OptionError: a module does not fit the one before it.
        """
        if not isinstance(tensors, StateDict):
            tensors = StateDict.from_mapping(tensors, prefix)
        options = loading(
            batch_first=batch_first, weights=weights, schedule=schedule, allow_unused=allow_unused
        )
        opened, below = device_of(device), text(prefix, "prefix")
        native = _native.Network.load(
            opened._native, tensors._native, self._input, self._modules, below, options
        )
        return Network(native, opened)

    def load(
        self,
        path: Union[Paths, StateDict],
        prefix: str = "",
        *,
        device: DeviceLike = "auto",
        key: Optional[str] = None,
        batch_first: bool = False,
        weights: str = "f32",
        schedule: str = "auto",
        allow_unused: bool = False,
    ) -> Network:
        """Loads the weights of a file; as :meth:`LSTM.load`, with the errors of both."""
        return self.from_state_dict(
            state_dict_of(path, key),
            prefix,
            device=device,
            batch_first=batch_first,
            weights=weights,
            schedule=schedule,
            allow_unused=allow_unused,
        )


def _name(value: Any) -> str:
    return text(value, "a prefix or a name")


def _number(value: Any, name: str) -> float:
    if isinstance(value, (str, bool)):
        raise TypeError(f"{name} should be a number, got {type_name(value)}")
    try:
        return float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} should be a number, got {type_name(value)}") from None
