"""Modules of ``torch.nn``: their parameters and their constructor's arguments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List

from ._convert import check_cpu, type_name
from ._torch import torch
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

    Parametrised weights, as of ``weight_norm``, are evaluated as they are now.
    """
    library = torch()
    if library is None or not isinstance(module, library.nn.Module):
        raise TypeError(f"expected a torch.nn.{wanted}, got {type_name(module)}")
    _check_class(library, module, wanted)
    hooks = _weight_norms(module)
    names = _parameter_names(module, wanted)
    with library.no_grad():
        parameters = {}
        for name in names:
            value = hooks[name].compute_weight(module) if name in hooks else getattr(module, name)
            parameters[name] = value.detach()
    for name, value in parameters.items():
        check_cpu(value, f"the module's {name}")
        if str(value.dtype) not in _EXACT:
            raise OptionError(
                f"the module's {name} is {value.dtype}, but networks run in float32: call "
                "module.float(), which rounds the weights"
            )
    arguments: Dict[str, Any] = {}
    if not wanted.endswith("Cell"):
        arguments["batch_first"] = bool(module.batch_first)
    if wanted in ("RNN", "RNNCell"):
        arguments["nonlinearity"] = module.nonlinearity
    return TorchModule(parameters, arguments, str(module))


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
    for method in ("forward", "__call__"):
        if getattr(found, method) is not getattr(expected, method) or method in vars(module):
            raise OptionError(
                f"{type_name(module)} has its own {method}, which cannot run here; "
                f"from_state_dict(module.state_dict()) gives torch.nn.{wanted} with its weights"
            )
    hooks: List[str] = []
    for kind in ("_forward_pre_hooks", "_forward_hooks"):
        for hook in getattr(module, kind, {}).values():
            if not _is_weight_norm(hook):
                hooks.append(getattr(hook, "__qualname__", type_name(hook)))
    if hooks:
        raise OptionError(
            f"the module has hooks, which cannot run here: {', '.join(hooks)}; remove them, or use "
            "from_state_dict(module.state_dict())"
        )


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
