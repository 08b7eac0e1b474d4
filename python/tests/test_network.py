"""Networks against the same modules of torch."""

import numpy as np
import pytest
import torch
from conftest import close

import wgpu_rnn
from wgpu_rnn import Sequential


class Detector(torch.nn.Module):
    """A causal convolution, a GRU beside it, norms, and a head."""

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv1d(4, 6, 3)
        self.norm = torch.nn.LayerNorm(6)
        self.gru = torch.nn.GRU(6, 5)
        self.batch = torch.nn.BatchNorm1d(11)
        self.fc = torch.nn.Linear(11, 2)

    def forward(self, x):  # [T, B, 4]
        padded = torch.nn.functional.pad(x.permute(1, 2, 0), (2, 0))
        features = self.norm(torch.relu(self.conv(padded)).permute(2, 0, 1))
        memory, _ = self.gru(features)
        both = torch.cat([features, memory], -1)
        both = self.batch(both.permute(1, 2, 0)).permute(2, 0, 1)
        return torch.sigmoid(self.fc(both))


def define(sequential):
    return (
        sequential.conv1d("conv.", padding="causal")
        .relu()
        .layer_norm("norm.")
        .name("features")
        .rnn("gru.")
        .name("memory")
        .concat("features", "memory")
        .batch_norm1d("batch.")
        .dropout(0.5)
        .linear("fc.")
        .sigmoid()
    )


@pytest.fixture
def detector():
    module = Detector()
    with torch.no_grad():
        # Statistics other than 0 and 1.
        module(torch.randn(9, 5, 4))
    return module.eval()


def test_a_network_is_pytorchs(device, detector, tmp_path, rng):
    torch.save(detector.state_dict(), tmp_path / "detector.pt")
    network = define(Sequential(4)).load(tmp_path / "detector.pt", device=device)
    assert (network.input_shape, network.output_shape) == ((4,), (2,))
    assert network.device is device and "[4] to [2]" in repr(network)
    x = torch.from_numpy(rng.normal(size=(7, 3, 4)).astype("f4"))
    want = detector(x)
    close(network(x), want)
    close(network(x[:, 0]), want[:, 0])
    first = define(Sequential(4)).from_state_dict(
        detector.state_dict(), device=device, batch_first=True
    )
    got = first(x.permute(1, 0, 2).numpy())
    assert type(got) is np.ndarray
    close(got, want.permute(1, 0, 2))


def test_streams_and_pools_of_networks(device, detector, rng):
    network = define(Sequential(4)).from_state_dict(detector.state_dict(), device=device)
    x = torch.from_numpy(rng.normal(size=(7, 2, 4)).astype("f4"))
    want = detector(x)
    stream = network.stream(2)
    assert (stream.batch, stream.stride) == (2, 1)
    close(torch.cat([stream(piece) for piece in x.split([1, 4, 2])]), want)
    state = stream.state()
    after = stream(x[:1])
    stream.set_state(state)
    close(stream(x[:1]), after)
    stream.reset()
    close(stream(x), want)
    pool = network.pool(2)
    slots = [pool.open(), pool.open()]
    for step in range(3):
        results = pool.tick([(slot, x[step, at]) for at, slot in enumerate(slots)])
        close(torch.stack(results), want[step])
    bytes_ = pool.snapshot(slots[0])
    pool.reset(slots[0])
    pool.restore(slots[0], bytes_)
    close(pool.tick([(slots[0], x[3, 0])])[0], want[3, 0])
    with pytest.raises(wgpu_rnn.UnsupportedError, match="state of several modules"):
        pool.state(slots[0])


def test_tokens_convolutions_and_functions(device, rng):
    embedding, cell = torch.nn.Embedding(9, 12), torch.nn.RNNCell(5, 4, nonlinearity="relu")
    conv = torch.nn.Conv1d(4, 4, 2, stride=2, groups=2, padding=1, padding_mode="circular")
    fc = torch.nn.Linear(8, 5)
    tensors = {
        f"{name}.{key}": value
        for name, module in {"e": embedding, "c": conv, "fc": fc, "cell": cell}.items()
        for key, value in module.state_dict().items()
    }
    network = (
        Sequential("tokens")
        .embedding("e.")
        .unflatten(4, 3)
        .conv1d("c.", stride=2, groups=2, padding=1, padding_mode="circular")
        .gelu()
        .flatten()
        .linear("fc.")
        .cell("cell.", "relu")
        .log_softmax()
        .from_state_dict(tensors, device=device)
    )
    tokens = torch.from_numpy(rng.integers(0, 9, (6, 2)))
    h, steps = None, []
    for step in tokens:
        inside = torch.nn.functional.gelu(conv(embedding(step).reshape(2, 4, 3))).flatten(1)
        h = cell(fc(inside), h)
        steps.append(torch.log_softmax(h, -1))
    want = torch.stack(steps)
    close(network(tokens), want)
    close(network(tokens.numpy().astype(np.uint8)), want)
    stream = network.stream(2)
    close(torch.cat([stream(tokens[:4]), stream(tokens[4:])]), want)
    for value, error, text in [
        (tokens.float(), wgpu_rnn.OptionError, "takes integers, got dtype float32"),
        (tokens + 8, wgpu_rnn.OptionError, "index out of range"),
        (tokens - 9, wgpu_rnn.OptionError, "a token cannot be negative"),
        (tokens[None], wgpu_rnn.ShapeError, ""),
    ]:
        with pytest.raises(error) as raised:
            network(value)
        assert text in str(raised.value)


