"""A finite-size collapse of 100 points with errors and the fit without the smallest size."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from quasicrit.rng import generator
from quasicrit.scaling import collapse_curves

from .measure import Row, timed

TITLE = "Finite-size collapse"


def rows() -> Iterator[Row]:
    size = np.repeat([16.0, 24.0, 32.0, 48.0, 64.0], 20)
    t = np.tile(np.linspace(0.85, 1.15, 20), 5)
    value = size**-0.3 * (1.5 - np.tanh((t - 1.0) * size / 4))
    value = value * (1 + 0.01 * generator(1, "collapse").standard_normal(100))
    for name, corrections in (("without", False), ("with", True)):
        yield timed(
            f"100 points, {name} corrections to scaling",
            lambda c=corrections: collapse_curves(size, t, value, 0.01 * value, corrections=c),
            repetitions=3,
            at_most=3,
        )
