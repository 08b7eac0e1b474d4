"""Packed sequences that no packing gives, and default devices other than the CPU."""

import pytest
import torch
from conftest import close

import wgpu_rnn
from wgpu_rnn.errors import OptionError, ShapeError

Packed = torch.nn.utils.rnn.PackedSequence


@pytest.fixture
def lstm(cpu):
    return wgpu_rnn.LSTM.from_torch(torch.nn.LSTM(3, 4), device=cpu)


def made(rows, sizes, order=None, back=None):
    """A sequence of any parts. The constructor would check or compute some of them."""
    return tuple.__new__(Packed, (rows, sizes, order, back))


def long(*values):
    return torch.tensor(values, dtype=torch.int64)


FIVE = torch.zeros(5, 3)


@pytest.mark.parametrize(
    "parts, error, text",
    [
        ((FIVE, long()), ShapeError, "batch_sizes of the PackedSequence are empty"),
        ((FIVE, long(2, 3)), ShapeError, r"batch_sizes\[1\] is 3 after 2"),
        ((FIVE, long(5, 0)), ShapeError, r"batch_sizes\[1\] is 0 after 5"),
        ((FIVE, long(0)), ShapeError, r"batch_sizes\[0\] is 0"),
        ((FIVE, long(6, -1)), ShapeError, r"batch_sizes\[1\] is -1 after 6"),
        ((FIVE, long(3, 3)), ShapeError, "have the sum 6, but its data has 5 rows"),
        ((FIVE, long(1)), ShapeError, "have the sum 1, but its data has 5 rows"),
        ((FIVE, long(5)[None]), ShapeError, "batch_sizes of the PackedSequence should be 1D"),
        ((FIVE, torch.tensor([5.0])), OptionError, "should be integers, got dtype float32"),
        ((FIVE, long(5).int()), OptionError, "should be of torch.int64, got dtype torch.int32"),
        ((FIVE, long(5).to("meta")), OptionError, "batch_sizes of the PackedSequence is a tensor"),
        ((FIVE, [5]), TypeError, "batch_sizes of the PackedSequence should be a tensor"),
        ((FIVE[:, 0], long(5)), ShapeError, "data of a PackedSequence should be 2D"),
        ((FIVE[None], long(1)), ShapeError, "data of a PackedSequence should be 2D"),
        ((FIVE.numpy(), long(5)), TypeError, "the data of a PackedSequence is a tensor"),
        ((FIVE, long(3, 2), long(0, 1, 9), long(0, 1, 2)), ShapeError, "undoes the other"),
        ((FIVE, long(3, 2), long(1, 2, 0), long(1, 2, 0)), ShapeError, "undoes the other"),
        ((FIVE, long(3, 2), long(1, 0), long(1, 0)), ShapeError, "undoes the other"),
        ((FIVE, long(3, 2), long(0, 1, 2), None), TypeError, "unsorted_indices"),
    ],
)
def test_sequences_that_no_packing_gives_are_refused(lstm, parts, error, text):
    with pytest.raises(error, match=text):
        lstm(made(*parts))


def test_sequences_by_hand_are_taken(lstm):
    rows = torch.randn(5, 3)
    order = long(2, 0, 1)
    back = torch.argsort(order)
    close(
        lstm(made(rows, long(3, 2), order, back))[0],
        lstm(Packed(rows, long(3, 2), order))[0],
    )


@pytest.mark.skipif(not hasattr(torch, "set_default_device"), reason="torch 1 has no such setting")
def test_the_default_device_is_not_used(cpu):
    module = torch.nn.LSTM(3, 4)
    net = wgpu_rnn.LSTM.from_torch(module, device=cpu)
    x = torch.randn(4, 2, 3)
    rows = [x[:2, 0], x[:, 1]]
    for packed in (
        torch.nn.utils.rnn.pack_sequence(rows[::-1]),
        torch.nn.utils.rnn.pack_sequence(rows, enforce_sorted=False),
    ):
        want = net(packed)
        with torch.device("meta"):
            close(net(packed), want)
    want = net(x, lengths=[2, 4])
    with torch.device("meta"):
        close(net(x, lengths=[2, 4]), want)
        close(wgpu_rnn.LSTM.from_torch(module, device=cpu)(x), net(x))
        assert wgpu_rnn.compare(module, cpu, x, lengths=[2, 4]).agrees
        assert wgpu_rnn.compare(module, cpu, packed).agrees
