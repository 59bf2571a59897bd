"""Mean-field theory of residual networks at initialisation, at infinite width.

Block b adds a scaled branch to the stream, x_b = x_{b-1} + alpha F(x_{b-1}), b = 1 ... B, with phi before each weight
(He et al. 2016, arXiv:1603.05027): F(x) = W phi(x) + v, or F(x) = W2 phi(W1 phi(x) + v1) + v2, and so on; W_ij ~
N(0, sigma_w^2/fan-in), v_i ~ N(0, sigma_b^2). Weights are independent of what enters the block and have mean zero, so that no
cross term of stream and branch is left in the mean, and with V(q) the variance of the branch's output

    q_b = q_{b-1} + alpha^2 V(q_{b-1})                       mean square of the stream per unit
    V(q) = sigma_w^2 M(q) + sigma_b^2                        (one layer; k layers: applied k times)
    J^2_b = 1 + alpha^2 chi,  chi = prod sigma_w^2 E phi'^2  mean squared singular value of dx_b/dx_{b-1}

where the product runs over the layers of the branch, each at the variance of its own input, and the covariance of two inputs
obeys the first line with E phi(u) phi(v) in place of M (Yang & Schoenholz 2017, arXiv:1712.08969). The stream only grows: as a
power of b for bounded phi, exponentially for relu at alpha = 1, and by a bounded factor at alpha = 1/sqrt(B) (Hayou et al. 2021,
arXiv:2010.12859).

A norm in front of every phi makes V independent of q, so that q_b grows linearly and gradients as a power of b (De & Smith 2020,
arXiv:2002.10444). ``norm="layer"`` divides by the root of the mean square over the units, phi(x/sqrt q); this is exact at infinite
width for norms over units (layer norm, RMS norm). ``norm="batch"`` subtracts from each unit its mean over the batch as well, here
an infinite batch whose inputs all have the same correlation c: it divides by the root of u = q(1 - c), and the normalised inputs
of different samples are uncorrelated. Approximate for a real batch norm are: a finite batch of n samples (corrections of order
1/n; the gradient through its mean and variance is left out), and unequal correlations (classes) in it. For odd phi and c_0 = 0
both norms are the same; for relu the gradient's power differs, 1 for layer norm and pi/(pi - 1) for batch norm, the rate that Yang et
al. 2019 (arXiv:1902.08129) found per layer without residual branches.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from quasicrit.errors import TheoryError
from quasicrit.theory.activations import Activation, get_activation, moments
from quasicrit.theory.mean_field import pair_mean, scalar_parameter

__all__ = ["ResidualNorm", "ResidualTrajectory", "propagate_residual"]

Floats = NDArray[np.float64]
ResidualNorm = Literal["layer", "batch"]

_LOG_CEILING = 200.0 * float(np.log(10.0))
"""ln q from which on only ratios to q are formed, with moments at this q: what does not scale with q is < 1e-100 of it there."""

_PAIR_CEILING = 1e8
"""From this variance on gelu and silu are relu in means over pairs, which saves time: they differ from it at abs(x) < 10 only, where
a share q^(-1/2) of the units lies. The relative error of 1 - c is of order 1/(q sqrt(1 - c))."""

_FAR = 1e3
"""An argument at which phi has its slope of large arguments."""


@dataclass(frozen=True)
class ResidualTrajectory:
    """A stream followed through B blocks. All numbers are dimensionless.

    ``log_q``, shape (B+1,): ln of the mean square per unit of x_0 ... x_B. ``log_q_slope``, (B+1,): d ln q_b/dsigma_w at fixed q_0.
    ``m``, ``m_slope``, (B+1,): mean square activation M(q_b) that a readout of phi(x_b) sees and dm_b/dsigma_w; behind a norm it is
    M(1), with slope 0; infinite above 1e200. ``jacobian``, (B,): J^2_b of blocks 1 ... B. ``deficit``, (B+1,): 1 - c_b of two
    inputs, None unless their correlation was given.
    """

    log_q: Floats
    log_q_slope: Floats
    m: Floats
    m_slope: Floats
    jacobian: Floats
    deficit: Floats | None

    @property
    def q(self) -> Floats:
        """q_0 ... q_B, shape (B+1,); infinite where no double holds it."""
        with np.errstate(over="ignore"):
            return np.exp(self.log_q)

    @property
    def log_growth(self) -> float:
        """ln(q_B/q_0)."""
        return float(self.log_q[-1] - self.log_q[0])

    @property
    def log_jacobian(self) -> float:
        """ln J^2 of the whole stream, the sum over blocks of ln J^2_b: growth of squared gradients from end to start."""
        return float(np.log(self.jacobian).sum())

    @property
    def correlation(self) -> Floats | None:
        """c_0 ... c_B, shape (B+1,), of two inputs; None unless their correlation was given."""
        return None if self.deficit is None else 1.0 - self.deficit

    @property
    def correlation_slope(self) -> Floats:
        """Slope dc_b/dc_{b-1} at c = 1, shape (B,): J^2_b q_{b-1}/q_b, what a small 1 - c is multiplied by in block b.

        Below 1 an input and its slightly changed copy draw together, above 1 they part. With batch norm the copy is one that is
        normalised by the statistics of the batch without being counted in them.
        """
        return self.jacobian * np.exp(-np.diff(self.log_q))


@dataclass(frozen=True)
class _Signal:
    """What enters a layer: variance, its derivative by sigma_w, u = variance (1 - c) of two inputs, chi of the layers before."""

    variance: float
    slope: float
    distance: float
    chi: float


def propagate_residual(
    activation: str | Activation,
    sigma_w: float,
    sigma_b: float,
    blocks: int,
    *,
    scale: float = 1.0,
    branch_layers: int = 1,
    q0: float = 1.0,
    correlation: float | None = None,
    norm: ResidualNorm | None = None,
) -> ResidualTrajectory:
    """Follow a stream of mean square ``q0`` through ``blocks`` blocks x -> x + scale F(x) of ``branch_layers`` layers each.

    ``correlation`` c_0 in [0, 1]: follow the correlation of two inputs as well. ``norm``: a norm before every phi; "batch" needs
    ``correlation``, that of any two inputs of the batch, below 1. Equations and sources are in the module's docstring; derivatives
    by sigma_w are those of the map, exactly.

    Raises TheoryError for an unknown activation or norm, and unless 0 < sigma_w <= 1e4, 0 <= sigma_b <= 1e4, 0 < scale <= 1e4,
    0 < q0 <= 1e8, and blocks and branch_layers are whole numbers from 1.
    """
    act = get_activation(activation)
    w, b = scalar_parameter("sigma_w", sigma_w), scalar_parameter("sigma_b", sigma_b)
    start = scalar_parameter("q0", q0, largest=1e8)
    strength = scalar_parameter("scale", scale) ** 2
    blocks, layers = _count("blocks", blocks), _count("branch_layers", branch_layers)
    if norm is not None and norm not in get_args(ResidualNorm):
        raise TheoryError(f"norm {norm!r} is not known: choose one of {', '.join(get_args(ResidualNorm))}, or None.")
    if correlation is not None and not 0.0 <= correlation <= 1.0:
        raise TheoryError(f"correlation = {correlation} is impossible: it must lie between 0 and 1.")
    if norm == "batch" and (correlation is None or correlation == 1.0):
        raise TheoryError(
            f"batch norm divides by what differs within the batch: give the correlation of two inputs, from 0 to below 1, "
            f"not {correlation}."
        )
    layer = _Layer(act, w, b, norm, follow=correlation is not None)
    log_q, log_q_slope, deficit = np.empty(blocks + 1), np.zeros(blocks + 1), np.empty(blocks + 1)
    jacobian = np.empty(blocks)
    log_q[0], deficit[0] = np.log(start), 0.0 if correlation is None else 1.0 - correlation
    for block in range(blocks):
        q = float(np.exp(min(log_q[block], _LOG_CEILING)))
        signal = _Signal(q, log_q_slope[block] * q, deficit[block] * q, 1.0)
        for _ in range(layers):
            signal = layer(signal)
        growth = 1.0 + strength * signal.variance / q
        log_q[block + 1] = log_q[block] + np.log1p(strength * signal.variance / q)
        log_q_slope[block + 1] = (log_q_slope[block] + strength * signal.slope / q) / growth
        deficit[block + 1] = (deficit[block] + strength * signal.distance / q) / growth
        jacobian[block] = 1.0 + strength * signal.chi
    m, m_slope = _readout(act, log_q, log_q_slope, norm)
    return ResidualTrajectory(log_q, log_q_slope, m, m_slope, jacobian, None if correlation is None else deficit)


class _Layer:
    """One layer of a branch, signal in, signal out: norm (if any), phi, weights and biases."""

    def __init__(self, activation: Activation, w: float, b: float, norm: ResidualNorm | None, *, follow: bool) -> None:
        self._activation, self._w2, self._b2, self._norm, self._follow = activation, w * w, b * b, norm, follow
        self._w = w
        self._ceiling = 0.0 if activation.homogeneous else np.inf if activation.saturating else _PAIR_CEILING
        self._far_left, self._far_right = (float(activation.dphi(np.array(x))) for x in (-_FAR, _FAR))
        self._unit = moments(activation, 1.0)
        self._apart = self._pair_distance(1.0, 1.0) if norm == "batch" else np.nan

    def __call__(self, signal: _Signal) -> _Signal:
        values = self._unit if self._norm else moments(self._activation, signal.variance)
        m, slope_square = float(values.mean_square), float(values.slope_square)
        if self._norm == "batch":
            divisor, slope, distance = signal.distance, 0.0, self._apart
        elif self._norm == "layer":
            divisor, slope = signal.variance, 0.0
            distance = self._pair_distance(1.0, signal.distance / signal.variance) if self._follow else 0.0
        else:
            divisor, slope = 1.0, float(values.mean_square_slope) * signal.slope
            deficit = signal.distance / signal.variance
            distance = self._pair_distance(signal.variance, deficit) if self._follow else 0.0
        return _Signal(
            variance=self._w2 * m + self._b2,
            slope=2.0 * self._w * m + self._w2 * slope,
            distance=self._w2 * distance,
            chi=signal.chi * self._w2 * slope_square / divisor,
        )

    def _pair_distance(self, q: float, deficit: float) -> float:
        """E (phi(u) - phi(v))^2/2 = M(q) - E phi(u) phi(v) for u, v ~ N(0, q) of correlation 1 - deficit."""
        act, deficit = self._activation, min(deficit, 1.0)
        if q > self._ceiling:
            return q * pair_mean(lambda u, v: (self._far(u) - self._far(v)) ** 2, 1.0, deficit, even=act.odd) / 2.0
        return pair_mean(lambda u, v: (act.phi(u) - act.phi(v)) ** 2, q, deficit, even=act.odd) / 2.0

    def _far(self, x: Floats) -> Floats:
        """phi as large arguments see it; the same everywhere if phi is homogeneous."""
        return np.where(x > 0.0, self._far_right, self._far_left) * x


def _readout(
    activation: Activation, log_q: Floats, log_q_slope: Floats, norm: ResidualNorm | None
) -> tuple[Floats, Floats]:
    """M(q_b) and its derivative by sigma_w."""
    if norm:
        return np.full(log_q.shape, float(moments(activation, 1.0).mean_square)), np.zeros(log_q.shape)
    grown = log_q > _LOG_CEILING
    q = np.exp(np.minimum(log_q, _LOG_CEILING))
    values = moments(activation, q)
    return (
        np.where(grown, np.inf, values.mean_square),
        np.where(grown, np.inf, values.mean_square_slope * log_q_slope * q),
    )


def _count(name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise TheoryError(f"{name} = {value!r} is impossible: it must be a whole number, at least 1.")
    return int(value)
