"""Residual streams: closed forms, an independent slow quadrature, limits, and what is refused."""

from __future__ import annotations

import time

import numpy as np
import pytest

from quasicrit.errors import TheoryError
from quasicrit.theory import ACTIVATIONS, LEAKY_SLOPE, get_activation, propagate, propagate_residual

# Closed forms ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name,left", [("relu", 0.0), ("leaky_relu", LEAKY_SLOPE), ("linear", 1.0)])
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("scale", [1.0, 0.1])
def test_homogeneous_streams_grow_by_a_constant_factor(name: str, left: float, layers: int, scale: float) -> None:
    """q_b = q_0 (1 + alpha^2 (sigma_w^2 g)^k)^b without biases, g = (1 + a^2)/2: J^2 of a block is the same factor, so that the
    slope of the correlation map at c = 1 is 1; d ln q_B/dsigma_w = B alpha^2 2 k (sigma_w^2 g)^k/(sigma_w factor)."""
    sigma_w, blocks = 1.3, 50
    chi = (sigma_w**2 * (1.0 + left**2) / 2.0) ** layers
    factor = 1.0 + scale**2 * chi
    end = propagate_residual(name, sigma_w, 0.0, blocks, scale=scale, branch_layers=layers, q0=0.7)
    np.testing.assert_allclose(end.q, 0.7 * factor ** np.arange(blocks + 1), rtol=1e-12)
    np.testing.assert_allclose(end.jacobian, factor, rtol=1e-13)
    np.testing.assert_allclose(end.correlation_slope, 1.0, rtol=1e-12)
    np.testing.assert_allclose(end.m, (1.0 + left**2) / 2.0 * end.q, rtol=1e-12)
    slope = blocks * scale**2 * 2.0 * layers * chi / (sigma_w * factor)
    assert end.log_q_slope[-1] == pytest.approx(slope, rel=1e-12)
    assert end.m_slope[-1] == pytest.approx(end.m[-1] * slope, rel=1e-12)
    assert end.deficit is None
    assert end.correlation is None


def test_linear_streams_with_biases() -> None:
    """x_b + s: q_b = r^b q_0 + s^2 (r^b - 1)/(r - 1), r = 1 + sigma_w^2, and the covariance p_b obeys the same law from c_0 q_0."""
    end = propagate_residual("linear", 0.5, 0.3, 20, correlation=0.25)
    power = 1.25 ** np.arange(21)
    p, q = (power * start + 0.09 * (power - 1.0) / 0.25 for start in (0.25, 1.0))
    np.testing.assert_allclose(end.q, q, rtol=1e-13)
    np.testing.assert_allclose(end.correlation, p / q, rtol=1e-13)


@pytest.mark.parametrize("blocks", [10, 100, 1000])
def test_the_scale_of_one_over_root_blocks_bounds_the_growth(blocks: int) -> None:
    """relu: (1 + a/B)^B = exp(a - a^2/(2B) + ...), a = sigma_w^2/2 (Hayou et al. 2021); unscaled (1 + a)^B."""
    end = propagate_residual("relu", 1.5, 0.0, blocks, scale=blocks**-0.5)
    assert 0.0 < 1.125 - end.log_growth < 1.125**2 / (2.0 * blocks)
    assert end.log_jacobian == pytest.approx(end.log_growth, rel=1e-12)
    unscaled = propagate_residual("relu", 1.5, 0.0, blocks)
    assert unscaled.log_growth == pytest.approx(blocks * np.log(2.125), rel=1e-12)


