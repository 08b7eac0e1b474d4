"""Streams and pools: pieces give the bits of the whole; states and their losses."""

import numpy as np
import pytest
import torch
from conftest import close

import wgpu_rnn


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_pieces_are_the_whole(device, rng, kind):
    module = getattr(torch.nn, kind)(4, 6, 2, batch_first=kind == "GRU")
    net = getattr(wgpu_rnn, kind).from_torch(module, device=device)
    time = 1 if kind == "GRU" else 0
    x = torch.from_numpy(rng.normal(size=(2, 9, 4) if time else (9, 2, 4)).astype("f4"))
    stream = net.stream(batch=2)
    assert stream.batch == 2
    for _ in range(2):
        pieces = [stream(piece) for piece in x.split([1, 5, 3], time)]
        assert all(type(piece) is torch.Tensor for piece in pieces)
        output, last = net(x)
        assert torch.equal(torch.cat(pieces, time), output)
        close((output, stream.state()), module(x))
        stream.reset()
    zero = stream.state()
    assert not any(part.any() for part in (zero if kind == "LSTM" else (zero,)))
    # From a state on, given as an array.
    middle = tuple(part.numpy() for part in last) if kind == "LSTM" else last.numpy()
    stream.set_state(middle)
    close(stream(x), module(x, last)[0])


def test_a_stream_of_one_row_takes_sequences(cpu, rng):
    module = torch.nn.GRU(4, 6)
    stream = wgpu_rnn.GRU.from_torch(module, device=cpu).stream()
    x = rng.normal(size=(5, 4)).astype("f4")
    close(stream(x), module(torch.from_numpy(x))[0])
    assert type(stream.state()) is np.ndarray


def test_cells_stream(device, rng):
    module = torch.nn.LSTMCell(4, 6)
    cell = wgpu_rnn.LSTMCell.from_torch(module, device=device)
    stream = cell.stream(3)
    state = None
    for _ in range(4):
        x = torch.from_numpy(rng.normal(size=(3, 4)).astype("f4"))
        state = module(x, state)
        close(stream(x), state[0])
    close(stream.state(), state)
    stream.reset()
    close(stream(x), module(x)[0])
    stream.set_state(state)
    close(stream.state(), state)
    assert stream.batch == 3


def test_errors_of_streams_keep_the_state(cpu):
    net = wgpu_rnn.LSTM.from_torch(torch.nn.LSTM(4, 6), device=cpu)
    stream = net.stream(2)
    x = np.ones((3, 2, 4), np.float32)
    stream(x)
    h, c = stream.state()
    for value, error, text in [
        (x[:, :1], wgpu_rnn.ShapeError, "Stream: Expected an input of 2 rows, got 1"),
        (x.astype("f8"), wgpu_rnn.OptionError, "float64"),
        ([1.0], TypeError, "numpy array"),
    ]:
        with pytest.raises(error, match=text):
            stream(value)
    for state, error, text in [
        (None, wgpu_rnn.OptionError, "takes a state, got None"),
        (h, wgpu_rnn.OptionError, "got h_0 only"),
        ((h, c[:, :1]), wgpu_rnn.ShapeError, r"Expected hidden\[1\] size"),
    ]:
        with pytest.raises(error, match=text):
            stream.set_state(state)
    close(stream.state(), (h, c))
    both = wgpu_rnn.GRU.from_torch(torch.nn.GRU(4, 6, bidirectional=True), device=cpu)
    for make in (both.stream, lambda: both.pool(3)):
        with pytest.raises(wgpu_rnn.OptionError, match="bidirectional GRU"):
            make()
    for batch, error in [(-1, wgpu_rnn.OptionError), (1.5, TypeError), (True, TypeError)]:
        with pytest.raises(error, match="batch should be an integer"):
            net.stream(batch)


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_slots_are_sequences_of_their_own(device, rng, kind):
    module = getattr(torch.nn, kind)(4, 6, 2)
    net = getattr(wgpu_rnn, kind).from_torch(module, device=device)
    pool = net.pool(3, steps=2)
    assert (pool.slots, pool.steps, pool.open_count) == (3, 2, 0)
    slots = [pool.open() for _ in range(3)]
    assert pool.open_count == 3 and len(set(slots)) == 3 and slots[0] == slots[0]
    with pytest.raises(wgpu_rnn.PoolFullError, match="all 3 slots"):
        pool.open()
    x = rng.normal(size=(6, 3, 4)).astype("f4")
    got = [[], [], []]
    for tick in range(6):
        # Slot 2 has two steps in every other tick; slot 1 gives tensors.
        frames = {slots[0]: x[tick, 0], slots[1]: torch.from_numpy(x[tick, 1])}
        if tick % 2 == 0:
            frames[slots[2]] = x[tick : tick + 2, 2]
        results = pool.tick(frames)
        assert [type(result) for result in results][:2] == [np.ndarray, torch.Tensor]
        assert results[0].shape == (6,)
        for at, result in enumerate(results):
            got[at].extend(np.atleast_2d(np.asarray(result)))
    for at, slot in enumerate(slots):
        output, last = module(torch.from_numpy(x[:, at]))
        close(np.stack(got[at]), output)
        close(pool.state(slot), last)


def test_a_refused_slot_keeps_its_state_and_the_others_run(cpu, rng):
    module = torch.nn.GRU(4, 6)
    net = wgpu_rnn.GRU.from_torch(module, device=cpu)
    pool, other = net.pool(4), net.pool(1)
    a, b, closed, foreign = pool.open(), pool.open(), pool.open(), other.open()
    pool.close(closed)
    x = rng.normal(size=4).astype("f4")
    before = pool.state(a)
    results = pool.tick([(a, x[:3]), (b, x), (closed, x), (foreign, x), (b, x)])
    kinds = [
        wgpu_rnn.FrameSizeError,
        np.ndarray,
        wgpu_rnn.SlotClosedError,
        wgpu_rnn.OptionError,
        wgpu_rnn.OptionError,
    ]
    assert [type(result) for result in results] == kinds
    assert "another pool" in str(results[3]) and "twice" in str(results[4])
    close(pool.state(a), before)
    close(results[1][None], module(torch.from_numpy(x[None]))[0])
    with pytest.raises(wgpu_rnn.SlotClosedError, match="not open"):
        pool.close(closed)
    for inputs, error in [
        ([a], TypeError),
        ([(a, x, x)], TypeError),
        ([(3, x)], TypeError),
        ([(a, x.astype("f8"))], wgpu_rnn.OptionError),
        ([(a, x[None, None])], wgpu_rnn.OptionError),
    ]:
        with pytest.raises(error, match=r"inputs\[0\]"):
            pool.tick(inputs)
    assert pool.tick([]) == [] and pool.tick({}) == []


def test_states_of_slots_travel(device, cpu, rng):
    module = torch.nn.LSTM(4, 6)
    pool = wgpu_rnn.LSTM.from_torch(module, device=device).pool(2)
    there = wgpu_rnn.LSTM.from_torch(module, device=cpu).pool(2)
    slot, target = pool.open(), there.open()
    pool.tick([(slot, rng.normal(size=4).astype("f4"))])
    state = pool.state(slot)
    there.restore(target, pool.snapshot(slot))
    for got, want in zip(there.state(target), state):
        np.testing.assert_array_equal(got, want)
    pool.reset(slot)
    assert not any(part.any() for part in pool.state(slot))
    pool.set_state(slot, state)
    for got, want in zip(pool.state(slot), state):
        np.testing.assert_array_equal(got, want)
    with pytest.raises(wgpu_rnn.OptionError, match="not a snapshot"):
        pool.restore(slot, b"nothing")
