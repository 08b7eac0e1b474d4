"""Errors.

Each kind of error has a class. It is an :class:`RnnError`, and also the built-in class that
programs catch:

* :class:`ArgumentError`, a ``ValueError``: arguments, names, and the content of files.
* :class:`DeviceError`, a ``RuntimeError``: devices, their limits, states and processes.
* :class:`OutOfMemoryError`, a ``MemoryError``.

Two kinds are Python's own: a file that cannot be read is an ``OSError``, such as
``FileNotFoundError``, and an argument of another type than documented is a ``TypeError``.

Where PyTorch has the same check, the text is PyTorch's.
"""


class RnnError(Exception):
    """The base of all errors of this package."""


class ArgumentError(RnnError, ValueError):
    """The base of the errors of arguments and of the content of files."""


class DeviceError(RnnError, RuntimeError):
    """The base of the errors of devices, their limits, states and processes."""


class ConfigError(ArgumentError):
    """A constructor argument is out of range."""


class ShapeError(ArgumentError):
    """The shape of a tensor, or a length, does not fit."""


class OptionError(ArgumentError):
    """An option or a dtype does not apply, is out of range, or contradicts another."""


class UnknownNameError(ArgumentError):
    """There is no schedule, limit, type, token or device of this name."""


class StateDictError(ArgumentError):
    """The tensors under a prefix are not those of one module. The text lists all problems."""


class NoRecurrentWeightsError(ArgumentError):
    """The tensors under a prefix are not the weights of such a module."""


class FileError(ArgumentError):
    """A file has content that its reader does not expect."""


class SlotClosedError(ArgumentError):
    """The slot of a pool is closed."""


class FrameSizeError(ArgumentError):
    """The input of a slot is not a whole number of steps, or has more steps than a tick."""


class NoAdapterError(ArgumentError):
    """No adapter has the name."""


class UnsupportedError(DeviceError):
    """The package or the device lacks a feature, which the text names."""


class LimitError(DeviceError):
    """A size exceeds a limit of the device, or one that the caller set."""


class StateLostError(DeviceError):
    """An earlier call failed or was interrupted, and lost the state of a stream or a slot."""


class PoolFullError(DeviceError):
    """All slots of a pool are open."""


class RequestDeviceError(DeviceError):
    """The driver returned no device."""


class SelfTestError(DeviceError):
    """The device computed a wrong result when it was opened."""


class DeviceLostError(DeviceError):
    """The device is lost: removed, destroyed, or stopped by the system's watchdog."""


class GpuError(DeviceError):
    """The driver refused an operation: a defect of the driver or of this package."""


class ForkError(DeviceError):
    """``fork()`` made this process from one that had opened a device."""


class OutOfMemoryError(RnnError, MemoryError):
    """The GPU or the host ran out of memory."""


__all__ = [name for name in dir() if name.endswith("Error")]
