"""Activations and their Gaussian moments, against closed forms, adaptive quadrature and Monte Carlo."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad

from quasicrit.errors import TheoryError
from quasicrit.rng import generator
from quasicrit.theory import ACTIVATIONS, LEAKY_SLOPE, Activation, get_activation, moments, variance_map

NAMES = list(ACTIVATIONS)
FIELDS = ("mean_square", "mean_square_slope", "slope_square", "mean_abs", "mean_abs_slope")
VARIANCES = np.array([1e-12, 1e-6, 1e-2, 1.0, 4.0, 4.1, 100.0, 1e4])


def integrands(act: Activation, q: float):
    return (
        lambda x: act.phi(x) ** 2,
        lambda x: act.phi(x) * act.dphi(x) * x / q,
        lambda x: act.dphi(x) ** 2,
        lambda x: abs(act.phi(x)),
        lambda x: np.sign(act.phi(x)) * act.dphi(x) * x / (2.0 * q),
    )


def adaptive_mean(function, q: float) -> float:
    """E f(sqrt(q) z), each half line cut at geometric points and integrated adaptively: the slow oracle."""
    s = np.sqrt(q)
    cuts = np.concatenate([[0.0], np.geomspace(min(0.1, 0.1 / s), 9.5, 12)])
    # the integrals are at least of the order of f at the scale of phi, times the width of that scale
    scale = abs(function(np.float64(min(s, 0.5)))) * min(1.0, 1.0 / s)
    total = 0.0
    for side in (1.0, -1.0):
        for low, high in pairwise(cuts):
            total += quad(
                lambda z, side=side: float(function(np.float64(side * s * z))) * np.exp(-0.5 * z * z),
                low,
                high,
                epsabs=1e-13 * scale,
                epsrel=1e-11,
            )[0]
    return total / np.sqrt(2.0 * np.pi)


def test_reference_moments():
    """Reference values: E tanh^2 z, E abs(tanh z), E sech^4 z."""
    values = moments("tanh", 1.0)
    assert values.mean_square == pytest.approx(0.39429449, abs=5e-9)
    assert values.mean_abs == pytest.approx(0.55597932, abs=5e-9)
    assert values.slope_square == pytest.approx(0.46440290, abs=5e-9)


@pytest.mark.parametrize("name", NAMES)
def test_moments_against_adaptive_quadrature(name):
    act = get_activation(name)
    values = moments(name, VARIANCES)
    for index, q in enumerate(VARIANCES):
        for field, function in zip(FIELDS, integrands(act, q)):
            # 1e-10 is the accuracy promised; the oracle asks for 1e-13 of the scale per interval
            assert getattr(values, field)[index] == pytest.approx(adaptive_mean(function, q), rel=1e-10)


@pytest.mark.parametrize("name,left", [("relu", 0.0), ("leaky_relu", LEAKY_SLOPE), ("linear", 1.0)])
def test_piecewise_linear_closed_forms(name, left):
    """E phi^2 = q (1 + a^2)/2, E phi'^2 = (1 + a^2)/2, E abs(phi) = (1 + a) sqrt(q/(2 pi))."""
    values = moments(name, VARIANCES)
    gain = (1.0 + left**2) / 2.0
    np.testing.assert_allclose(values.mean_square, gain * VARIANCES, rtol=1e-13)
    np.testing.assert_allclose(values.mean_square_slope, gain, rtol=1e-13)
    np.testing.assert_allclose(values.slope_square, gain, rtol=1e-13)
    np.testing.assert_allclose(values.mean_abs, (1.0 + left) * np.sqrt(VARIANCES / (2 * np.pi)), rtol=1e-13)


def test_erf_closed_forms():
    """Williams 1997: E erf^2 = (2/pi) arcsin(2q/(1 + 2q)); E erf'^2 = (4/pi)/sqrt(1 + 4q)."""
    values = moments("erf", VARIANCES)
    np.testing.assert_allclose(
        values.mean_square, 2 / np.pi * np.arcsin(2 * VARIANCES / (1 + 2 * VARIANCES)), rtol=1e-12
    )
    np.testing.assert_allclose(values.slope_square, 4 / np.pi / np.sqrt(1 + 4 * VARIANCES), rtol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_moments_against_monte_carlo(name):
    act = get_activation(name)
    z = generator(7, "theory-moments", name).standard_normal(400_000)
    for q in (0.3, 9.0):
        x = np.sqrt(q) * z
        for field, function in zip(FIELDS, integrands(act, q)):
            sample = function(x)
            # 5 standard errors: 70 comparisons, chance of a false alarm 4e-5
            error = sample.std() / np.sqrt(z.size)
            assert abs(sample.mean() - getattr(moments(name, q), field)) <= 5.0 * error + 1e-12


@pytest.mark.parametrize("name", NAMES)
def test_derivative_and_slopes_at_zero(name):
    act = get_activation(name)
    x = np.concatenate([-np.geomspace(1e-3, 6.0, 40), np.geomspace(1e-3, 6.0, 40)])
    step = 1e-5
    numeric = (act.phi(x + step) - act.phi(x - step)) / (2 * step)
    # truncation step^2 phi'''/6 <= 1e-10, rounding 1e-16 * 6/step = 6e-11
    np.testing.assert_allclose(act.dphi(x), numeric, atol=1e-9)
    assert act.phi(np.array([1e-9]))[0] / 1e-9 == pytest.approx(act.slope_right, abs=1e-8)
    assert act.phi(np.array([-1e-9]))[0] / -1e-9 == pytest.approx(act.slope_left, abs=1e-8)
    assert act.odd == bool(np.allclose(act.phi(-x), -act.phi(x), rtol=0, atol=1e-12))
    assert act.homogeneous == bool(np.allclose(act.phi(3.0 * x), 3.0 * act.phi(x), rtol=1e-12))
    assert act.saturating == bool(np.abs(act.phi(np.array([1e6]))[0]) < 2.0)


def test_limits_at_zero_variance():
    for name in NAMES:
        act = get_activation(name)
        values = moments(name, 0.0)
        assert values.mean_square == 0.0
        assert values.mean_square_slope == values.slope_square == act.gain
        assert np.isinf(values.mean_abs_slope)


def test_a_value_does_not_depend_on_its_company():
    q = np.geomspace(1e-6, 1e4, 1001)
    together = variance_map("tanh", q)
    assert all(together[k] == variance_map("tanh", q[k]) for k in range(0, q.size, 50))
    assert variance_map("tanh", np.empty((0, 3))).shape == (0, 3)
    assert variance_map("gelu", np.ones((2, 3))).shape == (2, 3)


def test_unknown_activation_lists_what_is_allowed():
    with pytest.raises(TheoryError, match=r"'swish' is not known: choose one of tanh, erf, relu"):
        get_activation("swish")
    with pytest.raises(TheoryError, match="not known"):
        get_activation(None)  # type: ignore[arg-type]
