"""Five families on one window: density, distribution function, sampler, maximum likelihood.

Each density is g(u)/Z on the window of a ``Support``, u = x + offset, discrete or continuous:

| family | g(u) | parameters |
|---|---|---|
| power_law | u^−alpha | alpha |
| truncated_power_law | u^−alpha e^{−rate u} | alpha, rate ≥ 0 |
| exponential | e^{−rate u} | rate ≥ 0 |
| stretched_exponential | u^{beta−1} e^{−rate u^beta} | beta in [.01, 10], rate ≥ 0 |
| lognormal | u^−1 e^{−(ln u − mu)²/(2 sigma²)} | mu, sigma ≤ 1000 |

Discrete data have P(x) = g(x + offset)/Z with Z the sum over the window's integers, not a rounded
continuous law. All but the first contain a power law as a limit (rate → 0, beta → 0, sigma → ∞): there the
bounds end the search. Definitions as in Clauset, Shalizi and Newman 2009, table 2.1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from quasicrit.errors import FitError
from quasicrit.tails.exponents import power_law_cdf, power_law_exponents, power_law_moments
from quasicrit.tails.quadrature import LOG_FAR, log_edges, log_gauss_nodes, nodes_of, window_log_width
from quasicrit.tails.support import Support

__all__ = ["FAMILIES", "SIGMA_MAX", "Distribution", "DistributionFit", "Family", "fit_distribution"]

FloatArray = NDArray[np.float64]
Family = Literal["power_law", "truncated_power_law", "exponential", "stretched_exponential", "lognormal"]

FAMILIES: dict[str, tuple[str, ...]] = {
    "power_law": ("alpha",),
    "truncated_power_law": ("alpha", "rate"),
    "exponential": ("rate",),
    "stretched_exponential": ("beta", "rate"),
    "lognormal": ("mu", "sigma"),
}
"""The families and the names of their parameters."""

_BETA_RANGE = (0.01, 10.0)
SIGMA_MAX = 1e3
"""Where the search for a lognormal ends: there it is a power law."""
_NEWTON_STEPS = 200
# u/a is clipped here, so that its square does not overflow; no density reaches so far down.
_LARGEST = 1e150
_TABLE = 1 << 13
# Draws end here, below the largest float.
_LARGEST_VALUE = 1e308


@dataclass(frozen=True)
class Distribution:
    """One member of a family on its window.

    Raises FitError for an unknown family, parameters that are not the family's, and a law that cannot be
    normalised on an infinite window.
    """

    family: Family
    support: Support
    parameters: Mapping[str, float]

    def __post_init__(self) -> None:
        if self.family not in FAMILIES:
            raise FitError(f"The family must be one of {', '.join(FAMILIES)}, not {self.family!r}.")
        names = FAMILIES[self.family]
        given = self.parameters
        if set(given) != set(names) or not all(math.isfinite(value) for value in given.values()):
            raise FitError(f"A {self.family} needs finite parameters {', '.join(names)}, not {dict(given)}.")
        if given.get("rate", 0.0) < 0.0 or given.get("sigma", 1.0) <= 0.0 or given.get("beta", 1.0) <= 0.0:
            raise FitError(f"rate must not be negative, beta and sigma must be positive: {dict(given)}.")
        endless = math.isinf(self.support.xmax) and given.get("rate", 0.0) == 0.0 and self.family != "lognormal"
        if endless and given.get("alpha", 0.0) <= 1.0:
            raise FitError(
                f"A {self.family} with {dict(given)} cannot be normalised on an infinite window; give a finite xmax."
            )

    def _log_kernel(self, log_u: FloatArray) -> FloatArray:
        """ln g as a function of ln u."""
        p = self.parameters
        with np.errstate(over="ignore"):
            if self.family == "power_law":
                return -p["alpha"] * log_u
            if self.family == "truncated_power_law":
                return -p["alpha"] * log_u - _product(p["rate"], np.exp(log_u))
            if self.family == "exponential":
                return -_product(p["rate"], np.exp(log_u))
            if self.family == "stretched_exponential":
                return (p["beta"] - 1.0) * log_u - _product(p["rate"], np.exp(p["beta"] * log_u))
            return -log_u - 0.5 * ((log_u - p["mu"]) / p["sigma"]) ** 2

    @cached_property
    def log_normalisation(self) -> float:
        """ln Z, the logarithm of the sum or integral of g over the window."""
        support = self.support
        if self.family == "power_law":
            log_z, _, _ = power_law_moments(
                self.parameters["alpha"], support.xmin, support.xmax, kind=support.kind, offset=support.offset
            )
            return float(log_z)
        nodes = nodes_of(support)
        return float(logsumexp(self._log_kernel(nodes.log_ratio + math.log(support.lower)) + nodes.log_weight))

    def node_shares(self) -> FloatArray:
        """The share of the law at each node of ``quasicrit.tails.quadrature.nodes_of``: Σ shares f(u) is E f."""
        nodes = nodes_of(self.support)
        log_g = self._log_kernel(nodes.log_ratio + math.log(self.support.lower))
        return np.exp(log_g + nodes.log_weight - self.log_normalisation)

    def log_density(self, x: ArrayLike) -> FloatArray:
        """ln p(x), of the shape of x; −inf outside the window, and off the integers for discrete data."""
        points = np.asarray(x, dtype=np.float64)
        support = self.support
        inside = (points >= support.xmin) & (points <= support.xmax)
        if support.discrete:
            inside &= points == np.floor(points)
        u = np.where(inside, points + support.offset, support.lower)
        return np.where(inside, self._log_kernel(np.log(u)) - self.log_normalisation, -np.inf)

    def cdf(self, x: ArrayLike) -> FloatArray:
        """P(X ≤ x), of the shape of x, to about 1e-9."""
        points = np.asarray(x, dtype=np.float64)
        support = self.support
        flat = np.clip(points.ravel(), support.xmin, support.xmax)
        if self.family == "power_law":
            values = power_law_cdf(
                flat,
                self.parameters["alpha"],
                support.xmin,
                support.xmax,
                kind=support.kind,
                offset=support.offset,
            )
        elif support.discrete:
            values = self._discrete_cdf(np.floor(flat))
        else:
            values = self._integral(flat + support.offset, support.lower, support.upper)
        values = np.where(points.ravel() >= support.xmax, 1.0, np.clip(values, 0.0, 1.0))
        return np.where(points.ravel() < support.xmin, 0.0, values).reshape(points.shape)

    def _discrete_cdf(self, x: FloatArray) -> FloatArray:
        support = self.support
        width = support.xmax - support.xmin + 1.0
        table_size = int(min(width, _TABLE))
        u = support.lower + np.arange(table_size)
        table = np.cumsum(np.exp(self._log_kernel(np.log(u)) - self.log_normalisation))
        index = np.minimum(x - support.xmin, table_size - 1.0).astype(np.intp)
        values = table[index]
        far = x - support.xmin > table_size - 0.5
        if far.any():
            # So far out a sum is its midpoint integral to 1e-9.
            start = support.lower + table_size - 0.5
            stop = support.upper + 0.5
            values[far] += self._integral(x[far] + support.offset + 0.5, start, stop)
        return values

    def _integral(self, u: FloatArray, lower: float, upper: float) -> FloatArray:
        """∫ from ``lower`` to ``u`` of g du / Z."""
        log_lower = math.log(lower)
        edges = log_edges(window_log_width(lower, upper))
        s, log_weight = log_gauss_nodes(edges[:-1], edges[1:])
        scale = log_lower - self.log_normalisation
        mass = np.exp(self._log_kernel(s + log_lower) + log_weight + scale).sum(axis=1)
        before = np.concatenate([[0.0], np.cumsum(mass)])
        position = np.clip(np.log1p((u - lower) / lower), 0.0, edges[-1])
        panel = np.clip(np.searchsorted(edges, position, side="right") - 1, 0, edges.size - 2)
        s, log_weight = log_gauss_nodes(edges[panel], position)
        return before[panel] + np.exp(self._log_kernel(s + log_lower) + log_weight + scale).sum(axis=1)

    def sample(self, n: int, rng: np.random.Generator) -> FloatArray:
        """Draw n values, shape (n,), exactly: inverse transform for the continuous power law, else blocks
        by their probability and rejection within a block. Of an infinite window nothing is drawn beyond
        1e300 (xmin + offset) or 1e308.
        """
        support = self.support
        if self.family == "power_law" and not support.discrete:
            return _sample_continuous_power_law(self.parameters["alpha"], support, n, rng)
        values, counts = self.sample_pairs(n, rng)
        drawn = np.repeat(values, counts)
        rng.shuffle(drawn)
        return drawn

    def sample_pairs(self, n: int, rng: np.random.Generator) -> tuple[FloatArray, NDArray[np.int64]]:
        """Draw n values as pairs (value, count), which costs little where values repeat; values may recur."""
        support = self.support
        nodes = nodes_of(support)
        probability = np.bincount(nodes.block, weights=self.node_shares(), minlength=nodes.starts.size)
        counts = rng.multinomial(n, probability / probability.sum())
        single = nodes.steps & (nodes.stops - nodes.starts == 1.0) & (counts > 0)
        values = [support.xmin + nodes.starts[single]]
        repeats = [counts[single]]
        block = np.repeat(np.arange(counts.size), np.where(single, 0, counts))
        if block.size:
            drawn = self._reject(block, nodes.starts, nodes.stops, nodes.steps, rng)
            values.append(drawn)
            repeats.append(np.ones(drawn.size, dtype=counts.dtype))
        return np.concatenate(values), np.concatenate(repeats)

    def _reject(
        self,
        block: NDArray[np.intp],
        starts: FloatArray,
        stops: FloatArray,
        steps: NDArray[np.bool_],
        rng: np.random.Generator,
    ) -> FloatArray:
        """One exact draw inside each given block: uniform proposals in x, accepted with probability g / max
        g."""
        support = self.support
        a = support.lower
        log_a = math.log(a)
        with np.errstate(over="ignore"):
            low = np.where(steps, starts, a * np.expm1(np.where(steps, 0.0, starts)))
            high = np.where(steps, stops, a * np.expm1(np.where(steps, 0.0, stops)))
        low, high = np.minimum(low, _LARGEST_VALUE), np.minimum(high, _LARGEST_VALUE)
        # The kernels have one maximum, so within a block it is at the block's end nearest to the mode.
        last = np.where(steps, high - 1.0, high)
        peak = np.clip(self._mode() - a, low, last)
        log_peak = self._log_kernel(log_a + np.log1p(peak / a))
        drawn = np.empty(block.size)
        waiting = np.arange(block.size)
        while waiting.size:
            where = block[waiting]
            x = low[where] + (high - low)[where] * rng.random(waiting.size)
            x = np.where(steps[where], np.minimum(np.floor(x), last[where]), x)
            log_ratio = self._log_kernel(log_a + np.log1p(x / a)) - log_peak[where]
            accepted = rng.random(waiting.size) < np.exp(np.minimum(log_ratio, 0.0))
            drawn[waiting[accepted]] = x[accepted]
            waiting = waiting[~accepted]
        values = support.xmin + (np.round(drawn) if support.discrete else drawn)
        return np.minimum(values, support.xmax)

    def _mode(self) -> float:
        """The u at which g is largest on (0, ∞)."""
        p = self.parameters
        rate = p.get("rate", 0.0)
        if self.family == "lognormal":
            exponent = p["mu"] - p["sigma"] ** 2
            return math.exp(exponent) if exponent < 700.0 else math.inf
        if self.family == "exponential":
            return 0.0
        if self.family == "stretched_exponential":
            if p["beta"] <= 1.0:
                return 0.0
            return ((p["beta"] - 1.0) / (rate * p["beta"])) ** (1.0 / p["beta"]) if rate > 0.0 else math.inf
        if p["alpha"] >= 0.0:
            return 0.0
        return -p["alpha"] / rate if rate > 0.0 else math.inf


@dataclass(frozen=True)
class DistributionFit:
    """A maximum-likelihood member of a family, ``log_likelihood`` = Σ ln p over ``n`` events."""

    distribution: Distribution
    log_likelihood: float
    n: int


def fit_distribution(
    family: Family, values: ArrayLike, support: Support, counts: ArrayLike | None = None
) -> DistributionFit:
    """Fit a family to values inside ``support`` by maximum likelihood.

    ``values`` of shape (m,), with ``counts`` the number of times each occurs (one each by default). All but
    the stretched exponential are exponential families, of which the log likelihood is concave: a damped
    Newton method ends at the one maximum, on the bound rate = 0 or sigma = 1000 where the gradient points
    outwards. For the stretched exponential this is done inside a search over beta. On the bound rate = 0
    the truncated power law is the power law.

    Raises FitError for values outside the window or all equal.
    """
    x = np.asarray(values, dtype=np.float64)
    weight = np.ones(x.size) if counts is None else np.asarray(counts, dtype=np.float64)
    n = float(weight.sum())
    if x.ndim != 1 or weight.shape != x.shape or n < 1.0:
        raise FitError("A fit needs one column of values, and as many counts if any.")
    if x.min() < support.xmin or x.max() > support.xmax:
        raise FitError(
            f"The values {x.min():g} to {x.max():g} do not lie in the window [{support.xmin:g}, {support.xmax:g}]."
        )
    if x.min() == x.max():
        raise FitError(f"All values are equal to {x[0]:g}, which determines no distribution.")
    share = weight / n
    s = np.log1p((x - support.xmin) / support.lower)
    log_a = math.log(support.lower)
    if family == "power_law":
        parameters = {"alpha": _fit_alpha(s, share, support)}
    elif family == "truncated_power_law":
        alpha, rate = _fit_truncated(s, share, support)
        parameters = {"alpha": alpha, "rate": rate / support.lower}
    elif family == "exponential":
        parameters = {"rate": _fit_rate(s, share, support, 1.0, 0.0)[0] / support.lower}
    elif family == "stretched_exponential":
        beta, rate = _fit_stretched(s, share, support)
        parameters = {"beta": beta, "rate": rate * math.exp(-beta * log_a)}
    elif family == "lognormal":
        mu, sigma = _fit_lognormal(s, share, support)
        parameters = {"mu": mu + log_a, "sigma": sigma}
    else:
        raise FitError(f"The family must be one of {', '.join(FAMILIES)}, not {family!r}.")
    distribution = Distribution(family, support, parameters)
    return DistributionFit(distribution, float(weight @ distribution.log_density(x)), round(n))


def _product(rate: float, growing: FloatArray) -> FloatArray:
    """rate · growing, where 0 · ∞ is 0."""
    return rate * growing if rate > 0.0 else np.zeros_like(growing)


def _fit_alpha(s: FloatArray, share: FloatArray, support: Support) -> float:
    alpha = power_law_exponents(
        1.0,
        share @ s + math.log(support.lower),
        support.xmin,
        support.xmax,
        kind=support.kind,
        offset=support.offset,
    )
    if not math.isfinite(float(alpha)):
        raise FitError(
            f"All events lie at one end of the window [{support.xmin:g}, {support.xmax:g}]; no exponent exists."
        )
    return float(alpha)


def _newton(
    statistics: FloatArray, log_base: FloatArray, target: FloatArray, start: FloatArray, ceiling: float
) -> tuple[FloatArray, float, FloatArray]:
    """Minimise F = ln Σ exp(log_base + theta·T) − theta·target over theta with theta[-1] < ceiling.

    ``statistics`` T has shape (p, m). Returns theta, F and the gradient E[T] − target.
    """

    def state(theta: FloatArray) -> tuple[float, FloatArray]:
        exponent = log_base + theta @ statistics
        top = exponent.max()
        density = np.exp(exponent - top)
        total = density.sum()
        return float(top + math.log(total) - theta @ target), density / total

    theta = start
    value, probability = state(theta)
    gradient = statistics @ probability - target
    for _ in range(_NEWTON_STEPS):
        centred = statistics - (statistics @ probability)[:, np.newaxis]
        curvature = (centred * probability) @ centred.T
        # Statistics that are all but proportional to each other (narrow windows) leave a direction
        # undetermined.
        direction = -np.linalg.lstsq(curvature, gradient, rcond=1e-13)[0]
        decrement = -float(gradient @ direction)
        if not decrement > 1e-17:
            break
        room = (ceiling - theta[-1]) / direction[-1] if direction[-1] > 0.0 else math.inf
        length = min(1.0, 0.95 * room)
        shortest = 1e-12 * length
        while length > shortest:
            trial = theta + length * direction
            trial_value, trial_probability = state(trial)
            if trial_value <= value - 1e-4 * length * decrement + 1e-15 * abs(value):
                break
            length *= 0.5
        else:
            break
        theta, value, probability = trial, trial_value, trial_probability
        gradient = statistics @ probability - target
    return theta, value, gradient


def _fit_rate(s: FloatArray, share: FloatArray, support: Support, beta: float, power: float) -> tuple[float, float]:
    """Fit the rate of (u/a)^power exp(−rate (u/a)^beta), and return it with the minimum of −(mean log
    likelihood)."""
    nodes = nodes_of(support)
    grown = np.expm1(np.minimum(beta * nodes.log_ratio, math.log(_LARGEST)))
    mean = float(share @ np.expm1(np.minimum(beta * s, math.log(_LARGEST))))
    base = nodes.log_weight + power * nodes.log_ratio
    offset = power * float(share @ s)
    if math.isfinite(support.xmax):
        flat = np.exp(base - base.max())
        if flat @ grown / flat.sum() <= mean:
            return 0.0, float(logsumexp(base)) - offset
    # The rate if the window were infinite and steps of size one mattered only at its start; 1/mean without
    # them.
    first = math.expm1(beta * math.log1p(1.0 / support.lower)) if support.discrete else 0.0
    guess = math.log1p(first / mean) / first if first > 1e-12 * mean else 1.0 / mean
    start = np.array([-guess * mean])
    theta, value, _ = _newton((grown / mean)[np.newaxis], base, np.ones(1), start, 0.0)
    return float(-theta[0] / mean), value - offset


def _fit_stretched(s: FloatArray, share: FloatArray, support: Support) -> tuple[float, float]:
    def loss(log_beta: float) -> float:
        beta = math.exp(log_beta)
        return _fit_rate(s, share, support, beta, beta - 1.0)[1]

    grid = np.linspace(math.log(_BETA_RANGE[0]), math.log(_BETA_RANGE[1]), 9)
    best = int(np.argmin([loss(point) for point in grid]))
    bounds = (grid[max(best - 1, 0)], grid[min(best + 1, grid.size - 1)])
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-7})
    beta = math.exp(min((found.x, grid[best]), key=loss))
    return beta, _fit_rate(s, share, support, beta, beta - 1.0)[0]


def _fit_truncated(s: FloatArray, share: FloatArray, support: Support) -> tuple[float, float]:
    alpha = _fit_alpha(s, share, support)
    grown = np.expm1(np.minimum(s, math.log(_LARGEST)))
    mean = float(share @ grown)
    if not math.isinf(support.xmax) or alpha > 2.0:
        # E[u/a] under the power law is a ratio of normalisations; at or below the data's mean no cut-off
        # helps.
        log_z, _, _ = power_law_moments(
            np.array([alpha, alpha - 1.0]),
            support.xmin,
            support.xmax,
            kind=support.kind,
            offset=support.offset,
        )
        if math.exp(log_z[1] - log_z[0] - math.log(support.lower)) - 1.0 <= mean:
            return alpha, 0.0
    nodes = nodes_of(support)
    statistics = np.stack([nodes.log_ratio, np.expm1(np.minimum(nodes.log_ratio, math.log(_LARGEST))) / mean])
    target = np.array([float(share @ s), 1.0])
    start = np.array([-alpha, -mean / float(grown.max())])
    theta, _, _ = _newton(statistics, nodes.log_weight, target, start, 0.0)
    return float(-theta[0]), float(-theta[1] / mean)


def _fit_lognormal(s: FloatArray, share: FloatArray, support: Support) -> tuple[float, float]:
    """mu − ln a and sigma."""
    centre = float(share @ s)
    variance = float(share @ (s - centre) ** 2)
    spread = math.sqrt(variance)
    nodes = nodes_of(support)
    scaled = (nodes.log_ratio - centre) / spread
    base = nodes.log_weight - nodes.log_ratio
    bound = -0.5 * variance / SIGMA_MAX**2
    # With sigma at its bound the law is a power law; where more curvature would not help, that is the
    # maximum.
    edge_base = base + bound * scaled**2
    edge_start = np.array([spread * (1.0 - _fit_alpha(s, share, support))])
    edge, _, _ = _newton(scaled[np.newaxis], edge_base, np.zeros(1), edge_start, math.inf)
    exponent = edge_base + edge[0] * scaled
    density = np.exp(exponent - exponent.max())
    if density @ scaled**2 / density.sum() <= 1.0:
        return float(edge[0]) * SIGMA_MAX**2 / spread + centre, SIGMA_MAX
    statistics = np.stack([scaled, scaled**2])
    start = np.array([edge[0], 2.0 * bound])
    theta, _, _ = _newton(statistics, base, np.array([0.0, 1.0]), start, bound)
    sigma_squared = -0.5 * variance / float(theta[1])
    return float(theta[0]) * sigma_squared / spread + centre, math.sqrt(sigma_squared)


def _sample_continuous_power_law(alpha: float, support: Support, n: int, rng: np.random.Generator) -> FloatArray:
    """Invert the distribution function in s = ln(u/a): exponential of rate alpha − 1, cut at ln(b/a)."""
    kappa = 1.0 - alpha
    uniform = rng.random(n)
    if math.isinf(support.xmax):
        s = np.log1p(-uniform) / kappa
    else:
        width = window_log_width(support.lower, support.upper)
        z = kappa * width
        if abs(z) < 1e-12:
            s = uniform * width
        elif z > 0.0:
            # Measured from the upper end, so that e^z does not overflow.
            s = width + np.log1p(-(1.0 - uniform) * -np.expm1(-z)) / kappa
        else:
            s = np.log1p(uniform * np.expm1(z)) / kappa
    with np.errstate(over="ignore"):
        values = support.xmin + support.lower * np.expm1(np.minimum(s, LOG_FAR))
    return np.minimum(values, min(support.xmax, _LARGEST_VALUE))
