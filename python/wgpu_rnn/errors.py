"""Errors.

Each kind of error has a class. It is an :class:`RnnError`, and also the built-in class that
programs catch: ``ValueError`` for arguments and the content of files, ``RuntimeError`` for devices
and states, ``MemoryError`` for memory. A file that cannot be read is Python's own ``OSError``, such
as ``FileNotFoundError``. An argument of another type than documented is a ``TypeError``.

Where PyTorch has the same check, the text is PyTorch's.
"""


class RnnError(RuntimeError):
    """The base of the errors of devices and states."""


class ArgumentError(ValueError):
    """The base of the errors of arguments and of the content of files."""


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


class UnsupportedError(RnnError):
    """The package or the device lacks a feature, which the text names."""


class LimitError(RnnError):
    """A size exceeds a limit of the device, or one that the caller set."""


class StateLostError(RnnError):
    """An earlier call failed or was interrupted, and lost the state of a stream or a slot."""


class PoolFullError(RnnError):
    """All slots of a pool are open."""


class RequestDeviceError(RnnError):
    """The driver returned no device."""


class SelfTestError(RnnError):
    """The device computed a wrong result when it was opened."""


class DeviceLostError(RnnError):
    """The device is lost: removed, destroyed, or stopped by the system's watchdog."""


class GpuError(RnnError):
    """The driver refused an operation: a defect of the driver or of this package."""


class OutOfMemoryError(MemoryError):
    """The GPU or the host ran out of memory."""


__all__ = [name for name in dir() if name.endswith("Error")]
