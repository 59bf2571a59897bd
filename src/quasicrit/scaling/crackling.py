"""The crackling-noise relation gamma = (tau_d − 1)/(tau_s − 1), with an error bar on the difference."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from quasicrit.errors import FitError
from quasicrit.statistics import cluster_codes, cluster_sums, cluster_weights, percentile_interval
from quasicrit.tails import power_law_exponents

__all__ = ["Crackling", "Estimate", "crackling", "default_window", "log_bins", "relation_holds"]

#: Fewest events in the window for which exponents are given, and fewest in a bin of the regression.
MIN_EVENTS = 50
MIN_PER_BIN = 10

#: The default window ends at this quantile of the durations, and starts at the first of these that leaves it
#: an octave: the discreteness of time biases exponents of a few steps, but noise has no others.
_QUANTILE = 0.99
_SHORTEST = (4, 2)


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval."""

    value: float
    ci_low: float
    ci_high: float


@dataclass(frozen=True)
class Crackling:
    """Exponents of one window of durations, by a joint bootstrap over clusters.

    ``difference`` = gamma − gamma_predicted, gamma_predicted = (tau_d − 1)/(tau_s − 1). ``holds``: True if the
    interval of the difference lies within ± ``tolerance``, False if it excludes 0 and |difference| > ``tolerance``,
    else None (undecided). ``samples``: (resamples, 3), tau_s, tau_d and gamma.
    """

    tau_s: Estimate
    tau_d: Estimate
    gamma: Estimate
    gamma_predicted: Estimate
    difference: Estimate
    holds: bool | None
    window: tuple[int, int]
    size_window: tuple[float, float]
    n_events: int
    n_sizes: int
    n_clusters: int
    samples: np.ndarray

    @property
    def covariance(self) -> np.ndarray:
        """Of (tau_s, tau_d, gamma), shape (3, 3), from the same resamples."""
        return np.asarray(np.cov(self.samples, rowvar=False))


def log_bins(low: int, high: int, per_octave: int = 4) -> np.ndarray:
    """Integer bin edges from ``low`` to ``high`` + 1, about ``per_octave`` per doubling: bin k is [e_k, e_{k+1})."""
    count = max(2, round(per_octave * math.log2((high + 1) / low)) + 1)
    edges = np.unique(np.round(np.geomspace(low, high + 1, count)).astype(np.int64))
    return edges


def default_window(duration: np.ndarray) -> tuple[int, int]:
    """From 4 (or else 2) to the 99th percentile of the durations; raises FitError where it is no octave."""
    high = math.floor(np.quantile(duration, _QUANTILE))
    for low in _SHORTEST:
        if high >= 2 * low:
            return low, high
    raise FitError(
        f"the 99th percentile of the durations is {high}, and a default window needs {2 * _SHORTEST[-1]}; "
        "give a window, or events that last longer"
    )


