"""Mean field against reference numbers, closed forms, slow iteration, and Monte Carlo."""

from __future__ import annotations

import numpy as np
import pytest

from quasicrit.errors import TheoryError
from quasicrit.rng import generator
from quasicrit.theory import (
    ACTIVATIONS,
    LEAKY_SLOPE,
    chi_1,
    correlation_fixed_point,
    correlation_map,
    correlation_slope,
    depth_ridge,
    edge_of_chaos,
    fixed_point,
    get_activation,
    j0,
    mean_abs,
    phase,
    propagate,
    ridge,
    susceptibility,
    variance_map,
    xi_c,
    xi_q,
)

LEAKY_EDGE = np.sqrt(2.0 / (1.0 + LEAKY_SLOPE**2))
ORDERS = ("m", "rms", "abs")
SIGMA_B = (0.05, 0.1, 0.2, 0.3, 0.5)


# Reference numbers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sigma_w,sigma_b,m,chi,absolute",
    [
        (1.1, 0.0, 0.09318172, 1.01018936, 0.25066971),
        (1.5, 0.0, 0.35260180, 1.13932322, 0.52083655),
        (2.0, 0.0, 0.53036839, 1.36267334, 0.66398882),
        (1.0, 0.1, 0.06777549, 0.87624377, 0.21219567),
        (1.2, 0.1, 0.18917654, 1.00289730, 0.36665343),
        (1.5, 0.3, 0.38704190, 1.06098126, 0.54995010),
    ],
)
def test_fixed_points_of_tanh(sigma_w, sigma_b, m, chi, absolute):
    """Reference values."""
    point = fixed_point("tanh", sigma_w, sigma_b)
    assert point.m == pytest.approx(m, abs=5.1e-9)
    assert chi_1("tanh", sigma_w, sigma_b) == pytest.approx(chi, abs=5.1e-9)
    assert mean_abs("tanh", point.q) == pytest.approx(absolute, abs=5.1e-9)


@pytest.mark.parametrize(
    "sigma_b,expected",
    [(0.05, 1.12253900), (0.1, 1.19340073), (0.3, 1.39558398), (0.5, 1.54967391), (0.2, 1.304146)],
)
def test_edge_of_chaos_of_tanh(sigma_b, expected):
    """Reference values: eight digits, and six at sigma_b = .2."""
    edge = edge_of_chaos("tanh", sigma_b)
    assert edge == pytest.approx(expected, abs=5e-7 if sigma_b == 0.2 else 5.1e-9)
    assert chi_1("tanh", edge, sigma_b) == pytest.approx(1.0, abs=1e-12)
    assert phase("tanh", edge, sigma_b) == "critical"
    assert xi_c("tanh", edge, sigma_b) == np.inf


@pytest.mark.parametrize(
    "order,sigma_ws",
    [
        ("rms", (1.035765, 1.063187, 1.103278, 1.133646, 1.188480)),
        ("abs", (1.040018, 1.074667, 1.128481, 1.169855, 1.239346)),
        ("m", (1.103973, 1.152683, 1.216507, 1.260605, 1.327056)),
    ],
)
def test_ridges_of_tanh(order, sigma_ws):
    """Reference values."""
    for sigma_b, expected in zip(SIGMA_B, sigma_ws):
        assert ridge("tanh", order, sigma_b).sigma_w == pytest.approx(expected, abs=5.1e-7)


def test_height_of_the_rms_ridge():
    """Reference values."""
    heights = (1.415018, 0.933856, 0.577877, 0.415630, 0.253805)
    for sigma_b, expected in zip(SIGMA_B, heights):
        assert ridge("tanh", "rms", sigma_b).susceptibility == pytest.approx(expected, abs=5.1e-7)


def test_ridge_runs_into_the_critical_point():
    """Reference values: sigma_w = 1 + sqrt(2/3) sigma_b, chi_max = .339/sqrt(sigma_b)."""
    top = ridge("tanh", "rms", 1e-5)
    assert (top.sigma_w - 1.0) / 1e-5 == pytest.approx(np.sqrt(2.0 / 3.0), rel=1e-4)
    assert top.susceptibility * np.sqrt(1e-5) == pytest.approx(0.339, abs=5e-4)
    for order in ("rms", "abs"):
        end = ridge("erf", order, 0.0)
        assert end.sigma_w == pytest.approx(np.sqrt(np.pi) / 2.0)
        assert end.susceptibility == np.inf


