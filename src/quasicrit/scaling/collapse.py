"""Finite-size scaling: how cut-offs grow with size, and whether distributions collapse when scaled by it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from quasicrit.errors import FitError
from quasicrit.scaling.crackling import Estimate
from quasicrit.statistics import weighted_line

__all__ = ["Collapse", "PowerFit", "collapse_distributions", "cutoff_exponent"]


@dataclass(frozen=True)
class PowerFit:
    """x_c ~ size^exponent over ``sizes``: the exponent with its interval, and chi² per degree of freedom.

    ``without_smallest``: the exponent when the smallest size is left out (NaN with fewer than four sizes).
    """

    exponent: Estimate
    quality: float
    sizes: tuple[float, ...]
    without_smallest: float


@dataclass(frozen=True)
class Collapse:
    """``quality`` S: mean squared distance, in errors, of each scaled curve to the master curve of the others;
    near 1 where they fall on one curve within errors (Houdayer & Hartmann 2004, eq. 2). ``pairs``: comparisons made.
    """

    quality: float
    pairs: int


def cutoff_exponent(size: np.ndarray, cutoff: np.ndarray, error: np.ndarray) -> PowerFit:
    """Weighted least squares of ln cutoff on ln size; the errors are independent (one ensemble a size).

    The interval is 1.96 standard errors, or Student's t with the scatter about the line where chi² per degree of freedom
    exceeds 1, since then a pure power law describes the sizes only in part.
    Raises FitError with fewer than three sizes or values that are not positive and finite.
    """
    size, cutoff, error = (np.asarray(v, np.float64) for v in (size, cutoff, error))
    if len(size) < 3:
        raise FitError(f"an exponent of growth needs at least 3 sizes, not {len(size)}")
    if not (np.isfinite(cutoff).all() and (cutoff > 0).all() and np.isfinite(error).all() and (error > 0).all()):
        raise FitError("cut-offs and their errors must be finite and above 0")
    x, y, weight = np.log(size), np.log(cutoff), (cutoff / error) ** 2
    line = weighted_line(x, y, weight)
    freedom = len(size) - 2
    reduced = float(line.chi_squared) / freedom
    stretch = math.sqrt(max(1.0, reduced))
    reach = 1.959964 if reduced <= 1 else float(stdtrit(freedom, 0.975))
    half = reach * stretch * float(line.slope_error)
    slope = float(line.slope)
    fewer = float("nan")
    if len(size) > 3:
        rest = np.argsort(size)[1:]
        fewer = float(weighted_line(x[rest], y[rest], weight[rest]).slope)
    return PowerFit(Estimate(slope, slope - half, slope + half), reduced, tuple(size.tolist()), fewer)


def collapse_distributions(curves: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> Collapse:
    """Quality S of a collapse of ``curves``: each (x, y, dy), already scaled, x rising, y > 0.

    Each point of a curve is compared with the line through the neighbouring points of every other curve that
    brackets it (in ln x, ln y): S = mean (y − Y)²/(dy² + dY²).
    Raises FitError when no two curves overlap.
    """
    logs = [(np.log(x), np.log(y), dy / y) for x, y, dy in curves]
    total, pairs = 0.0, 0
    for i, (x, y, dy) in enumerate(logs):
        for j, (other_x, other_y, other_dy) in enumerate(logs):
            if i == j or len(other_x) < 2:
                continue
            inside = (x >= other_x[0]) & (x <= other_x[-1])
            right = np.clip(np.searchsorted(other_x, x[inside]), 1, len(other_x) - 1)
            left = right - 1
            part = (x[inside] - other_x[left]) / (other_x[right] - other_x[left])
            master = (1 - part) * other_y[left] + part * other_y[right]
            variance = ((1 - part) * other_dy[left]) ** 2 + (part * other_dy[right]) ** 2 + dy[inside] ** 2
            good = variance > 0
            total += float((((y[inside] - master) ** 2)[good] / variance[good]).sum())
            pairs += int(good.sum())
    if not pairs:
        raise FitError("the scaled curves do not overlap, so that a collapse cannot be judged")
    return Collapse(total / pairs, pairs)
