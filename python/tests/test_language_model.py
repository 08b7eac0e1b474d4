"""Language models against the same network of torch."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import close

import wgpu_rnn
from wgpu_rnn._state_dict import _bytes, _safetensors

SHAKESPEARE = Path(__file__).parents[2] / "models" / "shakespeare.safetensors"
WORDS = ["the", "cat", "sat", "<unk>", "<eos>", "mat", "on"]


class Words(torch.nn.Module):
    """The network of PyTorch's word-language-model example, without its dropout."""

    def __init__(self):
        super().__init__()
        self.encoder = torch.nn.Embedding(7, 5)
        self.rnn = torch.nn.LSTM(5, 6, 2)
        self.decoder = torch.nn.Linear(6, 7)

    def forward(self, tokens, state=None):
        output, state = self.rnn(self.encoder(tokens), state)
        return self.decoder(output), state


@pytest.fixture
def words():
    return Words().eval()


@pytest.fixture
def model(device, words, tmp_path):
    torch.save(words.state_dict(), tmp_path / "words.pt")
    (tmp_path / "words.json").write_text(json.dumps(WORDS))
    return wgpu_rnn.LanguageModel.load(
        tmp_path / "words.pt", device=device, vocabulary=tmp_path / "words.json"
    )


def test_logits_and_states(model, words, device):
    tokens = torch.tensor([[0, 1], [2, 3], [4, 5]])
    logits, state = model(tokens)
    close((logits, state), words(tokens))
    close(model(tokens.numpy(), state), words(tokens, tuple(map(torch.from_numpy, state))))
    single, _ = model([0, 2, 4])
    close(single, words(tokens)[0][:, 0])
    assert model.device is device and model.vocabulary_size == 7 and "7 tokens" in repr(model)


def test_scores(model, words):
    text = [0, 1, 2, 6, 0, 5, 4]
    logits = words(torch.tensor(text[:-1])[:, None])[0][:, 0]
    want = torch.nn.functional.cross_entropy(logits, torch.tensor(text[1:])).item()
    score = model.score(text)
    assert score.tokens == 6 and score.loss == pytest.approx(want, abs=1e-5)
    assert score.perplexity == pytest.approx(np.exp(want), rel=1e-4)
    assert model.score("the cat sat on the mat\n").tokens == 6


def test_the_likeliest_tokens(model, words):
    got = list(model.generate([0, 1], max_tokens=9, temperature=0.0, chunk=4))
    tokens, want = [0, 1], []
    for _ in range(9):
        want.append(int(words(torch.tensor(tokens)[:, None])[0][-1, 0].argmax()))
        tokens.append(want[-1])
    assert got == want
    assert list(model.generate([0, 1], max_tokens=0)) == []


def test_seeds_stops_and_choices(model):
    def draw(**options):
        return list(model.generate("the cat", max_tokens=40, **options))

    assert draw(seed=1) == draw(seed=1) and draw(seed=1) != draw(seed=2)
    stop = draw(seed=1)[5]
    stopped = draw(seed=1, stop=stop)
    assert stopped == draw(seed=1)[: len(stopped)] and stopped.index(stop) == len(stopped) - 1
    assert draw(top_k=1) == draw(temperature=0) == draw(top_p=1e-6)
    endless = model.generate([0], seed=3)
    assert len([next(endless) for _ in range(70)]) == 70


def test_texts(model):
    assert model.encode("the dog\nthe mat") == [0, 3, 4, 0, 5] and model.has_vocabulary
    assert model.decode([0, 1, 4]) == "the cat \n"
    text = "".join(model.generate_text("the cat", max_tokens=12, seed=5))
    tokens = list(model.generate("the cat", max_tokens=12, seed=5))
    assert text == model.decode(tokens)


def test_errors_of_language_models(model, words, cpu, tmp_path):
    for call, error, text in [
        (lambda: model([7]), wgpu_rnn.OptionError, "index out of range in self"),
        (lambda: model([-1]), wgpu_rnn.OptionError, "a token cannot be negative"),
        (lambda: model([1 << 40]), wgpu_rnn.OptionError, "index out of range in self"),
        (lambda: model([0.5]), TypeError, "tokens.0. should be an integer"),
        (lambda: model.generate([]), wgpu_rnn.ShapeError, "prompt 0 is empty"),
        (lambda: model.generate([0], temperature=-1), wgpu_rnn.OptionError, "temperature"),
        (lambda: model.generate([0], temperature="hot"), TypeError, "temperature"),
        (lambda: model.generate([0], top_p=0), wgpu_rnn.OptionError, "top_p"),
        (lambda: model.generate([0], seed=-1), wgpu_rnn.OptionError, "seed"),
        (lambda: model.generate([0], chunk=0), wgpu_rnn.OptionError, "chunk"),
        (lambda: model.generate([0], stop=7), wgpu_rnn.OptionError, "stop is 7"),
        (lambda: model.score([0]), wgpu_rnn.ShapeError, "at least two tokens"),
        (lambda: model.decode([9]), wgpu_rnn.OptionError, "index out of range"),
    ]:
        with pytest.raises(error, match=text):
            call()
    torch.save(words.state_dict(), tmp_path / "plain.pt")
    plain = wgpu_rnn.LanguageModel.load(tmp_path / "plain.pt", device=cpu)
    assert not plain.has_vocabulary
    for call in (plain.encode, plain.generate, plain.generate_text):
        with pytest.raises(wgpu_rnn.OptionError, match="has no vocabulary"):
            call("the")
    with pytest.raises(FileNotFoundError):
        path, vocabulary = tmp_path / "plain.pt", tmp_path / "none.txt"
        wgpu_rnn.LanguageModel.load(path, vocabulary=vocabulary, device=cpu)
    tensors = {name: t for name, t in words.state_dict().items() if name != "decoder.weight"}
    data = _safetensors([(name, *_bytes(name, t)) for name, t in tensors.items()])
    (tmp_path / "less.safetensors").write_bytes(data)
    with pytest.raises(wgpu_rnn.StateDictError, match="decoder.weight"):
        wgpu_rnn.LanguageModel.load(tmp_path / "less.safetensors", device=cpu)


def test_the_model_that_ships(cpu):
    model = wgpu_rnn.LanguageModel.load(SHAKESPEARE, device=cpu)
    text = "".join(model.generate_text("ROMEO:", max_tokens=60, temperature=0.5, seed=1))
    assert len(text) == 60 and " " in text
    assert model.score(text).loss < model.score(text[::-1]).loss
