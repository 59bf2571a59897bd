"""Multistep regression: unbiased where the naive slope is not."""

from __future__ import annotations

import numpy as np
import pytest

from quasicrit.errors import FitError
from quasicrit.reference import branching_activity, independent, subsampled
from quasicrit.rng import generator
from quasicrit.scaling import branching_ratio


@pytest.mark.parametrize("mean", [0.9, 0.98])
@pytest.mark.parametrize("trials", [50, 1])
def test_subsampling_does_not_bias_the_ratio(mean: float, trials: int) -> None:
    rng = generator(1, "branching", mean, trials)
    steps = 100_000 // trials
    seen = subsampled(branching_activity(mean, 100.0 * (1 - mean), trials, steps, rng), 0.05, rng)
    found = branching_ratio(seen, max_lag=60, rng=rng)
    error = (found.ratio.ci_high - found.ratio.ci_low) / 3.92
    assert abs(found.ratio.value - mean) < 3 * error
    assert error < 0.3 * (1 - mean)
    assert found.memory.ci_low < -1 / np.log(mean) * 1.5
    # Of a population of 100 the 5 % that are seen hide most of the slope.
    assert found.naive < 0.65 * mean
    assert found.amplitude < 0.7
    assert found.n_units == 50


def test_naive_slope_at_the_issue_of_small_populations() -> None:
    # Var A_seen = p² Var A + p (1 − p) ⟨A⟩: with ⟨A⟩ = 100 and m = .9, r_1 = m/(1 + (1 − p)(1 − m²)/p) = .195.
    rng = generator(2, "naive")
    seen = subsampled(branching_activity(0.9, 10.0, 40, 4000, rng), 0.05, rng)
    found = branching_ratio(seen, rng=rng)
    assert found.naive == pytest.approx(0.9 / (1 + 0.95 * (1 - 0.81) / 0.05), abs=0.02)


def test_intervals_cover() -> None:
    held = 0
    replicates = 100
    for replicate in range(replicates):
        rng = generator(3, "coverage", replicate)
        seen = subsampled(branching_activity(0.9, 10.0, 30, 1000, rng), 0.2, rng)
        ratio = branching_ratio(seen, max_lag=20, n_resamples=200, rng=rng).ratio
        held += ratio.ci_low <= 0.9 <= ratio.ci_high
    # 95 % of 100 with a binomial error of 2.2; the bootstrap over 30 trials gives 93.5 % in 400 replicates.
    assert held >= 88


def test_noise_has_no_ratio_to_speak_of_and_bad_input_one_sentence() -> None:
    rng = generator(4, "noise")
    noise = independent(30, 2000, rng)
    found = branching_ratio(noise + 0.02 * np.roll(noise, 1, axis=1), rng=rng)
    assert 0.0 < found.naive < 0.04
    for bad, message in (
        (np.ones((2, 50)), "at least 100 steps"),
        (np.ones((2, 500)), "same at every step"),
        (np.full((2, 500), np.nan), "finite"),
        (np.tile([1.0, 0.0], (3, 200)), "carries on"),
    ):
        with pytest.raises(FitError, match=message):
            branching_ratio(bad, rng=rng)
    with pytest.raises(FitError, match="max_lag"):
        branching_ratio(noise, max_lag=1000, rng=rng)
