"""Activation functions, and expectations of functions of them over Gaussian pre-activations.

A further activation is one more entry in ``ACTIVATIONS``: everything else in this room follows from it
by quadrature. It must be smooth on either side of zero (a kink may sit at zero only) and keep its sign on
either side, as all of the entries do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import erf, expit, ndtr

from quasicrit.errors import TheoryError

__all__ = [
    "ACTIVATIONS",
    "LEAKY_SLOPE",
    "Activation",
    "Moments",
    "gaussian_means",
    "get_activation",
    "half_line_nodes",
    "moments",
]

Floats = NDArray[np.float64]

LEAKY_SLOPE = 0.01
"""Slope of leaky relu for negative arguments, the default of the common deep-learning libraries."""

_PDF = 1.0 / np.sqrt(2.0 * np.pi)


@dataclass(frozen=True)
class Activation:
    """One activation function phi.

    ``phi`` and ``dphi`` (its derivative) map arrays to arrays of the same shape. ``slope_left`` and
    ``slope_right`` are phi'(0-) and phi'(0+): they rule weak signals, and differ where phi has a kink.
    ``odd``: phi(-x) = -phi(x). ``saturating``: phi is bounded, so that a signal has a ceiling (only then can
    the avalanche protocols T and F be used, and has the susceptibility a ridge).
    ``homogeneous``: phi(a x) = a phi(x) for a > 0, so that phi has no scale of its own.
    """

    name: str
    phi: Callable[[Floats], Floats]
    dphi: Callable[[Floats], Floats]
    slope_left: float
    slope_right: float
    odd: bool
    saturating: bool
    homogeneous: bool

    @property
    def gain(self) -> float:
        """(phi'(0-)^2 + phi'(0+)^2)/2: a weak signal's mean square grows by sigma_w^2 times this."""
        return (self.slope_left**2 + self.slope_right**2) / 2.0

    @property
    def slope(self) -> float:
        """Root of the gain; phi'(0) where there is no kink."""
        return float(np.sqrt(self.gain))


def _dtanh(x: Floats) -> Floats:
    return 1.0 - np.tanh(x) ** 2


def _derf(x: Floats) -> Floats:
    return 2.0 / np.sqrt(np.pi) * np.exp(-x * x)


def _relu(x: Floats) -> Floats:
    return np.maximum(x, 0.0)


def _drelu(x: Floats) -> Floats:
    return np.where(x > 0.0, 1.0, 0.0)


def _leaky_relu(x: Floats) -> Floats:
    return np.where(x > 0.0, x, LEAKY_SLOPE * x)


def _dleaky_relu(x: Floats) -> Floats:
    return np.where(x > 0.0, 1.0, LEAKY_SLOPE)


def _gelu(x: Floats) -> Floats:
    return x * ndtr(x)


def _dgelu(x: Floats) -> Floats:
    return ndtr(x) + x * _PDF * np.exp(-0.5 * x * x)


def _silu(x: Floats) -> Floats:
    return x * expit(x)


def _dsilu(x: Floats) -> Floats:
    gate = expit(x)
    return gate * (1.0 + x * (1.0 - gate))


def _linear(x: Floats) -> Floats:
    return x


def _entry(
    name: str,
    phi: Callable[[Floats], Floats],
    dphi: Callable[[Floats], Floats],
    slopes: tuple[float, float],
    *,
    odd: bool = False,
    saturating: bool = False,
    homogeneous: bool = False,
) -> Activation:
    return Activation(name, phi, dphi, slopes[0], slopes[1], odd, saturating, homogeneous)


_ERF_SLOPE = 2.0 / float(np.sqrt(np.pi))

ACTIVATIONS: dict[str, Activation] = {
    entry.name: entry
    for entry in (
        _entry("tanh", np.tanh, _dtanh, (1.0, 1.0), odd=True, saturating=True),
        _entry("erf", erf, _derf, (_ERF_SLOPE, _ERF_SLOPE), odd=True, saturating=True),
        _entry("relu", _relu, _drelu, (0.0, 1.0), homogeneous=True),
        _entry("leaky_relu", _leaky_relu, _dleaky_relu, (LEAKY_SLOPE, 1.0), homogeneous=True),
        _entry("gelu", _gelu, _dgelu, (0.5, 0.5)),
        _entry("silu", _silu, _dsilu, (0.5, 0.5)),
        _entry("linear", _linear, np.ones_like, (1.0, 1.0), odd=True, homogeneous=True),
    )
}


def get_activation(activation: str | Activation) -> Activation:
    """Return the entry of ``ACTIVATIONS`` of that name; an ``Activation`` is returned as it is.

    Raises TheoryError for a name that is not in the registry.
    """
    if isinstance(activation, Activation):
        return activation
    if not isinstance(activation, str) or activation not in ACTIVATIONS:
        raise TheoryError(f"activation {activation!r} is not known: choose one of {', '.join(ACTIVATIONS)}.")
    return ACTIVATIONS[activation]


# Quadrature -----------------------------------------------------------------------------------------------
#
# phi(s z) with s = sqrt(q) varies on the scale min(1, 1/s) near z = 0 and may have a kink there, so each half
# line has composite Gauss-Legendre panels of its own, which for larger s are halved towards zero. A
# tier holds the panels for s up to 2 * 8^tier. The tier follows from each q alone, so a value does not depend
# on which others are computed in the same call.

