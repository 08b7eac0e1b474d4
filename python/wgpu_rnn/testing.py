"""Assertions for tests: does a device compute what a module of torch computes?"""

from __future__ import annotations

from typing import Any, List, Optional, Sequence, Tuple

from ._compare import Network, class_of, compare, draw
from ._comparison import ATOL, RTOL, Comparison
from ._device import DeviceLike

#: The sizes (T, B) of drawn inputs: one step of one row and of many, a few steps, and many.
SIZES: Sequence[Tuple[int, int]] = ((1, 1), (1, 9), (7, 3), (33, 2))


def assert_matches(
    module: Any,
    device: DeviceLike = "auto",
    *,
    atol: float = ATOL,
    rtol: float = RTOL,
    input: Any = None,
    state: Any = None,
    lengths: Optional[Sequence[int]] = None,
    net: Optional[Network] = None,
    weights: str = "f32",
    schedule: str = "auto",
) -> None:
    """Asserts that a device computes the results of a module of torch.

    ::

        def test_encoder_on_this_gpu():
            wgpu_rnn.testing.assert_matches(model.encoder, "auto")

    Args:
        module: a ``torch.nn.LSTM``, ``GRU``, ``RNN`` or one of their cells, on the CPU in float32.
        device: the device, or its name.
        atol, rtol: the tolerance, by default that of ``torch.testing.assert_close`` for float32:
            ``|got - want| <= atol + rtol * |want|``. Weights of f16 need a larger one.
        input: the input. When absent, drawn inputs of several sizes, one with lengths.

    The other arguments are those of :func:`wgpu_rnn.compare`.

    Raises:
        AssertionError: a result differs. The message has the worst element and a table.
        ShapeError, OptionError, TypeError: as :func:`wgpu_rnn.compare`.
    """
    __tracebackhide__ = True
    class_of(module)
    trials: List[Tuple[Any, Optional[Sequence[int]]]] = [(input, lengths)]
    if input is None and state is None and lengths is None:
        sizes = enumerate(SIZES)
        trials = [(draw(module, *size, seed), None) for seed, size in sizes]
        if hasattr(module, "num_layers"):
            trials.append((draw(module, 7, 3, len(SIZES)), [4, 7, 1]))
    for values, valid in trials:
        comparison = compare(
            module,
            device,
            values,
            state,
            valid,
            net=net,
            atol=atol,
            rtol=rtol,
            weights=weights,
            schedule=schedule,
        )
        if not comparison.agrees:
            raise AssertionError(message(comparison))


def message(comparison: Comparison) -> str:
    """Returns the message of results that differ: the worst element first, then the table."""
    worst = comparison.worst
    if worst is None:
        return str(comparison)
    if worst.shape != worst.got_shape:
        first = f"{worst.name} has shape {list(worst.got_shape)}, expected {list(worst.shape)}"
    else:
        first = (
            f"{worst.name}{list(worst.index or ())} is {worst.got!r}, expected {worst.want!r} "
            f"({worst.mismatches} elements of {worst.name} out of tolerance)"
        )
    return f"{first}\n{comparison}"


__all__ = ["SIZES", "assert_matches"]