def test_bounded_streams_grow_linearly_and_their_gradients_as_exp_root_blocks() -> None:
    """tanh, scale 1 (Yang & Schoenholz 2017): M -> 1, q_b ~ sigma_w^2 b; E phi'^2 -> (4/3)/sqrt(2 pi q), so that
    ln J^2 ~ 2 sigma_w (4/3)/sqrt(2 pi) sqrt(b) (the integral of tanh'^2 = sech^4 over the line is 4/3)."""
    near, far = (propagate_residual("tanh", 1.3, 0.0, blocks) for blocks in (1000, 4000))
    # what is missing in M is E(1 - tanh^2) ~ 2/sqrt(2 pi q): the increment less sigma_w^2 falls as b^(-1/2)
    assert far.q[-1] - far.q[-2] == pytest.approx(1.69 * (1.0 - 2.0 / np.sqrt(2.0 * np.pi * far.q[-2])), rel=1e-4)
    grown = 2.0 * 1.3 * (4.0 / 3.0) / np.sqrt(2.0 * np.pi) * (np.sqrt(4000.0) - np.sqrt(1000.0))
    # corrections to q of relative order b^(-1/2) and ln J^2 - chi of order 1/b per block: of order ln 4 in all
    assert far.log_jacobian - near.log_jacobian == pytest.approx(grown, abs=np.log(4.0))


def test_correlations_of_a_relu_stream() -> None:
    """The arc-cosine kernel of Cho & Saul 2009, two layers with biases, in plain floats."""
    w2, b2, a2 = 1.44, 0.04, 0.25

    def through(q: float, p: float) -> tuple[float, float]:
        c = p / q
        return w2 * q / 2 + b2, w2 * q / (2 * np.pi) * (np.sqrt(1 - c * c) + c * (np.pi - np.arccos(c))) + b2

    q, p, expected = 1.0, 0.1, [0.1]
    for _ in range(30):
        dq, dp = through(*through(q, p))
        q, p = q + a2 * dq, p + a2 * dp
        expected.append(p / q)
    end = propagate_residual("relu", 1.2, 0.2, 30, scale=0.5, branch_layers=2, correlation=0.1)
    np.testing.assert_allclose(end.correlation, expected, rtol=1e-11)


@pytest.mark.parametrize("name", list(ACTIVATIONS))
@pytest.mark.parametrize("layers", [1, 2])
def test_the_slope_at_full_correlation_is_what_a_small_deficit_grows_by(name: str, layers: int) -> None:
    end = propagate_residual(name, 1.2, 0.2, 5, scale=0.7, branch_layers=layers, correlation=1.0 - 1e-9)
    assert end.deficit is not None
    # kinks give corrections of order sqrt(deficit) = 3e-5 per block
    np.testing.assert_allclose(end.deficit[1:] / end.deficit[:-1], end.correlation_slope, rtol=2e-4)
    same = propagate_residual(name, 1.2, 0.2, 5, scale=0.7, branch_layers=layers, correlation=1.0)
    np.testing.assert_array_equal(same.correlation, 1.0)


# Independent oracle ---------------------------------------------------------------------------------------

_Z, _DZ = np.linspace(-8.5, 8.5, 1300, retstep=True)
_WEIGHT = _DZ * np.exp(-0.5 * _Z**2) / np.sqrt(2.0 * np.pi)


def slow(
    name: str, w: float, b: float, blocks: int, scale: float, layers: int, c0: float, norm: str | None
) -> np.ndarray:
    """q_B, c_B and ln J^2 from the equations of the docstring, by the trapezoidal rule in Cartesian coordinates."""
    act = get_activation(name)

    def mean(f: object, q: float) -> float:
        return float(f(np.sqrt(q) * _Z) @ _WEIGHT)  # type: ignore[operator]

    def product(q: float, c: float) -> float:
        v = np.sqrt(q) * (c * _Z[:, None] + np.sqrt(1.0 - c * c) * _Z)
        return float(_WEIGHT @ (act.phi(np.sqrt(q) * _Z)[:, None] * act.phi(v)) @ _WEIGHT)

    q, p, log_jacobian = 1.0, c0, 0.0
    for _ in range(blocks):
        v, k, chi = q, p, 1.0
        for _ in range(layers):
            centred = v - k
            at, c = {None: (v, k / v), "layer": (1.0, k / v), "batch": (1.0, 0.0)}[norm]
            chi *= w**2 * mean(lambda x: act.dphi(x) ** 2, at) / {None: 1.0, "layer": v, "batch": centred}[norm]
            v, k = w**2 * mean(lambda x: act.phi(x) ** 2, at) + b**2, w**2 * product(at, c) + b**2
        q, p, log_jacobian = q + scale**2 * v, p + scale**2 * k, log_jacobian + np.log1p(scale**2 * chi)
    return np.array([q, p / q, log_jacobian])


