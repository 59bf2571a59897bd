"""The cluster bootstrap against slow loops, and against the variance that theory gives."""

from __future__ import annotations

import numpy as np
import pytest

from quasicrit.errors import FitError
from quasicrit.rng import generator
from quasicrit.statistics import (
    bootstrap_interval,
    cluster_codes,
    cluster_sums,
    cluster_weights,
    percentile_interval,
    resampled_sums,
    student_interval,
)


def test_codes_follow_the_labels() -> None:
    codes, n_clusters = cluster_codes(["b", "a", "b", "c"])
    assert codes.tolist() == [1, 0, 1, 2]
    assert n_clusters == 3


def test_sums_match_a_loop_and_keep_empty_clusters() -> None:
    rng = generator(1, "sums")
    codes = rng.integers(0, 5, 200)
    codes[codes == 3] = 2
    values = rng.normal(size=(200, 2))
    sums = cluster_sums(codes, values, 6)
    expected = np.array([values[codes == k].sum(axis=0) for k in range(6)])
    np.testing.assert_allclose(sums, expected, atol=1e-12)
    assert sums[3].tolist() == [0.0, 0.0]
    np.testing.assert_allclose(cluster_sums(codes, values[:, 0], 6), expected[:, 0], atol=1e-12)


def test_weights_are_multinomial() -> None:
    n_clusters, n_resamples = 20, 4000
    weights = cluster_weights(n_clusters, n_resamples, generator(1, "weights"))
    assert weights.shape == (n_resamples, n_clusters)
    assert (weights.sum(axis=1) == n_clusters).all()
    # Each weight has variance 1 − 1/K; over 80,000 of them the mean square has error sqrt(2/80000) = .005.
    assert weights.var() == pytest.approx(1.0 - 1.0 / n_clusters, abs=5 * 0.005)


def test_resampled_sums_do_not_depend_on_how_much_is_held_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    sums = generator(2, "table").normal(size=(30, 3))
    at_once = resampled_sums(sums, 25, generator(2, "draw"))
    monkeypatch.setattr("quasicrit.statistics.bootstrap._WEIGHTS_AT_ONCE", 90)
    in_steps = resampled_sums(sums, 25, generator(2, "draw"))
    np.testing.assert_allclose(in_steps, at_once, rtol=1e-12)


def test_interval_of_a_clustered_mean_has_the_width_between_clusters() -> None:
    # 400 clusters of 10 equal values: the mean has s.d. 1/sqrt(400), not 1/sqrt(4000).
    rng = generator(3, "mean")
    cluster_values = rng.normal(size=400)
    values = np.repeat(cluster_values, 10)
    codes = np.repeat(np.arange(400), 10)
    sums = cluster_sums(codes, np.stack([np.ones(4000), values], axis=1), 400)
    result = bootstrap_interval(sums, lambda total: total[..., 1] / total[..., 0], n_resamples=2000, rng=rng)
    assert result.estimate == pytest.approx(values.mean(), abs=1e-12)
    # The bootstrap error is the sample's s.d./20, known to 1/sqrt(2·2000) = 1.6 %.
    assert result.standard_error == pytest.approx(cluster_values.std() / 20.0, rel=5 * 0.016)
    assert result.ci_high - result.ci_low == pytest.approx(2 * 1.96 * cluster_values.std() / 20.0, rel=0.15)
    assert result.samples.shape == (2000,)


def test_percentiles_leave_out_what_is_not_finite() -> None:
    samples = np.stack([np.linspace(0.0, 1.0, 101), np.full(101, np.nan)], axis=1)
    samples[0, 0] = np.inf
    low, high = percentile_interval(samples, level=0.9)
    kept = samples[1:, 0]
    assert low[0] == pytest.approx(np.quantile(kept, 0.05))
    assert high[0] == pytest.approx(np.quantile(kept, 0.95))
    assert np.isnan(low[1])
    assert np.isnan(high[1])


def test_student_interval_of_a_mean_covers_with_few_clusters() -> None:
    # Eight normal clusters: t intervals cover .95 but for the bootstrap's √(K/(K−1)), normal ones .91.
    rng = generator(5, "student")
    replicates, n_clusters = 600, 8
    covered = 0
    for _ in range(replicates):
        data = rng.normal(size=n_clusters)
        samples = resampled_sums(data[:, np.newaxis], 200, rng)[:, 0] / n_clusters
        low, high, error = student_interval(data.mean(), samples, n_clusters)
        covered += bool(low <= 0.0 <= high)
        assert high - low == pytest.approx(2 * 2.3646 * error, rel=1e-3)
    # The s.d. is short by √(7/8): P(|t_7| < 2.3646 √(7/8)) = .937; binomial s.d. .0099.
    assert covered / replicates == pytest.approx(0.937, abs=4 * 0.0099)


def test_student_interval_leaves_out_what_is_not_finite() -> None:
    samples = np.array([[1.0, np.nan], [2.0, np.nan], [3.0, np.nan], [np.inf, 1.0]])
    low, high, error = student_interval([2.0, 0.0], samples, 4)
    assert error[0] == pytest.approx(1.0)
    assert (low[0] + high[0]) / 2 == pytest.approx(2.0)
    assert np.isnan([low[1], high[1], error[1]]).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda rng: cluster_weights(1, 10, rng), "at least 2 clusters"),
        (lambda rng: cluster_weights(5, 0, rng), "at least 1"),
        (lambda rng: resampled_sums(np.ones((5, 1)), 0, rng), "at least 1"),
        (lambda rng: cluster_codes([1.0, np.nan]), "NaN"),
        (lambda rng: cluster_codes([[1], [2]]), "one column"),
    ],
)
def test_impossible_bootstraps_say_why(call, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(FitError, match=message):
        call(generator(4, "errors"))
