"""Arrays and tensors: checks of their types, and conversions that change no value."""

from __future__ import annotations

import operator
from typing import Any, Callable, List, Optional, Sequence, Tuple

import numpy as np

from ._torch import is_tensor, loaded
from .errors import OptionError, ShapeError

#: Makes the result of a call of an array: the array itself, or a tensor of torch over its values.
Kind = Callable[[Any], Any]


def numpy_kind(array: Any) -> Any:
    """Returns the array itself."""
    return array


def torch_kind(array: Any) -> Any:
    """Returns a tensor of torch over the values of an array."""
    return loaded().from_numpy(array)


def type_name(value: object) -> str:
    """Returns the name of a value's type, with its module unless it is built in."""
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"


def float32(value: Any, name: str) -> Tuple[Any, Kind]:
    """Returns a row-major array of float32, and the kind of the caller's value.

    A tensor that requires gradients is read without them. Only float32 is taken: another dtype is
    refused with the conversion to call, in PyTorch's words.
    """
    if type(value) is np.ndarray and value.dtype == np.float32:
        # The usual case, without the questions below.
        return np.asarray(value, np.float32, order="C"), numpy_kind
    if is_tensor(value):
        return _of_tensor(value, name), torch_kind
    if isinstance(value, np.ma.MaskedArray):
        raise OptionError(f"{name} is a masked array; fill its gaps with {name}.filled(value)")
    if not isinstance(value, (np.ndarray, np.generic)):
        raise TypeError(
            f"{name} should be a numpy array or a torch tensor of float32, got {type_name(value)}"
        )
    array = np.asarray(value)
    if array.dtype.newbyteorder("=") != np.float32:
        raise _dtype(name, f"numpy.{array.dtype}", f"{name}.astype(numpy.float32)")
    return np.asarray(array, np.float32, order="C"), numpy_kind


def _of_tensor(value: Any, name: str) -> Any:
    torch = loaded()
    check_cpu(value, name)
    if value.dtype != torch.float32:
        raise _dtype(name, str(value.dtype), f"{name}.to(torch.float32)")
    array = value.detach().contiguous()
    if array.is_neg():
        array = array.resolve_neg()
    return array.numpy()


def _dtype(name: str, found: str, conversion: str) -> OptionError:
    return OptionError(
        f"RNN {name} dtype ({found}) does not match weight dtype (torch.float32). Convert "
        f"{name}: {conversion}. Here every model runs in float32"
    )


def check_cpu(value: Any, name: str) -> None:
    """Refuses a tensor that is not dense in the memory of the host."""
    torch = loaded()
    if value.device.type != "cpu":
        raise OptionError(
            f"{name} is a tensor on {value.device}, but tensors are taken from the CPU's memory: "
            f"call {name}.cpu(). The device of wgpu_rnn is set by device="
        )
    if value.layout != torch.strided or getattr(value, "is_quantized", False):
        raise OptionError(f"{name} is not dense: call {name}.to_dense() or {name}.dequantize()")


def state_arrays(value: Any, has_c: bool, module: str) -> Tuple[Optional[Any], Optional[Any]]:
    """Returns h and c of a state as arrays: ``(h_0, c_0)`` for an LSTM, ``h_0`` for others."""
    if value is None:
        return None, None
    if isinstance(value, (tuple, list)):
        if not has_c:
            raise OptionError(
                f"{module}: expected the initial state h_0 only, got {len(value)} of them in a "
                f"{type_name(value)}; only LSTM has a cell state"
            )
        if len(value) != 2:
            raise OptionError(
                f"{module}: expected the initial state (h_0, c_0), got {len(value)} tensors"
            )
        return float32(value[0], "h_0")[0], float32(value[1], "c_0")[0]
    if has_c:
        raise OptionError(f"{module}: expected the initial state (h_0, c_0), got h_0 only")
    return float32(value, "h_0")[0], None


def joined(h: Any, c: Optional[Any], kind: Kind) -> Any:
    """Returns a state as PyTorch does: h, or the pair of h and c."""
    return kind(h) if c is None else (kind(h), kind(c))


def integers(value: Any, name: str, what: str) -> List[int]:
    """Returns a vector of integers that are not negative, such as lengths or tokens."""
    if is_tensor(value):
        check_cpu(value, name)
        value = value.detach().numpy()
    if isinstance(value, np.ndarray):
        if value.ndim != 1:
            raise ShapeError(f"{name} should be a 1D tensor, but got {value.ndim}D")
        if value.dtype.kind not in "iu":
            raise OptionError(f"{name} should be integers, got dtype {value.dtype}")
        value = value.tolist()
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        raise TypeError(f"{name} should be a sequence of integers, got {type_name(value)}")
    numbers = [_integer(number, f"{name}[{at}]") for at, number in enumerate(value)]
    for at, number in enumerate(numbers):
        if number < 0:
            raise OptionError(f"{name}[{at}] is {number}; {what} cannot be negative")
        if number >= 1 << 63:
            raise OptionError(f"{name}[{at}] is {number}, which is too large for {what}")
    return numbers


def _integer(value: Any, name: str) -> int:
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} should be an integer, got {type_name(value)}")
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} should be an integer, got {type_name(value)}") from None


def count(value: Any, name: str, least: int = 0, most: int = (1 << 63) - 1) -> int:
    """Returns a number of things, from ``least`` to ``most``."""
    number = _integer(value, name)
    if not least <= number <= most:
        bound = f"at least {least}" if number < least else f"at most {most}"
        raise OptionError(f"{name} should be an integer of {bound}, got {number}")
    return number


def text(value: Any, name: str) -> str:
    """Returns a text."""
    if not isinstance(value, str):
        raise TypeError(f"{name} should be a str, got {type_name(value)}")
    return value
