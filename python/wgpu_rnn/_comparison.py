"""The differences of two results, as data and as a table."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import Any, Optional, Tuple

import numpy as np

from ._convert import type_name
from .errors import OptionError

#: The tolerance of ``torch.testing.assert_close`` for float32.
ATOL = 1e-5
RTOL = 1.3e-6


@dataclass(frozen=True)
class TensorComparison:
    """The comparison of one result of a network with that of the module.

    Attributes:
        name: ``"output"``, ``"h_n"`` or ``"c_n"``.
        shape: the shape of the module's result.
        got_shape: the shape of the network's result.
        mismatches: the number of elements out of tolerance.
        max_abs: the largest ``|got - want|``; infinite where one value only is finite.
        max_rel: the largest ``|got - want| / |want|``, over values that are not 0.
        index: the place of the worst element: of all differences in proportion to their tolerance,
            the largest. ``None`` if all elements are equal.
        got: its value in the network's result.
        want: its value in the module's result.
        got_error: the largest difference of the network's result from the definition in float64;
            ``None`` where the definition was not run.
        want_error: the same for the module's result.
    """

    name: str
    shape: Tuple[int, ...]
    got_shape: Tuple[int, ...]
    mismatches: int
    max_abs: float
    max_rel: float
    index: Optional[Tuple[int, ...]]
    got: Optional[float]
    want: Optional[float]
    got_error: Optional[float] = None
    want_error: Optional[float] = None

    @property
    def agrees(self) -> bool:
        """Whether the shapes are equal and all elements are within the tolerance."""
        return self.shape == self.got_shape and self.mismatches == 0


@dataclass(frozen=True)
class Comparison:
    """The comparison of a module of torch with a network on a device; prints as a table.

    Attributes:
        module: the module in words.
        device: the device: name, backend, driver.
        atol, rtol: the tolerance: ``|got - want| <= atol + rtol * |want|``.
        tensors: a comparison for each result.
    """

    module: str
    device: str
    atol: float
    rtol: float
    tensors: Tuple[TensorComparison, ...]

    @property
    def agrees(self) -> bool:
        """Whether all results agree."""
        return all(tensor.agrees for tensor in self.tensors)

    @property
    def worst(self) -> Optional[TensorComparison]:
        """The result with the worst element; ``None`` if all elements are equal."""
        wrong = [tensor for tensor in self.tensors if tensor.shape != tensor.got_shape]
        differing = [tensor for tensor in self.tensors if tensor.index is not None]
        return wrong[0] if wrong else max(differing, key=self._ratio, default=None)

    def _ratio(self, tensor: TensorComparison) -> float:
        want = abs(tensor.want or 0.0)
        allowed = self.atol + self.rtol * (want if np.isfinite(want) else 0.0)
        got, want = tensor.got or 0.0, tensor.want or 0.0
        difference = abs(got - want)
        if not np.isfinite(difference):
            return np.inf
        return difference / allowed if allowed > 0 else np.inf

    def __str__(self) -> str:
        rows = [_HEAD, *(_row(tensor) for tensor in self.tensors)]
        widths = [max(len(row[at]) for row in rows) for at in range(len(_HEAD))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip()
            for row in rows
        ]
        wrong = [tensor for tensor in self.tensors if not tensor.agrees]
        verdict = "agrees" if not wrong else f"does not agree: {', '.join(map(_wrong, wrong))}"
        tolerance = f"atol {self.atol:g}, rtol {self.rtol:g}"
        if any(tensor.got_error is not None for tensor in self.tensors):
            tolerance += "; errors are the largest differences from the definition in float64"
        return "\n".join(
            [f"{self.module} on {self.device}", *lines, f"{verdict} ({tolerance})"]
        )


#: The last two columns are the errors of got and of want against the definition in float64.
_HEAD = (
    "tensor",
    "shape",
    "max abs",
    "max rel",
    "worst at",
    "got",
    "want",
    "got error",
    "want error",
)


def _row(tensor: TensorComparison) -> Tuple[str, ...]:
    def number(value: Optional[float], digits: str = ".2e") -> str:
        return "-" if value is None else format(value, digits)

    shape = str(list(tensor.shape))
    if tensor.shape != tensor.got_shape:
        shape = f"{list(tensor.got_shape)}, not {shape}"
    place = "-" if tensor.index is None else str(list(tensor.index))
    return (
        tensor.name,
        shape,
        number(tensor.max_abs),
        number(tensor.max_rel),
        place,
        number(tensor.got, ".9g"),
        number(tensor.want, ".9g"),
        number(tensor.got_error),
        number(tensor.want_error),
    )


def _wrong(tensor: TensorComparison) -> str:
    if tensor.shape != tensor.got_shape:
        return f"{tensor.name} has shape {list(tensor.got_shape)}, not {list(tensor.shape)}"
    place = "" if tensor.index is None else str(list(tensor.index))
    return (
        f"{tensor.mismatches} elements of {tensor.name}, worst {tensor.name}{place}: got "
        f"{tensor.got!r}, want {tensor.want!r}"
    )


def compare_arrays(
    name: str, got: Any, want: Any, atol: float, rtol: float, exact: Optional[Any] = None
) -> TensorComparison:
    """Compares two arrays; NaN agrees with NaN only, an infinity with itself only.

    ``exact`` are the values by definition, in float64.
    """
    got_shape, shape = tuple(got.shape), tuple(want.shape)
    if got_shape != shape:
        return TensorComparison(name, shape, got_shape, 0, np.inf, np.inf, None, None, None)
    got, want = got.astype(np.float64), want.astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        equal = (got == want) | (np.isnan(got) & np.isnan(want))
        finite = np.isfinite(got) & np.isfinite(want)
        difference = np.where(equal, 0.0, np.where(finite, np.abs(got - want), np.inf))
        allowed = atol + rtol * np.where(np.isfinite(want), np.abs(want), 0.0)
        wrong = difference > allowed
        size = np.abs(want)
        relative = np.divide(difference, size, out=np.zeros_like(size), where=finite & (size > 0))
        # Without a tolerance each difference is infinitely far beyond it.
        ratio = np.divide(
            difference, allowed, out=np.where(difference > 0, np.inf, 0.0), where=allowed > 0
        )
    index: Optional[Tuple[int, ...]] = None
    if ratio.size > 0 and ratio.max() > 0:
        index = tuple(int(at) for at in np.unravel_index(int(ratio.argmax()), shape))
    return TensorComparison(
        name,
        shape,
        got_shape,
        int(wrong.sum()),
        float(difference.max(initial=0.0)),
        float(relative.max(initial=0.0)),
        index,
        None if index is None else float(got[index]),
        None if index is None else float(want[index]),
        _error(got, exact),
        _error(want, exact),
    )


def tolerance(value: Any, name: str) -> float:
    """Returns a tolerance: a finite number from 0 on. With others no comparison could fail."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (Real, np.number)):
        raise TypeError(f"{name} should be a number, got {type_name(value)}")
    number = float(value)
    if not (np.isfinite(number) and number >= 0):
        raise OptionError(f"{name} should be a finite number of at least 0, got {number}")
    return number


def _error(values: Any, exact: Optional[Any]) -> Optional[float]:
    if exact is None:
        return None
    with np.errstate(invalid="ignore"):
        equal = (values == exact) | (np.isnan(values) & np.isnan(exact))
        difference = np.where(equal, 0.0, np.abs(values - exact))
    return float(np.where(np.isnan(difference), np.inf, difference).max(initial=0.0))
