"""The map of exponents and the widest window that passes, against a search that tests every window."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

from quasicrit.errors import FitError
from quasicrit.rng import generator
from quasicrit.tails import (
    Distribution,
    Kind,
    Support,
    analyse_tail,
    critical_value,
    fit_power_law,
    p_value,
    passing_statistic,
    search_range,
    search_xmin,
    stability_map,
)
from quasicrit.tails.critical import simulate


def law(kind: Kind, alpha: float, xmin: float, xmax: float, n: int, rng: np.random.Generator) -> np.ndarray:
    return Distribution("power_law", Support(kind, xmin, xmax), {"alpha": alpha}).sample(n, rng)


def broken(n: int, rng: np.random.Generator) -> np.ndarray:
    """A law of exponent 1.5 on [3, 300], a flat body below it, and a clump above."""
    return np.concatenate(
        [rng.integers(1, 3, n // 2), law("discrete", 1.5, 3, 300, n, rng), 300 + rng.geometric(0.01, n // 20)]
    ).astype(np.float64)


@pytest.mark.parametrize("kind", ["discrete", "continuous"])
def test_the_map_holds_the_exponent_of_every_window(kind: Kind) -> None:
    x = law(kind, 1.7, 1.0, 300.0, 1500, generator(1, "map", kind))
    made = stability_map(x, kind=kind)
    assert math.isinf(made.xmaxs[-1])
    assert np.all(np.diff(made.xmins) > 0)
    for row in range(0, made.xmins.size, 5):
        for column in range(1, made.xmaxs.size, 4):
            low, high = made.xmins[row], made.xmaxs[column]
            inside = np.count_nonzero((x >= low) & (x <= high))
            if low >= high or inside < 50:
                assert math.isnan(made.exponents[row, column])
                continue
            fit = fit_power_law(x, kind=kind, xmin=low, xmax=high)
            assert made.exponents[row, column] == pytest.approx(fit.exponent, rel=1e-8)
            assert made.n[row, column] == fit.n == inside


def slow_range(x: np.ndarray, kind: Kind) -> tuple[float, float]:
    """Fit and test every window of the map; of those that pass the widest, open before closed."""
    made = stability_map(x, kind=kind)
    passed = []
    for low in made.xmins:
        for high in made.xmaxs:
            if np.count_nonzero((x >= low) & (x <= high)) < 50 or low >= high:
                continue
            try:
                fit = fit_power_law(x, kind=kind, xmin=low, xmax=high)
            except FitError:
                continue
            if passing_statistic(fit.ks, fit.n, fit.exponent, fit.support) <= 1.0:
                passed.append((math.log(min(high, x.max()) / low), high, fit.n, low))
    width, high, _, low = max(passed)
    assert width > 0
    return low, high


@pytest.mark.parametrize("kind", ["discrete", "continuous"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_search_is_the_search_through_every_window(kind: Kind, seed: int) -> None:
    rng = generator(seed, "range", kind)
    x = broken(600, rng) + (0.0 if kind == "discrete" else rng.random(600 + 300 + 30))
    found = search_range(x, kind=kind)
    assert (found.xmin, found.xmax) == slow_range(x, kind)
    assert found.statistic <= 1.0


@pytest.mark.parametrize(("kind", "xmax"), [("discrete", 200.0), ("continuous", 200.0), ("discrete", math.inf)])
def test_true_laws_mostly_keep_their_whole_window(kind: Kind, xmax: float) -> None:
    rng = generator(4, "whole", kind, f"{xmax:g}")
    replicates, kept = 60, 0
    for _ in range(replicates):
        x = law(kind, 1.6, 1.0, xmax, 1000, rng)
        found = search_range(x, kind=kind, xmin=1.0, xmax=xmax)
        kept += found.xmin == 1.0 and found.xmax == xmax
        assert found.statistic <= 1.0
    # The whole window passes with probability .9; four binomial s.d. of .039.
    assert kept / replicates > 0.9 - 4 * 0.039


def test_search_stops_where_the_law_does_and_the_verdict_says_so() -> None:
    rng = generator(5, "stops")
    x = broken(6000, rng)
    found = search_range(x)
    assert 2 < found.xmin <= 5
    assert 200 <= found.xmax <= 500
    assert abs(found.exponent - 1.5) < 0.05
    result = analyse_tail(x, search="range", n_resamples=39, rng=rng)
    assert result.n_beyond == np.count_nonzero(x > result.fit.xmax)
    assert result.n_beyond > 0
    assert "upper_end" in result.verdict.limited_by
    assert result.verdict.verdict != "power_law"
    # An open window from xmin on reads another exponent: the defect that the search is there for.
    assert abs(fit_power_law(x, xmin=found.xmin).exponent - 1.5) > 0.05


def test_bounds_are_kept() -> None:
    x = broken(3000, generator(6, "bounds"))
    found = search_range(x, xmin=5, xmax=100)
    assert found.xmin >= 5
    assert found.xmax <= 100
    assert found.map.xmaxs[-1] == 100


def test_no_window_is_an_error() -> None:
    # Two values far apart, in equal numbers, and little between: no power law on any window that holds 50 events.
    x = np.concatenate([np.full(400, 2.0), np.full(400, 3.0), np.full(400, 50.0)])
    with pytest.raises(FitError, match="passes on none of"):
        search_range(x, kind="continuous")


CELLS: list[tuple[Kind, float, float, float, float]] = [
    ("continuous", 1.5, 1.0, 100.0, 0.0),
    ("continuous", 2.5, 1.0, math.inf, 0.0),
    ("continuous", 0.4, 1.0, 30.0, 0.0),
    ("discrete", 1.5, 8.0, 500.0, 0.5),
    ("discrete", 2.2, 1.0, math.inf, 0.0),
    ("discrete", 3.3, 1.0, 1000.0, 0.0),
]


@pytest.mark.parametrize(("kind", "alpha", "xmin", "xmax", "offset"), CELLS)
def test_nine_true_laws_of_ten_pass(kind: Kind, alpha: float, xmin: float, xmax: float, offset: float) -> None:
    rng = generator(7, "pass", kind, f"{alpha:g}")
    sampler = Distribution("power_law", Support(kind, xmin, xmax, offset), {"alpha": alpha})
    replicates = 300
    passed = 0
    for _ in range(replicates):
        fit = fit_power_law(sampler.sample(800, rng), kind=kind, xmin=xmin, xmax=xmax, offset=offset)
        passed += passing_statistic(fit.ks, fit.n, fit.exponent, fit.support) <= 1.0
    # Four binomial s.d. of .0173.
    assert passed / replicates == pytest.approx(0.9, abs=4 * 0.0173)


def test_the_table_is_what_the_limit_gives() -> None:
    rng = generator(8, "table")
    for kind, alpha, lower, width in (
        ("continuous", 2.5, 1.0, 3.0),
        ("discrete", 2.0, 1.0, 5.0),
        ("discrete", 1.5, 8.0, 3.0),
    ):
        xmax = math.floor(lower * math.expm1(width)) if kind == "discrete" else math.expm1(width)
        drawn = simulate(alpha, Support(kind, 0.0, xmax, lower), 4000, rng)  # type: ignore[arg-type]
        expected = critical_value(alpha, lower, width, kind=kind)  # type: ignore[arg-type]
        # A share of 4000 draws: s.d. .0047; .01 more for the interpolation between entries.
        assert (drawn > expected).mean() == pytest.approx(0.1, abs=4 * 0.0047 + 0.01)


def test_critical_values_known_from_elsewhere() -> None:
    # An open continuous window is the exponential law with fitted rate: .990 (Stephens 1974); 10^4 draws know it to .01.
    assert critical_value(2.0, 1.0, math.inf, kind="continuous") == pytest.approx(0.990, abs=0.02)
    # Steps only lower it, and a law that puts nearly all events on one integer has hardly a distance.
    assert critical_value(2.0, 1.0, 5.0, kind="discrete") < critical_value(2.0, 1.0, 5.0, kind="continuous")
    assert critical_value(5.0, 1.0, 5.0, kind="discrete") < 0.5
    # Far from zero integers are as good as continuous; beyond the table's ends its last entry is used.
    near = critical_value(2.0, 128.0, 5.0, kind="discrete")
    assert near == pytest.approx(float(critical_value(2.0, 1.0, 5.0, kind="continuous")), abs=0.03)
    assert critical_value(9.0, 1.0, 5.0, kind="discrete") == critical_value(5.0, 1.0, 5.0, kind="discrete")


def test_p_values_repeat_the_search() -> None:
    rng = generator(9, "range p")
    replicates = 30
    p = np.empty(replicates)
    for index in range(replicates):
        x = law("continuous", 2.0, 1.0, math.inf, 300, rng)
        found = search_range(x)
        fit = fit_power_law(x, xmin=found.xmin, xmax=found.xmax)
        p[index] = p_value(x, fit, search="range", n_resamples=19, rng=rng)
    # Multiples of 1/20; binomial s.d. .055 at .1 and .091 at .5.
    assert (p <= 0.1).mean() < 0.1 + 4 * 0.055
    assert (p <= 0.5).mean() == pytest.approx(0.5, abs=4 * 0.091)
    with pytest.raises(FitError, match="must be 'none', 'xmin' or 'range'"):
        p_value(x, fit, search="both", rng=rng)  # type: ignore[arg-type]


@pytest.mark.parametrize("search", ["none", "xmin", "range"])
def test_resampling_stops_when_the_verdict_is_certain(search: str) -> None:
    rng = generator(10, "early", search)
    for _ in range(6):
        x = law("continuous", 2.0, 1.0, math.inf, 200, rng)
        xmin, xmax = 1.0, math.inf
        if search == "xmin":
            xmin = search_xmin(x).xmin
        elif search == "range":
            found = search_range(x)
            xmin, xmax = found.xmin, found.xmax
        fit = fit_power_law(x, xmin=xmin, xmax=xmax)
        seed = int(rng.integers(1 << 30))

        def p(stop_above: float | None, x=x, fit=fit, seed=seed) -> float:  # type: ignore[no-untyped-def]
            return p_value(
                x,
                fit,
                search=search,
                n_resamples=59,
                stop_above=stop_above,
                rng=generator(seed, "draws"),  # type: ignore[arg-type]
            )

        full, early = p(None), p(0.1)
        # The same draws: the seventh distance as large makes p > .1 certain (7/59), and p is 7 over the draws made.
        assert (full > 0.1) == (early > 0.1)
        if full > 0.1 and early != full:
            assert 7 / early == pytest.approx(round(7 / early))
        else:
            assert early == full


def test_bootstrap_intervals_agree_where_the_exponent_is_nearly_normal() -> None:
    rng = generator(11, "intervals")
    x, labels = law("continuous", 1.5, 1.0, 1000.0, 4000, rng), np.arange(4000) % 200
    ends = {
        kind: fit_power_law(
            x,
            xmin=1.0,
            xmax=1000.0,
            clusters=labels,
            n_resamples=2000,
            interval=kind,
            rng=generator(12, "draws"),  # type: ignore[arg-type]
        )
        for kind in ("student", "percentile", "bca")
    }
    error = ends["student"].standard_error
    for fit in ends.values():
        assert fit.exponent == ends["student"].exponent
        # 2000 draws know a 2.5 % quantile to .06 errors; skewness of 200 clusters moves it by as much.
        assert fit.ci_low == pytest.approx(ends["student"].ci_low, abs=0.3 * error)
        assert fit.ci_high == pytest.approx(ends["student"].ci_high, abs=0.3 * error)
    assert len({fit.ci_low for fit in ends.values()}) == 3
    with pytest.raises(FitError, match="must be 'student', 'percentile' or 'bca'"):
        fit_power_law(x, clusters=labels, interval="wald", rng=rng)  # type: ignore[arg-type]


HUGE = np.concatenate([np.geomspace(1e296, 1e300, 40), np.geomspace(1e296, 1e298, 60)])


@pytest.mark.parametrize("search", ["none", "xmin", "range"])
@pytest.mark.parametrize("scale", [1.0, 1e-300, 1e-596])
def test_extreme_values_give_an_answer_without_warnings(search: str, scale: float) -> None:
    # From 1e296 down to 1e-300, where a product of two values leaves the floats.
    values = HUGE * 1e-300 * 1e4 if scale == 1e-596 else HUGE * scale
    values = values * 1e-300 if scale == 1e-596 else values
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = analyse_tail(values, kind="continuous", search=search, n_resamples=19, rng=generator(13, search))  # type: ignore[arg-type]
    for number in (result.fit.exponent, result.fit.ci_low, result.fit.ci_high, result.fit.ks, result.p_value):
        assert math.isfinite(number)
    assert result.verdict.verdict in ("power_law", "cutoff", "rejected", "undecided")


BAD: list[tuple[object, dict[str, object], str]] = [
    ([], {}, "the column is empty"),
    (np.arange(1.0, 8.0), {}, "at least 10 events"),
    ([0.0, 1.0, 2.0] * 20, {}, "not positive"),
    ([-1.0, 1.0, 2.0] * 20, {}, "not positive"),
    ([np.nan, 1.0, 2.0] * 20, {}, "NaN"),
    ([np.inf, 1.0, 2.0] * 20, {}, "infinite"),
    ([3.0] * 60, {}, "equal to 3"),
    ([1.5, 2.0] * 30, {"kind": "discrete"}, "not whole numbers"),
    (np.arange(1.0, 60.0), {"xmax": 0.5}, "window is empty"),
]


@pytest.mark.parametrize(("values", "arguments", "message"), BAD)
@pytest.mark.parametrize("function", [search_xmin, search_range, stability_map])
def test_bad_input_is_one_clear_sentence(function, values, arguments, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(FitError, match=message) as caught:
        function(values, **arguments)
    assert "\n" not in str(caught.value)


def test_clusters_without_an_event_in_the_window_are_drawn_too() -> None:
    rng = generator(14, "empty clusters")
    x, labels = law("continuous", 2.0, 1.0, math.inf, 2000, rng), np.arange(2000) % 100
    labels = np.where(x < 2.0, labels, labels % 40)
    result = analyse_tail(x, xmin=2.0, clusters=labels, n_resamples=99, rng=rng)
    assert result.fit.n_clusters == 100
    assert math.isfinite(result.fit.ci_low)
    with pytest.raises(FitError, match="from at least 2 clusters"):
        analyse_tail(x, clusters=np.zeros(x.size), rng=rng)
