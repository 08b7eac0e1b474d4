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
        return _row_major(value), numpy_kind
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
        dtype = array.dtype
        # The types of other packages, such as bfloat16, are of kind V.
        real = dtype.kind in "biuf" or (dtype.kind == "V" and "float" in dtype.name)
        conversion = f"{name}.astype(numpy.float32)" if real else None
        raise _dtype(name, f"numpy.{dtype}", conversion, dtype.kind == "c")
    return _row_major(np.asarray(array, np.float32)), numpy_kind


def _row_major(array: Any) -> Any:
    """Returns an array in row-major order whose elements lie at multiples of their size."""
    flags = array.flags
    if flags.c_contiguous and flags.aligned:
        return array
    return np.array(array, np.float32, order="C")


def _of_tensor(value: Any, name: str) -> Any:
    torch = loaded()
    check_cpu(value, name)
    if value.dtype != torch.float32:
        conversion = None if value.dtype.is_complex else f"{name}.to(torch.float32)"
        raise _dtype(name, str(value.dtype), conversion, value.dtype.is_complex)
    return _row_major(resolved(value).numpy())


def resolved(value: Any) -> Any:
    """Returns a tensor of the same values, contiguous, without gradients or a pending sign."""
    value = value.detach().contiguous()
    return value.resolve_neg() if value.is_neg() else value


def _dtype(name: str, found: str, conversion: Optional[str], is_complex: bool) -> OptionError:
    if conversion is not None:
        advice = f"Convert {name}: {conversion}. Here every model runs in float32"
    elif is_complex:
        advice = "Networks compute real numbers: pass the real and imaginary parts as features"
    else:
        advice = f"{name} should be an array of numbers in float32"
    return OptionError(
        f"RNN {name} dtype ({found}) does not match weight dtype (torch.float32). {advice}"
    )


def check_cpu(value: Any, name: str) -> None:
    """Refuses a tensor that is not dense in the memory of the host."""
    torch = loaded()
    if value.device.type == "meta":
        raise OptionError(
            f"{name} is a tensor on meta, which has a shape but no values: pass one with values, "
            "on the CPU"
        )
    if value.device.type != "cpu":
        raise OptionError(
            f"{name} is a tensor on {value.device}, but tensors are taken from the CPU's memory: "
            f"call {name}.cpu(). The device of wgpu_rnn is set by device="
        )
    if getattr(value, "is_nested", False):
        raise OptionError(
            f"{name} is a nested tensor: pad it by torch.nested.to_padded_tensor({name}, 0.0), and "
            "pass the number of steps of each row as lengths="
        )
    if getattr(value, "is_quantized", False):
        raise OptionError(f"{name} is quantized: call {name}.dequantize()")
    if value.layout != torch.strided:
        raise OptionError(f"{name} is not dense ({value.layout}): call {name}.to_dense()")


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
        value = integer_array(value, name, f"{name} should be integers")
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


def integer_array(value: Any, name: str, expected: str) -> Any:
    """Returns the array of a tensor of integers; ``expected`` begins the error of others."""
    check_cpu(value, name)
    dtype = value.dtype
    # numpy lacks some of the other types.
    if dtype.is_floating_point or dtype.is_complex or dtype == loaded().bool:
        raise OptionError(f"{expected}, got dtype {str(dtype).rpartition('.')[2]}")
    return resolved(value).numpy()


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


def flag(value: Any, name: str) -> bool:
    """Returns a bool. Other types are refused, because the text ``"False"`` counts as true."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} should be a bool, got {type_name(value)}")
    return bool(value)
