"""PyTorch's RNN, LSTM and GRU on any GPU, for inference.

::

    import torch, wgpu_rnn

    module = torch.nn.LSTM(40, 128, num_layers=2, batch_first=True)
    lstm = wgpu_rnn.LSTM.from_torch(module, device="auto")
    output, (h_n, c_n) = lstm(torch.zeros(8, 100, 40))
    print(wgpu_rnn.compare(module, device="auto"))

Networks take and return numpy arrays or torch tensors on the CPU, with PyTorch's shapes.
"""

from __future__ import annotations

import atexit
import os

try:
    from . import _native
except ImportError as error:
    raise ImportError(
        f"the extension module of wgpu_rnn is not in {__path__[0]}. If this is the folder of its "
        "source, it hides the installed package: start Python in another folder"
    ) from error
from . import errors, testing
from ._cells import GRUCell, LSTMCell, RecurrentCell, RNNCell
from ._compare import compare
from ._comparison import Comparison, TensorComparison
from ._device import Device, DeviceInfo, devices
from ._language_model import LanguageModel, Score
from ._modules import GRU, LSTM, RNN, Recurrent
from ._native import Slot
from ._network import Network, NetworkStream
from ._pool import Pool
from ._sequential import Sequential
from ._state_dict import StateDict
from ._streams import CellStream, Stream
from .errors import *  # noqa: F403

__version__ = "0.1.0"

__all__ = [
    "GRU",
    "GRUCell",
    "LSTM",
    "LSTMCell",
    "RNN",
    "CellStream",
    "Comparison",
    "Device",
    "DeviceInfo",
    "LanguageModel",
    "Network",
    "NetworkStream",
    "Pool",
    "RNNCell",
    "Recurrent",
    "RecurrentCell",
    "Score",
    "Sequential",
    "Slot",
    "StateDict",
    "Stream",
    "TensorComparison",
    "compare",
    "devices",
    "errors",
    "testing",
    *errors.__all__,
]

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_native._after_fork)
# A call that Ctrl-C left may still use a driver, which the end of the process unloads.
atexit.register(_native._at_exit)