FUNCTIONS = {
    "relu": torch.relu,
    "leaky_relu": torch.nn.functional.leaky_relu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "gelu": torch.nn.functional.gelu,
    "gelu_tanh": torch.nn.GELU(approximate="tanh"),
    "silu": torch.nn.functional.silu,
    "softmax": torch.nn.Softmax(-1),
    "log_softmax": torch.nn.LogSoftmax(-1),
    "layer_norm": torch.nn.LayerNorm(6, elementwise_affine=False),
    "magnitude": lambda x: torch.hypot(*x.chunk(2, -1)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(cpu, rng, name):
    module = torch.nn.Linear(4, 6)
    definition = getattr(Sequential(4).linear("").name("x"), name)()
    network = definition.name("y").from_("y").from_state_dict(module.state_dict(), device=cpu)
    x = torch.from_numpy(rng.normal(size=(3, 2, 4)).astype("f4"))
    close(network(x), FUNCTIONS[name](module(x)))


def test_joins_of_values(cpu, rng):
    first, second = torch.nn.Linear(4, 4), torch.nn.Linear(4, 4)
    tensors = {
        **{f"a.{name}": t for name, t in first.state_dict().items()},
        **{f"b.{name}": t for name, t in second.state_dict().items()},
    }
    network = (
        Sequential(4)
        .linear("a.")
        .name("a")
        .from_("input")
        .linear("b.")
        .sigmoid()
        .mul("a")
        .add("input")
        .from_state_dict(tensors, device=cpu)
    )
    x = torch.from_numpy(rng.normal(size=(3, 2, 4)).astype("f4"))
    close(network(x), torch.sigmoid(second(x)) * first(x) + x)


def test_hidden_states_and_uneven_padding(cpu, rng):
    cell, conv = torch.nn.GRUCell(9, 5), torch.nn.Conv1d(5, 2, 3, dilation=2)
    tensors = {
        **{f"cell.{name}": t for name, t in cell.state_dict().items()},
        **{f"conv.{name}": t for name, t in conv.state_dict().items()},
    }
    feedback = Sequential(4).hidden("cell.").name("h").concat("input", "h").cell("cell.")
    x = torch.from_numpy(rng.normal(size=(6, 2, 4)).astype("f4"))
    h, steps = torch.zeros(2, 5), []
    for step in x:
        h = cell(torch.cat([step, h], -1), h)
        steps.append(h)
    of_cell = {name: t for name, t in tensors.items() if name.startswith("cell.")}
    close(feedback.from_state_dict(of_cell, device=cpu)(x), torch.stack(steps))
    of_conv = {name: t for name, t in tensors.items() if name.startswith("conv.")}
    uneven = Sequential(5).conv1d("conv.", padding=(3, 0), dilation=2)
    y = torch.from_numpy(rng.normal(size=(6, 2, 5)).astype("f4"))
    want = conv(torch.nn.functional.pad(y.permute(1, 2, 0), (3, 0))).permute(2, 0, 1)
    close(uneven.from_state_dict(of_conv, device=cpu)(y), want)


def test_errors_of_networks(cpu, detector):
    tensors = detector.state_dict()
    for definition, error, text in [
        (lambda: Sequential(5).linear("fc."), wgpu_rnn.ArgumentError, "5"),
        (lambda: Sequential(11).linear("head."), wgpu_rnn.StateDictError, "head.weight"),
        (lambda: Sequential(4).linear(3), TypeError, "a prefix or a name should be a str, got int"),
        (lambda: Sequential("words"), TypeError, "input should be an integer, got str"),
        (lambda: Sequential(4).conv1d("conv.", padding="full"), TypeError, "padding"),
        (
            lambda: Sequential(4).conv1d("conv.", padding_mode="none"),
            wgpu_rnn.OptionError,
            "padding_mode is 'none'",
        ),
        (lambda: Sequential(4).conv1d("conv.", stride=0), wgpu_rnn.ArgumentError, "stride"),
        (lambda: Sequential(6).rnn("gru.", "cos"), wgpu_rnn.ConfigError, "Unknown nonlinearity"),
        (lambda: Sequential(4).concat("nothing"), wgpu_rnn.ArgumentError, "nothing"),
        (lambda: Sequential(4).dropout("often"), TypeError, "p should be a number"),
    ]:
        with pytest.raises(error, match=text):
            definition().from_state_dict(tensors, device=cpu)
    same = (
        Sequential(4)
        .conv1d("conv.", padding="same")
        .from_state_dict(
            {name: t for name, t in tensors.items() if name.startswith("conv.")}, device=cpu
        )
    )
    with pytest.raises(wgpu_rnn.OptionError, match="conv"):
        same.stream()
    with pytest.raises(wgpu_rnn.ShapeError):
        same(np.zeros((3, 2, 5), np.float32))
    with pytest.raises(TypeError, match="Sequential"):
        wgpu_rnn.Network(None, cpu)
