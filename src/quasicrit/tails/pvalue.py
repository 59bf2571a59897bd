"""Is a power law a possible origin of the data? p-values that refit, repeat the search, and respect clusters.

- **Independent events** (Clauset et al. 2009, section 4): data sets are drawn from the fitted law, each is
  fitted again, and p is the share whose Kolmogorov–Smirnov distance is at least that of the data. When xmin
  was searched, each data set keeps the observed events below xmin (drawn with replacement) and repeats the
  search: selection is part of the null.
- **Clusters, given window** (Babu and Rao 2004): the bootstrap over clusters gives the distribution of sup
  |(F* − F(alpha*)) − (F_n − F(alpha))|, the centred process with its refit, and p is the share at least as
  large as sup |F_n − F(alpha)|. Nothing is assumed about the dependence inside a cluster. Evaluated at up
  to 256 quantiles.
- **Clusters, searched xmin**: a centred process does not exist, because the window moves. The number of
  events is divided by the design effect of F_n − F(alpha) at the chosen window, mean cluster variance over
  mean independent variance (at least 1; Kish 1965), and the first procedure is used with that many events.

p = (1 + number as large)/(1 + resamples) (Davison and Hinkley 1997, 4.2.5).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quasicrit.errors import FitError
from quasicrit.statistics import cluster_sums, cluster_weights
from quasicrit.tails.distributions import Distribution
from quasicrit.tails.exponents import power_law_cdf, power_law_exponents, power_law_moments
from quasicrit.tails.fit import PowerLawFit
from quasicrit.tails.ranges import ks_distance, ks_distances, search_pairs
from quasicrit.tails.support import MIN_EVENTS, Events, Support, select_events

__all__ = ["design_effect", "p_value"]

FloatArray = NDArray[np.float64]

_GRID = 256
_VALUES_AT_ONCE = 1 << 21
# Data sets on so few values in all are compared with the law on all of them, in one array.
_SHARED_VALUES = 10_000


def p_value(
    values: ArrayLike,
    fit: PowerLawFit,
    *,
    clusters: ArrayLike | None = None,
    searched: bool = False,
    n_resamples: int = 200,
    rng: np.random.Generator,
) -> float:
    """The p-value of the Kolmogorov–Smirnov distance of ``fit``; small means that the law is not the origin.

    ``values``, shape (n,), are all the data that were given to the fit. ``searched`` says that xmin came from
    ``search_xmin`` on them. ``clusters`` as for ``fit_power_law``. Its smallest value is 1/(n_resamples + 1).

    Raises FitError as ``select_events`` does.
    """
    if n_resamples < 1:
        raise FitError(f"The number of resamples of a p-value must be at least 1, not {n_resamples}.")
    events = select_events(values, kind=fit.kind, xmin=fit.xmin, xmax=fit.xmax, offset=fit.offset, clusters=clusters)
    if clusters is not None and not searched:
        return _clustered(events, fit, n_resamples, rng)
    effect = design_effect(events, fit.exponent) if clusters is not None else 1.0
    data = np.asarray(values, dtype=np.float64)
    # Without a search what lies below the window plays no part.
    body, repeats = np.unique(data[data < fit.xmin] if searched else data[:0], return_counts=True)
    below = (body, repeats.astype(np.float64))
    return _parametric(below, events.values.size, effect, fit, searched, n_resamples, rng)


def _parametric(
    below: tuple[FloatArray, FloatArray],
    n_tail: int,
    effect: float,
    fit: PowerLawFit,
    searched: bool,
    n_resamples: int,
    rng: np.random.Generator,
) -> float:
    support = fit.support
    law = Distribution("power_law", support, {"alpha": fit.exponent})
    n_below = int(below[1].sum())
    n_total = max(MIN_EVENTS, round((n_tail + n_below) / effect))
    share = n_tail / (n_tail + n_below)
    as_large = 0
    # Data sets are drawn in groups, so that one solve fits them all and memory stays bounded.
    group = max(1, _VALUES_AT_ONCE // n_total)
    for first in range(0, n_resamples, group):
        drawn = []
        for _ in range(min(group, n_resamples - first)):
            drawn_tail = rng.binomial(n_total, share) if n_below else n_total
            values, counts = _pairs(law, drawn_tail, rng)
            if drawn_tail < n_total:
                body = rng.multinomial(n_total - drawn_tail, below[1] / n_below)
                values = np.concatenate([below[0][body > 0], values])
                counts = np.concatenate([body[body > 0].astype(np.float64), counts])
            drawn.append((values, counts))
        if searched:
            distances = [_searched_distance(values, counts, support) for values, counts in drawn]
        else:
            distances = _refitted_distances(drawn, support)
        as_large += sum(distance >= fit.ks for distance in distances)
    return (1.0 + as_large) / (1.0 + n_resamples)


def _pairs(law: Distribution, n: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    if not law.support.discrete:
        return np.sort(law.sample(n, rng)), np.ones(n)
    drawn, repeats = law.sample_pairs(n, rng)
    values, where = np.unique(drawn, return_inverse=True)
    return values, np.bincount(where, weights=repeats).astype(np.float64)


def _searched_distance(values: FloatArray, counts: FloatArray, support: Support) -> float:
    """The smallest KS distance over xmin; a data set that allows no fit is as far from the law as can be."""
    try:
        return search_pairs(values, counts, support).ks
    except FitError:
        return 1.0


def _refitted_distances(drawn: list[tuple[FloatArray, FloatArray]], support: Support) -> list[float]:
    """KS distances on the given window after fitting again, 1 where no finite exponent exists."""
    n = np.array([counts.sum() for _, counts in drawn])
    sum_log = np.array([counts @ np.log(values + support.offset) for values, counts in drawn])
    exponents = power_law_exponents(n, sum_log, support.xmin, support.xmax, kind=support.kind, offset=support.offset)
    finite = np.isfinite(exponents)
    distances = np.ones(len(drawn))
    union = np.unique(np.concatenate([values for values, _ in drawn])) if support.discrete else np.empty(0)
    if support.discrete and union.size <= max(_SHARED_VALUES, 2 * max(values.size for values, _ in drawn)):
        table = np.zeros((len(drawn), union.size))
        for row, (values, counts) in enumerate(drawn):
            table[row, np.searchsorted(union, values)] = counts
        step = max(1, _VALUES_AT_ONCE // (8 * union.size))
        for first in range(0, len(drawn), step):
            rows = np.flatnonzero(finite[first : first + step]) + first
            if rows.size:
                distances[rows] = ks_distances(union, table[rows], exponents[rows], support)
        return distances.tolist()
    for row in np.flatnonzero(finite).tolist():
        distances[row] = ks_distance(*drawn[row], float(exponents[row]), support)
    return distances.tolist()


def _grid_cells(events: Events) -> tuple[FloatArray, NDArray[np.intp], FloatArray]:
    """Up to 256 quantiles x_g of the data, the first g with x ≤ x_g of each event, and F_n(x_g)."""
    values, counts = events.pairs()
    cumulative = np.cumsum(counts)
    if values.size > _GRID:
        rank = (np.arange(_GRID) + 0.5) / _GRID * cumulative[-1]
        keep = np.unique(np.concatenate([np.searchsorted(cumulative, rank), [values.size - 1]]))
        values, cumulative = values[keep], cumulative[keep]
    return values, np.searchsorted(values, events.values), cumulative / cumulative[-1]


def _clustered(events: Events, fit: PowerLawFit, n_resamples: int, rng: np.random.Generator) -> float:
    assert events.codes is not None
    assert events.n_clusters is not None
    support = events.support
    grid, cells, observed = _grid_cells(events)
    logs = np.log(events.shifted)
    empirical = np.empty((n_resamples, grid.size))
    sums = np.empty((n_resamples, 2))
    for index in range(n_resamples):
        weights = cluster_weights(events.n_clusters, 1, rng)[0][events.codes]
        histogram = np.bincount(cells, weights=weights, minlength=grid.size)
        sums[index] = weights.sum(), weights @ logs
        with np.errstate(invalid="ignore"):
            empirical[index] = np.cumsum(histogram) / sums[index, 0]
    exponents = power_law_exponents(
        sums[:, 0], sums[:, 1], support.xmin, support.xmax, kind=support.kind, offset=support.offset
    )
    usable = np.isfinite(exponents)
    model = power_law_cdf(
        np.broadcast_to(grid, (int(usable.sum()), grid.size)),
        exponents[usable],
        support.xmin,
        support.xmax,
        kind=support.kind,
        offset=support.offset,
    )
    fitted = power_law_cdf(grid, fit.exponent, support.xmin, support.xmax, kind=support.kind, offset=support.offset)
    misfit = observed - fitted
    distances = np.abs(empirical[usable] - model - misfit).max(axis=1)
    as_large = np.count_nonzero(distances >= np.abs(misfit).max()) + np.count_nonzero(~usable)
    return float((1.0 + as_large) / (1.0 + n_resamples))


def design_effect(events: Events, exponent: float) -> float:
    """Variance of the misfit F_n − F(alpha) over clusters, divided by that of independent events; at least 1.

    An event x moves the misfit at x_g by 1{x ≤ x_g} − F(x_g) − F'(x_g) (E ln u − ln u)/Var ln u, the last
    term from the refit of alpha (F' = dF/dalpha). Squares of its sums over clusters and over events,
    averaged over the grid.

    Raises FitError for events without clusters.
    """
    if events.codes is None or events.n_clusters is None:
        raise FitError("A design effect needs the cluster of each event; give clusters.")
    support = events.support
    grid, cells, _ = _grid_cells(events)
    if grid.size > 64:
        keep = np.unique(np.linspace(0, grid.size - 1, 64).round().astype(np.intp))
        cells = np.searchsorted(keep, cells)
        grid = grid[keep]
    step = 1e-4
    shifted = np.array([exponent - step, exponent, exponent + step])
    if math.isinf(support.xmax):
        shifted[0] = max(shifted[0], 0.5 * (1.0 + exponent))
    model = power_law_cdf(
        np.broadcast_to(grid, (3, grid.size)),
        shifted,
        support.xmin,
        support.xmax,
        kind=support.kind,
        offset=support.offset,
    )
    slope = (model[2] - model[0]) / (shifted[2] - shifted[0])
    _, mean, variance = power_law_moments(
        exponent, support.xmin, support.xmax, kind=support.kind, offset=support.offset
    )
    log_ratio = np.log(events.shifted) - math.log(support.lower)
    score = (float(mean) - log_ratio) / float(variance)
    clustered = independent = 0.0
    for index in range(grid.size):
        influence = (cells <= index) - model[1, index] - slope[index] * score
        # The fit makes the mean influence zero but for the misfit itself, which is not noise.
        influence -= influence.mean()
        independent += float(influence @ influence)
        clustered += float((cluster_sums(events.codes, influence, events.n_clusters) ** 2).sum())
    return max(1.0, clustered / independent)