def test_m_is_bounded_by_one_near_the_edge():
    """Reference values."""
    for sigma_b in SIGMA_B:
        assert ridge("tanh", "m", sigma_b).susceptibility < 1.0


@pytest.mark.parametrize(
    "depth,zero,peak",
    [
        (10, 1.382034, 1.15521),
        (30, 1.232017, 1.08314),
        (60, 1.169753, 1.04969),
        (100, 1.134956, 1.03311),
        (200, 1.098930, 1.01867),
    ],
)
def test_finite_depth_edge_and_peak(depth, zero, peak):
    """Reference values: J0(L) and the peak of chi_m(L) at sigma_b = 0.

    For the peaks at L = 10 and 200 it prints 1.15522 and 1.01869; they are at 1.155214 and 1.018674,
    as the test below shows by other means.
    """
    assert j0("tanh", depth, 0.0) == pytest.approx(zero, abs=5.1e-7)
    assert depth_ridge("tanh", "m", depth, 0.0).sigma_w == pytest.approx(peak, abs=5.1e-6)


@pytest.mark.parametrize("depth,below,above", [(10, 1.15521, 1.15522), (200, 1.01867, 1.01869)])
def test_peak_at_depth_by_independent_means(depth, below, above):
    """d(chi_m)/dsigma_w from five values of m_L, with one Gauss-Legendre rule, changes sign at the peak."""
    nodes, weights = np.polynomial.legendre.leggauss(200)
    z = 5.0 * (nodes + 1.0)
    weights = 10.0 * weights * np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi)
    step = 5e-4

    def second_derivative(sigma_w):
        widths = sigma_w + step * np.arange(-2.0, 3.0)
        m = np.ones(5)
        for _ in range(depth):
            m = np.tanh(np.outer(widths * np.sqrt(m), z)) ** 2 @ weights
        return m @ np.array([-1.0, 16.0, -30.0, 16.0, -1.0]) / (12.0 * step**2)

    # Rounding gives 64e-16/(12 step^2) = 2e-9. Steps of 2e-3, 1e-3, 5e-4, 2e-4 put the zero at 1.15521429
    # (L = 10) and at 1.0186701, 1.0186736, 1.0186738, 1.0186738 (L = 200).
    assert second_derivative(below) > 1e-5
    assert second_derivative(above) < -1e-5


# Closed forms ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name,left", [("relu", 0.0), ("leaky_relu", LEAKY_SLOPE), ("linear", 1.0)])
def test_homogeneous_closed_forms(name, left):
    """q* = sigma_b^2/(1 - sigma_w^2 g), chi_1 = sigma_w^2 g = slope of the variance map, g = (1 + a^2)/2."""
    gain = (1.0 + left**2) / 2.0
    sigma_w, sigma_b = 0.9, 0.4
    q = sigma_b**2 / (1.0 - sigma_w**2 * gain)
    point = fixed_point(name, sigma_w, sigma_b)
    assert point.q == pytest.approx(q, rel=1e-13)
    assert point.m == pytest.approx(gain * q, rel=1e-13)
    assert chi_1(name, sigma_w, sigma_b) == pytest.approx(sigma_w**2 * gain, rel=1e-14)
    xi = -1.0 / np.log(sigma_w**2 * gain)
    assert xi_q(name, sigma_w, sigma_b) == pytest.approx(xi, rel=1e-12)
    assert xi_c(name, sigma_w, sigma_b) == pytest.approx(xi, rel=1e-12)
    chi_m = 2.0 * sigma_w * gain**2 * sigma_b**2 / (1.0 - sigma_w**2 * gain) ** 2
    assert susceptibility(name, sigma_w, sigma_b).m == pytest.approx(chi_m, rel=1e-12)


