"""Bootstrap over clusters (nets, inputs, recordings), never over the events within them.

Events of one cluster depend on each other, so the cluster is what is drawn with replacement (Davison and
Hinkley 1997, section 3.8). A statistic that depends on the events only through sums, as every exponent of a
fixed window does, needs just the sums of each cluster: with weights ``W`` of shape (B, K), the number of
times that each of the K clusters was drawn in each of the B resamples, all resampled sums are ``W @ sums``,
and the events are read once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri, stdtrit

from quasicrit.errors import FitError

__all__ = [
    "BootstrapInterval",
    "bca_interval",
    "bootstrap_interval",
    "cluster_codes",
    "cluster_sums",
    "cluster_weights",
    "percentile_interval",
    "resampled_sums",
    "student_interval",
]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]

# Weights held at once (32 MB of float64), so that memory stays bounded for many clusters.
_WEIGHTS_AT_ONCE = 1 << 22


@dataclass(frozen=True)
class BootstrapInterval:
    """An estimate, its percentile interval and its bootstrap standard error.

    ``samples`` has shape (B, ...): the statistic in every resample; the other fields have the shape ``...``.
    """

    estimate: FloatArray
    ci_low: FloatArray
    ci_high: FloatArray
    standard_error: FloatArray
    samples: FloatArray


def cluster_codes(labels: ArrayLike) -> tuple[IntArray, int]:
    """Return each event's cluster as an integer 0 … K−1, shape (n,), and K, from labels of any kind.

    Raises FitError for labels that are not one-dimensional, or are NaN.
    """
    names = np.asarray(labels)
    if names.ndim != 1:
        raise FitError(f"Cluster labels must be one column, one label for each event, not of shape {names.shape}.")
    if names.dtype.kind == "f" and np.isnan(names).any():
        raise FitError("A cluster label is NaN; give every event the label of its cluster.")
    unique, codes = np.unique(names, return_inverse=True)
    return codes.astype(np.intp, copy=False), int(unique.size)


def cluster_sums(codes: ArrayLike, values: ArrayLike, n_clusters: int) -> FloatArray:
    """Sum ``values``, shape (n,) or (n, m), over the events of each cluster: shape (K,) or (K, m).

    ``codes`` are integers 0 … K−1 (``cluster_codes``). Clusters without an event get zero: they take part in
    the bootstrap all the same, because a net that made no event is a draw from the ensemble too.
    """
    indices = np.asarray(codes, dtype=np.intp)
    columns = np.asarray(values, dtype=np.float64)
    if columns.ndim == 1:
        return np.bincount(indices, weights=columns, minlength=n_clusters).astype(np.float64)
    return np.stack([np.bincount(indices, weights=column, minlength=n_clusters) for column in columns.T], axis=1)


def cluster_weights(n_clusters: int, n_resamples: int, rng: np.random.Generator) -> FloatArray:
    """Draw multinomial weights, shape (B, K): how often each cluster occurs in each resample of K clusters.

    Raises FitError for fewer than two clusters, whose spread cannot be known.
    """
    if n_clusters < 2:
        raise FitError(
            f"A bootstrap over clusters needs at least 2 clusters, and there is {n_clusters}; "
            "give more of them, or leave the clusters out if the events are independent."
        )
    if n_resamples < 1:
        raise FitError(f"The number of bootstrap resamples must be at least 1, not {n_resamples}.")
    drawn = rng.integers(0, n_clusters, size=(n_resamples, n_clusters))
    drawn += n_clusters * np.arange(n_resamples)[:, np.newaxis]
    counts = np.bincount(drawn.ravel(), minlength=n_resamples * n_clusters)
    return counts.reshape(n_resamples, n_clusters).astype(np.float64)


def resampled_sums(sums: ArrayLike, n_resamples: int, rng: np.random.Generator) -> FloatArray:
    """Resample clusters and add up: per-cluster ``sums`` of shape (K, …) give totals of shape (B, …)."""
    table = np.asarray(sums, dtype=np.float64)
    n_clusters = table.shape[0]
    flat = table.reshape(n_clusters, -1)
    step = max(1, _WEIGHTS_AT_ONCE // max(1, n_clusters))
    totals = [
        cluster_weights(n_clusters, min(step, n_resamples - first), rng) @ flat for first in range(0, n_resamples, step)
    ]
    if not totals:
        raise FitError(f"The number of bootstrap resamples must be at least 1, not {n_resamples}.")
    return np.concatenate(totals).reshape(n_resamples, *table.shape[1:])


def percentile_interval(samples: ArrayLike, level: float = 0.95) -> tuple[FloatArray, FloatArray]:
    """Return the (1 ∓ level)/2 quantiles of ``samples`` along the first axis.

    Values that are not finite (a resample without an event has no exponent) are left out. Where fewer than
    half are finite the interval is NaN: it would describe the exceptions only.
    """
    array = np.asarray(samples, dtype=np.float64)
    finite = np.isfinite(array)
    enough = 2 * np.count_nonzero(finite, axis=0) >= array.shape[0]
    # Columns that are not finite enough are filled, so that nanquantile sees no empty one.
    array = np.where(finite, array, np.nan)
    array = np.where(enough, array, 0.0)
    tail = (1.0 - level) / 2.0
    low, high = np.nanquantile(array, [tail, 1.0 - tail], axis=0)
    return np.where(enough, low, np.nan), np.where(enough, high, np.nan)


def student_interval(
    estimate: ArrayLike, samples: ArrayLike, n_clusters: int, level: float = 0.95
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return estimate ∓ t · s and s, the s.d. of the resampled ``samples`` along the first axis.

    t is Student's quantile with K − 1 degrees of freedom, K the number of clusters. For exponents it covers
    better than percentiles when clusters are few or unequal: of 95 % intervals with 200 resamples .93 to
    .95 held the truth where percentiles held .90 to .94 (1500 simulations each, 43 to 253 clusters). Values
    that are not finite are left out; where fewer than half are finite the answer is NaN.
    """
    array = np.asarray(samples, dtype=np.float64)
    finite = np.isfinite(array)
    count = np.count_nonzero(finite, axis=0)
    enough = (2 * count >= array.shape[0]) & (count > 1)
    mean = np.where(finite, array, 0.0).sum(axis=0) / np.maximum(count, 1)
    squares = (np.where(finite, array, mean) - mean) ** 2
    error = np.where(enough, np.sqrt(squares.sum(axis=0) / np.maximum(count - 1, 1)), np.nan)
    reach = float(stdtrit(n_clusters - 1, 0.5 + 0.5 * level)) * error
    centre = np.asarray(estimate, dtype=np.float64)
    return centre - reach, centre + reach, error


