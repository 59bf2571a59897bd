"""Densities, distribution functions, samplers and fits of the five families against independent sums and
solvers."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import integrate, optimize, stats

from quasicrit.errors import FitError
from quasicrit.rng import generator
from quasicrit.tails import FAMILIES, Distribution, Support, fit_distribution

PARAMETERS: dict[str, dict[str, float]] = {
    "power_law": {"alpha": 1.7},
    "truncated_power_law": {"alpha": 1.3, "rate": 0.02},
    "exponential": {"rate": 0.05},
    "stretched_exponential": {"beta": 0.5, "rate": 0.4},
    "lognormal": {"mu": 1.0, "sigma": 1.2},
}
WINDOWS = [(1.0, 900.0, 0.0), (1.0, math.inf, 0.0), (3.0, math.inf, 0.5)]


def kernel(family: str, u: np.ndarray) -> np.ndarray:
    """The unnormalised density, written out once more."""
    p = PARAMETERS[family]
    if family == "power_law":
        return u ** -p["alpha"]
    if family == "truncated_power_law":
        return u ** -p["alpha"] * np.exp(-p["rate"] * u)
    if family == "exponential":
        return np.exp(-p["rate"] * u)
    if family == "stretched_exponential":
        return u ** (p["beta"] - 1) * np.exp(-p["rate"] * u ** p["beta"])
    return np.exp(-((np.log(u) - p["mu"]) ** 2) / (2 * p["sigma"] ** 2)) / u


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("xmin", "xmax", "offset"), WINDOWS)
def test_discrete_density_and_cdf_match_direct_sums(family, xmin, xmax, offset) -> None:  # type: ignore[no-untyped-def]
    # The sum over a million integers is the whole sum but for the pure power law, whose rest is an integral.
    x = np.arange(xmin, min(xmax, 1e6) + 1)
    terms = kernel(family, x + offset)
    rest = 0.0
    if math.isinf(xmax) and family == "power_law":
        rest = (x[-1] + offset + 0.5) ** -0.7 / 0.7
    law = Distribution(family, Support("discrete", xmin, xmax, offset), PARAMETERS[family])
    total = terms.sum() + rest
    points = np.unique(np.round(np.geomspace(xmin, x[-1], 60)))
    index = (points - xmin).astype(int)
    np.testing.assert_allclose(np.exp(law.log_density(points)), terms[index] / total, rtol=1e-9)
    np.testing.assert_allclose(law.cdf(points), np.cumsum(terms)[index] / total, atol=1e-9)
    assert law.log_density([xmin - 1, xmin + 0.5]).tolist() == [-math.inf, -math.inf]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("xmin", "xmax", "offset"), WINDOWS)
def test_continuous_cdf_is_the_integral_of_the_density(family, xmin, xmax, offset) -> None:  # type: ignore[no-untyped-def]
    law = Distribution(family, Support("continuous", xmin, xmax, offset), PARAMETERS[family])
    edges = np.geomspace(xmin, min(xmax, 1e4), 12)
    pieces = [
        integrate.quad(
            lambda s: np.exp(float(law.log_density(np.exp(s))) + s),
            math.log(low),
            math.log(high),
            epsabs=1e-12,
        )[0]
        for low, high in zip(edges[:-1] * (1 + 1e-15), edges[1:] * (1 - 1e-15))
    ]
    np.testing.assert_allclose(law.cdf(edges[1:]), np.cumsum(pieces), atol=1e-8)
    assert law.cdf([xmin / 2, xmax]).tolist() == [0.0, 1.0]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", ["discrete", "continuous"])
def test_samples_follow_the_density(family, kind) -> None:  # type: ignore[no-untyped-def]
    xmax = 2000.0
    law = Distribution(family, Support(kind, 1.0, xmax), PARAMETERS[family])
    n = 20_000
    sample = law.sample(n, generator(1, family, kind))
    edges = np.unique(np.round(np.geomspace(1, xmax, 16)))
    # Cells (e_i, e_{i+1}], and the first integer for discrete data.
    if kind == "discrete":
        x = np.arange(1, xmax + 1)
        running = np.concatenate([[0.0], np.cumsum(kernel(family, x))])
        mass = np.diff(running[np.concatenate([[0], edges]).astype(int)])
        counts = np.histogram(sample, np.concatenate([[0.5], edges + 0.5]))[0]
        assert (sample == np.round(sample)).all()
    else:
        mass = np.array([integrate.quad(lambda u: kernel(family, u), a, b)[0] for a, b in itertools.pairwise(edges)])
        counts = np.histogram(sample, edges)[0]
    expected = n * mass / mass.sum()
    # Cells of fewer than 5 events are merged into the last large one.
    keep = expected >= 5
    observed = np.append(counts[keep], counts[~keep].sum())
    wanted = np.append(expected[keep], expected[~keep].sum())
    chi = ((observed - wanted) ** 2 / np.maximum(wanted, 1e-9))[wanted > 1.0].sum()
    # Ten draws of this test: a level of 1e-5 each.
    assert stats.chi2.sf(chi, keep.sum()) > 1e-5
    assert counts.sum() == n


@pytest.mark.parametrize("family", ["truncated_power_law", "stretched_exponential", "lognormal"])
@pytest.mark.parametrize(("kind", "xmax"), [("discrete", 300.0), ("continuous", math.inf)])
@pytest.mark.parametrize("source", ["exponential", "lognormal", "truncated_power_law"])
def test_fits_reach_the_maximum_of_a_general_search(family, kind, xmax, source) -> None:  # type: ignore[no-untyped-def]
    support = Support(kind, 1.0, xmax)
    sample = Distribution(source, support, PARAMETERS[source]).sample(400, generator(2, source, kind))
    values, counts = np.unique(sample, return_counts=True)
    fit = fit_distribution(family, values, support, counts)

    def loss(point: np.ndarray) -> float:
        try:
            law = Distribution(family, support, dict(zip(FAMILIES[family], map(float, point))))
        except FitError:
            return 1e9
        return -float(counts @ law.log_density(values))

    start = np.array(list(fit.distribution.parameters.values()))
    tried = [start * factor for factor in ([1.0, 1.0], [0.8, 1.3], [1.3, 0.8], [0.9, 0.9])]
    best = min(optimize.minimize(loss, point, method="Nelder-Mead", options={"maxiter": 150}).fun for point in tried)
    assert fit.log_likelihood >= -best - 1e-3
    assert fit.n == 400


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", ["discrete", "continuous"])
def test_fits_recover_their_parameters(family, kind) -> None:  # type: ignore[no-untyped-def]
    support = Support(kind, 1.0, 5000.0)
    truth = Distribution(family, support, PARAMETERS[family])
    sample = truth.sample(20_000, generator(3, family, kind))
    fit = fit_distribution(family, sample, support)
    # Wilks: 2 (L_max − L_true) is chi-squared with one degree of freedom for each parameter.
    deviance = 2 * (fit.log_likelihood - float(truth.log_density(sample).sum()))
    assert deviance > -1e-6
    assert stats.chi2.sf(deviance, len(FAMILIES[family])) > 1e-5


def test_truncated_power_law_ends_on_its_bound() -> None:
    # Data that fall more slowly at the end than a power law allows no cut-off: the nested fit is the power
    # law.
    x = np.concatenate([np.repeat(np.arange(1.0, 11.0), [500, 120, 50, 25, 15, 10, 8, 6, 5, 4]), [100.0] * 50])
    support = Support("discrete", 1, 100)
    law = fit_distribution("power_law", x, support)
    cut = fit_distribution("truncated_power_law", x, support)
    assert cut.distribution.parameters["rate"] == 0.0
    assert cut.log_likelihood == pytest.approx(law.log_likelihood, abs=1e-8)


def test_impossible_distributions_are_refused() -> None:
    with pytest.raises(FitError, match="family must be one of"):
        Distribution("cauchy", Support("discrete", 1), {"alpha": 2.0})  # type: ignore[arg-type]
    with pytest.raises(FitError, match="needs finite parameters alpha"):
        Distribution("power_law", Support("discrete", 1), {"beta": 2.0})
    with pytest.raises(FitError, match="cannot be normalised"):
        Distribution("power_law", Support("continuous", 1.0), {"alpha": 1.0})
    with pytest.raises(FitError, match="do not lie in the window"):
        fit_distribution("exponential", [1.0, 2.0, 9.0], Support("continuous", 1.0, 5.0))
    with pytest.raises(FitError, match="whole numbers"):
        Support("discrete", 1.5)
    with pytest.raises(FitError, match="must be positive"):
        Support("continuous", 0.0)
