"""Inputs: kinds, strides and dtypes; refusals in PyTorch's words."""

import numpy as np
import pytest
import torch
from conftest import close

import wgpu_rnn
from wgpu_rnn._convert import float32
from wgpu_rnn.errors import OptionError, ShapeError


@pytest.fixture
def lstm(cpu):
    return wgpu_rnn.LSTM.from_torch(torch.nn.LSTM(4, 6), device=cpu)


def test_any_strides(lstm, rng):
    whole = rng.normal(size=(4, 6, 10)).astype("f4")
    want = lstm(np.ascontiguousarray(whole[::-2, ::2, 9:1:-2]))
    close(lstm(whole[::-2, ::2, 9:1:-2]), want)
    # A tensor has no negative strides. It has other views.
    view = torch.from_numpy(whole).permute(2, 1, 0)[1::3, ::2]
    close(lstm(view), lstm(view.contiguous()))
    expanded = torch.from_numpy(rng.normal(size=(1, 1, 4)).astype("f4")).expand(3, 2, 4)
    close(lstm(expanded), lstm(expanded.clone()))
    h = rng.normal(size=(1, 6, 9)).astype("f4")[:, ::-2, 1:7]
    x = want[0][:, :, :4]
    state = (h, h[:, :, ::-1])
    close(lstm(x, state), lstm(x.copy(), tuple(part.copy() for part in state)))


def test_negated_views(lstm, rng):
    x = torch.from_numpy(rng.normal(size=(3, 2, 4)).astype("f4"))
    negated = torch._neg_view(x)
    assert negated.is_neg()
    close(lstm(negated), lstm(-x))


def test_big_endian_arrays_and_read_only_ones(lstm, rng):
    x = rng.normal(size=(3, 2, 4)).astype("f4")
    close(lstm(x.astype(">f4")), lstm(x))
    frozen = x.copy()
    frozen.flags.writeable = False
    close(lstm(frozen), lstm(x))


def test_unaligned_arrays(lstm, rng):
    x = rng.normal(size=(3, 2, 4)).astype("f4")
    for dtype in ("<f4", ">f4"):
        buffer = np.zeros(x.nbytes + 1, np.uint8)
        odd = buffer[1:].view(dtype).reshape(x.shape)
        odd[:] = x
        assert not odd.flags.aligned and odd.flags.c_contiguous
        close(lstm(odd), lstm(x))


def test_arrays_as_they_should_be_are_not_copied(rng):
    x = rng.normal(size=(3, 2, 4)).astype("f4")
    assert float32(x, "input")[0] is x


def test_gradients_are_left_behind(lstm, rng):
    x = torch.from_numpy(rng.normal(size=(3, 2, 4)).astype("f4")).requires_grad_()
    output, (h_n, c_n) = lstm(x)
    assert not (output.requires_grad or h_n.requires_grad or c_n.requires_grad)
    close(output, lstm(x.detach())[0])


def test_results_belong_to_the_caller(lstm, rng):
    x = rng.normal(size=(3, 2, 4)).astype("f4")
    first, _ = lstm(x)
    kept = first.copy()
    first += 1
    close(lstm(x)[0], kept)
    assert first.flags.writeable and first.flags.c_contiguous


@pytest.mark.parametrize(
    "value, text",
    [
        (
            np.zeros((3, 2, 4)),
            r"RNN input dtype \(numpy.float64\) does not match weight dtype \(torch.float32\). "
            r"Convert input: input.astype\(numpy.float32\)",
        ),
        (np.zeros((3, 2, 4), np.int64), r"\(numpy.int64\)"),
        (np.zeros((3, 2, 4), np.float16), r"\(numpy.float16\)"),
        (
            torch.zeros(3, 2, 4, dtype=torch.float64),
            r"RNN input dtype \(torch.float64\) does not match weight dtype \(torch.float32\). "
            r"Convert input: input.to\(torch.float32\)",
        ),
        (torch.zeros(3, 2, 4, dtype=torch.bfloat16), r"\(torch.bfloat16\)"),
        (torch.zeros(3, 2, 4, device="meta"), "input is a tensor on meta, .* no values"),
        (torch.zeros(3, 2, 4).to_sparse(), r"input is not dense \(.*: call input.to_dense\(\)$"),
        (
            torch.quantize_per_tensor(torch.zeros(3, 2, 4), 1.0, 0, torch.qint8),
            r"input is quantized: call input.dequantize\(\)$",
        ),
        (
            torch.nested.nested_tensor([torch.zeros(3, 4)]),
            r"input is a nested tensor: pad it .* lengths=$",
        ),
        (torch.zeros(3, 2, 4, dtype=torch.complex64), r"\(torch.complex64\).*real and imaginary"),
        (np.zeros((3, 2, 4), np.complex64), r"\(numpy.complex64\).*real and imaginary"),
        (np.full((3, 2, 4), "1"), r"\(numpy.<U1\).*input should be an array of numbers"),
        (np.full((3, 2, 4), None), r"\(numpy.object\).*input should be an array of numbers"),
        (np.ma.zeros((3, 2, 4), np.float32), r"masked array; fill its gaps with input.filled"),
    ],
    ids=lambda value: None if isinstance(value, str) else f"{type(value).__name__}-{value.dtype}",
)
def test_other_dtypes_and_places_are_refused(lstm, value, text):
    with pytest.raises(OptionError, match=text) as raised:
        lstm(value)
    assert isinstance(raised.value, ValueError)
    # Only what holds real numbers is told how to convert it.
    real = "int64" in text or "float" in text
    assert ("Convert input" in str(raised.value)) == real


