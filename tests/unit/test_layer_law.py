"""The exact law of a layer: against the gamma law, against moments by quadrature, and against logarithms by another transform."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import digamma, gammaincinv, ndtr, polygamma

from quasicrit.errors import TheoryError
from quasicrit.theory import ACTIVATIONS, gaussian_means, moments, sigma_c, step_variance
from quasicrit.theory.activations import half_line_nodes
from quasicrit.theory.layer_law import _inverse, _inverted, layer_log_quantiles

SCORE = np.linspace(-6.0, 6.0, 2401)
BEYOND = 2 * ndtr(-6.0)
WEIGHT = np.exp(-0.5 * SCORE**2) / math.sqrt(2 * math.pi) * (SCORE[1] - SCORE[0])
SMOOTH = [name for name, act in ACTIVATIONS.items() if not act.homogeneous]


def log_moments(activation: str, width: int, q: float) -> tuple[float, float]:
    """E and Var of ln(m'/q): with E ~ Exp(1), T = E/X has P(T > t) = M(t)^N, M(t) = E exp(−t phi²/q), so that
    E ln X = psi(1) − E ln T and Var ln X = Var ln T − π²/6; by parts over u = ln t, with real t alone."""
    act = ACTIVATIONS[activation]
    u = np.arange(-60.0, 45.0, 0.02)
    z, weight = half_line_nodes(12)  # resolves exp(−t z²) up to t = e^50
    weight = weight * np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
    y = [act.phi(sign * math.sqrt(q) * z) ** 2 / q for sign in (1, -1)]
    survival = np.array([sum(weight @ np.exp(-t * part) for part in y) for t in np.exp(u)]) ** width
    # A relu layer may be dead: given that it is not, as everywhere here.
    dead = 0.5**width if activation == "relu" else 0.0
    mass = -np.diff((survival - dead) / (1 - dead))
    middle = 0.5 * (u[1:] + u[:-1])
    mean = float((middle * mass).sum())
    # Cells of width 0.02 spread the mass uniformly: their own variance is taken off.
    variance = float(((middle - mean) ** 2 * mass).sum()) - 0.02**2 / 12
    return float(digamma(1)) - mean - math.log(width), variance - math.pi**2 / 6


@pytest.mark.parametrize("width", [8, 33, 4096])
def test_the_inversion_gives_the_gamma_law(width: int) -> None:
    """phi = x through the transform: N m'/q is chi²_N. Rounding of 1e-13 in the probability moves a score of 6 by 1e-5."""
    g = np.linspace(-6, 6, 121)
    found = _inverse(*_inverted(ACTIVATIONS["linear"], width, 1.0), g)
    exact = np.log(2 * gammaincinv(width / 2, ndtr(g)))
    sd = math.sqrt(polygamma(1, width / 2))
    # gammaincinv loses the upper tail to the rounding of 1 − p: compared up to 5, the lower tail in full.
    np.testing.assert_allclose(found[g < 5], exact[g < 5], atol=1e-3 * sd)
    np.testing.assert_allclose(found[abs(g) < 4], exact[abs(g) < 4], atol=1e-6 * sd)


@pytest.mark.parametrize("activation", list(ACTIVATIONS))
@pytest.mark.parametrize("width", [8, 32, 512, 8192])
def test_a_weak_signal_has_the_theory_s_drift_and_step(activation: str, width: int) -> None:
    """E ln(m'/m) = 0 at sigma_c(N) and Var = sigma_1²; what is left out beyond a score of 6 is at most 1.5 times the value there
    (values at most quadratic in the score), and 1e-7 sigma_1 are left to rounding."""
    sd = math.sqrt(step_variance(activation, width))
    step = layer_log_quantiles(activation, width, 0.0, SCORE) + 2 * math.log(sigma_c(activation, width))
    end = 1.5 * np.abs(step).max()
    assert abs(WEIGHT @ step) < BEYOND * end + 1e-7 * sd
    assert abs(WEIGHT @ step**2 - sd**2) < BEYOND * end**2 + 1e-7 * sd**2


@pytest.mark.parametrize("activation", SMOOTH)
@pytest.mark.parametrize(("width", "q"), [(8, 0.5), (8, 4.0), (32, 0.05), (32, 1.0), (32, 16.0), (2048, 1.0)])
def test_moments_of_m_are_those_of_quadrature(activation: str, width: int, q: float) -> None:
    """E m' = E phi² and Var m' = Var(phi²)/N, to the share that scores beyond 6 have in them (< 1e-6 and 1e-5)."""
    act = ACTIVATIONS[activation]
    m = q * np.exp(layer_log_quantiles(activation, width, q, SCORE))
    assert (np.diff(m) >= 0).all()
    square = float(moments(act, q).mean_square)
    fourth = float(gaussian_means(lambda x: (act.phi(x) ** 4,), q, even=act.odd)[0])
    assert WEIGHT @ m == pytest.approx(square, rel=1e-6)
    assert WEIGHT @ (m - square) ** 2 == pytest.approx((fourth - square**2) / width, rel=1e-5)


@pytest.mark.parametrize("activation", list(ACTIVATIONS))
@pytest.mark.parametrize(("width", "q"), [(8, 2.0), (32, 0.3), (512, 1.0)])
def test_moments_of_ln_m_are_those_of_another_transform(activation: str, width: int, q: float) -> None:
    """Mean to 1e-5 sigma_1 and variance to 1e-5, against the Laplace transform on the real axis."""
    mean, variance = log_moments(activation, width, q)
    f = layer_log_quantiles(activation, width, q, SCORE)
    assert abs(WEIGHT @ f - mean) < 1e-5 * math.sqrt(variance)
    assert WEIGHT @ (f - mean) ** 2 == pytest.approx(variance, rel=1e-5)


def test_a_relu_layer_with_one_active_unit_has_its_tail() -> None:
    """P(X < x | K ≥ 1) → N 2^-N P(chi²_1 < x)/(1 − 2^-N), K ≥ 2 adding a relative √x: at N = 8 and a score of −5."""
    x = 8 * math.exp(float(layer_log_quantiles("relu", 8, 0.0, -5.0)))
    assert ndtr(-5.0) == pytest.approx(8 / 255 * math.sqrt(2 * x / math.pi), rel=3 * math.sqrt(x))


def test_what_has_no_law_is_refused() -> None:
    with pytest.raises(TheoryError, match="at least 8"):
        layer_log_quantiles("tanh", 4, 1.0, 0.0)
    with pytest.raises(TheoryError, match="at least 0"):
        layer_log_quantiles("tanh", 16, -1.0, 0.0)
    with pytest.raises(TheoryError, match=r"beyond 6\.5"):
        layer_log_quantiles("tanh", 16, 1.0, 7.0)
    with pytest.raises(TheoryError, match="not known"):
        layer_log_quantiles("softmax", 16, 1.0, 0.0)
