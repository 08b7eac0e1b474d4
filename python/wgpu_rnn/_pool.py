"""Pools: many sequences at the same time, each in a slot that keeps its state on the device."""

from __future__ import annotations

from typing import Any, Dict, Iterable, List, Mapping, Tuple, Union

from . import _native
from ._convert import Kind, float32, joined, numpy_kind, state_arrays, type_name
from ._made import Made
from ._native import Slot
from .errors import FrameSizeError, OptionError


class Pool(Made):
    """Independent sequences that one network runs, such as the users of a server.

    Each open slot is a sequence. A tick runs the next steps of any slots with one submission. The
    output of a slot does not depend, to the bit, on the other slots of the tick. All memory is
    allocated when the pool is made. Several threads may call a pool; their calls run one after the
    other.
    """

    _wraps = (_native.Pool,)
    _made_by = "make a pool by the method pool() of a network"
    _instead = "make one in the process that uses it; snapshot() and restore() carry states"

    def __init__(self, native: _native.Pool, has_c: bool, module: str) -> None:
        self._native = native
        self._has_c = has_c
        self._module = module

    @property
    def slots(self) -> int:
        """The number of slots."""
        return self._native.slots

    @property
    def steps(self) -> int:
        """The most time steps of one slot in a tick."""
        return self._native.steps

    @property
    def open_count(self) -> int:
        """The number of open slots."""
        return self._native.open_count

    def open(self) -> Slot:
        """Opens a slot with a zero state.

        Raises:
            PoolFullError: all slots are open.
        """
        return self._native.open()

    def close(self, slot: Slot) -> None:
        """Closes a slot, which can then open for another sequence.

        Raises:
            SlotClosedError: the slot is not open.
        """
        self._native.close(slot)

    def reset(self, slot: Slot) -> None:
        """Sets the state of a slot to zero."""
        self._native.reset(slot)

    def tick(self, inputs: Union[Mapping[Slot, Any], Iterable[Tuple[Slot, Any]]]) -> List[Any]:
        """Runs the next steps of some slots.

        Args:
            inputs: a frame for each slot, as a dict or as pairs: float32 of shape ``[I]`` for one
                step, or ``[T, I]`` with T from 0 to ``steps``. I counts the values of a step.

        Returns:
            A result for each input, in their order. It is the output, ``[R]`` or ``[T, R]``, of the
            kind of the frame. For a slot that is refused it is the exception, which is not raised,
            because the other slots have run: ``SlotClosedError``, ``StateLostError``,
            ``FrameSizeError``, or ``OptionError`` for a slot of another pool and for one that
            occurs twice. A refused slot keeps its state.

        Raises:
            OptionError, TypeError: an input is no pair, or no array of float32; nothing runs.
            DeviceLostError, OutOfMemoryError, GpuError: the device fails, and all slots of the tick
                lose their states. So they do by ``KeyboardInterrupt``.
        """
        pairs = inputs.items() if isinstance(inputs, Mapping) else inputs
        slots: List[Slot] = []
        frames: List[Any] = []
        kinds: List[Kind] = []
        size = self._native.input_size
        # The results that are known before the tick runs: of frames that do not fit.
        refused: Dict[int, FrameSizeError] = {}
        for at, pair in enumerate(pairs):
            if not (isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], Slot)):
                raise TypeError(f"inputs[{at}] should be a slot and a frame, got {type_name(pair)}")
            frame, kind = float32(pair[1], f"inputs[{at}]")
            if frame.ndim not in (1, 2):
                raise OptionError(f"inputs[{at}] should be 1D or 2D, got {frame.ndim}D")
            if frame.shape[-1] != size:
                refused[at] = FrameSizeError(
                    f"inputs[{at}] has shape {list(frame.shape)}, but a frame of this pool is "
                    f"[{size}] for one step, or [T, {size}]"
                )
                continue
            slots.append(pair[0])
            frames.append(frame)
            kinds.append(kind)
        ran = self._native.tick(slots, frames)
        results = [
            result if isinstance(result, Exception) else kind(result)
            for result, kind in zip(ran, kinds)
        ]
        for at, error in sorted(refused.items()):
            results.insert(at, error)
        return results

    def state(self, slot: Slot) -> Any:
        """Reads the state of a slot: h, ``[L, R]``, or ``(h, c)`` of an LSTM; arrays of numpy."""
        return joined(*self._native.state(slot), numpy_kind)

    def set_state(self, slot: Slot, new: Any) -> None:
        """Replaces the state of a slot: h, ``[L, R]``, or ``(h, c)`` of an LSTM."""
        h, c = state_arrays(new, self._has_c, self._module)
        if h is None:
            raise OptionError("set_state() takes a state, got None; reset() sets it to zero")
        self._native.set_state(slot, h, c)

    def snapshot(self, slot: Slot) -> bytes:
        """Returns the state of a slot as bytes, which serve a pool on any device."""
        return self._native.snapshot(slot)

    def restore(self, slot: Slot, snapshot: bytes) -> None:
        """Sets the state of a slot from a snapshot, bit for bit.

        Raises:
            OptionError, ShapeError: the bytes are no snapshot of such a network.
        """
        if not isinstance(snapshot, (bytes, bytearray, memoryview)):
            raise TypeError(f"a snapshot is bytes, got {type_name(snapshot)}")
        self._native.restore(slot, bytes(snapshot))
