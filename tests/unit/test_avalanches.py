"""Detection against a slow reading of the definition, exact laws of noise, and its errors."""

from __future__ import annotations

import math

import numpy as np
import pytest

from quasicrit import theory
from quasicrit.avalanches import (
    CONTINUITY,
    PHASES,
    corrected_size,
    detect,
    duration_bins,
    layer_medians,
    mean_profiles,
    shuffle_layers,
    trajectory_medians,
)
from quasicrit.errors import AvalancheError
from quasicrit.reference import autoregressive, independent


def slow(
    activity: np.ndarray, threshold: np.ndarray, first: str, last_start: int
) -> list[tuple[int, int, int, float, int]]:
    """The definition, layer by layer."""
    found = []
    for row, y in enumerate(activity):
        layer = 0
        while layer < len(y):
            if y[layer] <= threshold[row]:
                layer += 1
                continue
            end = layer
            while end < len(y) and y[end] > threshold[row]:
                end += 1
            size = float(sum(float(v) - threshold[row] for v in y[layer:end]))
            if layer < last_start and not (first == "drop" and layer == 0):
                found.append((row, layer, end - layer, size, 2 if end == len(y) else 0))
            layer = end
    return found


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("first", ["include", "drop"])
@pytest.mark.parametrize("last_start", [1, 30, 10**9])
@pytest.mark.parametrize("kind", ["noise", "walk", "above", "below"])
def test_detection_against_the_definition(dtype: type, first: str, last_start: int, kind: str) -> None:
    rng = np.random.default_rng(2)
    y = rng.standard_normal((37, 61))
    y = {"noise": y, "walk": np.cumsum(y, axis=1), "above": np.abs(y) + 1, "below": -np.abs(y)}[kind].astype(dtype)
    threshold = rng.standard_normal(37) * 0.3 * (kind in ("noise", "walk"))
    events = detect(y, threshold, first, last_start)  # type: ignore[arg-type]
    wanted = slow(y, threshold, first, last_start)
    assert len(events) == len(wanted)
    if wanted:
        row, start, duration, size, censored = (np.array(column) for column in zip(*wanted, strict=True))
        np.testing.assert_array_equal(events.trajectory, row)
        np.testing.assert_array_equal(events.start, start)
        np.testing.assert_array_equal(events.duration, duration)
        np.testing.assert_allclose(events.size_raw, size, rtol=1e-9, atol=1e-9)
        np.testing.assert_array_equal(events.censored, censored)


def test_noise_has_geometric_durations() -> None:
    """Above its median i.i.d. noise has P(d) = 2^−d: counts of 8 durations within 5 standard errors; d_c = 3."""
    y = independent(400, 2000, np.random.default_rng(3))
    events = detect(y, trajectory_medians(y), "drop")
    d = events.duration[events.censored == 0]
    for k in range(1, 9):
        p = 2.0**-k
        assert abs((d == k).mean() - p) < 5 * math.sqrt(p * (1 - p) / len(d))
    assert (d.astype(float) ** 2).sum() / d.sum() == pytest.approx(3, abs=0.05)


def test_medians() -> None:
    rng = np.random.default_rng(4)
    for layers in (5, 6):
        y = rng.standard_normal((7, layers)).astype(np.float32)
        np.testing.assert_allclose(trajectory_medians(y), np.median(y.astype(np.float64), axis=1), rtol=1e-7)
        np.testing.assert_allclose(layer_medians(y), np.median(y.astype(np.float64), axis=0), rtol=1e-7)


def test_shuffling_keeps_values_and_removes_memory() -> None:
    y = autoregressive(50, 20, 2000, np.random.default_rng(5))
    shuffled = shuffle_layers(y, np.random.default_rng(6))
    np.testing.assert_array_equal(np.sort(shuffled, axis=1), np.sort(y, axis=1))
    neighbours = np.mean([np.corrcoef(row[1:], row[:-1])[0, 1] for row in shuffled])
    assert abs(neighbours) < 5 / math.sqrt(20 * 2000)


def test_ar1_has_its_memory_and_variance() -> None:
    y = autoregressive(10, 400, 3000, np.random.default_rng(7))
    a = math.exp(-0.1)
    for lag in (1, 10):
        assert np.mean(y[:, lag:] * y[:, :-lag]) * (1 - a * a) == pytest.approx(a**lag, abs=0.02)
    # Stationary from the first layer: Var y_0 = 1/(1 − a²), 400 values.
    assert y[:, 0].var() * (1 - a * a) == pytest.approx(1, abs=5 * math.sqrt(2 / 400))


def test_continuity_correction() -> None:
    assert pytest.approx(theory.CONTINUITY, abs=1e-15) == CONTINUITY
    assert corrected_size(np.array([2.0]), np.array([4]), 0.5)[0] == 2 + CONTINUITY * 0.5 * 4


def test_profiles_of_known_shapes() -> None:
    """Parabolic events y = k (d + 1 − k) have the profile (d + 1)² x (1 − x), up to linear interpolation (1/8 per step²)."""
    rows = []
    for d in (11, 11, 23):
        k = np.arange(1, d + 1)
        rows.append(np.r_[-1.0, k * (d + 1 - k), -1.0, np.full(40 - d, -1.0)])
    y = np.array(rows)
    events = detect(y, 0.0)
    bins = np.array([[8, 12], [16, 24]])
    found = mean_profiles(y, np.zeros(3), events, np.array([0, 1, 1]), 2, bins)
    np.testing.assert_array_equal(found.n, [[1, 0], [1, 1]])
    np.testing.assert_array_equal(found.duration, [[11, 0], [11, 23]])
    np.testing.assert_allclose(found.activity[0, 0], 144 * PHASES * (1 - PHASES), atol=0.25 + 1e-9)
    np.testing.assert_allclose(found.activity[1, 1], 576 * PHASES * (1 - PHASES), atol=0.25 + 1e-9)


def test_duration_bins_fit_the_window() -> None:
    bins = duration_bins(8, 500)
    assert bins[0, 0] == 16
    assert (bins[:, 1] <= 500).all()
    assert (bins[1:, 0] > bins[:-1, 1]).all()
    assert len(duration_bins(1, 6)) == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_named(bad: float) -> None:
    y = np.zeros((3, 10))
    y[1, 4] = bad
    with pytest.raises(AvalancheError, match=r"trajectory 1 has the activity .* at layer index 4"):
        detect(y, -1.0)


def test_shapes_that_hold_no_avalanche() -> None:
    for y in (np.zeros(5), np.zeros((0, 5)), np.zeros((3, 1))):
        with pytest.raises(AvalancheError, match="at least 2 layers"):
            detect(y, 0.0)
    with pytest.raises(AvalancheError, match="threshold is not finite"):
        detect(np.zeros((2, 5)), math.nan)
