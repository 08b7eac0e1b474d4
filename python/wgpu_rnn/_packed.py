"""Packed sequences of torch: to a padded tensor with lengths, and back."""

from __future__ import annotations

from typing import Any, List, Tuple

from ._convert import check_cpu, float32
from ._torch import loaded


def unpacked(packed: Any, batch_first: bool) -> Tuple[Any, List[int]]:
    """Returns the padded input in the caller's order of rows, and the length of each row."""
    rnn = loaded().nn.utils.rnn
    check_cpu(packed.data, "input")
    float32(packed.data, "input")
    plain = rnn.PackedSequence(
        packed.data.detach(), packed.batch_sizes, packed.sorted_indices, packed.unsorted_indices
    )
    padded, lengths = rnn.pad_packed_sequence(plain, batch_first=batch_first)
    return padded, lengths.tolist()


def packed_like(output: Any, lengths: List[int], packed: Any, batch_first: bool) -> Any:
    """Returns a padded output as a sequence with the packing of another."""
    torch = loaded()
    rnn = torch.nn.utils.rnn
    order = packed.sorted_indices
    sizes = torch.tensor(lengths)
    if order is not None:
        output = output.index_select(0 if batch_first else 1, order)
        sizes = sizes.index_select(0, order)
    data = rnn.pack_padded_sequence(output, sizes, batch_first=batch_first).data
    return rnn.PackedSequence(data, packed.batch_sizes, order, packed.unsorted_indices)
