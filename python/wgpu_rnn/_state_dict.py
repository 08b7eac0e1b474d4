"""State dicts: parameters by name, from files and from memory."""

from __future__ import annotations

import json
import os
import struct
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple, Union

import numpy as np

from . import _native
from ._convert import check_cpu, resolved, text, type_name
from ._made import Made
from ._torch import is_tensor, loaded
from .errors import OptionError

#: The names of dtypes in safetensors.
_DTYPES = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "bfloat16": "BF16",
    "int64": "I64",
    "int32": "I32",
    "int16": "I16",
    "int8": "I8",
    "uint64": "U64",
    "uint32": "U32",
    "uint16": "U16",
    "uint8": "U8",
    "bool": "BOOL",
}

#: A path, or several that make one state dict.
Paths = Union[str, "os.PathLike[str]", Sequence[Union[str, "os.PathLike[str]"]]]


class StateDict(Made):
    """The named tensors of a file, and its metadata.

    :meth:`open` reads safetensors and files of ``torch.save``, whole or in shards; no code in a
    file is run. :meth:`from_mapping` takes tensors in memory. Each ``load`` of a network takes a
    path, or a state dict to read several networks of one file.
    """

    _wraps = (_native.StateDict,)
    _made_by = "use StateDict.open(path) or StateDict.from_mapping(tensors)"
    _instead = "open its file in the process that uses it"

    def __init__(self, native: _native.StateDict) -> None:
        self._native = native

    @classmethod
    def open(cls, path: Paths, key: Optional[str] = None) -> StateDict:
        """Reads a file, several files, or the index or folder of a sharded checkpoint.

        Args:
            path: the path or paths.
            key: the key of a dict in a checkpoint of ``torch.save``, such as ``"state_dict"`` or
                ``"model.encoder"``; found by itself where only one dict has tensors.

        Raises:
            OSError: a file cannot be read; ``FileNotFoundError`` where there is none.
            FileError: a file is of another type, or not valid.
            TypeError: what should be a path is none; bytes are none.
        """
        key = None if key is None else text(key, "key")
        return cls(_native.StateDict.open(_path_texts(path), key))

    @classmethod
    def from_mapping(cls, tensors: Mapping[str, Any], prefix: str = "") -> StateDict:
        """Copies tensors of torch, or numpy arrays, by their names.

        With a prefix only the tensors below it are copied, if there are any.

        Raises:
            TypeError: a value is neither a tensor nor an array.
            OptionError: a tensor is not on the CPU, or not dense.
        """
        if not isinstance(tensors, Mapping):
            raise TypeError(
                f"a state dict is a mapping from names to tensors, got {type_name(tensors)}"
            )
        prefix = text(prefix, "prefix")
        for name in tensors:
            if not isinstance(name, str):
                raise TypeError(f"the name of a tensor is a str, got {name!r}, {type_name(name)}")
            if name == "__metadata__":
                raise OptionError(
                    "a tensor cannot have the name __metadata__, which safetensors keeps for the "
                    "metadata of a file: leave it out, or give it another name"
                )
        below = {name: tensor for name, tensor in tensors.items() if name.startswith(prefix)}
        parts = [(name, *_bytes(name, tensor)) for name, tensor in (below or tensors).items()]
        return cls(_native.StateDict.parse("tensors in memory", _safetensors(parts), None))

    @property
    def names(self) -> List[str]:
        """The names of all tensors, sorted."""
        return self._native.names()

    @property
    def metadata(self) -> Dict[str, str]:
        """The metadata of the file; of ``torch.save``, the values that are no tensors."""
        return self._native.metadata()

    @property
    def path(self) -> str:
        """The path of the file; of several, the first."""
        return self._native.path

    @property
    def file_type(self) -> str:
        """The type of the file, such as ``"safetensors"``."""
        return self._native.file_type

    def shape(self, name: str) -> Optional[Tuple[int, ...]]:
        """Returns the shape of a tensor; ``None`` without one of that name."""
        shape = self._native.shape(name)
        return None if shape is None else tuple(shape)

    def dtype(self, name: str) -> Optional[str]:
        """Returns the type of a tensor's elements as safetensors names it, such as ``"F32"``."""
        return self._native.dtype(name)

    def tensor(self, name: str) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Returns the values of a tensor of F32, F16 or BF16, as float32."""
        return self._native.tensor(name)

    def renamed(self, names: Mapping[str, str]) -> StateDict:
        """Returns the same tensors, with each old prefix or name replaced by the new one."""
        return StateDict(self._native.renamed(list(dict(names).items())))

    def folded(self) -> StateDict:
        """Returns the weights that ``weight_norm`` and WeightDrop store as other tensors."""
        return StateDict(self._native.folded())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._native.shape(name) is not None

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        return f"<wgpu_rnn.StateDict of {len(self)} tensors, {self.file_type}, {self.path}>"


def state_dict_of(source: Union[Paths, StateDict], key: Optional[str]) -> StateDict:
    """Returns the state dict of an argument: itself, or the file that it names."""
    if isinstance(source, StateDict):
        if key is not None:
            raise TypeError("key= belongs to a path; open the state dict with the key")
        return source
    if isinstance(source, Mapping):
        raise TypeError("load() takes a path or a StateDict; from_state_dict() takes a mapping")
    return StateDict.open(source, key)


def path_text(path: Any, name: str) -> str:
    """Returns a path as a text."""
    found = os.fspath(path) if isinstance(path, os.PathLike) else path
    if isinstance(found, str):
        return found
    advice = ""
    if isinstance(found, (bytes, bytearray)):
        advice = "; os.fsdecode() makes a path of bytes"
    elif hasattr(found, "read"):
        advice = "; pass the path of the file, not the open file"
    raise TypeError(
        f"{name} should be a path, which is a str or a pathlib.Path, got {type_name(path)}{advice}"
    )


def _path_texts(paths: Any) -> List[str]:
    single = (str, bytes, bytearray, os.PathLike, Mapping)
    if isinstance(paths, single) or hasattr(paths, "read") or not isinstance(paths, Iterable):
        return [path_text(paths, "path")]
    return [path_text(path, f"path[{at}]") for at, path in enumerate(paths)]


def _bytes(name: str, tensor: Any) -> Tuple[str, Sequence[int], bytes]:
    """Returns the dtype, the shape and the bytes of a tensor."""
    if is_tensor(tensor):
        torch = loaded()
        check_cpu(tensor, name)
        dtype = str(tensor.dtype).rsplit(".", 1)[-1]
        tensor = resolved(tensor)
        # numpy lacks bfloat16. The bits of one are those of an integer.
        array = (tensor.view(torch.int16) if dtype == "bfloat16" else tensor).numpy()
    elif isinstance(tensor, np.ndarray) and not isinstance(tensor, np.ma.MaskedArray):
        array = tensor
        dtype = array.dtype.name
    else:
        found = type_name(tensor)
        raise TypeError(f"{name} should be a torch tensor or a numpy array, got {found}")
    if dtype not in _DTYPES:
        raise TypeError(f"{name} has dtype {dtype}; expected float32, float16 or bfloat16")
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return _DTYPES[dtype], array.shape, little.tobytes()


def _safetensors(parts: Sequence[Tuple[str, str, Sequence[int], bytes]]) -> bytes:
    """Returns a file of safetensors."""
    header: Dict[str, Any] = {}
    start = 0
    for name, dtype, shape, data in parts:
        end = start + len(data)
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}
        start = end
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    return b"".join([struct.pack("<Q", len(head)), head, *(data for _, _, _, data in parts)])
