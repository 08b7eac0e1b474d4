"""Options of loading a network."""

from __future__ import annotations

from typing import Any, Dict, Optional

from ._convert import type_name


def loading(
    *,
    batch_first: Optional[bool] = None,
    nonlinearity: Optional[str] = None,
    weights: str = "f32",
    schedule: str = "auto",
    allow_unused: bool = False,
) -> Dict[str, Any]:
    """Returns the options as the core reads them, after checks of their types."""
    for name, text in (
        ("nonlinearity", nonlinearity),
        ("weights", weights),
        ("schedule", schedule),
    ):
        if not isinstance(text, str) and not (text is None and name == "nonlinearity"):
            raise TypeError(f"{name} should be a str, got {type_name(text)}")
    return {
        "batch_first": None if batch_first is None else bool(batch_first),
        "nonlinearity": nonlinearity,
        "weights": weights,
        "schedule": schedule,
        "allow_unused": bool(allow_unused),
    }
