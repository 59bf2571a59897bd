"""The power law's sums against direct sums, the Hurwitz zeta function and adaptive quadrature."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import zeta

from quasicrit.errors import FitError
from quasicrit.tails import power_law_cdf, power_law_exponents, power_law_moments

DISCRETE_WINDOWS = [
    (1.5, 8, 500, 0.5),
    (1.0, 1, 3000, 0.0),
    (0.3, 1, 2000, 0.0),
    (-2.0, 3, 100, 0.5),
    (2.0, 5, 20, 0.0),
    (2.0, 5, 36, 0.0),
    (2.0, 5, 37, 0.0),
    (1.0 - 1e-9, 1, 5000, 0.0),
    (1.7, 0, 400, 0.5),
    (-30.0, 3, 5, 0.0),
]


@pytest.mark.parametrize(("alpha", "xmin", "xmax", "offset"), DISCRETE_WINDOWS)
def test_discrete_moments_match_direct_sums(alpha: float, xmin: int, xmax: int, offset: float) -> None:
    u = np.arange(xmin, xmax + 1) + offset
    terms = (u / u[0]) ** -alpha
    log_ratio = np.log(u / u[0])
    mean = terms @ log_ratio / terms.sum()
    log_z, first, variance = power_law_moments(alpha, xmin, xmax, kind="discrete", offset=offset)
    # Rounding of the direct sums of up to 5000 terms.
    assert float(log_z) == pytest.approx(np.log(terms.sum()) - alpha * np.log(u[0]), abs=1e-11)
    assert float(first) == pytest.approx(mean, rel=1e-11)
    assert float(variance) == pytest.approx(terms @ (log_ratio - mean) ** 2 / terms.sum(), rel=1e-9)


@pytest.mark.parametrize("alpha", [1.05, 1.5, 2.0, 3.5, 10.0])
@pytest.mark.parametrize("lower", [0.5, 1.0, 8.5, 200.0])
def test_infinite_discrete_normalisation_is_hurwitz_zeta(alpha: float, lower: float) -> None:
    offset = lower - np.floor(lower)
    log_z, _, _ = power_law_moments(alpha, np.floor(lower), np.inf, kind="discrete", offset=offset)
    assert float(log_z) == pytest.approx(np.log(zeta(alpha, lower)), abs=1e-12)


@pytest.mark.parametrize(
    ("alpha", "xmin", "xmax"),
    [(1.5, 8.0, 500.0), (1.0, 1.0, 100.0), (1.0 + 1e-7, 1.0, 100.0), (-3.0, 2.0, 1e4)],
)
def test_continuous_moments_match_quadrature(alpha: float, xmin: float, xmax: float) -> None:
    width = np.log(xmax / xmin)
    integrals = [quad(lambda s, m=m: s**m * np.exp((1 - alpha) * s), 0.0, width)[0] for m in range(3)]
    log_z, mean, variance = power_law_moments(alpha, xmin, xmax, kind="continuous")
    assert float(log_z) == pytest.approx(np.log(integrals[0]) + (1 - alpha) * np.log(xmin), abs=1e-9)
    assert float(mean) == pytest.approx(integrals[1] / integrals[0], rel=1e-9)
    assert float(variance) == pytest.approx(integrals[2] / integrals[0] - float(mean) ** 2, rel=1e-7)


@pytest.mark.parametrize("kind", ["discrete", "continuous"])
@pytest.mark.parametrize(("xmin", "xmax"), [(1, 100), (1, np.inf), (3, 5), (2, 1e6)])
def test_exponents_invert_the_mean_logarithm(kind: str, xmin: float, xmax: float) -> None:
    alpha = np.array([-30.0, -3.0, 0.0, 0.9, 1.0, 1.0 + 1e-7, 1.01, 1.5, 2.0, 3.5, 6.0, 20.0])
    if np.isinf(xmax):
        alpha = alpha[alpha > 1.0]
    _, mean, _ = power_law_moments(alpha, xmin, xmax, kind=kind)  # type: ignore[arg-type]
    found = power_law_exponents(1000.0, 1000.0 * (mean + np.log(xmin)), xmin, xmax, kind=kind)  # type: ignore[arg-type]
    # The mean logarithm near an end of the window carries few digits for the steepest laws.
    np.testing.assert_allclose(found, alpha, rtol=1e-8, atol=1e-9)


def test_hill_estimator_is_the_infinite_continuous_case() -> None:
    x = np.array([1.2, 3.4, 2.2, 9.0, 1.01])
    found = power_law_exponents(5, np.log(x).sum(), 1.0, np.inf, kind="continuous")
    assert float(found) == pytest.approx(1.0 + 5 / np.log(x).sum(), rel=1e-11)


def test_windows_broadcast_against_resamples() -> None:
    n, sumlog = np.array([50.0, 80.0, 20.0]), np.array([60.0, 110.0, 21.0])
    together = power_law_exponents(n[:, np.newaxis], sumlog[:, np.newaxis], [1.0, 1.0], [40.0, np.inf], kind="discrete")
    for row in range(3):
        for column, xmax in enumerate([40.0, np.inf]):
            alone = power_law_exponents(n[row], sumlog[row], 1.0, xmax, kind="discrete")
            assert together[row, column] == pytest.approx(float(alone), rel=1e-10)


def test_resamples_without_a_finite_exponent_say_so() -> None:
    found = power_law_exponents([0, 9, 9], [0.0, 9 * np.log(2), 9 * np.log(50)], 2, 50, kind="discrete")
    assert np.isnan(found[0])
    assert found[1] == np.inf
    assert found[2] == -np.inf


@pytest.mark.parametrize("xmax", [3000.0, np.inf])
@pytest.mark.parametrize("offset", [0.0, 0.5])
def test_discrete_cdf_is_the_running_sum(xmax: float, offset: float) -> None:
    x = np.arange(1.0, 3001.0)
    density = (x + offset) ** -1.7
    total = density.sum() if np.isfinite(xmax) else zeta(1.7, 1 + offset)
    found = power_law_cdf(x, 1.7, 1, xmax, kind="discrete", offset=offset)
    np.testing.assert_allclose(found, np.cumsum(density) / total, atol=1e-12)
    assert power_law_cdf([0.0, 1.5], 1.7, 1, xmax, kind="discrete", offset=offset)[1] == pytest.approx(found[0])


@pytest.mark.parametrize("alpha", [-5.0, 0.5, 1.0, 1.5, 60.0])
def test_continuous_cdf_in_closed_form(alpha: float) -> None:
    x = np.array([0.5, 1.0, 1.3, 7.0, 20.0, 30.0])
    kappa = 1.0 - alpha
    clipped = np.clip(x, 1.0, 20.0)
    expected = np.log(clipped) / np.log(20.0) if kappa == 0 else (clipped**kappa - 1) / (20.0**kappa - 1)
    np.testing.assert_allclose(power_law_cdf(x, alpha, 1.0, 20.0, kind="continuous"), expected, atol=1e-12)


def test_huge_windows_do_not_overflow() -> None:
    log_z, mean, variance = power_law_moments(1.5, 1e300, 1e306, kind="continuous")
    assert np.isfinite([log_z, mean, variance]).all()
    unit = power_law_moments(1.5, 1.0, 1e6, kind="continuous")
    assert float(mean) == pytest.approx(float(unit[1]), rel=1e-12)
    assert np.isfinite(power_law_moments(-80.0, 1.0, 1e6, kind="discrete")).all()


def test_impossible_windows_are_refused() -> None:
    with pytest.raises(FitError, match="0 < xmin"):
        power_law_exponents(10, 10.0, 0.0, 10.0, kind="continuous")
    with pytest.raises(FitError, match="above 1"):
        power_law_moments(1.0, 1.0, np.inf, kind="continuous")
