"""The covariance of (tau_s, tau_d, gamma) as columns of a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = ["EXPONENTS", "covariance_columns", "covariance_of"]

EXPONENTS = ("tau_s", "tau_d", "gamma")
"""The order of rows and columns."""

_PAIRS = tuple((i, j) for i in range(3) for j in range(i, 3))


def covariance_columns(covariance: np.ndarray) -> dict[str, float]:
    """The upper half of a covariance of (tau_s, tau_d, gamma), by column of a table."""
    return {f"cov_{EXPONENTS[i]}_{EXPONENTS[j]}": float(covariance[i, j]) for i, j in _PAIRS}


def covariance_of(row: Mapping[str, Any]) -> np.ndarray:
    """``covariance_columns`` read back, shape (3, 3)."""
    made = np.empty((3, 3))
    for i, j in _PAIRS:
        made[i, j] = made[j, i] = float(row[f"cov_{EXPONENTS[i]}_{EXPONENTS[j]}"])
    return made