def bca_interval(
    estimate: float, samples: ArrayLike, influence: ArrayLike, level: float = 0.95
) -> tuple[float, float, float]:
    """Return the bias-corrected and accelerated (BCa) interval of a scalar, and the s.d. of ``samples``.

    The quantiles of ``samples``, shape (B,), at Phi(z_0 + (z_0 ∓ z)/(1 − a (z_0 ∓ z))): z_0 from the share of
    samples below the estimate (ties half), a = Σ l³/(6 (Σ l²)^{3/2}) from the ``influence`` l of each cluster,
    shape (K,), in any unit (Efron 1987; Davison and Hinkley 1997, 5.3.2). NaN where fewer than half of the
    samples are finite.
    """
    drawn = np.asarray(samples, dtype=np.float64)
    finite = drawn[np.isfinite(drawn)]
    if 2 * finite.size < drawn.size or finite.size < 2:
        return float("nan"), float("nan"), float("nan")
    below = (np.count_nonzero(finite < estimate) + 0.5 * np.count_nonzero(finite == estimate)) / finite.size
    shift = float(ndtri(np.clip(below, 0.5 / finite.size, 1.0 - 0.5 / finite.size)))
    weight = np.asarray(influence, dtype=np.float64)
    spread = float(weight @ weight)
    acceleration = float((weight**3).sum()) / (6.0 * spread**1.5) if spread > 0.0 else 0.0
    ends = shift + float(ndtri(0.5 + 0.5 * level)) * np.array([-1.0, 1.0])
    # A strong acceleration has its pole inside the interval; the end is then the last sample.
    room = np.maximum(1.0 - acceleration * ends, 1e-3)
    low, high = np.quantile(finite, ndtr(shift + ends / room))
    return float(low), float(high), float(finite.std(ddof=1))


def bootstrap_interval(
    sums: ArrayLike,
    statistic: Callable[[FloatArray], FloatArray],
    *,
    n_resamples: int,
    rng: np.random.Generator,
    level: float = 0.95,
) -> BootstrapInterval:
    """Percentile interval of ``statistic(sum over clusters)`` by a bootstrap over clusters.

    ``sums`` has shape (K, m): the sufficient statistics of each cluster. ``statistic`` maps totals of shape
    (…, m) to values of shape (…) or (…, p); it is called with the totals of the data, shape (1, m), and once
    with those of all resamples, shape (B, m).
    """
    table = np.asarray(sums, dtype=np.float64)
    samples = np.asarray(statistic(resampled_sums(table, n_resamples, rng)), dtype=np.float64)
    estimate = np.asarray(statistic(table.sum(axis=0, keepdims=True)), dtype=np.float64)[0]
    low, high = percentile_interval(samples, level)
    finite = np.where(np.isfinite(samples), samples, np.nan)
    spread = np.where(np.isfinite(low), np.nanstd(np.where(np.isfinite(low), finite, 0.0), axis=0), np.nan)
    return BootstrapInterval(np.asarray(estimate), low, high, spread, samples)