@pytest.mark.parametrize("name,edge", [("relu", np.sqrt(2.0)), ("leaky_relu", LEAKY_EDGE), ("linear", 1.0)])
def test_edge_of_homogeneous_activations(name, edge):
    for sigma_b in (0.0, 0.3):
        assert edge_of_chaos(name, sigma_b) == pytest.approx(edge, rel=1e-14)
        assert phase(name, edge, sigma_b) == "critical"
    assert j0(name, 40, 0.2) == pytest.approx(edge, rel=1e-12)
    # without biases every q is a fixed point there: the signal stays at m0; with biases it grows for ever
    assert fixed_point(name, edge, 0.0, m0=0.7).m == 0.7
    assert xi_q(name, edge, 0.0) == np.inf
    assert np.isinf(susceptibility(name, edge, 0.0).m)
    assert fixed_point(name, edge, 0.1).q == np.inf
    assert fixed_point(name, edge * 1.01, 0.0).m == np.inf
    assert phase(name, edge * 1.01, 0.0) == "chaotic"
    assert fixed_point(name, edge * 0.99, 0.0).m == 0.0


def test_relu_through_layers():
    """m_L = (sigma_w^2/2)^L without biases: its derivative, ln J^2, and the three susceptibilities."""
    sigma_w, depth = 1.6, 25
    end = propagate("relu", sigma_w, 0.0, depth, m0=0.5)
    m = 0.5 * (sigma_w**2 / 2.0) ** depth
    assert end.m[-1] == pytest.approx(m, rel=1e-12)
    assert end.susceptibility.m == pytest.approx(2.0 * depth / sigma_w * m, rel=1e-12)
    assert end.susceptibility.rms == pytest.approx(depth / sigma_w * np.sqrt(m), rel=1e-12)
    assert end.susceptibility.abs == pytest.approx(depth / sigma_w * np.sqrt(m / np.pi), rel=1e-12)
    assert end.mean_abs == pytest.approx(np.sqrt(m / np.pi), rel=1e-12)
    assert end.log_jacobian == pytest.approx(depth * np.log(sigma_w**2 / 2.0), rel=1e-12)


@pytest.mark.parametrize("c", [0.0, 0.3, 0.9, 0.999999, 1.0])
def test_correlation_map_of_relu_and_linear(c):
    """Cho & Saul 2009: E relu relu = q [sqrt(1 - c^2) + c (pi - arccos c)]/(2 pi), and its slope."""
    w2, b2, q = 1.44, 0.01, 2.5
    kernel = q / (2 * np.pi) * (np.sqrt(1 - c**2) + c * (np.pi - np.arccos(c)))
    assert correlation_map("relu", 1.2, 0.1, c, q) == pytest.approx((w2 * kernel + b2) / q, rel=1e-12)
    slope = w2 * (np.pi - np.arccos(c)) / (2 * np.pi)
    assert correlation_slope("relu", 1.2, c, q) == pytest.approx(slope, rel=1e-12)
    assert correlation_map("linear", 1.2, 0.1, c, q) == pytest.approx(w2 * c + b2 / q, rel=1e-12)


@pytest.mark.parametrize("q", [1e-3, 1.0, 50.0, 1e4])
@pytest.mark.parametrize("c", [0.0, 0.5, 0.99, 1.0])
def test_correlation_map_of_erf(c, q):
    """Williams 1997: E erf erf = (2/pi) arcsin(2qc/(1 + 2q)); slope q-derivative of it by c over q."""
    kernel = 2 / np.pi * np.arcsin(2 * q * c / (1 + 2 * q))
    assert correlation_map("erf", 1.3, 0.2, c, q) == pytest.approx((1.69 * kernel + 0.04) / q, rel=1e-11)
    slope = 4 / np.pi / np.sqrt((1 + 2 * q) ** 2 - (2 * q * c) ** 2)
    assert correlation_slope("erf", 1.3, c, q) == pytest.approx(1.69 * slope, rel=1e-10)


def test_correlation_fixed_point_of_erf():
    """c* solves the closed-form map of erf; the length follows from the closed-form slope there."""
    sigma_w, sigma_b = 1.5, 0.2
    q = float(fixed_point("erf", sigma_w, sigma_b).q)
    c = 0.5
    for _ in range(2000):
        c = (sigma_w**2 * 2 / np.pi * np.arcsin(2 * q * c / (1 + 2 * q)) + sigma_b**2) / q
    assert correlation_fixed_point("erf", sigma_w, sigma_b) == pytest.approx(c, abs=1e-11)
    slope = sigma_w**2 * 4 / np.pi / np.sqrt((1 + 2 * q) ** 2 - (2 * q * c) ** 2)
    assert xi_c("erf", sigma_w, sigma_b) == pytest.approx(-1 / np.log(slope), rel=1e-10)


