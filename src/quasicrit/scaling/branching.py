"""The branching ratio of an activity of which only part is seen: multistep regression."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

from quasicrit.errors import FitError, UncorrelatedError
from quasicrit.scaling.crackling import Estimate
from quasicrit.statistics import cluster_weights

__all__ = ["Branching", "branching_ratio"]

FloatArray = NDArray[np.float64]

#: Ratios that are tried: 1 − m from 1 down to 1e-5, evenly in its logarithm.
_GRID = 1.0 - np.geomspace(1.0, 1e-5, 2001)
_MIN_STEPS, _BLOCKS = 100, 50


@dataclass(frozen=True)
class Branching:
    """``ratio`` m with its interval; ``memory`` −1/ln m in steps; ``amplitude`` b, 1 where all is seen.

    ``naive``: the slope r_1 of A_{t+1} on A_t, which subsampling biases to b m. ``slopes``: r_k at ``lags``. ``signal``: how
    many standard errors Σ_k m^k r_k lies above the 0 of an activity without memory, to whose noise an m is fitted as well.
    """

    ratio: Estimate
    memory: Estimate
    amplitude: float
    naive: float
    lags: tuple[int, ...]
    slopes: tuple[float, ...]
    n_units: int
    signal: float


def branching_ratio(
    activity: ArrayLike | Sequence[ArrayLike],
    *,
    max_lag: int | None = None,
    n_resamples: int = 400,
    rng: np.random.Generator,
) -> Branching:
    """Estimate m of A_{t+1} ~ m A_t + drive from counts (trials, steps), or (steps,), of the activity or of a part of it.

    Trials of different length are a sequence of arrays (steps,); those shorter than twice the largest lag are left out, and the
    steps below are those of their median.

    The slope r_k of A_{t+k} on A_t is b m^k, with b < 1 when only part is seen (then r_1 = b m is far below m, whereas
    the decay with k is not changed). b and m are fitted to r_1 … r_max_lag (default: a hundredth of the
    steps, 10 to 200) by least squares. Errors: m ± t · bootstrap s.d. over trials; of one trial, over 50 blocks of it.

    Raises FitError for fewer than 100 steps, values that are not finite or do not vary; UncorrelatedError where r_1 is not
    positive.
    Source: Wilting and Priesemann 2018, Nat. Commun. 9, 2325, arXiv:1608.07035.
    """
    rows = _rows(activity)
    if not np.isfinite(np.concatenate(rows)).all():
        raise FitError("every activity must be a finite number; fill or cut the gaps")
    steps = int(np.median([len(row) for row in rows]))
    longest = min(200, max(10, steps // 100)) if max_lag is None else int(max_lag)
    if not 2 <= longest <= steps // 4:
        raise FitError(f"max_lag = {longest} must be from 2 to a quarter of the {steps} steps")
    rows = [row for row in rows if len(row) >= 2 * longest]
    everything = np.concatenate(rows)
    if not everything.var() > 0.0:
        raise FitError("the activity is the same at every step, so that no slope can be had")
    mean = everything.mean()
    lags = np.arange(1, longest + 1)
    products, squares = _sums([row - mean for row in rows], lags)
    n_units = len(squares)
    weights = np.vstack([np.ones(n_units), cluster_weights(n_units, n_resamples, rng)])
    slopes = (weights @ products) / (weights @ squares)
    if not slopes[0, 0] > 0.0:
        raise UncorrelatedError(
            f"the slope of A(t + 1) on A(t) is {slopes[0, 0]:.3g}: there is no activity that carries on"
        )
    ratios, amplitude = _fit(slopes, lags)
    along = slopes @ ratios[0] ** lags
    half = float(stdtrit(n_units - 1, 0.975)) * float(ratios[1:].std(ddof=1))
    ratio = Estimate(float(ratios[0]), float(ratios[0]) - half, float(ratios[0]) + half)
    return Branching(
        ratio,
        Estimate(_memory(ratio.value), _memory(ratio.ci_low), _memory(ratio.ci_high)),
        float(amplitude[0]),
        float(slopes[0, 0]),
        tuple(lags.tolist()),
        tuple(slopes[0].tolist()),
        n_units,
        float(along[0] / along[1:].std(ddof=1)),
    )


def _rows(activity: ArrayLike | Sequence[ArrayLike]) -> list[FloatArray]:
    """Trials as arrays (steps,)."""
    try:
        a = np.atleast_2d(np.asarray(activity, dtype=np.float64))
    except ValueError:
        rows = [np.asarray(row, dtype=np.float64) for row in activity]  # type: ignore[union-attr]
        if any(row.ndim != 1 for row in rows) or np.median([len(row) for row in rows]) < _MIN_STEPS:
            raise FitError(
                f"a branching ratio needs trials (steps,), half of them with at least {_MIN_STEPS} steps"
            ) from None
        return rows
    if a.ndim != 2 or a.shape[1] < _MIN_STEPS:
        raise FitError(f"a branching ratio needs (trials, steps) with at least {_MIN_STEPS} steps, not shape {a.shape}")
    return list(a)


def _sums(rows: Sequence[FloatArray], lags: NDArray[np.int64]) -> tuple[FloatArray, FloatArray]:
    """By unit (trial, or block of the only trial): Σ A_t A_{t+k} and Σ A_t² of the same t; (units, lags)."""
    products, squares = [], []
    for row in rows:
        last = len(row) - int(lags[-1])
        starts = np.array([0]) if len(rows) > 1 else np.linspace(0, last, _BLOCKS + 1).astype(np.int64)[:-1]
        products.append(np.column_stack([np.add.reduceat(row[:last] * row[lag : last + lag], starts) for lag in lags]))
        squares.append(np.add.reduceat(row[:last] ** 2, starts)[:, np.newaxis])
    return np.concatenate(products), np.concatenate(squares)


def _fit(slopes: FloatArray, lags: NDArray[np.int64]) -> tuple[FloatArray, FloatArray]:
    """m and b of the rows of ``slopes`` (rows, lags): the best of a grid of m, and a parabola through its neighbours."""
    powers = _GRID[:, np.newaxis] ** lags
    norm = (powers**2).sum(axis=1)
    norm[0] = math.inf  # m = 0: nothing is explained
    overlap = slopes @ powers.T
    gain = np.where(overlap > 0.0, overlap**2 / norm, 0.0)
    best = np.clip(gain.argmax(axis=1), 1, len(_GRID) - 2)
    rows = np.arange(len(slopes))
    left, middle, right = (gain[rows, best + shift] for shift in (-1, 0, 1))
    curve = left - 2.0 * middle + right
    shift = np.where(curve < 0.0, 0.5 * (left - right) / np.where(curve < 0.0, curve, 1.0), 0.0)
    unit = math.log(1.0 - _GRID[-1]) / (len(_GRID) - 1)
    ratio = 1.0 - np.exp(unit * (best + np.clip(shift, -1.0, 1.0)))
    fitted = ratio[:, np.newaxis] ** lags
    return ratio, (slopes * fitted).sum(axis=1) / (fitted**2).sum(axis=1)


def _memory(ratio: float) -> float:
    """−1/ln m; 0 for m ≤ 0, infinite from 1 on."""
    if ratio <= 0.0:
        return 0.0
    return math.inf if ratio >= 1.0 else -1.0 / math.log(ratio)