@pytest.mark.parametrize("value", [[[0.0] * 4], 1.0, None, "x", b"1234"], ids=repr)
def test_other_types_are_refused(lstm, value):
    with pytest.raises(TypeError, match="should be a numpy array or a torch tensor of float32"):
        lstm(value)


F32 = np.float32


@pytest.mark.parametrize(
    "shape, text",
    [
        ((4,), "LSTM: Expected input to be 2D or 3D, got 1D instead"),
        ((), "LSTM: Expected input to be 2D or 3D, got 0D instead"),
        ((1, 3, 2, 4), "LSTM: Expected input to be 2D or 3D, got 4D instead"),
        ((3, 2, 5), r"input.size\(-1\) must be equal to input_size. Expected 4, got 5"),
        ((0, 2, 4), "Expected sequence length to be larger than 0 in RNN"),
    ],
)
def test_shapes_are_refused_in_pytorchs_words(lstm, shape, text):
    with pytest.raises(ShapeError, match=text) as raised:
        lstm(np.zeros(shape, F32))
    assert isinstance(raised.value, ValueError)


def test_an_empty_batch_is_empty(lstm):
    output, (h_n, c_n) = lstm(np.zeros((3, 0, 4), F32))
    assert output.shape == (3, 0, 6) and h_n.shape == c_n.shape == (1, 0, 6)


def test_states_are_refused_in_pytorchs_words(lstm, cpu):
    x, h = np.zeros((3, 2, 4), F32), np.zeros((1, 2, 6), F32)
    for state, text in [
        ((h[:, :1], h), r"Expected hidden\[0\] size \(1, 2, 6\), got \[1, 1, 6\]"),
        ((h, h[:, :, :5]), r"Expected hidden\[1\] size \(1, 2, 6\), got \[1, 2, 5\]"),
        ((h[0], h[0]), "hx and cx should also be 3-D but got"),
    ]:
        with pytest.raises(ShapeError, match=text):
            lstm(x, state)
    for state, text in [
        (h, r"LSTM: expected the initial state \(h_0, c_0\), got h_0 only"),
        ((h,), r"LSTM: expected the initial state \(h_0, c_0\), got 1 tensors"),
        ((h, h.astype("f8")), r"RNN c_0 dtype \(numpy.float64\)"),
    ]:
        with pytest.raises(OptionError, match=text):
            lstm(x, state)
    with pytest.raises(TypeError, match="c_0 should be a numpy array"):
        lstm(x, (h, None))
    gru = wgpu_rnn.GRU.from_torch(torch.nn.GRU(4, 6), device=cpu)
    with pytest.raises(OptionError, match="GRU: expected the initial state h_0 only"):
        gru(x, (h, h))
    # A state of the other kind is taken.
    close(lstm(torch.from_numpy(x), (h, h)), lstm(x, (torch.from_numpy(h), h)))


def test_lengths_are_checked(lstm):
    x = np.zeros((3, 2, 4), F32)
    for lengths in ([2, 3], (2, 3), np.array([2, 3], np.uint8), torch.tensor([2, 3])):
        close(lstm(x, lengths=lengths), lstm(x, lengths=[2, 3]))
    for lengths, error, text in [
        ([2], ShapeError, "Expected `len\\(lengths\\)` to be equal to batch_size"),
        ([2, 4], ShapeError, r"lengths\[1\] is 4, but the input has 3 time steps"),
        ([2, -1], OptionError, r"lengths\[1\] is -1; a length cannot be negative"),
        ([2, 1 << 80], OptionError, r"lengths\[1\] is \d+, which is too large for a length"),
        ([2, 1.0], TypeError, r"lengths\[1\] should be an integer, got float"),
        ([2, True], TypeError, r"lengths\[1\] should be an integer, got bool"),
        (torch.ones(2, dtype=torch.bfloat16), OptionError, "integers, got dtype bfloat16"),
        (torch.ones(2, dtype=torch.bool), OptionError, "integers, got dtype bool"),
        (np.array([2.0, 3.0]), OptionError, "lengths should be integers, got dtype float64"),
        (np.array([[2, 3]]), ShapeError, "lengths should be a 1D tensor, but got 2D"),
        ("23", TypeError, "lengths should be a sequence of integers, got str"),
        (3, TypeError, "lengths should be a sequence of integers, got int"),
    ]:
        with pytest.raises(error, match=text):
            lstm(x, lengths=lengths)
    with pytest.raises(ShapeError, match="lengths need a batched 3-D input"):
        lstm(x[:, 0], lengths=[3])
    packed = torch.nn.utils.rnn.pack_sequence([torch.zeros(3, 4)])
    with pytest.raises(OptionError, match="a PackedSequence has its own lengths"):
        lstm(packed, lengths=[3])
    with pytest.raises(OptionError, match=r"\(torch.float64\)"):
        lstm(packed.to(torch.float64))


def test_cells_are_checked(cpu):
    cell = wgpu_rnn.LSTMCell.from_torch(torch.nn.LSTMCell(4, 6), device=cpu)
    h = np.zeros((2, 6), F32)
    for x, state, error, text in [
        ((3, 2, 4), None, ShapeError, "LSTMCell: Expected input to be 1D or 2D, got 3D instead"),
        ((2, 5), None, ShapeError, "input has inconsistent input_size: got 5 expected 4"),
        ((3, 4), (h, h), ShapeError, "Input batch size 3 doesn't match hidden0 batch size 2"),
        ((2, 4), h, OptionError, r"LSTMCell: expected the initial state \(h_0, c_0\)"),
    ]:
        with pytest.raises(error, match=text):
            cell(np.zeros(x, F32), state)