def test_correlations_of_an_odd_activation_without_bias_vanish_in_chaos():
    assert correlation_fixed_point("tanh", 1.5, 0.0) == 0.0
    q = float(fixed_point("tanh", 1.5, 0.0).q)
    z, weights = np.polynomial.hermite_e.hermegauss(120)
    mean_slope = (weights @ (1 - np.tanh(np.sqrt(q) * z) ** 2)) / np.sqrt(2 * np.pi)
    assert xi_c("tanh", 1.5, 0.0) == pytest.approx(-1 / np.log(2.25 * mean_slope**2), rel=1e-6)


def test_xi_c_grows_towards_the_edge_from_both_sides():
    edge = edge_of_chaos("tanh", 0.1)
    below = [xi_c("tanh", edge - step, 0.1) for step in (1e-2, 1e-3, 1e-4)]
    above = [xi_c("tanh", edge + step, 0.1) for step in (1e-2, 1e-3, 1e-4)]
    for lengths in (below, above):
        # mean field: xi_c ~ 1/distance
        assert lengths[1] / lengths[0] == pytest.approx(10, rel=0.1)
        assert lengths[2] / lengths[1] == pytest.approx(10, rel=0.02)
    assert correlation_fixed_point("tanh", edge - 1e-3, 0.1) == 1.0
    assert 0.98 < correlation_fixed_point("tanh", edge + 1e-3, 0.1) < 1.0


# Independent oracles --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["tanh", "erf", "gelu", "silu"])
def test_fixed_point_against_plain_iteration(name):
    rng = generator(5, "theory-fixed-point", name)
    sigma_w, sigma_b = rng.uniform(0.3, 2.6, 40), rng.uniform(0.05, 1.2, 40)
    m0 = 10.0 ** rng.uniform(-3.0, 3.0, 40)
    q = sigma_w**2 * m0 + sigma_b**2
    for _ in range(600):
        previous = q
        q = np.minimum(sigma_w**2 * variance_map(name, q) + sigma_b**2, 1e20)
    point = fixed_point(name, sigma_w, sigma_b, m0)
    # leave out the few points where the iteration has not come to rest
    settled = np.abs(q - previous) < 1e-12 * q
    grows = q > 1e12
    assert settled.sum() > 30
    assert np.all(np.isinf(point.q[grows]))
    compare = settled & ~grows
    np.testing.assert_allclose(point.q[compare], q[compare], rtol=1e-8)
    np.testing.assert_allclose(point.m[compare], variance_map(name, q[compare]), rtol=1e-8)


@pytest.mark.parametrize("name", list(ACTIVATIONS))
def test_susceptibilities_against_finite_differences(name):
    """Central differences of the order parameters, stationary and at depth 12."""
    sigma_b, step = 0.3, 1e-5
    sigma_w = 0.9 if name == "linear" else 1.25

    def stationary(w):
        point = fixed_point(name, w, sigma_b)
        return np.array([point.m, np.sqrt(point.m), mean_abs(name, point.q)])

    def deep(w):
        end = propagate(name, w, sigma_b, 12)
        return np.array([end.m[-1], np.sqrt(end.m[-1]), end.mean_abs])

    for values, exact in (
        (stationary, susceptibility(name, sigma_w, sigma_b)),
        (deep, propagate(name, sigma_w, sigma_b, 12).susceptibility),
    ):
        numeric = (values(sigma_w + step) - values(sigma_w - step)) / (2 * step)
        # truncation step^2 f'''/6 ~ 1e-10 f''' (f''' up to 1e3 for linear at .9), rounding 1e-15/step = 1e-10
        np.testing.assert_allclose([getattr(exact, order) for order in ORDERS], numeric, rtol=3e-8)


@pytest.mark.parametrize("name", list(ACTIVATIONS))
def test_one_layer_against_wide_real_weights(name):
    """m_2 of nets with N = 400 real weights, m_0 = 1, in the mean over 60 nets."""
    width, nets, sigma_w, sigma_b = 400, 60, 1.2, 0.3
    act = get_activation(name)
    rng = generator(9, "theory-real-weights", name)
    found = []
    for _ in range(nets):
        x = np.ones(width)
        for _ in range(2):
            weights = rng.standard_normal((width, width), dtype=np.float32)
            h = sigma_w / np.sqrt(width) * (weights @ x.astype(np.float32)) + sigma_b * rng.standard_normal(width)
            x = act.phi(h.astype(float))
        found.append([np.mean(x**2), np.mean(np.abs(x))])
    mean, error = np.mean(found, axis=0), np.std(found, axis=0, ddof=1) / np.sqrt(nets)
    end = propagate(name, sigma_w, sigma_b, 2)
    # 5 standard errors, and the bias of finite width sigma_w^4 f''(q) Var(m_1)/2 for f = M and A: below 1e-3
    # (largest for A = sqrt(q/(2 pi)) of relu, with Var(m_1) ~ (5/4) q^2/N)
    assert np.all(np.abs(mean - [end.m[-1], end.mean_abs]) < 5 * error + 1e-3)


