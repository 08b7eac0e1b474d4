"""Options of loading a network."""

from __future__ import annotations

from typing import Any, Dict, Optional

from ._convert import flag, text


def loading(
    *,
    batch_first: Optional[bool] = None,
    nonlinearity: Optional[str] = None,
    weights: str = "f32",
    schedule: str = "auto",
    allow_unused: bool = False,
) -> Dict[str, Any]:
    """Returns the options as the core reads them."""
    return {
        "batch_first": None if batch_first is None else flag(batch_first, "batch_first"),
        "nonlinearity": None if nonlinearity is None else text(nonlinearity, "nonlinearity"),
        "weights": text(weights, "weights"),
        "schedule": text(schedule, "schedule"),
        "allow_unused": flag(allow_unused, "allow_unused"),
    }