@pytest.mark.parametrize("name", list(ACTIVATIONS))
@pytest.mark.parametrize("layers,norm", [(1, None), (2, None), (2, "layer"), (2, "batch")])
def test_against_slow_quadrature(name: str, layers: int, norm: str | None) -> None:
    end = propagate_residual(name, 1.4, 0.3, 4, scale=0.8, branch_layers=layers, correlation=0.4, norm=norm)  # type: ignore[arg-type]
    assert end.correlation is not None
    found = [end.q[-1], end.correlation[-1], end.log_jacobian]
    # Smooth phi: the trapezoidal rule is exact to rounding. A kink of phi or a jump of phi' at 0 lies midway between two nodes: errors
    # of order step^2/24 = 7e-6 times curvatures of order 1, in each of 8 layers and twice for pairs.
    smooth = name not in ("relu", "leaky_relu")
    np.testing.assert_allclose(found, slow(name, 1.4, 0.3, 4, 0.8, layers, 0.4, norm), rtol=1e-9 if smooth else 1e-4)


@pytest.mark.parametrize("name", list(ACTIVATIONS))
@pytest.mark.parametrize("layers", [1, 2])
def test_susceptibility_against_finite_differences(name: str, layers: int) -> None:
    step = 1e-5
    low, middle, high = (
        propagate_residual(name, w, 0.2, 12, scale=0.6, branch_layers=layers) for w in (1.3 - step, 1.3, 1.3 + step)
    )
    # truncation step^2 f'''/6 and rounding 1e-15/step = 1e-10, relative to f' of order f
    np.testing.assert_allclose(middle.log_q_slope[1:], (high.log_q - low.log_q)[1:] / (2 * step), rtol=3e-8)
    np.testing.assert_allclose(middle.m_slope[1:], (high.m - low.m)[1:] / (2 * step), rtol=3e-8)


def test_one_block_is_one_layer_of_the_plain_map() -> None:
    """At a large scale the branch is all there is: (q_1 - q_0)/alpha^2 is the plain network's variance, and J^2 its chi_1."""
    plain = propagate("tanh", 1.2, 0.1, 2)
    end = propagate_residual("tanh", 1.2, 0.1, 1, scale=1e3, q0=float(plain.q[0]))
    assert (end.q[1] - end.q[0]) / 1e6 == pytest.approx(plain.q[1], rel=1e-9)
    assert end.jacobian[0] == pytest.approx(1.0 + 1e6 * plain.chi_1[0], rel=1e-13)


# Norms ----------------------------------------------------------------------------------------------------


def test_norms_make_gradients_a_power_of_the_depth() -> None:
    """relu without biases: q_b = 1 + sigma_w^2 b/2. Layer norm: J^2 = q_b/q_{b-1}, so that the whole is q_B. Batch norm: u grows by
    sigma_w^2 Var phi, Var = (1 - 1/pi)/2, and the power is E phi'^2/Var phi = pi/(pi - 1), Yang et al. 2019."""
    layer = propagate_residual("relu", 1.4, 0.0, 4000, norm="layer")
    np.testing.assert_allclose(layer.q, 1.0 + 0.98 * np.arange(4001), rtol=1e-11)
    assert layer.log_jacobian == pytest.approx(np.log(1.0 + 0.98 * 4000), rel=1e-11)
    near, far = (propagate_residual("relu", 1.4, 0.0, blocks, correlation=0.0, norm="batch") for blocks in (500, 4000))
    power = (far.log_jacobian - near.log_jacobian) / np.log(8.0)
    # ln(1 + r/b) = r/b + O(1/b^2), and u_0 shifts b by about 1.5: relative corrections of order 3/500
    assert power == pytest.approx(np.pi / (np.pi - 1.0), rel=6e-3)
    np.testing.assert_allclose(far.q, layer.q, rtol=1e-11)
    assert far.m[-1] == pytest.approx(0.5, rel=1e-14)
    assert not far.m_slope.any()