def test_trajectory_is_the_recursion():
    end = propagate("tanh", np.array([0.8, 1.3]), 0.2, 6, m0=0.5)
    assert end.m.shape == end.m_slope.shape == (7, 2)
    assert end.q.shape == end.chi_1.shape == (6, 2)
    np.testing.assert_array_equal(end.m[0], 0.5)
    np.testing.assert_array_equal(end.m_slope[0], 0.0)
    np.testing.assert_allclose(end.q, np.array([0.64, 1.69]) * end.m[:-1] + 0.04, rtol=1e-15)
    np.testing.assert_allclose(end.m[1:], variance_map("tanh", end.q), rtol=1e-14)
    np.testing.assert_allclose(end.log_jacobian, np.log(end.chi_1).sum(axis=0), rtol=1e-15)
    deep = propagate("tanh", 1.3, 0.2, 400)
    assert deep.m[-1] == pytest.approx(fixed_point("tanh", 1.3, 0.2).m, rel=1e-12)
    assert deep.susceptibility.rms == pytest.approx(susceptibility("tanh", 1.3, 0.2).rms, rel=1e-10)


def test_extreme_depths_neither_fail_nor_warn():
    with np.errstate(all="raise", under="ignore"):
        dead = propagate("tanh", 0.5, 0.0, 2000)
        assert dead.m[-1] == 0.0
        assert dead.susceptibility.rms == 0.0
        assert np.isfinite(dead.log_jacobian)
        grown = propagate("relu", 5.0, 0.0, 600)
    assert np.isinf(grown.m[-1])
    assert np.isinf(grown.susceptibility.abs)


def test_j0_and_depth_ridge_are_what_they_say():
    zero = j0("tanh", 20, 0.1)
    assert propagate("tanh", zero, 0.1, 20).log_jacobian == pytest.approx(0.0, abs=1e-10)
    top = depth_ridge("tanh", "rms", 20, 0.1)
    near = propagate("tanh", top.sigma_w + np.array([-1e-3, 0.0, 1e-3]), 0.1, 20).susceptibility.rms
    assert np.argmax(near) == 1
    assert near[1] == pytest.approx(top.susceptibility, rel=1e-12)
    # J0 falls to the edge of chaos as the depth grows
    distances = [j0("tanh", depth, 0.1) - edge_of_chaos("tanh", 0.1) for depth in (40, 80)]
    assert 0.0 < distances[1] < 0.7 * distances[0]


# Phases and special points --------------------------------------------------------------------------------


def test_phases():
    assert phase("tanh", 0.9, 0.0) == "ordered"
    assert phase("tanh", 1.0, 0.0) == "critical"
    assert phase("tanh", 1.5, 0.0) == "chaotic"
    assert phase("erf", np.sqrt(np.pi) / 2, 0.0) == "critical"
    assert phase("gelu", 1.2, 0.1) == "ordered"
    assert phase("gelu", 1.40, 1.0) == "ordered"
    # for gelu a finite chaotic phase exists between the edge and the divergence, at large bias
    assert phase("gelu", edge_of_chaos("gelu", 1.0) + 1e-4, 1.0) == "chaotic"


def test_critical_point_of_tanh():
    point = fixed_point("tanh", 1.0, 0.0)
    assert point.q == point.m == 0.0
    assert xi_q("tanh", 1.0, 0.0) == xi_c("tanh", 1.0, 0.0) == np.inf
    chi = susceptibility("tanh", 1.0, 0.0)
    assert chi.rms == chi.abs == np.inf
    assert np.isnan(chi.m)
    below = susceptibility("tanh", 0.9, 0.0)
    assert below.m == below.rms == below.abs == 0.0
    # just above, q* = (1 - 1/sigma_w^2)/2 to leading order (M = q - 2 q^2)
    for excess in (1e-4, 1e-7):
        q = fixed_point("tanh", 1.0 + excess, 0.0).q
        assert q == pytest.approx(excess, rel=10 * excess + 1e-7)


