"""The exponent of a power law on a window, with an error bar that respects dependence."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quasicrit.errors import FitError
from quasicrit.statistics import bca_interval, cluster_sums, percentile_interval, resampled_sums, student_interval
from quasicrit.tails.exponents import power_law_exponents, power_law_moments
from quasicrit.tails.ranges import ks_distance
from quasicrit.tails.support import Events, Kind, Support, select_events

__all__ = ["Interval", "PowerLawFit", "fit_power_law", "window_sums"]

FloatArray = NDArray[np.float64]
Interval = Literal["student", "percentile", "bca"]

# A decade is populated when this many events (clusters) reach its end.
_ENOUGH_AT_END = 5
# The 97.5 % quantile of the normal law.
_Z = 1.959963984540054


@dataclass(frozen=True)
class PowerLawFit:
    """A power law u^−exponent, u = x + offset, on [xmin, xmax].

    ``ci_low``, ``ci_high``: 95 % interval; ``standard_error``: from the same source (observed information
    for independent events, the spread of the bootstrap over clusters). ``n``: events in the window;
    ``n_clusters``: all clusters given, None without. ``decades``: log10(min(xmax, largest)/xmin), in u if
    xmin is not positive; ``populated_decades``: the same up to the fifth largest event (the fifth largest
    maximum of a cluster), because one far event does not make a decade. ``ks``: Kolmogorov–Smirnov distance, over all integers for discrete data. ``xmax``
    is infinite for an open window.
    """

    exponent: float
    ci_low: float
    ci_high: float
    standard_error: float
    xmin: float
    xmax: float
    n: int
    n_clusters: int | None
    decades: float
    populated_decades: float
    ks: float
    kind: Kind
    offset: float
    log_likelihood: float

    @property
    def support(self) -> Support:
        """The window on which the law is normalised."""
        return Support(self.kind, self.xmin, self.xmax, self.offset)


def window_sums(
    values: ArrayLike, codes: ArrayLike, n_clusters: int, *, xmin: float, xmax: float, offset: float = 0.0
) -> FloatArray:
    """Sufficient statistics of each cluster on a window: n_k and Σ ln(x + offset), shape (K, 2).

    ``codes`` are integers 0 … K−1 (``quasicrit.statistics.cluster_codes``). Sums of rows, or any bootstrap
    weights times them, go to ``power_law_exponents``. Values outside the window are left out.
    """
    x = np.asarray(values, dtype=np.float64)
    inside = (x >= xmin) & (x <= xmax)
    logs = np.log(x[inside] + offset)
    return cluster_sums(np.asarray(codes)[inside], np.stack([np.ones(logs.size), logs], axis=1), n_clusters)


def fit_power_law(
    values: ArrayLike,
    *,
    kind: str = "auto",
    xmin: float | None = None,
    xmax: float | None = None,
    offset: float = 0.0,
    clusters: ArrayLike | None = None,
    n_resamples: int = 200,
    interval: Interval = "student",
    rng: np.random.Generator | None = None,
) -> PowerLawFit:
    """Fit p(x) ∝ (x + offset)^−exponent on [xmin, xmax] by maximum likelihood.

    ``values``, shape (n,), in any unit. kind "auto" is discrete when all are whole numbers; ``xmin``
    defaults to the smallest value, ``xmax`` to infinity. The law is normalised on the window exactly,
    truncated or not.

    Without ``clusters`` the events are taken as independent: standard error 1/√(n Var ln u) (observed
    information) and exponent ± 1.96 of it. With ``clusters``, shape (n,), a label for each event, the error
    is the spread over ``n_resamples`` draws of whole clusters with ``rng``; clusters without an event in the
    window are drawn too. ``interval`` is made of these draws: "student", exponent ± t of their spread (covers
    best, see the calibration), "percentile", or "bca" (``quasicrit.statistics``). The window is taken as given: an interval for a searched xmin does not contain the search.

    Raises FitError as ``select_events`` does, for an unknown interval, and when the maximum-likelihood exponent
    is infinite.
    Sources: Clauset et al. 2009; Deluca and Corral 2013 (double truncation); Davison and Hinkley 1997
    (clusters).
    """
    if interval not in ("student", "percentile", "bca"):
        raise FitError(f"The interval must be 'student', 'percentile' or 'bca', not {interval!r}.")
    events = select_events(values, kind=kind, xmin=xmin, xmax=xmax, offset=offset, clusters=clusters)
    support = events.support
    sum_log = float(np.log(events.shifted).sum())
    n = events.values.size
    exponent = _finite_exponent(n, sum_log, support)
    log_z, _, variance = power_law_moments(
        exponent, support.xmin, support.xmax, kind=support.kind, offset=support.offset
    )
    if events.codes is None:
        error = 1.0 / math.sqrt(n * float(variance))
        low, high = exponent - _Z * error, exponent + _Z * error
    else:
        low, high, error = _cluster_interval(events, exponent, n_resamples, interval, rng)
    return PowerLawFit(
        exponent=exponent,
        ci_low=low,
        ci_high=high,
        standard_error=error,
        xmin=support.xmin,
        xmax=support.xmax,
        n=n,
        n_clusters=events.n_clusters,
        decades=_decades(support, float(events.values.max())),
        populated_decades=_decades(support, _fifth_largest(events)),
        ks=ks_distance(*events.pairs(), exponent, support),
        kind=support.kind,
        offset=support.offset,
        log_likelihood=-exponent * sum_log - n * float(log_z),
    )


def _finite_exponent(n: int, sum_log: float, support: Support) -> float:
    exponent = float(
        power_law_exponents(n, sum_log, support.xmin, support.xmax, kind=support.kind, offset=support.offset)
    )
    if not math.isfinite(exponent):
        raise FitError(
            f"The {n} events lie at one end of the window [{support.xmin:g}, {support.xmax:g}], and "
            "no finite exponent describes them; check the column or the window."
        )
    return exponent


def _cluster_interval(
    events: Events, exponent: float, n_resamples: int, interval: Interval, rng: np.random.Generator | None
) -> tuple[float, float, float]:
    if rng is None:
        raise FitError("A bootstrap over clusters draws random numbers; pass rng, a numpy Generator.")
    support = events.support
    assert events.codes is not None
    assert events.n_clusters is not None
    sums = window_sums(
        events.values,
        events.codes,
        events.n_clusters,
        xmin=support.xmin,
        xmax=support.xmax,
        offset=support.offset,
    )
    drawn = resampled_sums(sums, n_resamples, rng)
    exponents = power_law_exponents(
        drawn[:, 0], drawn[:, 1], support.xmin, support.xmax, kind=support.kind, offset=support.offset
    )
    low, high, error = student_interval(exponent, exponents, events.n_clusters)
    if interval == "percentile":
        low, high = percentile_interval(exponents)
    elif interval == "bca":
        # An event of small ln u raises the exponent.
        influence = sums[:, 0] * (sums[:, 1].sum() / sums[:, 0].sum()) - sums[:, 1]
        low, high, _ = map(np.asarray, bca_interval(exponent, exponents, influence))
    if math.isnan(float(low)):
        raise FitError(
            f"Most bootstrap resamples of the {events.n_clusters} clusters have no event to fit in "
            f"the window [{support.xmin:g}, {support.xmax:g}]; widen it or use more clusters."
        )
    return float(low), float(high), float(error)


def _decades(support: Support, top: float) -> float:
    if support.xmin > 0.0:
        return math.log10(top) - math.log10(support.xmin)
    return math.log10(top + support.offset) - math.log10(support.lower)


def _fifth_largest(events: Events) -> float:
    """Of the events, or of the largest event of each cluster; the least of them where there are fewer."""
    values = events.values
    if events.codes is not None:
        largest = np.full(events.n_clusters or 0, -math.inf)
        np.maximum.at(largest, events.codes, values)
        values = largest[np.isfinite(largest)]
    rank = max(0, values.size - _ENOUGH_AT_END)
    return float(np.partition(values, rank)[rank])
