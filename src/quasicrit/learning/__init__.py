"""What predicts learning before training, and how to initialise a network.

Names are loaded on first use: the comparison of predictors does not wait for torch's modules.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from quasicrit.learning.advisor import Advice, Method, advise, methods
    from quasicrit.learning.modules import initialise_module
    from quasicrit.learning.predictors import (
        PREDICTORS,
        Candidate,
        Predictor,
        fluctuation,
        gradient_norm,
        neural_persistence,
        tangent_accuracy,
    )

_HOMES = {
    "advisor": ("Advice", "Method", "advise", "methods"),
    "modules": ("initialise_module",),
    "predictors": (
        "PREDICTORS", "Candidate", "Predictor", "fluctuation", "gradient_norm", "neural_persistence", "tangent_accuracy",
    ),
}  # fmt: skip

__all__ = [
    "PREDICTORS",
    "Advice",
    "Candidate",
    "Method",
    "Predictor",
    "advise",
    "fluctuation",
    "gradient_norm",
    "initialise_module",
    "methods",
    "neural_persistence",
    "tangent_accuracy",
]


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
