"""Is a power law a possible origin of the data? p-values that refit, repeat the search, and respect clusters.

- **Independent events** (Clauset et al. 2009, section 4): data sets are drawn from the fitted law, each is
  fitted again, and p is the share whose Kolmogorov–Smirnov distance is at least that of the data. When the
  window was searched, the events outside it stay as they are, those inside are drawn anew, and the search is
  repeated: selection is part of the null. Searched windows differ in size, so there the distance is compared in
  units of its critical value. (Drawing the outer events with replacement, as Clauset et al. do, and comparing
  bare distances gives p-values that are too large: 4 to 6 % of them below .1.)
- **Clusters, given window** (Babu and Rao 2004): the bootstrap over clusters gives the distribution of sup
  |(F* − F(alpha*)) − (F_n − F(alpha))|, the centred process with its refit, and p is the share at least as
  large as sup |F_n − F(alpha)|. Nothing is assumed about the dependence inside a cluster. Evaluated at up
  to 256 quantiles.
- **Clusters, searched window**: a centred process does not exist, because the window moves. The number of
  events is divided by the design effect of F_n − F(alpha) at the chosen window, mean cluster variance over
  mean independent variance (at least 1; Kish 1965), and the first procedure is used with that many events.

p = (1 + number as large)/(1 + resamples) (Davison and Hinkley 1997, 4.2.5). With ``stop_above`` = c the
resampling ends at the h-th distance as large as that of the data, h = ⌊c (resamples + 1)⌋ + 1, when p > c is
certain; then p = h/draws, which is as valid as the other (Besag and Clifford 1991).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array

from quasicrit.errors import FitError
from quasicrit.statistics import cluster_sums, cluster_weights
from quasicrit.tails.distributions import Distribution
from quasicrit.tails.exponents import power_law_cdf, power_law_exponents, power_law_moments
from quasicrit.tails.fit import PowerLawFit
from quasicrit.tails.ranges import ks_distance, ks_distances, search_pairs
from quasicrit.tails.support import MIN_EVENTS, Events, Support, select_events
from quasicrit.tails.windows import passing_statistic, search_range_pairs

__all__ = ["Search", "design_effect", "p_value"]

FloatArray = NDArray[np.float64]
Search = Literal["none", "xmin", "range"]

_GRID = 256
_VALUES_AT_ONCE = 1 << 21
# Data sets on so few values in all are compared with the law on all of them, in one array.
_SHARED_VALUES = 10_000


def p_value(
    values: ArrayLike,
    fit: PowerLawFit,
    *,
    clusters: ArrayLike | None = None,
    search: Search = "none",
    bounds: tuple[float | None, float | None] = (None, None),
    n_resamples: int = 200,
    stop_above: float | None = None,
    rng: np.random.Generator,
) -> float:
    """The p-value of the Kolmogorov–Smirnov distance of ``fit``; small means that the law is not the origin.

    ``values``, shape (n,), are all the data that were given to the fit. ``search`` says how its window was
    found: "none" (given), "xmin" (``search_xmin``) or "range" (``search_range`` between ``bounds``).
    ``clusters`` as for ``fit_power_law``. The smallest p is 1/(n_resamples + 1). ``stop_above``: see above;
    None draws all resamples.

    Raises FitError as ``select_events`` does, and for n_resamples below 1 or an unknown search.
    """
    if n_resamples < 1:
        raise FitError(f"The number of resamples of a p-value must be at least 1, not {n_resamples}.")
    if search not in ("none", "xmin", "range"):
        raise FitError(f"The search must be 'none', 'xmin' or 'range', not {search!r}.")
    events = select_events(values, kind=fit.kind, xmin=fit.xmin, xmax=fit.xmax, offset=fit.offset, clusters=clusters)
    enough = n_resamples + 1 if stop_above is None else math.floor(stop_above * (n_resamples + 1) + 1e-9) + 1
    if clusters is not None and search == "none":
        return _clustered(events, fit, n_resamples, rng)
    effect = design_effect(events, fit.exponent) if clusters is not None else 1.0
    if search == "none":
        n_drawn = max(MIN_EVENTS, round(events.values.size / effect))
        distances = _fixed_distances(fit, n_drawn, n_resamples, rng)
        threshold = fit.ks
    else:
        data = np.asarray(values, dtype=np.float64)
        low, high = bounds if search == "range" else (None, fit.xmax)
        lowest = float(data.min()) if low is None else float(low)
        within = Support(fit.kind, lowest, math.inf if high is None else float(high), fit.offset)
        data = data[(data >= within.xmin) & (data <= within.xmax)]
        body = np.unique(data[(data < fit.xmin) | (data > fit.xmax)], return_counts=True)
        sizes = (events.values.size, data.size)
        distances = _searched_distances(fit, body, sizes, effect, search, within, n_resamples, rng)
        n_independent = max(MIN_EVENTS, round(fit.n / effect))
        threshold = passing_statistic(fit.ks, n_independent, fit.exponent, fit.support)
    as_large = 0
    for drawn, distance in enumerate(distances, start=1):
        as_large += distance >= threshold
        if as_large == enough:
            return as_large / drawn
    return (1.0 + as_large) / (1.0 + n_resamples)


def _fixed_distances(fit: PowerLawFit, n: int, n_resamples: int, rng: np.random.Generator) -> Iterator[float]:
    """KS distances of data sets drawn from the law and fitted again on the given window."""
    law = Distribution("power_law", fit.support, {"alpha": fit.exponent})
    # Drawn in groups, so that one solve fits a group; small ones at first, since resampling may stop early.
    group, first = 16, 0
    while first < n_resamples:
        count = max(1, min(group, _VALUES_AT_ONCE // n, n_resamples - first))
        yield from _refitted_distances([_pairs(law, n, rng) for _ in range(count)], fit.support)
        first += count
        group *= 2


def _searched_distances(
    fit: PowerLawFit,
    body: tuple[FloatArray, NDArray[np.intp]],
    sizes: tuple[int, int],
    effect: float,
    search: Search,
    within: Support,
    n_resamples: int,
    rng: np.random.Generator,
) -> Iterator[float]:
    """Distances of data sets that repeat the search; ``body`` are the events outside the window, ``sizes``
    how many lie in it and in all."""
    law = Distribution("power_law", fit.support, {"alpha": fit.exponent})
    n_inside, n_all = sizes
    others, repeats = body
    below, above = others < fit.xmin, others > fit.xmax
    n_drawn = max(MIN_EVENTS, round(n_inside / effect))
    n_kept = round((n_all - n_inside) / effect)
    for _ in range(n_resamples):
        values, counts = _pairs(law, n_drawn, rng)
        if n_all > n_inside:
            # As they are, unless there are more of them than independent ones.
            kept = repeats if effect == 1.0 else rng.multinomial(n_kept, repeats / repeats.sum())
            low, high = below & (kept > 0), above & (kept > 0)
            values = np.concatenate([others[low], values, others[high]])
            counts = np.concatenate([kept[low].astype(np.float64), counts, kept[high].astype(np.float64)])
        # A data set that allows no fit, or passes nowhere, is as far from the law as can be.
        try:
            if search == "xmin":
                found = search_pairs(values, counts, within)
                chosen = Support(within.kind, found.xmin, within.xmax, within.offset)
                yield passing_statistic(found.ks, found.n, found.exponent, chosen)
            else:
                yield search_range_pairs(values, counts, within).statistic
        except FitError:
            yield math.inf


def _pairs(law: Distribution, n: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    if not law.support.discrete:
        return np.sort(law.sample(n, rng)), np.ones(n)
    drawn, repeats = law.sample_pairs(n, rng)
    values, where = np.unique(drawn, return_inverse=True)
    return values, np.bincount(where, weights=repeats).astype(np.float64)


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
    # Events of each cluster by cell: sparse, since clusters may be as many as events.
    table = csr_array((np.ones(cells.size), (events.codes, cells)), shape=(events.n_clusters, grid.size)).T
    log_sums = cluster_sums(events.codes, logs, events.n_clusters)
    step = max(1, _VALUES_AT_ONCE // events.n_clusters)
    histograms, log_drawn = np.empty((n_resamples, grid.size)), np.empty(n_resamples)
    for first in range(0, n_resamples, step):
        weights = cluster_weights(events.n_clusters, min(step, n_resamples - first), rng)
        histograms[first : first + step] = (table @ weights.T).T
        log_drawn[first : first + step] = weights @ log_sums
    n_drawn = histograms.sum(axis=1)
    with np.errstate(invalid="ignore"):
        empirical = np.cumsum(histograms, axis=1) / n_drawn[:, np.newaxis]
    exponents = power_law_exponents(
        n_drawn, log_drawn, support.xmin, support.xmax, kind=support.kind, offset=support.offset
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