def test_both_norms_agree_for_odd_activations_and_uncorrelated_inputs() -> None:
    layer, batch = (
        propagate_residual("erf", 1.4, 0.0, 30, branch_layers=2, correlation=0.0, norm=norm)
        for norm in ("layer", "batch")
    )
    np.testing.assert_allclose(batch.jacobian, layer.jacobian, rtol=1e-11)
    np.testing.assert_allclose(batch.correlation, 0.0, atol=1e-11)


# Extremes and refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["relu", "gelu"])
def test_exploding_streams_stay_finite_in_logarithms(name: str) -> None:
    with np.errstate(all="raise", under="ignore"):
        end = propagate_residual(name, 1.5, 0.1, 2000, correlation=0.3)
    assert np.isinf(end.q[-1])
    assert np.isinf(end.m[-1])
    assert np.isinf(end.m_slope[-1])
    # far up gelu is relu: both grow by 1 + sigma_w^2/2 a block
    assert end.log_q[-1] - end.log_q[-2] == pytest.approx(np.log(2.125), rel=1e-12)
    assert end.jacobian[-1] == pytest.approx(2.125, rel=1e-12)
    # C(1 - d) = 1 - d + (2 sqrt 2/(3 pi)) d^(3/2) of relu, of which the branch's share is r = 1.125/2.125: d ~ (2/(k b))^2 with k =
    # 2 sqrt 2 r/(3 pi). Correlation 1 attracts although its slope is 1. The start shifts b by 2/(k sqrt .7) = 15, and ln b by a few.
    assert end.deficit is not None
    k = 2.0 * np.sqrt(2.0) / (3.0 * np.pi) * 1.125 / 2.125
    assert end.deficit[-1] == pytest.approx((2.0 / (k * 2000.0)) ** 2, rel=2.0 * 25.0 / 2000.0)


def test_thousands_of_blocks_take_about_a_second() -> None:
    start = time.process_time()
    propagate_residual("gelu", 1.3, 0.1, 3000, scale=3000**-0.5, branch_layers=2)
    # 0.4 s on a quiet core; the machines of the tests are slower and shared
    assert time.process_time() - start < 5.0


@pytest.mark.parametrize(
    "changed,said",
    [
        ({"activation": "swish"}, "'swish' is not known: choose one of tanh"),
        ({"sigma_w": 0.0}, "sigma_w = 0.0 is impossible"),
        ({"sigma_w": [1.0, 2.0]}, "sigma_w must be a single number"),
        ({"sigma_b": -1.0}, "sigma_b = -1.0 is impossible"),
        ({"blocks": 0}, "blocks = 0 is impossible: it must be a whole number, at least 1"),
        ({"blocks": 2.0}, "blocks = 2.0 is impossible"),
        ({"branch_layers": True}, "branch_layers = True is impossible"),
        ({"scale": 0.0}, "scale = 0.0 is impossible: it must be above 0 and at most 10000"),
        ({"scale": float("nan")}, "scale = nan is impossible"),
        ({"q0": 1e9}, r"q0 = 1000000000.0 is impossible: it must be above 0 and at most 1e\+08"),
        ({"correlation": 1.5}, "correlation = 1.5 is impossible: it must lie between 0 and 1"),
        ({"correlation": float("nan")}, "correlation = nan is impossible"),
        ({"norm": "group"}, "norm 'group' is not known: choose one of layer, batch, or None"),
        ({"norm": True}, "norm True is not known"),
        ({"norm": "batch"}, "give the correlation of two inputs, from 0 to below 1, not None"),
        ({"norm": "batch", "correlation": 1.0}, "not 1.0"),
    ],
)
def test_impossible_streams_are_refused(changed: dict[str, object], said: str) -> None:
    arguments = {"activation": "tanh", "sigma_w": 1.2, "sigma_b": 0.1, "blocks": 3} | changed
    with pytest.raises(TheoryError, match=said):
        propagate_residual(**arguments)  # type: ignore[arg-type]
