"""Objects that methods of the package make: how they are made, and where they cannot go."""

from __future__ import annotations

from typing import Any, ClassVar, NoReturn, Tuple, Type, TypeVar

Self = TypeVar("Self", bound="Made")


class InOneProcess:
    """An object that uses a device, which no other process and no copy can share."""

    #: What to do in place of a copy.
    _instead: ClassVar[str]

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError(
            f"a wgpu_rnn.{type(self).__name__} cannot be copied or pickled, because it belongs to "
            f"this process: {self._instead}"
        )


class Made(InOneProcess):
    """An object around one of the extension module, which its methods make."""

    _wraps: ClassVar[Tuple[type, ...]]
    #: How it is made.
    _made_by: ClassVar[str]

    def __new__(cls: Type[Self], *arguments: Any, **options: Any) -> Self:
        if not arguments or not isinstance(arguments[0], cls._wraps):
            raise TypeError(cls._made_by.format(name=cls.__name__))
        return super().__new__(cls)
