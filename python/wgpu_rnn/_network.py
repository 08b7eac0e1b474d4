"""Networks: recurrent modules with the layers around them, as one recording."""

from __future__ import annotations

from typing import Any, Optional, Tuple, Union

import numpy as np

from . import _native
from ._convert import Kind, count, float32, integer_array, integers, numpy_kind, torch_kind
from ._device import Device
from ._made import Made
from ._pool import Pool
from ._torch import is_tensor
from .errors import OptionError


_TOKENS = "a network of tokens takes integers"


class _Calls(Made):
    """Calls with values or with tokens."""

    _native: Union[_native.Network, _native.NetworkStream]
    _tokens: bool

    def _run(self, input: Any) -> Tuple[Any, Kind]:
        if not self._tokens:
            array, kind = float32(input, "input")
            return self._native.forward(array), kind
        kind = numpy_kind
        if is_tensor(input):
            input, kind = integer_array(input, "input", _TOKENS), torch_kind
        array = np.asarray(input)
        if array.dtype.kind not in "iu":
            raise OptionError(f"{_TOKENS}, got dtype {array.dtype}")
        tokens = integers(array.reshape(-1), "input", "a token")
        return self._native.forward_tokens(tokens, list(array.shape)), kind


class Network(_Calls):
    """A network of modules with its weights on a device; see :class:`Sequential`."""

    _wraps = (_native.Network,)
    _made_by = (
        "make a network by Sequential(..).load(path) or Sequential(..).from_state_dict(tensors)"
    )
    _instead = "load it again, from its file, in the process that uses it"

    def __init__(self, native: _native.Network, device: Device) -> None:
        self._native: _native.Network = native
        self._device = device
        self._tokens = not native.input_shape

    def __call__(self, input: Any) -> Any:
        """Runs the network from zero states.

        Args:
            input: ``[T, B, ·]``, ``[B, T, ·]`` with ``batch_first``, or ``[T, ·]`` for a single
                sequence, where · is the shape of a step: float32; for tokens integers, without ·.

        Returns:
            The output in the layout of the input and of its kind. Convolutions over time may give
            it another number of steps.

        Raises:
            ShapeError: a shape does not fit, or a convolution has too few steps.
            OptionError, TypeError: another dtype, place or type.
        """
        output, kind = self._run(input)
        return kind(output)

    def stream(self, batch: int = 1) -> NetworkStream:
        """Opens a stream of ``batch`` rows from zero states.

        Raises:
            OptionError: a module's results depend on later steps; the text names it.
        """
        return NetworkStream(self._native.stream(count(batch, "batch")), self._tokens)

    def pool(self, slots: int, *, steps: int = 1, rows: Optional[int] = None) -> Pool:
        """Creates a pool of ``slots`` sequences; see :class:`Pool`.

        Its states are those of several modules: :meth:`Pool.snapshot` and :meth:`Pool.restore`
        serve them, :meth:`Pool.state` and :meth:`Pool.set_state` do not.
        """
        most = None if rows is None else count(rows, "rows")
        native = self._native.pool(count(slots, "slots"), count(steps, "steps"), most)
        return Pool(native, False, "a network")

    @property
    def device(self) -> Device:
        """The device that holds the weights."""
        return self._device

    @property
    def input_shape(self) -> Tuple[int, ...]:
        """The shape of a step of the input; empty for a token."""
        return tuple(self._native.input_shape)

    @property
    def output_shape(self) -> Tuple[int, ...]:
        """The shape of a step of the output."""
        return tuple(self._native.output_shape)

    def __repr__(self) -> str:
        shapes = f"{list(self.input_shape)} to {list(self.output_shape)}"
        return f"<wgpu_rnn.Network, {shapes} a step, on {self._device._native}>"


class NetworkStream(_Calls):
    """A sequence of calls of a network, each of which continues from the previous one.

    It is as :class:`Stream` is about threads and Ctrl-C.
    """

    _wraps = (_native.NetworkStream,)
    _made_by = "make a stream by the method stream() of a network"
    _instead = (
        "make one in the process that uses it, and give it the state: state() and set_state()"
    )

    def __init__(self, native: _native.NetworkStream, tokens: bool) -> None:
        self._native: _native.NetworkStream = native
        self._tokens = tokens
        self._kind: Kind = numpy_kind

    def __call__(self, input: Any) -> Any:
        """Runs the next steps, a multiple of ``stride``, and returns their output."""
        output, self._kind = self._run(input)
        return self._kind(output)

    @property
    def batch(self) -> int:
        """The number of rows B."""
        return self._native.batch

    @property
    def stride(self) -> int:
        """The input steps that make one step of the output."""
        return self._native.stride

    def state(self) -> Any:
        """Reads the states of all modules, ``[B, W]``, as the kind of the last input."""
        return self._kind(self._native.state())

    def set_state(self, new: Any) -> None:
        """Replaces the states of all modules: ``[B, W]``, as :meth:`state` returns them."""
        self._native.set_state(float32(new, "state")[0])

    def reset(self) -> None:
        """Sets the states to zero."""
        self._native.reset()
