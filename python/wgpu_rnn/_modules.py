"""Recurrent modules: ``LSTM``, ``GRU`` and ``RNN``."""

from __future__ import annotations

from typing import (
    Any,
    Mapping,
    Optional,
    Protocol,
    Sequence,
    Tuple,
    Type,
    TypeVar,
    Union,
    overload,
)

from . import _native
from ._convert import Kind, count, float32, integers, joined, state_arrays, text, torch_kind
from ._device import Device, DeviceLike, device_of
from ._loaded import Loaded
from ._options import loading
from ._packed import OWN_LENGTHS, packed_like, unpacked
from ._pool import Pool
from ._state_dict import Paths, StateDict, state_dict_of
from ._streams import Stream
from ._torch import is_packed
from .errors import OptionError

M = TypeVar("M", bound="Recurrent")
#: An array of numpy or a tensor of torch.
T = TypeVar("T")


class Packed(Protocol):
    """The type of ``torch.nn.utils.rnn.PackedSequence``, without torch."""

    batch_sizes: Any
    sorted_indices: Any
    unsorted_indices: Any


P = TypeVar("P", bound=Packed)


class Recurrent(Loaded):
    """The base of :class:`LSTM`, :class:`GRU` and :class:`RNN`.

    A network holds weights on a device and runs them; it has no gradients and no
    dropout. Several threads may call one network at the same time, and other Python threads run
    meanwhile. Ctrl-C ends a call at once; the network stays usable.
    """

    _wraps = (_native.Rnn,)
    _made_by = (
        "make a network by {name}.from_torch(module), {name}.load(path) or "
        "{name}.from_state_dict(tensors)"
    )

    def __init__(self, native: _native.Rnn, device: Device) -> None:
        self._native = native
        self._device = device
        config = native.config()
        self._text: str = config.pop("text")
        self._config = config
        self._has_c = config["kind"] == "lstm"
        self._batch_first: bool = config["batch_first"]

    @classmethod
    def from_state_dict(
        cls: Type[M],
        tensors: Union[Mapping[str, Any], StateDict],
        prefix: str = "",
        *,
        device: DeviceLike = "auto",
        batch_first: bool = False,
        nonlinearity: Optional[str] = None,
        weights: str = "f32",
        schedule: str = "auto",
        allow_unused: bool = False,
    ) -> M:
        """Copies the tensors of a state dict onto a device.

        Args:
            tensors: torch tensors or numpy arrays of float32, float16 or bfloat16, under PyTorch's
                names (``weight_ih_l0``, ``weight_hh_l0``, ..); or a :class:`StateDict`.
            prefix: the module's prefix, such as ``"encoder.rnn."``. It owns all tensors below it.
            batch_first: whether input and output are ``[B, T, ..]``, not ``[T, B, ..]``.
            nonlinearity: of an ``RNN``: ``"tanh"`` (as when absent) or ``"relu"``.
            allow_unused: whether tensors below the prefix that the module lacks are a warning of
                the logger ``wgpu_rnn``, not an error.

        The other arguments are those of :meth:`from_torch`.

        Raises:
            NoRecurrentWeightsError: the prefix has no weights of this class.
            StateDictError: tensors are missing, unexpected, or of a wrong shape or dtype.
        """
        if not isinstance(tensors, StateDict):
            tensors = StateDict.from_mapping(tensors, prefix)
        options = loading(
            batch_first=batch_first,
            nonlinearity=nonlinearity,
            weights=weights,
            schedule=schedule,
            allow_unused=allow_unused,
        )
        opened = device_of(device)
        native = _native.Rnn.load(
            opened._native, tensors._native, text(prefix, "prefix"), cls._module, options
        )
        return cls(native, opened)

    @classmethod
    def load(
        cls: Type[M],
        path: Union[Paths, StateDict],
        prefix: str = "",
        *,
        device: DeviceLike = "auto",
        key: Optional[str] = None,
        batch_first: bool = False,
        nonlinearity: Optional[str] = None,
        weights: str = "f32",
        schedule: str = "auto",
        allow_unused: bool = False,
    ) -> M:
        """Loads the module of a file of safetensors or of ``torch.save``.

        Args:
            path: the file, the files or folder of a sharded checkpoint, or a :class:`StateDict`.
            key: the key of a dict in a checkpoint; see :meth:`StateDict.open`.

        The other arguments are those of :meth:`from_state_dict`. A file holds neither
        ``batch_first`` nor ``nonlinearity``.

        Raises:
            OSError: the file cannot be read; ``FileNotFoundError`` where there is none.
            FileError: the file is of another type, or not valid.

        It also raises the errors of :meth:`from_state_dict`.
        """
        return cls.from_state_dict(
            state_dict_of(path, key),
            prefix,
            device=device,
            batch_first=batch_first,
            nonlinearity=nonlinearity,
            weights=weights,
            schedule=schedule,
            allow_unused=allow_unused,
        )

    def _call(self, input: Any, state: Any, lengths: Optional[Sequence[int]]) -> Any:
        if is_packed(input):
            return self._call_packed(input, state, lengths)
        array, kind = float32(input, "input")
        output, last = self._run(array, kind, state, lengths)
        return kind(output), last

    def _run(self, array: Any, kind: Kind, state_0: Any, lengths: Any) -> Any:
        h, c = (None, None) if state_0 is None else state_arrays(state_0, self._has_c, self._module)
        valid = None if lengths is None else integers(lengths, "lengths", "a length")
        output, h_n, c_n = self._native.forward(array, h, c, valid)
        return output, joined(h_n, c_n, kind)

    def _call_packed(self, packed: Any, state_0: Any, lengths: Any) -> Any:
        if lengths is not None:
            raise OptionError(OWN_LENGTHS)
        padded, lengths = unpacked(packed, self._batch_first)
        array, kind = float32(padded, "input")
        output, last = self._run(array, kind, state_0, lengths)
        return packed_like(torch_kind(output), lengths, packed, self._batch_first), last

    def stream(self, batch: int = 1) -> Stream:
        """Opens a stream of ``batch`` rows from a zero state, which stays on the device.

        Raises:
            OptionError: the network is bidirectional and so begins at the end.
            LimitError: a step of so many rows exceeds a limit of the device.
        """
        native = self._native.stream(count(batch, "batch"))
        return Stream(native, self._has_c, self._module)

    def pool(self, slots: int, *, steps: int = 1, rows: Optional[int] = None) -> Pool:
        """Creates a pool of ``slots`` independent sequences.

        Args:
            slots: the sequences that can be open at the same time.
            steps: the most time steps of one slot in a tick.
            rows: the most slots in one submission; all when absent.

        Raises:
            OptionError: the network is bidirectional, or there are no slots.
            ShapeError: there are no steps or no rows.
            UnsupportedError: a schedule that has no pools.
            LimitError, OutOfMemoryError: the device cannot hold it.
        """
        most = None if rows is None else count(rows, "rows")
        native = self._native.pool(count(slots, "slots"), count(steps, "steps"), most)
        return Pool(native, self._has_c, self._module)

    def explain(self, seq_len: int, batch: int) -> str:
        """Returns the schedule for these sizes, the reason for it, and the predicted times."""
        return self._native.explain(count(seq_len, "seq_len"), count(batch, "batch"))

    def __repr__(self) -> str:
        return f"<wgpu_rnn.{self._text} on {self._device._native}>"


