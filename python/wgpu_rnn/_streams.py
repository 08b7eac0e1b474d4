"""Streams: sequences that arrive in pieces, with the state on the device."""

from __future__ import annotations

from typing import Any, TypeVar, Union

from . import _native
from ._convert import Kind, float32, joined, numpy_kind, state_arrays
from ._made import Made
from .errors import OptionError

T = TypeVar("T")


class _Continued(Made):
    """What streams of modules and of cells have in common."""

    _wraps = (_native.Stream, _native.CellStream)
    _made_by = "make a stream by the method stream() of a network or a cell"
    _instead = (
        "make one in the process that uses it, and give it the state: state() and set_state()"
    )

    def __init__(
        self, native: Union[_native.Stream, _native.CellStream], has_c: bool, module: str
    ) -> None:
        self._native = native
        self._has_c = has_c
        self._module = module
        self._kind: Kind = numpy_kind

    def _call(self, input: Any) -> Any:
        array, kind = float32(input, "input")
        output = kind(self._native.forward(array))
        self._kind = kind
        return output

    @property
    def batch(self) -> int:
        """The number of rows B."""
        return self._native.batch

    def state(self) -> Any:
        """Reads the state: h, or ``(h, c)`` of an LSTM; ``[L, B, R]``, or ``[B, H]`` of a cell.

        It is of the kind of the last input, and an array of numpy before the first call.
        """
        return joined(*self._native.state(), self._kind)

    def set_state(self, new: Any) -> None:
        """Replaces the state, which has the shapes of :meth:`state`."""
        h, c = state_arrays(new, self._has_c, self._module)
        if h is None:
            raise OptionError("set_state() takes a state, got None; reset() sets it to zero")
        self._native.set_state(h, c)

    def reset(self) -> None:
        """Sets the state to zero."""
        self._native.reset()


class Stream(_Continued):
    """A sequence of calls of a network, each of which continues from the previous one.

    The state stays on the device: a call uploads its input and reads only its output back. Calls
    of several threads run one after the other. ``KeyboardInterrupt`` in a call loses the state,
    because it is unknown whether the steps have run: calls then raise ``StateLostError`` until
    :meth:`reset` or :meth:`set_state`. So does an error of the device.
    """

    def __call__(self, input: T) -> T:
        """Runs the next steps and returns their output.

        Args:
            input: float32 of shape ``[T, B, I]``, or ``[B, T, I]`` with ``batch_first``, with any T
                and the B of the stream; ``[T, I]`` too if B is 1. Calls of the same T are the
                fastest.

        Returns:
            The output, ``[T, B, R]`` in the layout of the input, of its kind.

        Raises:
            ShapeError, OptionError, TypeError: the input does not fit; the state stays.
            StateLostError: an earlier call lost the state.
            LimitError: the steps exceed a limit of the device; the state stays.
        """
        output: T = self._call(input)
        return output


class CellStream(_Continued):
    """Steps of a cell, each of which continues from the previous one; see :class:`Stream`."""

    def __call__(self, input: T) -> T:
        """Computes the next step, ``[B, I]``, and returns h, ``[B, H]``.

        A stream of one row also takes ``[I]`` and then returns ``[H]``.
        """
        output: T = self._call(input)
        return output