@pytest.mark.parametrize("name,sigma_b", [("gelu", 0.6), ("gelu", 1.0), ("silu", 0.9), ("silu", 2.0)])
def test_edge_of_gelu_and_silu_where_it_exists(name, sigma_b):
    edge = edge_of_chaos(name, sigma_b)
    assert chi_1(name, edge, sigma_b) == pytest.approx(1.0, abs=1e-9)
    q = float(fixed_point(name, edge, sigma_b).q)
    step = 1e-4 * q
    slope = edge**2 * (variance_map(name, q + step) - variance_map(name, q - step)) / (2 * step)
    assert slope < 1.0  # stable


@pytest.mark.parametrize("name,sigma_b", [("gelu", 0.0), ("gelu", 0.1), ("silu", 0.0), ("silu", 0.5)])
def test_no_edge_of_gelu_and_silu_at_small_bias(name, sigma_b):
    with pytest.raises(TheoryError, match="unstable fixed point"):
        edge_of_chaos(name, sigma_b)


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "linear", "gelu", "silu"])
def test_no_ridge_without_a_ceiling(name):
    with pytest.raises(TheoryError, match=f"{name} has no peak.*chi_1 = 1"):
        ridge(name, "m", 0.1)
    with pytest.raises(TheoryError, match="no peak"):
        depth_ridge(name, "m", 20, 0.1)


def test_grids_broadcast_and_agree_with_single_points():
    sigma_w, sigma_b = np.linspace(0.6, 2.0, 7)[:, None], np.array([0.0, 0.05, 0.3])
    chi = chi_1("tanh", sigma_w, sigma_b)
    response = susceptibility("tanh", sigma_w, sigma_b).rms
    assert chi.shape == response.shape == (7, 3)
    for i in range(7):
        for k in range(3):
            assert chi[i, k] == chi_1("tanh", float(sigma_w[i, 0]), float(sigma_b[k]))
            assert response[i, k] == susceptibility("tanh", float(sigma_w[i, 0]), float(sigma_b[k])).rms


# Errors ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments,message",
    [
        ((0.0, 0.1), "sigma_w = 0.0 is impossible"),
        ((-1.0, 0.1), "sigma_w = -1.0 is impossible"),
        ((np.nan, 0.1), "sigma_w = nan is impossible"),
        ((np.inf, 0.1), "sigma_w = inf is impossible"),
        (("x", 0.1), "sigma_w = 'x' is not a number"),
        ((1.0, -0.1), "sigma_b = -0.1 is impossible: it must be at least 0"),
        ((1.0, np.nan), "sigma_b = nan is impossible"),
        ((1.0, 0.1, 0.0), "m0 = 0.0 is impossible"),
        ((1.0, 0.1, np.nan), "m0 = nan is impossible"),
        ((np.ones(2), np.ones(3)), "do not broadcast"),
    ],
)
def test_impossible_parameters(arguments, message):
    with pytest.raises(TheoryError, match=message):
        fixed_point("tanh", *arguments)


def test_other_errors():
    for depth in (0, -1, 2.5, True):
        with pytest.raises(TheoryError, match="depth"):
            propagate("tanh", 1.0, 0.1, depth)  # type: ignore[arg-type]
    with pytest.raises(TheoryError, match="'q' is not known: choose one of m, rms, abs"):
        ridge("tanh", "q", 0.1)  # type: ignore[arg-type]
    with pytest.raises(TheoryError, match="no smooth maximum at sigma_b = 0"):
        ridge("tanh", "m", 0.0)
    with pytest.raises(TheoryError, match="single number"):
        edge_of_chaos("tanh", np.array([0.1, 0.2]))  # type: ignore[arg-type]
    with pytest.raises(TheoryError, match="grows without bound"):
        phase("gelu", 2.5, 0.1)
    with pytest.raises(TheoryError, match=r"correlation c = 1\.5"):
        correlation_slope("tanh", 1.2, 1.5, 1.0)
    with pytest.raises(TheoryError, match="variance q = 0"):
        correlation_map("tanh", 1.2, 0.1, 0.5, 0.0)
