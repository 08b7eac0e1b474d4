"""Comparison of a module of torch with a network, value by value."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence, Tuple, Type, Union

import numpy as np

from . import _cells, _modules, _native
from ._comparison import ATOL, RTOL, Comparison, compare_arrays, tolerance
from ._convert import count, flag, float32, integers, state_arrays, torch_kind, type_name
from ._device import DeviceLike
from ._from_torch import evaluating, read_module
from ._options import loading
from ._packed import OWN_LENGTHS, unpacked
from ._state_dict import StateDict
from ._torch import is_packed, is_tensor, loaded, torch
from .errors import OptionError

Network = Union[_modules.Recurrent, _cells.RecurrentCell]

_CLASSES: Tuple[Union[Type[_modules.Recurrent], Type[_cells.RecurrentCell]], ...] = (
    _modules.LSTM,
    _modules.GRU,
    _modules.RNN,
    _cells.LSTMCell,
    _cells.GRUCell,
    _cells.RNNCell,
)


#: The multiply-adds that the definition computes in a few seconds.
_QUICK = 2e9


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
            It runs in evaluation mode, without dropout, and then has its modes and buffers again.
        device: the device of the network, or its name.
        input: the input, as the network takes it. When absent, numbers from a seed: 16 steps of 4
            rows, or a step of 4 rows for a cell.
        state: the initial state; zero when absent.
        lengths: the valid steps of each row; the module then runs packed. At least 1 each.
        net: a network to compare, such as one loaded from a file, instead of one that is made of
            the module's weights on the device.
        atol, rtol: the tolerance: ``|got - want| <= atol + rtol * |want|``. Finite numbers from 0
            on.
        weights, schedule: as in ``from_torch``.
        seed: the seed of the numbers.
        definition: whether to run the definition in float64 as well, on one core. When absent, only
            where it takes a few seconds at most.

    Raises:
        ShapeError, OptionError, TypeError: as a call of the network and ``from_torch``; also for
            results without elements, which nothing could differ in.
    """
    atol, rtol = tolerance(atol, "atol"), tolerance(rtol, "rtol")
    if definition is not None:
        definition = flag(definition, "definition")
    made = class_of(module)
    library = loaded()
    if net is None:
        net = made.from_torch(module, device=device, weights=weights, schedule=schedule)
    elif type(net) is not made:
        raise TypeError(f"net should be a wgpu_rnn.{made.__name__}, got {type_name(net)}")
    for name, parameter in module.named_parameters():
        if parameter.dtype != library.float32:
            advice = "; call module.float()" if parameter.dtype.is_floating_point else ""
            raise OptionError(
                f"compare() runs the module in float32, but {name} is {parameter.dtype}{advice}"
            )
    packed = is_packed(input)
    if issubclass(made, _cells.RecurrentCell) and (packed or lengths is not None):
        what = "input is a PackedSequence" if packed else "there are lengths"
        raise OptionError(f"a {made._module} computes one step, but {what}")
    if input is None:
        input = draw(module, 16, 4, seed)
    if packed:
        if lengths is not None:
            raise OptionError(OWN_LENGTHS)
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
    if not all(result.size for result in want):
        raise OptionError(f"there is nothing to compare in an input of shape {list(array.shape)}")
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


def class_of(module: Any) -> Any:
    """Returns the class of this package for a module."""
    library = torch()
    if library is None or not isinstance(module, library.nn.Module):
        raise TypeError(f"compare() takes a module of torch.nn, got {type_name(module)}")
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


def _run_torch(module: Any, array: Any, state: Any, lengths: Optional[List[int]]) -> Any:
    h, c = (None if part is None else torch_kind(part.copy()) for part in state)
    initial = h if c is None else (h, c)
    tensor = torch_kind(array.copy())
    rnn = loaded().nn.utils.rnn
    with evaluating(module):
        if lengths is None:
            return module(tensor, initial)
        # The default device may be another one.
        sizes = loaded().tensor(lengths, dtype=loaded().int64, device="cpu")
        packed = rnn.pack_padded_sequence(
            tensor, sizes, batch_first=module.batch_first, enforce_sorted=False
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
