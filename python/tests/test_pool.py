"""Frames of a pool that do not fit, and snapshots that are none."""

import numpy as np
import pytest
import torch

import wgpu_rnn


@pytest.fixture
def pool(device):
    net = wgpu_rnn.GRU.from_torch(torch.nn.GRU(3, 8), device=device)
    return net.pool(4, steps=6)


@pytest.mark.parametrize("shape", [(0,), (2,), (12,), (3, 4), (2, 6), (3, 1), (6, 0)])
def test_a_frame_that_does_not_fit_is_refused_alone(pool, shape):
    one, other, third = pool.open(), pool.open(), pool.open()
    frame = np.ones(3, np.float32)
    got = pool.tick([(one, frame), (other, np.ones(shape, np.float32)), (third, frame)])
    assert [type(result) for result in got] == [np.ndarray, wgpu_rnn.FrameSizeError, np.ndarray]
    assert f"inputs[1] has shape {list(shape)}" in str(got[1])
    assert not pool.state(other).any(), "a refused slot keeps its state"
    assert pool.state(one).any() and np.array_equal(pool.state(one), pool.state(third))
    # The neighbours' results are those of a tick without the refused slot.
    alone = pool.open()
    assert np.array_equal(pool.tick([(alone, frame)])[0], got[0])


def test_frames_have_one_step_or_several(pool):
    slot = pool.open()
    shapes = [(3,), (0, 3), (1, 3), (6, 3)]
    got = [pool.tick({slot: np.ones(shape, np.float32)})[0].shape for shape in shapes]
    assert got == [(8,), (0, 8), (1, 8), (6, 8)]


def test_a_snapshot_is_bytes(pool):
    slot = pool.open()
    with pytest.raises(TypeError, match="a snapshot is bytes, got int"):
        pool.restore(slot, 10**12)
    kept = pool.snapshot(slot)
    for form in (bytes, bytearray, memoryview):
        pool.restore(slot, form(kept))
