"""Intervals of rank correlations and of their paired differences cover, with few seeds too."""

from __future__ import annotations

import numpy as np
import pytest

from quasicrit.statistics import compare_ranks, spearman

SEEDS, POINTS, TRIALS = 3, 60, 120


def draw(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    truth = rng.standard_normal(n)
    return np.stack([truth + 0.4 * rng.standard_normal(n), truth + 0.8 * rng.standard_normal(n)]), truth


@pytest.mark.parametrize("noise", [0.1, 0.5])
def test_intervals_cover(noise: float) -> None:
    rng = np.random.default_rng(11)
    x, truth = draw(300_000, rng)
    rho = spearman(x, truth + noise * rng.standard_normal(len(truth)) / np.sqrt(SEEDS))
    hits = np.zeros(3)
    for _ in range(TRIALS):
        x, truth = draw(POINTS, rng)
        outcomes = truth[:, None] + noise * rng.standard_normal((POINTS, SEEDS))
        made = compare_ranks(x, outcomes, floor=-99.0, n_resamples=100, rng=rng)
        low, high = made.spearman_interval.T
        hits[:2] += (low <= rho) & (rho <= high)
        low, high = made.difference_interval[0, 1]
        hits[2] += low <= rho[0] - rho[1] <= high
    # 95 % of 120 is 114 ± 2.4; four standard deviations below is 104.
    assert (hits >= 104).all(), hits / TRIALS
