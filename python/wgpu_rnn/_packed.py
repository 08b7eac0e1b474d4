"""Packed sequences of torch: to a padded tensor with lengths, and back."""

from __future__ import annotations

from typing import Any, List, Tuple

from ._convert import check_cpu, float32, integer_array, type_name
from ._torch import is_tensor, loaded
from .errors import OptionError, ShapeError

#: The error of a call with a sequence and lengths.
OWN_LENGTHS = "a PackedSequence has its own lengths; call without lengths="


def unpacked(packed: Any, batch_first: bool) -> Tuple[Any, List[int]]:
    """Returns the padded input in the caller's order of rows, and the length of each row."""
    rnn = loaded().nn.utils.rnn
    _check(packed)
    plain = rnn.PackedSequence(
        packed.data.detach(), packed.batch_sizes, packed.sorted_indices, packed.unsorted_indices
    )
    padded, lengths = rnn.pad_packed_sequence(plain, batch_first=batch_first)
    return padded, lengths.tolist()


def _check(packed: Any) -> None:
    """Refuses a sequence that no packing gives, and that torch would read out of bounds."""
    if not is_tensor(packed.data):
        raise TypeError(f"the data of a PackedSequence is a tensor, got {type_name(packed.data)}")
    check_cpu(packed.data, "input")
    float32(packed.data, "input")
    if packed.data.dim() != 2:
        raise ShapeError(
            f"the data of a PackedSequence should be 2D, a row of features for each step of each "
            f"sequence, got {packed.data.dim()}D"
        )
    sizes = _vector(packed.batch_sizes, "batch_sizes")
    if not sizes:
        raise ShapeError("the batch_sizes of the PackedSequence are empty: it has no time step")
    for at, size in enumerate(sizes):
        if size < 1 or size > sizes[at - 1 if at else 0]:
            before = f" after {sizes[at - 1]}" if at else ""
            raise ShapeError(
                f"the batch_sizes of a PackedSequence are positive and never increase, but "
                f"batch_sizes[{at}] is {size}{before}"
            )
    if sum(sizes) != packed.data.shape[0]:
        raise ShapeError(
            f"the batch_sizes of the PackedSequence have the sum {sum(sizes)}, but its data has "
            f"{packed.data.shape[0]} rows"
        )
    if packed.sorted_indices is None and packed.unsorted_indices is None:
        return
    order = _vector(packed.sorted_indices, "sorted_indices")
    back = _vector(packed.unsorted_indices, "unsorted_indices")
    rows = list(range(sizes[0]))
    if sorted(order) != rows or sorted(back) != rows or [order[at] for at in back] != rows:
        raise ShapeError(
            f"the sorted_indices and unsorted_indices of a PackedSequence of {len(rows)} rows "
            f"should be orders of them, each of which undoes the other"
        )


def _vector(value: Any, name: str) -> List[int]:
    """Returns the integers of a part of a packed sequence."""
    what = f"the {name} of the PackedSequence"
    if not is_tensor(value):
        raise TypeError(f"{what} should be a tensor of integers, got {type_name(value)}")
    array = integer_array(value, what, f"{what} should be integers")
    if array.ndim != 1:
        raise ShapeError(f"{what} should be 1D, got {array.ndim}D")
    if array.dtype.name != "int64":
        raise OptionError(f"{what} should be of torch.int64, got dtype {value.dtype}")
    numbers: List[int] = array.tolist()
    return numbers


def packed_like(output: Any, lengths: List[int], packed: Any, batch_first: bool) -> Any:
    """Returns a padded output as a sequence with the packing of another."""
    torch = loaded()
    rnn = torch.nn.utils.rnn
    order = packed.sorted_indices
    # The default device may be another one.
    sizes = torch.tensor(lengths, device="cpu")
    if order is not None:
        output = output.index_select(0 if batch_first else 1, order)
        sizes = sizes.index_select(0, order)
    data = rnn.pack_padded_sequence(output, sizes, batch_first=batch_first).data
    return rnn.PackedSequence(data, packed.batch_sizes, order, packed.unsorted_indices)
