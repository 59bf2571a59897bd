from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from quasicrit.errors import FitError
from quasicrit.statistics import compare_ranks, first_choice_regret, kendall, spearman


def test_coefficients_are_scipys_with_ties_and_infinities() -> None:
    rng = np.random.default_rng(1)
    x = np.round(rng.standard_normal((4, 40)), 1)
    y = np.round(x[0] + rng.standard_normal(40), 1)
    x[1, 3] = np.inf
    np.testing.assert_allclose(spearman(x, y), [stats.spearmanr(row, y).statistic for row in x], atol=1e-12)
    np.testing.assert_allclose(kendall(x, y), [stats.kendalltau(row, y).statistic for row in x], atol=1e-6)
    assert np.isnan(spearman(np.ones((1, 40)), y)[0])


def test_differences_are_paired_and_antisymmetric() -> None:
    rng = np.random.default_rng(2)
    truth = rng.standard_normal(60)
    good, bad = truth + 0.3 * rng.standard_normal(60), rng.standard_normal(60)
    same = good + 0.02 * rng.standard_normal(60)
    outcomes = truth[:, None] + 0.3 * rng.standard_normal((60, 3))
    made = compare_ranks(np.stack([good, same, bad]), outcomes, floor=-9.0, n_resamples=200, rng=rng)
    np.testing.assert_allclose(made.difference, -made.difference.T)
    np.testing.assert_allclose(made.difference_interval[0, 2], -made.difference_interval[2, 0][::-1])
    assert made.difference_interval[0, 2, 0] > 0.0
    # Two predictors that order the points alike share their noise: their difference is known far better than each.
    alone = np.diff(made.spearman_interval[0])[0]
    assert np.diff(made.difference_interval[0, 1])[0] < 0.5 * alone
    assert np.abs(made.spearman_interval).max() <= 1.0


def test_rows_of_one_cluster_count_once() -> None:
    rng = np.random.default_rng(5)
    truth = rng.standard_normal(50)
    x = (truth + rng.standard_normal(50))[None]
    outcomes = truth[:, None]
    alone = compare_ranks(x, outcomes, floor=-9.0, n_resamples=400, rng=rng)
    four = compare_ranks(
        np.tile(x, 4),
        np.tile(outcomes, (4, 1)),
        floor=-9.0,
        n_resamples=400,
        rng=rng,
        clusters=np.tile(np.arange(50), 4),
    )
    # Copies add nothing: drawn one by one they would halve the interval.
    assert np.diff(four.spearman_interval)[0, 0] == pytest.approx(np.diff(alone.spearman_interval)[0, 0], rel=0.25)


def test_chance_is_tied_and_missing_seeds_are_left_out() -> None:
    rng = np.random.default_rng(3)
    outcomes = np.array([[0.1, 0.12], [0.15, np.nan], [0.5, 0.6], [0.7, 0.7], [0.9, np.nan]])
    x = np.array([[2.0, 1.0, 3.0, 4.0, 5.0], [1.0, 2.0, 3.0, 4.0, 5.0]])
    made = compare_ranks(x, outcomes, floor=0.2, n_resamples=50, rng=rng)
    # The two points at chance may stand in either order.
    assert made.spearman[0] == made.spearman[1]
    assert made.n_points == 5


def test_regret_is_judged_on_seeds_that_did_not_choose() -> None:
    outcomes = np.array([[0.9, 0.5], [0.6, 0.8], [0.7, 0.7]])
    x = np.array([[0.0, 0.0, 1.0], [1.0, 1.0, 0.0]])
    regret, error = first_choice_regret(x, outcomes)
    # Judged on seed 0 the best of seed 1 is row 1 (.6); on seed 1 the best of seed 0 is row 0 (.5).
    np.testing.assert_allclose(regret, [np.mean([0.6 - 0.7, 0.5 - 0.7]), np.mean([0.6 - 0.75, 0.5 - 0.65])])
    np.testing.assert_allclose(error[0], np.std([-0.1, -0.2], ddof=1) / np.sqrt(2))


@pytest.mark.parametrize(
    "x,y",
    [
        (np.ones((1, 4)), np.ones((4, 2))),
        (np.full((1, 6), np.nan), np.ones((6, 1))),
        (np.ones((1, 6)), np.full((6, 2), np.nan)),
    ],
)
def test_too_little_is_refused(x: np.ndarray, y: np.ndarray) -> None:
    with pytest.raises(FitError, match="at least 5 points"):
        compare_ranks(x, y, floor=0.0, n_resamples=10, rng=np.random.default_rng(1))
    with pytest.raises(FitError, match="at least 2 seeds"):
        first_choice_regret(x, y[:, :1])