_PANEL_NODES = 12
_EDGES = (0.0, 0.6, 1.2, 2.0, 3.0, 4.3, 6.2, 9.0)  # the mass beyond 9 is 2e-19
_LAST_TIER = 12
_CHUNK = 1 << 16


@cache
def half_line_nodes(tier: int) -> tuple[Floats, Floats]:
    """Nodes z > 0 and plain weights of the composite rule for integrals dz over (0, 9), in tier ``tier``."""
    halvings = [_EDGES[1] / 2.0**power for power in range(3 * tier, 0, -1)]
    edges = np.array([_EDGES[0], *halvings, *_EDGES[1:]])
    nodes, weights = np.polynomial.legendre.leggauss(_PANEL_NODES)
    half_widths = np.diff(edges)[:, None] / 2.0
    z = (edges[:-1, None] + half_widths * (1.0 + nodes)).ravel()
    return z, (half_widths * weights).ravel()


@cache
def _gaussian_nodes(tier: int, odd: bool) -> tuple[Floats, Floats]:
    """Nodes and weights of E f(z); over the half line, doubled, when f is known to be even (phi odd)."""
    z, weights = half_line_nodes(tier)
    weights = weights * _PDF * np.exp(-0.5 * z * z)
    if odd:
        return z, 2.0 * weights
    return np.concatenate([z, -z]), np.concatenate([weights, weights])


def quadrature_tier(s: ArrayLike) -> NDArray[np.int64]:
    """The tier whose panels resolve the scale 1/s."""
    tier = np.ceil(np.log2(np.maximum(np.asarray(s, dtype=float), 2.0) / 2.0) / 3.0)
    return np.minimum(tier, _LAST_TIER).astype(np.int64)


def gaussian_means(integrands: Callable[[Floats], tuple[Floats, ...]], q: ArrayLike, *, even: bool = False) -> Floats:
    """E f_k(sqrt(q) z), z ~ N(0, 1), for several f_k at once.

    ``integrands`` maps x (any shape) to a tuple of K arrays f_k(x) of that shape; f_k must be smooth on
    either side of zero. ``q`` has any shape, entries >= 0 and finite. ``even``: every f_k is even, which
    halves the work. Returns shape (K, *q.shape). The relative error is below 1e-12 for the moments of the
    entries of ``ACTIVATIONS`` at q in [1e-12, 1e4] (Gauss-Hermite errs by 3e-3 on E abs(tanh z), because of
    the kink).
    """
    q = np.asarray(q, dtype=float)
    s = np.sqrt(q).ravel()
    tiers = quadrature_tier(s)
    result: Floats | None = None
    for tier in np.unique(tiers):
        z, weights = _gaussian_nodes(int(tier), even)
        where = np.flatnonzero(tiers == tier)
        rows = max(1, _CHUNK // z.size)
        for start in range(0, where.size, rows):
            part = where[start : start + rows]
            values = integrands(s[part, None] * z)
            if result is None:
                result = np.empty((len(values), s.size))
            for k, value in enumerate(values):
                # A plain sum, not a matrix product: its rounding does not depend on the other rows.
                result[k, part] = (value * weights).sum(axis=-1)
    if result is None:  # an empty q
        result = np.empty((len(integrands(np.empty((0, 1)))), 0))
    return result.reshape(result.shape[0], *q.shape)


@dataclass(frozen=True)
class Moments:
    """Gaussian moments of phi at pre-activation variance q; each field has the shape of q.

    ``mean_square`` M = E phi(sqrt(q) z)^2; ``mean_square_slope`` dM/dq = E[phi phi' x]/q;
    ``slope_square`` E phi'(sqrt(q) z)^2; ``mean_abs`` A = E abs(phi); ``mean_abs_slope``
    dA/dq = E[sign(phi) phi' x]/(2q), with x = sqrt(q) z (integration by parts in q, exact with kinks at
    zero).
    """

    mean_square: Floats
    mean_square_slope: Floats
    slope_square: Floats
    mean_abs: Floats
    mean_abs_slope: Floats


def moments(activation: str | Activation, q: ArrayLike) -> Moments:
    """The Gaussian moments of ``activation`` at each variance ``q`` >= 0 (any shape).

    At q = 0 the limits are given: M = A = 0, dM/dq = E phi'^2 = gain, dA/dq = infinity.
    """
    act = get_activation(activation)
    q = np.asarray(q, dtype=float)

    def integrands(x: Floats) -> tuple[Floats, ...]:
        phi, dphi = act.phi(x), act.dphi(x)
        tilt = dphi * x
        return phi * phi, phi * tilt, dphi * dphi, np.abs(phi), np.sign(phi) * tilt

    square, square_tilt, slope_square, absolute, abs_tilt = gaussian_means(integrands, q, even=act.odd)
    with np.errstate(divide="ignore", invalid="ignore"):
        return Moments(
            mean_square=square,
            mean_square_slope=np.where(q > 0.0, square_tilt / q, act.gain),
            slope_square=np.where(q > 0.0, slope_square, act.gain),
            mean_abs=absolute,
            mean_abs_slope=np.where(q > 0.0, abs_tilt / (2.0 * q), np.inf),
        )
