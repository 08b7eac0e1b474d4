"""Devices."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Union

from . import _native
from ._convert import count, flag, type_name
from ._made import InOneProcess


@dataclass(frozen=True)
class DeviceInfo:
    """A device of this machine that :class:`Device` can open.

    Attributes:
        selector: the text that opens it: ``"cpu"``, or the index of an adapter.
        name: ``"cpu"``, or the adapter's name.
        backend: such as ``"vulkan"``, ``"metal"`` or ``"dx12"``; ``"cpu"`` for the CPU.
        driver: the driver's name and version; may be empty.
        type: such as ``"DiscreteGpu"`` or ``"IntegratedGpu"``; ``"Cpu"`` for software and the CPU.
        is_software: whether it is a software adapter, good for tests and not for speed.
    """

    selector: str
    name: str
    backend: str
    driver: str
    type: str
    is_software: bool


def devices() -> List[DeviceInfo]:
    """Lists the adapters of this machine, the most capable type first, and the CPU as the last.

    The variable ``WGPU_BACKEND`` selects adapters by backend.
    """
    adapters = [
        DeviceInfo(str(index), *adapter) for index, adapter in enumerate(_native.adapters())
    ]
    return [*adapters, DeviceInfo("cpu", "cpu", "cpu", "", "Cpu", False)]


class Device(InOneProcess):
    """A GPU, a software adapter, or this machine's CPU, opened for networks.

    Args:
        name: ``"auto"`` (the first real GPU, otherwise the CPU; ``WGPU_ADAPTER_NAME`` comes first),
            ``"cpu"``, the index of an adapter, part of an adapter's name, or a
            :class:`DeviceInfo`. Case does not matter. A software adapter is taken by name or index
            only.
        self_test: whether a GPU must pass a self-test: a small LSTM against its definition.
        threads: the most threads of the CPU engine; all cores when absent.
        memory_budget: the most bytes that one model may take, weights and activations together.
        limits: limits to lower, by WebGPU's name in snake case, such as
            ``{"max_buffer_size": 1 << 28}``.

    Raises:
        NoAdapterError: no adapter has the name.
        SelfTestError: the device computes wrong numbers.
        RequestDeviceError: the driver returns no device.
        OptionError, UnknownNameError: a limit cannot be set.

    Networks keep their device open. A process that forks after it has opened a device cannot use
    the package in the child: start processes by ``spawn`` or ``forkserver``.
    """

    _instead = "open it by its name in the process that uses it"

    def __init__(
        self,
        name: Union[str, DeviceInfo] = "auto",
        *,
        self_test: bool = True,
        threads: Optional[int] = None,
        memory_budget: Optional[int] = None,
        limits: Optional[Mapping[str, int]] = None,
    ) -> None:
        selector = _selector(name, "a device has a name, a str")
        lowered = _limits(limits)
        if memory_budget is not None:
            lowered["memory_budget"] = count(memory_budget, "memory_budget")
        most = None if threads is None else count(threads, "threads")
        self._native = _native.Device.open(selector, flag(self_test, "self_test"), most, lowered)

    @property
    def name(self) -> str:
        """``"cpu"``, or the adapter's name."""
        return self._native.name

    @property
    def backend(self) -> str:
        """The backend, such as ``"vulkan"``; ``"cpu"`` for the CPU."""
        return self._native.backend

    @property
    def driver(self) -> str:
        """The driver's name and version; empty for the CPU."""
        return self._native.driver

    @property
    def is_gpu(self) -> bool:
        """Whether shaders run on an adapter, which may be a software adapter."""
        return self._native.is_gpu

    @property
    def is_software(self) -> bool:
        """Whether the adapter is software."""
        return self._native.is_software

    def is_lost(self) -> bool:
        """Probes the driver and returns whether the device is lost.

        A lost device stays lost. Open it again and load the networks anew.
        """
        return self._native.is_lost()

    def __repr__(self) -> str:
        return f"<wgpu_rnn.Device {self._native}>"


#: What an argument ``device=`` takes.
DeviceLike = Union[Device, DeviceInfo, str]


def _selector(device: Any, expected: str) -> str:
    selector = device.selector if isinstance(device, DeviceInfo) else device
    if not isinstance(selector, str):
        raise TypeError(f"{expected}, got {type_name(device)}")
    lower = selector.lower()
    return lower if lower in ("auto", "cpu") else selector


def _limits(limits: Any) -> Dict[str, int]:
    if limits is None:
        return {}
    if not isinstance(limits, Mapping):
        raise TypeError(f"limits should be a dict from names to integers, got {type_name(limits)}")
    for limit in limits:
        if not isinstance(limit, str):
            raise TypeError(f"the name of a limit should be a str, got {type_name(limit)}")
    return {limit: count(value, f"limits[{limit!r}]") for limit, value in limits.items()}


_opened: Dict[str, Device] = {}
_opening = threading.Lock()


def device_of(device: DeviceLike) -> Device:
    """Returns a device. A name opens its device once: all networks of the process share it."""
    if isinstance(device, Device):
        return device
    selector = _selector(device, "device should be a wgpu_rnn.Device or a name")
    with _opening:
        known = _opened.get(selector)
        if known is None or known.is_lost():
            known = _opened[selector] = Device(selector)
        return known