def crackling(
    size: np.ndarray,
    duration: np.ndarray,
    clusters: np.ndarray,
    *,
    window: tuple[int, int],
    rng: np.random.Generator,
    offset: float = 0.5,
    step_sd: float | None = None,
    n_resamples: int = 400,
    tolerance: float = 0.1,
) -> Crackling:
    """Fit tau_d, tau_s and gamma in one window and compare gamma with its prediction.

    tau_d: maximum likelihood of P(d) ∝ (d + offset)^−tau on the integers of ``window``. gamma: least squares of
    ln⟨s|d⟩ on ln(d + offset) over logarithmic bins, each with the same weight (durations carry no error, so that there is
    none in x for total least squares to mend). tau_s: maximum likelihood of P(s) ∝ s^−tau, discrete if all sizes are
    whole numbers and else continuous, between the sizes that belong to the window's ends: √(π/8) sigma_1 (d + offset)^{3/2} (the mean area
    of a Brownian excursion) when ``step_sd`` = sigma_1 is given, else the regression line at the ends.
    ``size``, ``duration``, ``clusters``: arrays (events,) of uncensored events. Errors: ``n_resamples`` bootstrap resamples of
    the clusters, the same for all three exponents, so that the difference has its covariance.

    Raises FitError for values that are not positive and finite, fewer than two clusters, or too few events.
    """
    size, duration = np.asarray(size, np.float64), np.asarray(duration, np.float64)
    if not len(size) == len(duration) == len(clusters):
        raise FitError(f"size ({len(size)}), duration ({len(duration)}) and cluster ({len(clusters)}) differ in length")
    if not (np.isfinite(size).all() and (size > 0).all()):
        raise FitError("every size must be a finite number above 0; leave out censored or empty events")
    if not (np.isfinite(duration).all() and (duration >= 1).all() and (duration == np.round(duration)).all()):
        raise FitError("every duration must be a whole number of at least 1")
    if not (math.isfinite(offset) and offset > -1):
        raise FitError(f"offset = {offset:g} is impossible; durations start at 1, so it must be finite and above -1")
    low, high = window
    if not 1 <= low < high:
        raise FitError(f"the window [{low}, {high}] must rise and start at 1 or more")
    codes, n_clusters = cluster_codes(clusters)
    inside = (duration >= low) & (duration <= high)
    n_events = int(inside.sum())
    if n_events < MIN_EVENTS:
        raise FitError(f"only {n_events} events last {low} to {high}; at least {MIN_EVENTS} are needed for exponents")
    d, s, k = duration[inside], size[inside], codes[inside]
    log_d = np.log(d + offset)
    edges = log_bins(low, high)
    column = np.searchsorted(edges, d, side="right") - 1
    counts = np.bincount(column, minlength=len(edges) - 1)
    good = np.nonzero(counts >= MIN_PER_BIN)[0]
    if len(good) < 3:
        raise FitError(
            f"only {len(good)} duration bins between {low} and {high} hold {MIN_PER_BIN} events; gamma needs 3 of them"
        )
    flat = k * (len(edges) - 1) + column
    shape = (n_clusters, len(edges) - 1)
    by_bin = [
        np.bincount(flat, weights=w, minlength=shape[0] * shape[1]).reshape(shape)[:, good] for w in (None, log_d, s)
    ]
    weights = np.vstack([np.ones(n_clusters), cluster_weights(n_clusters, n_resamples, rng)])
    n_bin, x_bin, s_bin = (weights @ sums for sums in by_bin)
    with np.errstate(divide="ignore", invalid="ignore"):
        x, y = x_bin / n_bin, np.log(s_bin / n_bin)
    gamma, intercept = _lines(x, y)
    if step_sd is not None:
        amplitude = math.sqrt(math.pi / 8) * step_sd
        ends = tuple(float(amplitude * (end + offset) ** 1.5) for end in window)
    else:
        ends = tuple(float(np.exp(intercept[0] + gamma[0] * np.log(end + offset))) for end in window)
    # Whole sizes (counts) have a discrete law: a continuous one between ends that fall between two of them is wrong
    # by a jump whenever an end crosses a whole number.
    kind: Literal["discrete", "continuous"] = "continuous"
    if (size == np.round(size)).all():
        kind, ends = "discrete", (math.ceil(ends[0]), math.floor(ends[1]))
    if not ends[0] < ends[1]:
        raise FitError(
            "the mean size does not grow with duration in the window, so that no range of sizes belongs to it"
        )
    chosen = (size >= ends[0]) & (size <= ends[1])
    n_sizes = int(chosen.sum())
    if n_sizes < MIN_EVENTS:
        raise FitError(f"only {n_sizes} sizes lie between {ends[0]:.3g} and {ends[1]:.3g}; {MIN_EVENTS} are needed")
    n_d, log_sums_d = (weights @ cluster_sums(k, v, n_clusters) for v in (np.ones(n_events), log_d))
    n_s, log_sums_s = (
        weights @ cluster_sums(codes[chosen], v, n_clusters) for v in (np.ones(n_sizes), np.log(size[chosen]))
    )
    tau_d = power_law_exponents(n_d, log_sums_d, low, high, kind="discrete", offset=offset)
    tau_s = power_law_exponents(n_s, log_sums_s, ends[0], ends[1], kind=kind)
    predicted = (tau_d - 1) / (tau_s - 1)
    difference = gamma - predicted
    gap = _estimate(difference)
    return Crackling(
        tau_s=_estimate(tau_s),
        tau_d=_estimate(tau_d),
        gamma=_estimate(gamma),
        gamma_predicted=_estimate(predicted),
        difference=gap,
        holds=relation_holds(gap, tolerance),
        window=(low, high),
        size_window=(ends[0], ends[1]),
        n_events=n_events,
        n_sizes=n_sizes,
        n_clusters=len(np.unique(k)),
        samples=np.column_stack([tau_s, tau_d, gamma])[1:],
    )


def _lines(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Slopes and intercepts of the least-squares lines through the finite points of each row."""
    use = np.isfinite(x) & np.isfinite(y)
    n = use.sum(1)
    x0, y0 = np.where(use, x, 0.0), np.where(use, y, 0.0)
    mx, my = x0.sum(1) / n, y0.sum(1) / n
    dx = np.where(use, x0 - mx[:, None], 0.0)
    slope = (dx * (y0 - my[:, None])).sum(1) / (dx * dx).sum(1)
    return slope, my - slope * mx


def _estimate(values: np.ndarray) -> Estimate:
    """The first value is the data's, the others are resamples."""
    low, high = percentile_interval(values[1:])
    return Estimate(float(values[0]), float(low), float(high))


def relation_holds(gap: Estimate, tolerance: float) -> bool | None:
    """True if the interval of the difference lies within ± ``tolerance``; False if it excludes 0 and the difference exceeds
    ``tolerance``; None, undecided, in between (small data end here).
    """
    if -tolerance <= gap.ci_low and gap.ci_high <= tolerance:
        return True
    if abs(gap.value) > tolerance and (gap.ci_low > 0 or gap.ci_high < 0):
        return False
    return None
