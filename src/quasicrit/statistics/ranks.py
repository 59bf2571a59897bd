"""Rank correlations of many predictors with one outcome, with errors that are paired, and what a predictor's first choice costs.

Points of a grid and, within each point, seeds are drawn with replacement, the same draws for every predictor: what all of them share
(a lucky seed, an odd corner of the grid) cancels in their differences.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from quasicrit.errors import FitError

__all__ = ["RankComparison", "compare_ranks", "first_choice_regret", "kendall", "spearman"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class RankComparison:
    """Correlations of P predictors with an outcome over n points, NaN for a predictor that does not vary.

    ``spearman``, ``kendall`` [P]; their ``…_interval`` [P, 2], 95 %, from the bootstrap's standard error (on Fisher's scale). ``difference`` [P, P] is
    spearman[i] − spearman[j], ``difference_interval`` [P, P, 2] from the same draws.
    """

    spearman: Floats
    spearman_interval: Floats
    kendall: Floats
    kendall_interval: Floats
    difference: Floats
    difference_interval: Floats
    n_points: int


def spearman(x: Floats, y: Floats) -> Floats:
    """Spearman's rho of each row of ``x`` [P, n] with ``y`` [n], mean ranks for ties: [P]. NaN where a row is constant."""
    ranks, other = rankdata(x, axis=1), rankdata(y)
    ranks = ranks - ranks.mean(1, keepdims=True)
    other = other - other.mean()
    with np.errstate(invalid="ignore"):
        return ranks @ other / np.sqrt((ranks**2).sum(1) * (other @ other))


def kendall(x: Floats, y: Floats) -> Floats:
    """Kendall's tau-b of each row of ``x`` [P, n] with ``y`` [n]: [P]. NaN where a row is constant."""
    return _tau(_signs(x), _signs(y[None])[0], np.ones(len(y)))


def _signs(x: Floats) -> NDArray[np.float32]:
    """Signs of all differences, [P, n, n]; equal infinities are ties."""
    with np.errstate(invalid="ignore"):
        return np.nan_to_num(np.sign(x[:, :, None] - x[:, None, :])).astype(np.float32)


def _tau(x: NDArray[np.float32], y: NDArray[np.float32], times: Floats) -> Floats:
    weights = np.outer(times, times).astype(np.float32)
    weighted = (weights * y).ravel()
    rows = x.reshape(len(x), -1)
    with np.errstate(invalid="ignore"):
        tau = (rows @ weighted) / np.sqrt((rows**2 @ weights.ravel()) * (weighted @ y.ravel()))
    return tau.astype(np.float64)


def compare_ranks(
    predictors: Floats,
    outcomes: Floats,
    *,
    floor: float,
    n_resamples: int,
    rng: np.random.Generator,
    clusters: NDArray[np.int64] | None = None,
) -> RankComparison:
    """Correlate ``predictors`` [P, n] with the mean over seeds of ``outcomes`` [n, seeds]; means below ``floor`` are tied.

    ``clusters`` [n]: rows that belong together (one point in several runs), which are drawn together; by default each is alone.
    NaN among the outcomes is a seed that was not run. Infinite predictors rank first or last. Raises FitError for fewer than five
    points, a NaN among the predictors, or a point without an outcome.
    """
    n = outcomes.shape[0]
    run = np.isfinite(outcomes)
    if n < 5 or not run.any(1).all() or np.isnan(predictors).any():
        raise FitError(
            f"Rank correlations need at least 5 points, each with an outcome and with every predictor; there are {n}."
        )
    # Seeds that were run come first, so that a draw below their number is one of them.
    seeds = np.take_along_axis(outcomes, np.argsort(~run, axis=1, kind="stable"), axis=1)
    counts = run.sum(1)
    mean = np.maximum(np.nanmean(outcomes, axis=1), floor)
    signs = _signs(predictors)
    labels = np.arange(n) if clusters is None else np.unique(clusters, return_inverse=True)[1]
    members = [np.flatnonzero(labels == label) for label in range(labels.max() + 1)]
    rho, tau = np.empty((n_resamples, len(predictors))), np.empty((n_resamples, len(predictors)))
    for index in range(n_resamples):
        chosen = np.concatenate([members[c] for c in rng.integers(len(members), size=len(members))])
        draws = (rng.random((len(chosen), seeds.shape[1])) * counts[chosen, None]).astype(np.int64)
        # As many draws as the point has seeds.
        used = np.arange(seeds.shape[1]) < counts[chosen, None]
        values = np.take_along_axis(seeds[chosen], draws, axis=1)
        y = np.maximum((values * used).sum(1) / counts[chosen], floor)
        rho[index] = spearman(predictors[:, chosen], y)
        tau[index] = _tau(signs[:, chosen][:, :, chosen], _signs(y[None])[0], np.ones(len(chosen)))
    est, est_tau = spearman(predictors, mean), _tau(signs, _signs(mean[None])[0], np.ones(n))
    difference = est[:, None] - est[None, :]
    return RankComparison(
        spearman=est,
        spearman_interval=_bounded(est, rho),
        kendall=est_tau,
        kendall_interval=_bounded(est_tau, tau),
        difference=difference,
        difference_interval=_interval(difference, rho[:, :, None] - rho[:, None, :]),
        n_points=n,
    )


def _interval(estimate: Floats, samples: Floats) -> Floats:
    """estimate ± 1.96 bootstrap standard errors as [… , 2], NaN where more than a tenth of the ``samples`` [B, …] are.

    Not their percentiles: drawing few seeds again adds their noise once more, which lowers every correlation of a resample.
    """
    missing = np.isnan(samples).mean(0) > 0.1
    with np.errstate(invalid="ignore"):
        half = 1.96 * np.nanstd(np.where(missing, 0.0, samples), axis=0, ddof=1)
    half = np.where(missing, np.nan, half)
    return np.stack([estimate - half, estimate + half], axis=-1)


def _bounded(estimate: Floats, samples: Floats) -> Floats:
    """``_interval`` of a correlation, on Fisher's scale atanh, whose ends stay within ± 1."""
    edge = 1.0 - 1e-9
    return np.tanh(_interval(np.arctanh(np.clip(estimate, -edge, edge)), np.arctanh(np.clip(samples, -edge, edge))))


def first_choice_regret(predictors: Floats, outcomes: Floats) -> tuple[Floats, Floats]:
    """What it costs to take the point that a predictor ranks first: mean over held-out seeds, and its standard error, [P] each.

    For each seed in turn: the outcome, on that seed, of the point that is best in the mean over the other seeds, less the outcome
    of the predictor's first choice (the mean of them, if several tie). The best is chosen without the seed that it is judged on,
    so that its luck is not counted; a regret may then be below 0. ``outcomes`` [n, seeds] without gaps. Raises FitError for fewer
    than two seeds.
    """
    n_seeds = outcomes.shape[1]
    if n_seeds < 2 or not np.isfinite(outcomes).all():
        raise FitError("Regret on held-out seeds needs at least 2 seeds at every point.")
    first = predictors == predictors.max(1, keepdims=True)
    chosen = first @ outcomes / first.sum(1, keepdims=True)
    total = outcomes.sum(1, keepdims=True)
    best = outcomes[np.argmax(total - outcomes, axis=0), np.arange(n_seeds)]
    regret = best - chosen
    return regret.mean(1), regret.std(1, ddof=1) / np.sqrt(n_seeds)
