"""Whole sequences against the modules of torch.nn."""

import itertools

import numpy as np
import pytest
import torch
from conftest import close

import wgpu_rnn

KINDS = {
    "lstm": (torch.nn.LSTM, wgpu_rnn.LSTM, {}),
    "lstm-proj": (torch.nn.LSTM, wgpu_rnn.LSTM, {"proj_size": 3}),
    "gru": (torch.nn.GRU, wgpu_rnn.GRU, {}),
    "rnn-tanh": (torch.nn.RNN, wgpu_rnn.RNN, {"nonlinearity": "tanh"}),
    "rnn-relu": (torch.nn.RNN, wgpu_rnn.RNN, {"nonlinearity": "relu"}),
}
SEQ_LEN, BATCH, INPUT, HIDDEN = 5, 3, 4, 6


def state_of(module, batch, rng):
    """An initial state of random numbers."""
    layers = module.num_layers * (2 if module.bidirectional else 1)
    axes = (layers,) if batch is None else (layers, batch)
    h = torch.from_numpy(rng.normal(size=(*axes, module.proj_size or HIDDEN)).astype("f4"))
    if not isinstance(module, torch.nn.LSTM):
        return h
    return h, torch.from_numpy(rng.normal(size=(*axes, HIDDEN)).astype("f4"))


