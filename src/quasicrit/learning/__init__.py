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
        MEASURED,
        PREDICTORS,
        THEORETICAL,
        fluctuation,
        gradient_norm,
        neural_persistence,
        tangent_accuracy,
        theory_predictors,
    )

_HOMES = {
    "advisor": ("Advice", "Method", "advise", "methods"),
    "modules": ("initialise_module",),
    "predictors": (
        "MEASURED", "PREDICTORS", "THEORETICAL", "fluctuation", "gradient_norm", "neural_persistence", "tangent_accuracy",
        "theory_predictors",
    ),
}  # fmt: skip

__all__ = [
    "MEASURED",
    "PREDICTORS",
    "THEORETICAL",
    "Advice",
    "Method",
    "advise",
    "fluctuation",
    "gradient_norm",
    "initialise_module",
    "methods",
    "neural_persistence",
    "tangent_accuracy",
    "theory_predictors",
]


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
