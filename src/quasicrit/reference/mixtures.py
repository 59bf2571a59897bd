"""Independent events without any dynamics whose durations look like a power law."""

from __future__ import annotations

import numpy as np

from quasicrit.reference.process import Avalanches

__all__ = ["superposed_exponentials"]

_CLUSTERS = 200


def superposed_exponentials(
    shortest: float, longest: float, exponent: float, n: int, rng: np.random.Generator
) -> Avalanches:
    """n events of geometric duration whose mean T is drawn from p(T) ~ T^−exponent on [shortest, longest].

    Within these scales P(d) ~ d^−exponent. Sizes are durations times an independent exponential factor, so that
    ⟨s⟩ ~ d. Clusters are 200 arbitrary parts. Source: Priesemann and Shriki 2018, PLoS Comput. Biol. 14, e1006081.
    """
    power = 1.0 - exponent
    mean = (shortest**power + rng.random(n) * (longest**power - shortest**power)) ** (1.0 / power)
    duration = rng.geometric(1.0 / mean).astype(np.float64)
    return Avalanches(duration * rng.standard_exponential(n), duration, np.arange(n) % _CLUSTERS)
