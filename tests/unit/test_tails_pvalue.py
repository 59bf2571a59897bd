"""p-values: right size under the null, dependent or not, and power against what is no power law."""

from __future__ import annotations

import math

import numpy as np
import pytest

from quasicrit.errors import FitError
from quasicrit.rng import generator
from quasicrit.tails import design_effect, fit_power_law, p_value, search_xmin, select_events


def continuous(alpha: float, xmax: float, n: int, rng: np.random.Generator) -> np.ndarray:
    """Inverse transform of x^−alpha on [1, xmax]."""
    upper = 0.0 if math.isinf(xmax) else xmax ** (1 - alpha)
    return (1 - rng.random(n) * (1 - upper)) ** (1 / (1 - alpha))


def discrete(alpha: float, xmax: int, n: int, rng: np.random.Generator) -> np.ndarray:
    """Search in the table of x^−alpha on 1 … xmax."""
    running = np.cumsum(np.arange(1, xmax + 1) ** -alpha)
    return 1 + np.searchsorted(running, rng.random(n) * running[-1])


def repeated(values: np.ndarray, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Each value again with probability ½."""
    times = rng.geometric(0.5, values.size)
    return np.repeat(values, times)[:n], np.repeat(np.arange(values.size), times)[:n]


@pytest.mark.parametrize("kind", ["continuous", "discrete"])
def test_p_is_uniform_for_independent_events(kind: str) -> None:
    rng = generator(1, kind)
    replicates = 100
    p = np.empty(replicates)
    for index in range(replicates):
        x = continuous(1.5, 100.0, 200, rng) if kind == "continuous" else discrete(1.5, 100, 200, rng)
        p[index] = p_value(x, fit_power_law(x, kind=kind, xmin=1, xmax=100), n_resamples=49, rng=rng)
    # The p-values are multiples of 1/50; binomial s.d. of the shares: .03 at .1, .05 at .5.
    assert (p <= 0.1).mean() == pytest.approx(0.1, abs=4 * 0.03)
    assert (p <= 0.5).mean() == pytest.approx(0.5, abs=4 * 0.05)


def test_dependence_does_not_inflate_rejections() -> None:
    rng = generator(2, "dependent")
    replicates = 120
    clustered, naive = np.empty(replicates), np.empty(replicates)
    for index in range(replicates):
        x, labels = repeated(continuous(1.5, 1000.0, 400, rng), 400, rng)
        fit = fit_power_law(x, xmin=1, xmax=1000)
        clustered[index] = p_value(x, fit, clusters=labels, n_resamples=99, rng=rng)
        naive[index] = p_value(x, fit, n_resamples=29, rng=rng)
    # At level .1: not above .1 by 4 binomial s.d. (.0274), and not so conservative as to be useless.
    assert (clustered <= 0.1).mean() < 0.1 + 4 * 0.0274
    assert 0.3 < (clustered <= 0.5).mean() < 0.5 + 4 * 0.0456
    # The control: ignoring the repeats rejects most true laws, so this test can tell.
    assert (naive <= 0.1).mean() > 0.4


def test_selection_of_xmin_is_part_of_the_null() -> None:
    rng = generator(3, "selected")
    replicates = 40
    p = np.empty(replicates)
    for index in range(replicates):
        x = discrete(2.0, 10_000, 300, rng)
        found = search_xmin(x)
        fit = fit_power_law(x, xmin=found.xmin)
        assert fit.ks == pytest.approx(found.ks, abs=1e-9)
        p[index] = p_value(x, fit, search="xmin", n_resamples=19, rng=rng)
    # Multiples of 1/20; binomial s.d. .047 at .1, .079 at .5.
    assert (p <= 0.1).mean() < 0.1 + 4 * 0.047
    assert (p <= 0.5).mean() == pytest.approx(0.5, abs=4 * 0.079)


def test_what_is_no_power_law_is_rejected() -> None:
    rng = generator(4, "power")
    lognormal = rng.lognormal(0.0, 1.0, 2000)
    x = lognormal[lognormal >= 1.0]
    labels = np.arange(x.size) // 5
    fit = fit_power_law(x, xmin=1.0)
    assert p_value(x, fit, n_resamples=99, rng=rng) == pytest.approx(0.01)
    assert p_value(x, fit, clusters=labels, n_resamples=99, rng=rng) == pytest.approx(0.01)
    assert p_value(x, fit, clusters=labels, search="xmin", n_resamples=19, rng=rng) == pytest.approx(0.05)


def test_design_effect_of_repeats() -> None:
    # k copies of each value: the variance of any mean is k times that of independent ones.
    rng = generator(5, "effect")
    values = continuous(1.5, 1000.0, 1000, rng)
    x, labels = np.tile(values, 4), np.tile(np.arange(1000), 4)
    fit = fit_power_law(x, xmin=1.0, xmax=1000.0)
    events = select_events(x, xmin=1.0, xmax=1000.0, clusters=labels)
    assert design_effect(events, fit.exponent) == pytest.approx(4.0, rel=1e-6)
    mixed = select_events(x, xmin=1.0, xmax=1000.0, clusters=rng.permutation(labels))
    # Labels at random: 1 to within the spread of a ratio over 1000 clusters, averaged over the grid.
    assert design_effect(mixed, fit.exponent) == pytest.approx(1.0, abs=0.25)


def test_the_smallest_p_is_never_zero() -> None:
    rng = generator(6, "small")
    x = np.arange(1.0, 400.0)
    fit = fit_power_law(x, kind="continuous")
    assert p_value(x, fit, n_resamples=9, rng=rng) == pytest.approx(0.1)
    with pytest.raises(FitError, match="at least 1"):
        p_value(x, fit, n_resamples=0, rng=rng)
    with pytest.raises(FitError, match="needs the cluster"):
        design_effect(select_events(x), fit.exponent)
