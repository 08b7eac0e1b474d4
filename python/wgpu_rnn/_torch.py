"""PyTorch, if the program has it.

The package never imports torch by itself: a program without torch stays small. A program that
passes an object of torch has imported it.
"""

from __future__ import annotations

import sys
from typing import Any


def torch() -> Any:
    """Returns the module ``torch`` if the program has imported it, ``None`` otherwise."""
    module = sys.modules.get("torch")
    # A half-imported torch, as in the middle of its own import, has no Tensor.
    return module if hasattr(module, "Tensor") else None


def is_tensor(value: object) -> bool:
    """Returns whether a value is a tensor of torch."""
    module = torch()
    return module is not None and isinstance(value, module.Tensor)


def is_packed(value: object) -> bool:
    """Returns whether a value is a ``PackedSequence``."""
    module = torch()
    return module is not None and isinstance(value, module.nn.utils.rnn.PackedSequence)


def loaded() -> Any:
    """Returns the module ``torch``, which the caller's value shows to be there."""
    module = torch()
    if module is None:
        raise TypeError("torch is not imported; import it before you pass its objects")
    return module
