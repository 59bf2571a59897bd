"""Finite width: the drift and the noise of the random walk that ln m of a weak signal performs.

For a weak signal phi is linear on either side of zero, with slopes p_- and p_+, and one layer of N units
gives

    ln m' = ln m + ln sigma_w^2 + ln(X/N),   X = sum_i p(z_i)^2 z_i^2,   z_i ~ N(0, 1),

which is slope^2 chi^2_N for a phi without kink. A relu layer of which no unit is active ends the signal, so
its X is conditional on K >= 1 active units, K ~ Bin(N, 1/2). Widths are in units, depths in layers.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.special import digamma, polygamma, zeta

from quasicrit.errors import TheoryError
from quasicrit.theory.activations import Activation, get_activation

__all__ = [
    "CONTINUITY",
    "LEAST_LAW_WIDTH",
    "critical_window",
    "drift",
    "sigma_c",
    "step_variance",
    "survival_amplitude",
]

_ZETA_HALF = -1.4603545088095868

CONTINUITY = -_ZETA_HALF / float(np.sqrt(2.0 * np.pi))
"""-zeta(1/2)/sqrt(2 pi) = 0.5826: a Gaussian walk watched at integer times meets a barrier as a Brownian
motion
meets one that lies this many step standard deviations further (Siegmund 1985; Chang & Peres 1997)."""

LEAST_LAW_WIDTH = 8
"""Least width whose law of a layer is computed (``layer_law``): with fewer units its transform decays too slowly to be
inverted, and sampling them is cheap."""


def check_width(width: int) -> int:
    """Return ``width`` if it is an integer >= 2, else raise TheoryError."""
    if isinstance(width, bool) or not isinstance(width, (int, np.integer)) or width < 2:
        raise TheoryError(f"width = {width!r} is impossible: it must be a whole number of units, at least 2.")
    return int(width)


@lru_cache(maxsize=4096)
def _log_moments(slope_left: float, slope_right: float, width: int) -> tuple[float, float]:
    """Mean and variance of ln X."""
    if abs(slope_left) == abs(slope_right):
        half = 0.5 * width
        return float(digamma(half) + np.log(2.0 * slope_right**2)), float(polygamma(1, half))
    return _kinked_log_moments(slope_left, slope_right, width)


def _kinked_log_moments(slope_left: float, slope_right: float, width: int) -> tuple[float, float]:
    """Mean and variance of ln X from the Laplace transform of X, which factorises over the units:

        E exp(-t X) = l(t)^N,   l(t) = [(1 + 2 p_-^2 t)^(-1/2) + (1 + 2 p_+^2 t)^(-1/2)]/2.

    With E ~ Exp(1) independent of X, T = E/X has the survival function P(T > t) = E exp(-t X), and
    ln T = ln E - ln X, so that E ln X = psi(1) - E ln T and Var ln X = Var ln T - pi^2/6.
    The density of u = ln T is -d l^N/du: smooth and positive, so that nothing cancels and the trapezoidal
    rule on the whole line converges exponentially. For relu (p_- = 0) l^N falls to 2^-N, the weight of no
    active unit; normalising the density conditions on the rest.
    """
    largest = max(slope_left**2, slope_right**2)
    ratios = np.array([slope_left**2, slope_right**2]) / largest
    # T ~ 1/N; to the left the density falls as exp(u), to the right at least as exp(-u/2) beyond 1/ratio.
    reach = 90.0 - float(np.log(ratios[ratios > 0.0].min()))
    u = np.arange(-np.log(width) - 45.0, reach, 0.05)
    t = np.exp(u)[:, None]
    halves = 0.5 / np.sqrt(1.0 + 2.0 * ratios * t)
    transform = halves.sum(axis=1)
    density = width * transform ** (width - 1) * (halves * ratios * t / (1.0 + 2.0 * ratios * t)).sum(axis=1)
    density /= density.sum()
    mean = float((u * density).sum())
    variance = float(((u - mean) ** 2 * density).sum())
    return float(digamma(1.0) + np.log(largest)) - mean, variance - np.pi**2 / 6.0


def _weak_signal(activation: str | Activation, width: int) -> tuple[float, float]:
    act = get_activation(activation)
    return _log_moments(act.slope_left, act.slope_right, check_width(width))


def sigma_c(activation: str | Activation, width: int) -> float:
    """sigma_c(N), the zero of the drift E ln(m'/m) of a weak signal: ln sigma_c^2 = ln N - E ln X.

    Without a kink it is exp(-[psi(N/2) - ln(N/2)]/2)/phi'(0) = (1 + 1/(2N) + ...)/phi'(0); for relu, with
    E ln X = E[psi(K/2)] + ln 2, it is conditional on at least one active unit.
    Raises TheoryError for an unknown activation or a width below 2.
    """
    return float(np.sqrt(check_width(width) / np.exp(_weak_signal(activation, width)[0])))


def step_variance(activation: str | Activation, width: int) -> float:
    """sigma_1^2 = Var ln(m'/m) of a weak signal: polygamma(1, N/2) = 2/N + ... without a kink.

    For relu E[polygamma(1, K/2)] + Var[psi(K/2)]: the number of active units fluctuates as well.
    """
    return _weak_signal(activation, width)[1]


def drift(activation: str | Activation, width: int, sigma_w: float) -> float:
    """E ln(m'/m) = ln(sigma_w^2/sigma_c(N)^2) of a weak signal, per layer."""
    if not (isinstance(sigma_w, (int, float, np.floating)) and 0.0 < sigma_w < np.inf):
        raise TheoryError(f"sigma_w = {sigma_w!r} is impossible: it must be a finite number above 0.")
    return float(2.0 * np.log(sigma_w / sigma_c(activation, width)))


def critical_window(width: int, depth: int) -> float:
    """1/sqrt(2 N L): how close to sigma_c(N) L layers cannot tell a signal from a critical one.

    There the drift's displacement 2 L dsigma equals the walk's spread sqrt(2 L/N).
    """
    if isinstance(depth, bool) or not isinstance(depth, (int, np.integer)) or depth < 1:
        raise TheoryError(f"depth = {depth!r} is impossible: it must be a whole number of layers, at least 1.")
    return float(1.0 / np.sqrt(2.0 * check_width(width) * depth))


def survival_amplitude(activation: str | Activation, width: int) -> float:
    """lim sqrt(L) P(N, L) for a weak seed at sigma_c(N).

    P is the chance that ln m stays above its start for L layers.

    Sparre Andersen's theorem for a walk S_n with independent steps reads
    sum_L P_L x^L = exp(sum_n x^n P(S_n > 0)/n). With P(S_n > 0) = 1/2 + e_n the 1/2 gives (1 - x)^(-1/2), so
    that sqrt(L) P_L -> pi^(-1/2) exp(sum_n e_n/n). For steps of skewness lambda, e_n = -lambda/(6 sqrt(2 pi
    n)) to first order (Edgeworth), and sum_n n^(-3/2) = zeta(3/2). A step is ln of a mean of N terms y =
    p(z)^2 z^2, whose skewness is lambda = (k3 - 3 k2^2/k1)/(k2^(3/2) sqrt N) to leading order in 1/N, with k
    the cumulants of y. Hence

        sqrt(L) P(N, L) -> pi^(-1/2) exp(-lambda zeta(3/2)/(6 sqrt(2 pi))).

    Without a kink lambda = -sqrt(2/N), and the exponent is zeta(3/2)/(6 sqrt(pi N)) = .24565/sqrt(N). What is
    left out is of order N^(-3/2): 5e-4 of the value at N = 32 (.5892 against the .5895 that the exact P(S_n >
    0) give).
    """
    act = get_activation(activation)
    left, right = act.slope_left**2, act.slope_right**2
    # E y^k = (2k - 1)!! (p_-^2k + p_+^2k)/2
    first, second, third = (
        factor * (left**power + right**power) / 2.0 for power, factor in ((1, 1.0), (2, 3.0), (3, 15.0))
    )
    k2 = second - first**2
    k3 = third - 3.0 * first * second + 2.0 * first**3
    skewness = (k3 - 3.0 * k2**2 / first) / (k2**1.5 * np.sqrt(check_width(width)))
    return float(np.exp(-skewness * zeta(1.5) / (6.0 * np.sqrt(2.0 * np.pi))) / np.sqrt(np.pi))