def packed_run(module, x, state, lengths):
    """Runs a module over rows of different lengths."""
    rnn = torch.nn.utils.rnn
    first = module.batch_first
    packed = rnn.pack_padded_sequence(x, lengths, batch_first=first, enforce_sorted=False)
    output, last = module(packed, state)
    padded, _ = rnn.pad_packed_sequence(output, batch_first=first, total_length=SEQ_LEN)
    return padded, last


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("bidirectional", [False, True], ids=["forward", "both"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_module_is_pytorchs(device, rng, kind, bidirectional, layers):
    """Kinds x layers x directions x batch_first x bias x lengths, with and without a state."""
    torch_class, our_class, arguments = KINDS[kind]
    for batch_first, bias in itertools.product([False, True], [False, True]):
        module = torch_class(
            INPUT,
            HIDDEN,
            layers,
            bias=bias,
            batch_first=batch_first,
            bidirectional=bidirectional,
            **arguments,
        ).eval()
        net = our_class.from_torch(module, device=device)
        shape = (BATCH, SEQ_LEN, INPUT) if batch_first else (SEQ_LEN, BATCH, INPUT)
        x = torch.from_numpy(rng.normal(size=shape).astype("f4"))
        state = state_of(module, BATCH, rng) if batch_first == bias else None
        with torch.no_grad():
            close(net(x, state), module(x, state))
            # Numpy in, numpy out, and the lengths in any order.
            arrays = state
            if state is not None:
                arrays = tuple(s.numpy() for s in state) if type(state) is tuple else state.numpy()
            got = net(x.numpy(), arrays, lengths=[2, 5, 3])
            assert type(got[0]) is np.ndarray
            close(got, packed_run(module, x, state, [2, 5, 3]))


@pytest.mark.parametrize("kind", KINDS)
def test_a_single_sequence_has_no_batch_axis(device, rng, kind):
    torch_class, our_class, arguments = KINDS[kind]
    module = torch_class(INPUT, HIDDEN, 2, batch_first=True, bidirectional=True, **arguments)
    net = our_class.from_torch(module, device=device)
    x = torch.from_numpy(rng.normal(size=(SEQ_LEN, INPUT)).astype("f4"))
    state = state_of(module, None, rng)
    close(net(x, state), module(x, state))
    close(net(x), module(x))


@pytest.mark.parametrize("sorted_rows", [True, False], ids=["sorted", "unsorted"])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("kind", ["lstm-proj", "gru"])
def test_packed_sequences_stay_packed(device, rng, kind, batch_first, sorted_rows):
    torch_class, our_class, arguments = KINDS[kind]
    module = torch_class(INPUT, HIDDEN, 2, batch_first=batch_first, bidirectional=True, **arguments)
    net = our_class.from_torch(module, device=device)
    lengths = [5, 3, 3, 1] if sorted_rows else [3, 1, 5, 3]
    rows = [torch.from_numpy(rng.normal(size=(n, INPUT)).astype("f4")) for n in lengths]
    packed = torch.nn.utils.rnn.pack_sequence(rows, enforce_sorted=sorted_rows)
    close(net(packed), module(packed))
    state = state_of(module, len(rows), rng)
    close(net(packed, state), module(packed, state))


def test_a_row_without_steps_keeps_its_state(device, rng):
    module = torch.nn.GRU(INPUT, HIDDEN)
    net = wgpu_rnn.GRU.from_torch(module, device=device)
    x, h = rng.normal(size=(4, 2, INPUT)).astype("f4"), rng.normal(size=(1, 2, HIDDEN)).astype("f4")
    output, h_n = net(x, h, lengths=np.array([0, 4]))
    assert not output[:, 0].any()
    np.testing.assert_array_equal(h_n[:, 0], h[:, 0])
    close((output[:, 1:], h_n[:, 1:]), net(x[:, 1:], h[:, 1:]))


def test_weights_of_f16(device, rng):
    module = torch.nn.LSTM(INPUT, HIDDEN).half().float()
    x = torch.from_numpy(rng.normal(size=(SEQ_LEN, BATCH, INPUT)).astype("f4"))
    close(wgpu_rnn.LSTM.from_torch(module, device=device, weights="f16")(x), module(x))
    # float16 and bfloat16 are widened exactly.
    halves = torch.nn.LSTM(INPUT, HIDDEN)
    for dtype in (torch.float16, torch.bfloat16):
        narrow = torch.nn.LSTM(INPUT, HIDDEN)
        narrow.load_state_dict(halves.state_dict())
        narrow.to(dtype)
        got = wgpu_rnn.LSTM.from_torch(narrow, device=device)(x)
        close(got, narrow.float()(x))


@pytest.mark.parametrize("schedule", ["step", "step_tiled", "sequence", "wavefront"])
def test_schedules(device, rng, schedule):
    module = torch.nn.GRU(INPUT, HIDDEN, 2)
    net = wgpu_rnn.GRU.from_torch(module, device=device, schedule=schedule)
    x = torch.from_numpy(rng.normal(size=(SEQ_LEN, BATCH, INPUT)).astype("f4"))
    close(net(x), module(x))
    assert net.explain(SEQ_LEN, BATCH).startswith(f"schedule {schedule}")


CELLS = {
    "lstm": (torch.nn.LSTMCell, wgpu_rnn.LSTMCell, {}),
    "gru": (torch.nn.GRUCell, wgpu_rnn.GRUCell, {}),
    "rnn-tanh": (torch.nn.RNNCell, wgpu_rnn.RNNCell, {"nonlinearity": "tanh"}),
    "rnn-relu": (torch.nn.RNNCell, wgpu_rnn.RNNCell, {"nonlinearity": "relu"}),
}


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", CELLS)
def test_cells(device, rng, kind, bias):
    torch_class, our_class, arguments = CELLS[kind]
    module = torch_class(INPUT, HIDDEN, bias=bias, **arguments)
    cell = our_class.from_torch(module, device=device)
    for axes in ((), (BATCH,)):
        x = torch.from_numpy(rng.normal(size=(*axes, INPUT)).astype("f4"))
        h = torch.from_numpy(rng.normal(size=(*axes, HIDDEN)).astype("f4"))
        state = (h, h * 0.5) if kind == "lstm" else h
        close(cell(x), module(x))
        close(cell(x, state), module(x, state))
        arrays = tuple(part.numpy() for part in state) if kind == "lstm" else state.numpy()
        close(cell(x.numpy(), arrays), module(x, state))