class LSTM(Recurrent):
    """``torch.nn.LSTM`` on a device: from a module, a file, or tensors."""

    _module = "LSTM"

    @overload
    def __call__(self, input: P, state: Any = None, lengths: None = None) -> Tuple[P, Any]: ...
    @overload
    def __call__(
        self, input: T, state: Any = None, lengths: Optional[Sequence[int]] = None
    ) -> Tuple[T, Tuple[T, T]]: ...
    def __call__(
        self, input: Any, state: Any = None, lengths: Optional[Sequence[int]] = None
    ) -> Any:
        """Runs the network, as the module of ``torch.nn`` does.

        The letters are: T time steps, B rows, I ``input_size``, H ``hidden_size``, L layers, D
        directions; R is ``proj_size``, or H without a projection.

        Args:
            input: float32 of shape ``[T, B, I]``, ``[B, T, I]`` with ``batch_first``, or ``[T, I]``
                for a single sequence; a numpy array or a torch tensor on the CPU, with any strides.
                Or a ``PackedSequence``, sorted or not.
            state: ``(h_0, c_0)``: ``[L·D, B, R]`` and ``[L·D, B, H]``, without the axis B for a
                single sequence. Zero when absent.
            lengths: the valid steps of each row, in any order, from 0 to T. Later steps of the
                input have no effect, and the output is 0 there.

        Returns:
            ``(output, (h_n, c_n))`` of the kind of the input. The output is ``[T, B, D·R]`` in the
            layout of the input, or a ``PackedSequence``. Tensors have no gradients.

        Raises:
            ShapeError: a shape or a length does not fit; in PyTorch's words.
            OptionError: a dtype is not float32, a tensor is not on the CPU, or the state lacks c.
            TypeError: an argument is neither an array nor a tensor.
            DeviceLostError, OutOfMemoryError, LimitError: the device fails.
        """
        return self._call(input, state, lengths)


class _OneState(Recurrent):
    """A network without a cell state."""

    @overload
    def __call__(self, input: P, state: Any = None, lengths: None = None) -> Tuple[P, Any]: ...
    @overload
    def __call__(
        self, input: T, state: Any = None, lengths: Optional[Sequence[int]] = None
    ) -> Tuple[T, T]: ...
    def __call__(
        self, input: Any, state: Any = None, lengths: Optional[Sequence[int]] = None
    ) -> Any:
        """Runs the network, as the module of ``torch.nn`` does.

        Args:
            input: as of :meth:`LSTM.__call__`: ``[T, B, I]``, ``[B, T, I]`` with ``batch_first``,
                ``[T, I]``, or a ``PackedSequence``.
            state: ``h_0``, ``[L·D, B, H]``, without the axis B for a single sequence. Zero when
                absent.
            lengths: the valid steps of each row, in any order, from 0 to T.

        Returns:
            ``(output, h_n)`` of the kind of the input. The output is ``[T, B, D·H]`` in the layout
            of the input, or a ``PackedSequence``.

        Raises:
            ShapeError, OptionError, TypeError, DeviceLostError, OutOfMemoryError, LimitError: as
                :meth:`LSTM.__call__`.
        """
        return self._call(input, state, lengths)


class GRU(_OneState):
    """``torch.nn.GRU`` on a device: from a module, a file, or tensors."""

    _module = "GRU"


class RNN(_OneState):
    """``torch.nn.RNN`` on a device, with tanh or relu: from a module, a file, or tensors."""

    _module = "RNN"
