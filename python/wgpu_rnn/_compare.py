"""Comparison of a module of torch with a network, value by value."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple, Type, Union

import numpy as np

from . import _cells, _modules, _native
from ._convert import count, float32, integers, state_arrays, torch_kind, type_name
from ._device import DeviceLike
from ._from_torch import read_module
from ._options import loading
from ._packed import unpacked
from ._state_dict import StateDict
from ._torch import is_packed, is_tensor, loaded, torch
from .errors import OptionError

#: The tolerance of ``torch.testing.assert_close`` for float32.
ATOL = 1e-5
RTOL = 1.3e-6

Network = Union[_modules.Recurrent, _cells.RecurrentCell]

_CLASSES: Tuple[Union[Type[_modules.Recurrent], Type[_cells.RecurrentCell]], ...] = (
    _modules.LSTM,
    _modules.GRU,
    _modules.RNN,
    _cells.LSTMCell,
    _cells.GRUCell,
    _cells.RNNCell,
)


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
        got_error: the largest difference of the network's result from the definition in float64.
        want_error: the largest difference of the module's result from the definition in float64.
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
        return "\n".join(
            [
                f"{self.module} on {self.device}",
                *lines,
                f"{verdict} (atol {self.atol:g}, rtol {self.rtol:g}; errors are the largest "
                "differences from the definition in float64)",
            ]
        )


#: The multiply-adds that the definition computes in a few seconds.
_QUICK = 2e9

#: The last two columns are the errors of got and of want against the definition in float64.
_HEAD = (
    "tensor", "shape", "max abs", "max rel", "worst at", "got", "want", "got error", "want error"
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


def _error(values: Any, exact: Optional[Any]) -> Optional[float]:
    if exact is None:
        return None
    with np.errstate(invalid="ignore"):
        equal = (values == exact) | (np.isnan(values) & np.isnan(exact))
        difference = np.where(equal, 0.0, np.abs(values - exact))
    return float(np.where(np.isnan(difference), np.inf, difference).max(initial=0.0))


def compare(
    module: Any,
    device: DeviceLike = "auto",
    input: Any = None,
    state: Any = None,
    lengths: Optional[Sequence[int]] = None,
    *,
    net: Optional[Network] = None,
    atol: float = ATOL,
    rtol: float = RTOL,
    weights: str = "f32",
    schedule: str = "auto",
    seed: int = 0,
    definition: Optional[bool] = None,
) -> Comparison:
    """Runs a module of torch and a network with its weights on a device, and compares the results.

    Args:
        module: a ``torch.nn.LSTM``, ``GRU``, ``RNN`` or one of their cells, in float32 on the CPU.
            It runs in evaluation mode, without dropout, and is then set back to its mode.
        device: the device of the network, or its name.
        input: the input, as the network takes it. When absent, numbers from a seed: 16 steps of 4
            rows, or a step of 4 rows for a cell.
        state: the initial state; zero when absent.
        lengths: the valid steps of each row; the module then runs packed. At least 1 each.
        net: a network to compare, such as one loaded from a file, instead of one that is made of
            the module's weights on the device.
        atol, rtol: the tolerance: ``|got - want| <= atol + rtol * |want|``.
        weights, schedule: as in ``from_torch``.
        seed: the seed of the numbers.
        definition: whether to run the definition in float64 as well, on one core. When absent, only
            where it takes a few seconds at most.

    Raises:
        ShapeError, OptionError, TypeError: as a call of the network and ``from_torch``.
    """
    library = torch()
    if library is None or not isinstance(module, library.nn.Module):
        raise TypeError(f"compare() takes a module of torch.nn, got {type_name(module)}")
    made = _class_of(module)
    if net is None:
        net = made.from_torch(module, device=device, weights=weights, schedule=schedule)
    elif type(net) is not made:
        raise TypeError(f"net should be a wgpu_rnn.{made.__name__}, got {type_name(net)}")
    for name, parameter in module.named_parameters():
        if parameter.dtype != library.float32:
            raise OptionError(
                f"compare() runs the module in float32, but {name} is {parameter.dtype}; call "
                "module.float()"
            )
    if input is None:
        input = draw(module, 16, 4, seed)
    if is_packed(input):
        input, lengths = unpacked(input, module.batch_first)
    array, _ = float32(input, "input")
    valid = None if lengths is None else integers(lengths, "lengths", "a length")
    has_c = made._module.startswith("LSTM")
    h, c = state_arrays(state, has_c, made._module)
    initial = None if h is None else (h if c is None else (h, c))

    if isinstance(net, _modules.Recurrent):
        got = _flat(net._call(array, initial, valid))
    else:
        got = _flat(net._call(array, initial))
    want = _flat(_run_torch(module, array, (h, c), valid))
    if definition is None:
        definition = _work(module, array) < _QUICK
    exact: List[Any] = [None] * len(want)
    if definition:
        exact = _definition(module, made, (array, h, c, valid), weights, want)
    names = _names(made, has_c)
    tensors = tuple(
        compare_arrays(name, one, other, atol, rtol, by_definition)
        for name, one, other, by_definition in zip(names, got, want, exact)
    )
    return Comparison(str(module), str(net.device._native), atol, rtol, tensors)


def _work(module: Any, array: Any) -> float:
    """Returns the multiply-adds of a call."""
    weights = [p.numel() for name, p in module.named_parameters() if name.startswith("weight")]
    return float(sum(weights)) * float(array.size) / float(module.input_size)


def _class_of(module: Any) -> Any:
    library = loaded()
    for made in _CLASSES:
        if isinstance(module, getattr(library.nn, made._module)):
            return made
    raise TypeError(
        f"compare() takes a torch.nn.LSTM, GRU, RNN or one of their cells, got {type_name(module)}"
    )


def draw(module: Any, seq_len: int, batch: int, seed: int) -> Any:
    """Returns an input of a module: numbers between -1 and 1 from a seed."""
    cell = not hasattr(module, "num_layers")
    first = [batch, seq_len] if getattr(module, "batch_first", False) else [seq_len, batch]
    shape = [batch, module.input_size] if cell else [*first, module.input_size]
    generator = np.random.Generator(np.random.Philox(count(seed, "seed")))
    return generator.uniform(-1.0, 1.0, shape).astype(np.float32)


def _names(made: Any, has_c: bool) -> List[str]:
    if issubclass(made, _cells.RecurrentCell):
        return ["h", "c"] if has_c else ["h"]
    return ["output", "h_n", "c_n"] if has_c else ["output", "h_n"]


def _flat(results: Any) -> List[Any]:
    """Returns the arrays of a nested result, in their order."""
    if isinstance(results, tuple):
        return [array for result in results for array in _flat(result)]
    return [results.detach().numpy() if is_tensor(results) else results]


@contextlib.contextmanager
def _evaluating(module: Any) -> Iterator[None]:
    library = loaded()
    training = module.training
    module.eval()
    try:
        with library.no_grad():
            yield
    finally:
        module.train(training)


def _run_torch(module: Any, array: Any, state: Any, lengths: Optional[List[int]]) -> Any:
    h, c = (None if part is None else torch_kind(part.copy()) for part in state)
    initial = h if c is None else (h, c)
    tensor = torch_kind(array.copy())
    rnn = loaded().nn.utils.rnn
    with _evaluating(module):
        if lengths is None:
            return module(tensor, initial)
        packed = rnn.pack_padded_sequence(
            tensor, lengths, batch_first=module.batch_first, enforce_sorted=False
        )
        output, last = module(packed, initial)
        steps = tensor.shape[1 if module.batch_first else 0]
        padded, _ = rnn.pad_packed_sequence(
            output, batch_first=module.batch_first, total_length=steps
        )
        return padded, last


def _definition(module: Any, made: Any, call: Any, weights: str, like: List[Any]) -> List[Any]:
    """Returns the results by definition in float64, in the layouts of the module's."""
    cell = issubclass(made, _cells.RecurrentCell)
    read = read_module(module, made._module)
    arguments: Dict[str, Any] = dict(read.arguments)
    options = loading(weights=weights, **arguments)
    array, h, c, lengths = call
    if cell:
        # A layer over one step.
        width = array.shape[-1]
        array = array.reshape(1, -1, width)
        h, c = (None if part is None else part.reshape(1, -1, part.shape[-1]) for part in (h, c))
    native = StateDict.from_mapping(read.parameters)._native
    output, h_n, c_n = _native.reference(native, cell, options, array, h, c, lengths)
    states = [h_n] if c_n is None else [h_n, c_n]
    results = states if cell else [output, *states]
    return [result.reshape(of.shape) for result, of in zip(results, like)]


__all__ = ["Comparison", "TensorComparison", "compare"]
