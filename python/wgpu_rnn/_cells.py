"""Recurrent cells: ``LSTMCell``, ``GRUCell`` and ``RNNCell``."""

from __future__ import annotations

from typing import Any, Mapping, Optional, Tuple, Type, TypeVar, Union

from . import _native
from ._convert import count, float32, joined, state_arrays, text
from ._device import Device, DeviceLike, device_of
from ._loaded import Loaded
from ._options import loading
from ._state_dict import Paths, StateDict, state_dict_of
from ._streams import CellStream

C = TypeVar("C", bound="RecurrentCell")
#: An array of numpy or a tensor of torch.
T = TypeVar("T")


class RecurrentCell(Loaded):
    """The base of :class:`LSTMCell`, :class:`GRUCell` and :class:`RNNCell`.

    A cell computes one step. It is as :class:`Recurrent` is about threads and Ctrl-C.
    """

    _wraps = (_native.Cell,)
    _made_by = (
        "make a cell by {name}.from_torch(module), {name}.load(path) or "
        "{name}.from_state_dict(tensors)"
    )

    def __init__(self, native: _native.Cell, device: Device) -> None:
        self._native = native
        self._device = device
        config = native.config()
        self._config = {
            name: config[name] for name in ("kind", "input_size", "hidden_size", "bias")
        }
        self._has_c = config["kind"] == "lstm"

    @classmethod
    def from_state_dict(
        cls: Type[C],
        tensors: Union[Mapping[str, Any], StateDict],
        prefix: str = "",
        *,
        device: DeviceLike = "auto",
        nonlinearity: Optional[str] = None,
        weights: str = "f32",
        schedule: str = "auto",
        allow_unused: bool = False,
    ) -> C:
        """Copies the tensors ``weight_ih``, ``weight_hh``, ``bias_ih`` and ``bias_hh``.

        The arguments and errors are those of :meth:`Recurrent.from_state_dict`.
        """
        if not isinstance(tensors, StateDict):
            tensors = StateDict.from_mapping(tensors, prefix)
        options = loading(
            nonlinearity=nonlinearity,
            weights=weights,
            schedule=schedule,
            allow_unused=allow_unused,
        )
        opened = device_of(device)
        native = _native.Cell.load(
            opened._native, tensors._native, text(prefix, "prefix"), cls._module, options
        )
        return cls(native, opened)

    @classmethod
    def load(
        cls: Type[C],
        path: Union[Paths, StateDict],
        prefix: str = "",
        *,
        device: DeviceLike = "auto",
        key: Optional[str] = None,
        nonlinearity: Optional[str] = None,
        weights: str = "f32",
        schedule: str = "auto",
        allow_unused: bool = False,
    ) -> C:
        """Loads the cell of a file; as :meth:`Recurrent.load`."""
        return cls.from_state_dict(
            state_dict_of(path, key),
            prefix,
            device=device,
            nonlinearity=nonlinearity,
            weights=weights,
            schedule=schedule,
            allow_unused=allow_unused,
        )

    def _call(self, input: Any, state: Any) -> Any:
        array, kind = float32(input, "input")
        h, c = state_arrays(state, self._has_c, self._module)
        return joined(*self._native.forward(array, h, c), kind)

    def stream(self, batch: int = 1) -> CellStream:
        """Opens a stream of ``batch`` rows from a zero state, which stays on the device."""
        return CellStream(self._native.stream(count(batch, "batch")), self._has_c, self._module)

    def __repr__(self) -> str:
        sizes = f"{self._config['input_size']}, {self._config['hidden_size']}"
        return f"<wgpu_rnn.{self._module}({sizes}) on {self._device._native}>"


class LSTMCell(RecurrentCell):
    """``torch.nn.LSTMCell`` on a device."""

    _module = "LSTMCell"

    def __call__(self, input: T, state: Any = None) -> Tuple[T, T]:
        """Computes one step, as the cell of ``torch.nn`` does.

        Args:
            input: float32 of shape ``[B, I]``, or ``[I]`` for a single row; a numpy array or a
                torch tensor on the CPU.
            state: ``(h, c)``, each ``[B, H]`` or ``[H]``. Zero when absent.

        Returns:
            ``(h, c)`` of the kind of the input and in its shape.

        Raises:
            ShapeError: a shape does not fit; in PyTorch's words.
            OptionError: a dtype is not float32, a tensor is not on the CPU, or the state lacks c.
            TypeError: an argument is neither an array nor a tensor.
        """
        result: Tuple[T, T] = self._call(input, state)
        return result


class _OneState(RecurrentCell):
    """A cell without a cell state."""

    def __call__(self, input: T, state: Any = None) -> T:
        """Computes one step, as the cell of ``torch.nn`` does.

        Args:
            input: float32 of shape ``[B, I]``, or ``[I]`` for a single row; a numpy array or a
                torch tensor on the CPU.
            state: ``h``, ``[B, H]`` or ``[H]``. Zero when absent.

        Returns:
            ``h`` of the kind of the input and in its shape.

        Raises:
            ShapeError, OptionError, TypeError: as :meth:`LSTMCell.__call__`.
        """
        result: T = self._call(input, state)
        return result


class GRUCell(_OneState):
    """``torch.nn.GRUCell`` on a device."""

    _module = "GRUCell"


class RNNCell(_OneState):
    """``torch.nn.RNNCell`` on a device, with tanh or relu."""

    _module = "RNNCell"
