"""The search for xmin against the full search it prunes, and on data with a known start."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import powerlaw
import pytest
from scipy.special import zeta

from quasicrit.errors import FitError
from quasicrit.rng import generator
from quasicrit.tails import Distribution, Kind, Support, ks_distance, power_law_exponents, search_xmin


def searched_distance(tail: np.ndarray, alpha: float, kind: Kind, xmin: float, xmax: float) -> float:
    """What the search minimises: two-sided over the integers, or with the events strictly below each continuous x."""
    support = Support(kind, xmin, xmax)
    if kind == "discrete":
        values, counts = np.unique(tail, return_counts=True)
        return ks_distance(values, counts, alpha, support)
    ordered = np.sort(tail)
    model = Distribution("power_law", support, {"alpha": alpha}).cdf(ordered)
    return float(np.abs(np.arange(ordered.size) / ordered.size - model).max())


def slow_search(x: np.ndarray, kind: Kind, xmax: float) -> tuple[float, float]:
    """Every candidate in full; the smallest distance and its xmin."""
    found = []
    for xmin in np.unique(x):
        tail = x[(x >= xmin) & (x <= xmax)]
        if tail.size < 10 or tail.min() == tail.max():
            continue
        alpha = power_law_exponents(tail.size, np.log(tail).sum(), xmin, xmax, kind=kind)
        if np.isfinite(alpha):
            found.append((searched_distance(tail, float(alpha), kind, xmin, xmax), xmin))
    return min(found)


@pytest.mark.parametrize("kind", ["discrete", "continuous"])
@pytest.mark.parametrize("xmax", [np.inf, 200.0])
@pytest.mark.parametrize("n", [60, 700])
@pytest.mark.parametrize("rounded", [False, True])
def test_pruned_search_is_the_full_search(kind: Kind, xmax: float, n: int, rounded: bool) -> None:
    rng = generator(1, kind, n)
    # A bend at 5, so that the choice is not trivial; rounded, so that continuous values repeat.
    x = np.where(rng.random(n) < 0.5, 5.0 * (1 - rng.random(n)) ** -0.9, rng.uniform(1.0, 8.0, n))
    x = np.floor(x) if kind == "discrete" else np.round(x, 1) if rounded else x
    x = x[x <= xmax]
    distance, xmin = slow_search(x, kind, xmax)
    found = search_xmin(x, kind=kind, xmax=xmax)
    tail = x[x >= found.xmin]
    assert searched_distance(tail, found.exponent, kind, found.xmin, xmax) == pytest.approx(distance, abs=1e-10)
    assert found.xmin == xmin
    values, counts = np.unique(tail, return_counts=True)
    assert found.ks == pytest.approx(ks_distance(values, counts, found.exponent, Support(kind, found.xmin, xmax)))
    assert found.n == tail.size
    assert found.exponent == pytest.approx(
        float(power_law_exponents(tail.size, np.log(tail).sum(), found.xmin, xmax, kind=kind)),
        rel=1e-9,
    )
    assert found.exponents.shape == found.candidates.shape
    assert found.exponents[np.searchsorted(found.candidates, found.xmin)] == pytest.approx(found.exponent)


# Clauset, Shalizi and Newman 2009, table 6.1, and the powerlaw package's documentation: alpha, xmin; unit of the file.
PUBLISHED = {
    "words": (1.95, 7, 1.0),
    "terrorism": (2.4, 12, 1.0),
    "blackouts": (2.3, 230, 1e3),
    "cities": (2.37, 52.46, 1e3),
    "flares": (1.79, 323, 1.0),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_fits_are_found_again(name: str) -> None:
    alpha, xmin, unit = PUBLISHED[name]
    data = np.genfromtxt(Path(powerlaw.__file__).parent / "reference_data" / f"{name}.txt") / unit
    found = search_xmin(data, kind="discrete" if unit == 1.0 else "continuous")
    # To the digits that were published.
    assert round(found.exponent, len(str(alpha).split(".")[1])) == alpha
    digits = len(str(xmin).split(".")[1]) if isinstance(xmin, float) else 0
    assert round(found.xmin, digits) == xmin


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
