"""Modules of ``torch.nn``: their parameters and their constructor's arguments."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any, Dict, Iterator, List

from ._convert import check_cpu, type_name
from ._torch import loaded, torch
from .errors import OptionError

#: The dtypes of parameters: float32 holds all their values.
_EXACT = ("torch.float32", "torch.float16", "torch.bfloat16")


@dataclass(frozen=True)
class TorchModule:
    """The parameters of a module, and the arguments that no state dict has."""

    parameters: Dict[str, Any]
    arguments: Dict[str, Any]
    text: str


def read_module(module: Any, wanted: str) -> TorchModule:
    """Reads a module that is exactly ``torch.nn.<wanted>``.

    Parametrised weights, as of ``weight_norm``, are computed in evaluation mode.
    """
    library = torch()
    if library is None or not isinstance(module, library.nn.Module):
        raise TypeError(f"expected a torch.nn.{wanted}, got {type_name(module)}")
    _check_class(library, module, wanted)
    hooks = _weight_norms(module)
    names = _parameter_names(module, wanted)
    with evaluating(module):
        parameters = {}
        for name in names:
            value = hooks[name].compute_weight(module) if name in hooks else getattr(module, name)
            parameters[name] = value.detach()
    for name, value in parameters.items():
        check_cpu(value, f"the module's {name}")
        if str(value.dtype) not in _EXACT:
            real = value.dtype.is_floating_point
            advice = "call module.float(), which rounds the weights" if real else "use real weights"
            raise OptionError(
                f"the module's {name} is {value.dtype}, but networks run in float32: {advice}"
            )
    arguments: Dict[str, Any] = {}
    if not wanted.endswith("Cell"):
        arguments["batch_first"] = bool(module.batch_first)
    if wanted in ("RNN", "RNNCell"):
        arguments["nonlinearity"] = module.nonlinearity
    return TorchModule(parameters, arguments, str(module))


@contextlib.contextmanager
def evaluating(module: Any) -> Iterator[None]:
    """Runs a block with a module and all modules below it in evaluation mode, without gradients.

    Then each has its mode and its buffers again.
    """
    library = loaded()
    parts = list(module.modules())
    modes = [part.training for part in parts]
    buffers = [
        (part._buffers, name, buffer, buffer.detach().clone(), buffer._version)
        for part in parts
        for name, buffer in part._buffers.items()
        if buffer is not None and not buffer.is_inference()
    ]
    try:
        # Not by eval(), which a subclass may have replaced.
        for part in parts:
            part.training = False
        with library.no_grad():
            yield
    finally:
        for part, training in zip(parts, modes):
            part.training = training
        for owner, name, buffer, value, version in buffers:
            owner[name] = buffer
            if buffer._version != version:
                with library.no_grad():
                    buffer.copy_(value)


#: The methods that compute a call. Others only check arguments.
_METHODS = ("forward", "__call__", "_call_impl", "forward_impl", "permute_hidden")


def _check_class(library: Any, module: Any, wanted: str) -> None:
    expected = getattr(library.nn, wanted)
    found = type(module)
    parametrize = library.nn.utils.parametrize
    if parametrize.is_parametrized(module):
        # Its class is made by torch, below the class that the program chose.
        found = found.__bases__[0]
        if not wanted.endswith("Cell") and not hasattr(module, "_update_flat_weights"):
            raise OptionError(
                f"the module has parametrisations, which torch {library.__version__} ignores when "
                f"it runs a torch.nn.{wanted}: use torch 2, or "
                "torch.nn.utils.parametrize.remove_parametrizations"
            )
    if not issubclass(found, expected):
        raise TypeError(
            f"expected a torch.nn.{wanted}, got {type_name(module)}; for modules of one's own, "
            f"wgpu_rnn.{wanted}.from_state_dict takes the tensors of a torch.nn.{wanted}"
        )
    for method in _METHODS:
        own = getattr(found, method, None) is not getattr(expected, method, None)
        if own or method in vars(module):
            raise OptionError(
                f"{type_name(module)} has its own {method}, which cannot run here; "
                f"from_state_dict(module.state_dict()) gives torch.nn.{wanted} with its weights"
            )
    if wanted == "RNN" and module.mode != f"RNN_{module.nonlinearity}".upper():
        raise OptionError(
            f"the module's nonlinearity is {module.nonlinearity!r}, but torch runs its mode, which "
            f"is {module.mode!r}: set both, or make the module anew"
        )
    _check_hooks(library, module)


def _check_hooks(library: Any, module: Any) -> None:
    hooks: List[str] = []
    everywhere: List[str] = []
    for kind in ("_forward_pre_hooks", "_forward_hooks"):
        for hook in getattr(module, kind, {}).values():
            if not _is_weight_norm(hook):
                hooks.append(_hook_name(hook))
        of_all = getattr(library.nn.modules.module, f"_global{kind}", {})
        everywhere.extend(map(_hook_name, of_all.values()))
    if everywhere:
        raise OptionError(
            "torch has hooks for all modules, which cannot run here: "
            f"{', '.join(everywhere)}; remove them while the network is made"
        )
    if hooks:
        raise OptionError(
            f"the module has hooks, which cannot run here: {', '.join(hooks)}; remove them, or use "
            "from_state_dict(module.state_dict())"
        )


def _hook_name(hook: Any) -> str:
    return getattr(hook, "__qualname__", None) or type_name(hook)


def _weight_norms(module: Any) -> Dict[str, Any]:
    """Returns the hooks of ``torch.nn.utils.weight_norm`` by the names of their weights.

    They set a weight when the module is called, so that the attribute may be an old value.
    """
    hooks = module._forward_pre_hooks.values()
    return {hook.name: hook for hook in hooks if _is_weight_norm(hook)}


def _is_weight_norm(hook: Any) -> bool:
    # The function weight_norm hides the module of its class.
    kind = type(hook)
    return kind.__module__ == "torch.nn.utils.weight_norm" and kind.__name__ == "WeightNorm"


def _parameter_names(module: Any, wanted: str) -> List[str]:
    parts = ["weight_ih", "weight_hh"] + (["bias_ih", "bias_hh"] if module.bias else [])
    if wanted.endswith("Cell"):
        return parts
    if getattr(module, "proj_size", 0):
        parts.append("weight_hr")
    directions = ["", "_reverse"] if module.bidirectional else [""]
    return [
        f"{part}_l{layer}{direction}"
        for layer in range(module.num_layers)
        for direction in directions
        for part in parts
    ]
