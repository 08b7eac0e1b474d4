"""What recurrent modules and cells have in common."""

from __future__ import annotations

from typing import Any, Callable, ClassVar, Dict, Type, TypeVar

from ._device import Device, DeviceLike
from ._from_torch import read_module
from ._made import Made

L = TypeVar("L", bound="Loaded")


class Loaded(Made):
    """Weights of a class of ``torch.nn`` on a device."""

    _instead = "load it again, from its module or file, in the process that uses it"
    _module: ClassVar[str]
    _device: Device
    _config: Dict[str, Any]
    from_state_dict: ClassVar[Callable[..., Any]]

    @classmethod
    def from_torch(
        cls: Type[L],
        module: Any,
        *,
        device: DeviceLike = "auto",
        weights: str = "f32",
        schedule: str = "auto",
    ) -> L:
        """Copies a module or a cell of ``torch.nn`` onto a device.

        Args:
            module: the module of the same name in ``torch.nn``. Its weights are those at this
                moment; of ``weight_norm`` and other parametrisations, their values in evaluation
                mode. float16 and bfloat16 are widened, which is exact.
            device: an open :class:`Device`, or its name. Networks share the device of a name.
            weights: ``"f32"``, or ``"f16"`` to store weights in half the memory.
            schedule: how time steps map to dispatches; ``"auto"`` chooses by predicted time.

        ``batch_first`` and ``nonlinearity`` are the module's. The result computes what the module
        computes after ``module.eval()``: without dropout, whatever the mode of the module is. The
        module keeps its mode and its buffers.

        Raises:
            TypeError: the module is of another class.
            OptionError: the module has its own ``forward`` or ``permute_hidden``, it or all
                modules have hooks, or its parameters are of float64 or on another device.
            DeviceLostError, OutOfMemoryError, LimitError: the device cannot hold it.
        """
        read = read_module(module, cls._module)
        made: L = cls.from_state_dict(
            read.parameters, device=device, weights=weights, schedule=schedule, **read.arguments
        )
        return made

    @property
    def device(self) -> Device:
        """The device that holds the weights."""
        return self._device

    @property
    def config(self) -> Dict[str, Any]:
        """The constructor's arguments under PyTorch's names, and ``kind``."""
        return dict(self._config)
