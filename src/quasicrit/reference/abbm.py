"""The mean-field model of a domain wall (ABBM): velocity in a Brownian force landscape."""

from __future__ import annotations

import numba
import numpy as np

from quasicrit.reference.process import Avalanches

__all__ = ["abbm"]

_CLUSTERS = 200
#: The velocity, in units of a step, above which the wall counts as moving.
_LEVEL = 0.5


@numba.njit(cache=True, nogil=True)
def _many(n, drive, low, longest, rng, size, duration):  # type: ignore[no-untyped-def]
    found = 0
    while found < n:
        velocity = low
        total = 0.0
        steps = 0
        while steps <= longest:
            # Given v, 2 v(t + 1) is noncentral chi² with 2 drive degrees of freedom: a Poisson mixture of gammas.
            shape = rng.poisson(velocity) + drive
            velocity = rng.standard_gamma(shape) if shape > 0.0 else 0.0
            if velocity <= low:
                break
            total += velocity
            steps += 1
        if 0 < steps <= longest:
            size[found] = total
            duration[found] = steps
            found += 1


def abbm(drive: float, n: int, rng: np.random.Generator, longest: int = 2000) -> Avalanches:
    """n avalanches of dv = c dt + √(2v) dW above a small velocity, in steps of 1, by its exact transition law.

    At vanishing stiffness P(s) ~ s^−(3−c)/2, P(d) ~ d^−(2−c), ⟨s⟩(d) ~ d², c the drive. Given v, the next velocity is
    Gamma(c + K) with K ~ Poisson(v) (Feller 1951). Avalanches that last longer than ``longest`` steps are left out.
    Sources: Alessandro et al. 1990; Colaiori 2008, arXiv:0902.3173.
    """
    size, duration = np.empty(n), np.empty(n)
    _many(n, drive, _LEVEL, longest, rng, size, duration)
    return Avalanches(size, duration, np.arange(n) % _CLUSTERS)
