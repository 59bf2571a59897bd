"""Galton–Watson branching: avalanches of one seed."""

from __future__ import annotations

import numpy as np

from quasicrit.reference.process import Avalanches

__all__ = ["galton_watson"]

_CLUSTERS = 200


def galton_watson(mean: float, n: int, rng: np.random.Generator, longest: int = 5000) -> Avalanches:
    """n seeds with Poisson offspring of the given mean, Z_{t+1} ~ Poisson(mean Z_t), Z_0 = 1; those that die in time.

    Size is Σ Z_t, duration the number of generations that live; seeds that live ``longest`` generations are left out.
    At mean 1: P(s) ~ s^−3/2, P(d) ~ d^−2, ⟨s⟩(d) ~ d². For mean ≤ 1 sizes follow Borel's law, e^{−ms}(ms)^{s−1}/s!.
    Sources: Otter 1949; Harris 1963. Clusters are 200 arbitrary parts of the independent avalanches.
    """
    alive = np.arange(n)
    population = np.ones(n)
    size = np.ones(n)
    duration = np.ones(n)
    for step in range(2, longest + 1):
        population = rng.poisson(mean * population).astype(np.float64)
        living = population > 0
        alive, population = alive[living], population[living]
        if not alive.size:
            break
        size[alive] += population
        duration[alive] = step
    whole = np.ones(n, dtype=bool)
    whole[alive] = False
    return Avalanches(size[whole], duration[whole], np.flatnonzero(whole) % _CLUSTERS)
