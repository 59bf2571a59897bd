"""The search for xmin against the full search it prunes, and on data with a known start."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import zeta

from quasicrit.errors import FitError
from quasicrit.rng import generator
from quasicrit.tails import Kind, Support, ks_distance, power_law_exponents, search_xmin


def slow_search(x: np.ndarray, kind: Kind, xmax: float) -> tuple[float, float]:
    """Every candidate in full; the smallest distance and its xmin."""
    found = []
    for xmin in np.unique(x):
        tail = x[(x >= xmin) & (x <= xmax)]
        if tail.size < 10 or tail.min() == tail.max():
            continue
        values, counts = np.unique(tail, return_counts=True)
        alpha = power_law_exponents(tail.size, np.log(tail).sum(), xmin, xmax, kind=kind)
        if np.isfinite(alpha):
            found.append((ks_distance(values, counts, float(alpha), Support(kind, xmin, xmax)), xmin))
    return min(found)


@pytest.mark.parametrize("kind", ["discrete", "continuous"])
@pytest.mark.parametrize("xmax", [np.inf, 200.0])
@pytest.mark.parametrize("n", [60, 700])
def test_pruned_search_is_the_full_search(kind: Kind, xmax: float, n: int) -> None:
    rng = generator(1, kind, n)
    # A bend at 5, so that the choice is not trivial.
    x = np.where(rng.random(n) < 0.5, 5.0 * (1 - rng.random(n)) ** -0.9, rng.uniform(1.0, 8.0, n))
    x = np.floor(x) if kind == "discrete" else x
    x = x[x <= xmax]
    distance, _ = slow_search(x, kind, xmax)
    found = search_xmin(x, kind=kind, xmax=xmax)
    # Equal but for the order of sums.
    assert found.ks == pytest.approx(distance, abs=1e-10)
    tail = x[x >= found.xmin]
    assert found.n == tail.size
    assert found.exponent == pytest.approx(
        float(power_law_exponents(tail.size, np.log(tail).sum(), found.xmin, xmax, kind=kind)),
        rel=1e-9,
    )
    assert found.exponents.shape == found.candidates.shape
    assert found.exponents[np.searchsorted(found.candidates, found.xmin)] == pytest.approx(found.exponent)


def test_search_finds_where_the_law_starts() -> None:
    # Half the events uniform below 20, the rest a law of exponent 2 above it: the density breaks at 20.
    rng = generator(2, "start")
    x = np.concatenate([rng.uniform(1.0, 20.0, 5000), 20.0 / (1 - rng.random(5000))])
    found = search_xmin(x)
    assert 19.0 < found.xmin < 40.0
    assert abs(found.exponent - 2.0) < 4.5 / np.sqrt(found.n) + 0.05


def test_ks_distance_covers_the_gaps_between_integers() -> None:
    # All events at 1 and 10: between them the data stay flat while the law goes on.
    values, counts = np.array([1.0, 10.0]), np.array([80.0, 20.0])
    support = Support("discrete", 1, np.inf)
    running = np.cumsum(np.arange(1.0, 11.0) ** -2.0) / zeta(2.0, 1.0)
    expected = max(abs(0.8 - running[0]), abs(0.8 - running[8]), abs(1.0 - running[9]))
    assert ks_distance(values, counts, 2.0, support) == pytest.approx(expected, abs=1e-12)
    assert expected == abs(0.8 - running[0]) or expected == abs(0.8 - running[8])


def test_a_hundred_thousand_events_take_one_pass_over_their_distinct_values() -> None:
    rng = generator(3, "large")
    x = np.floor((0.5) * (1 - rng.random(100_000)) ** (-1 / 0.5) + 0.5)
    found = search_xmin(x)
    assert found.candidates.size < 6000
    # This rounding gives exponent 1.5 only from about xmin = 5 on, where the search must have gone.
    assert found.xmin >= 2
    assert abs(found.exponent - 1.5) < 0.02


def test_search_needs_events_that_differ() -> None:
    with pytest.raises(FitError, match="are equal"):
        search_xmin([4] * 30)
    with pytest.raises(FitError, match="No xmin leaves 50 events"):
        search_xmin(np.arange(1, 30), min_events=50)
