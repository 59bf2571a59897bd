"""Weighted straight lines, many at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quasicrit.errors import FitError

__all__ = ["LineFit", "weighted_line"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class LineFit:
    """Weighted least-squares lines; every field has the shape of the leading axes.

    ``slope_error`` and ``intercept_error`` are the standard errors when the weights are inverse variances.
    When weights are right only up to a factor, multiply them by √(chi_squared / degrees_of_freedom).
    """

    slope: FloatArray
    intercept: FloatArray
    slope_error: FloatArray
    intercept_error: FloatArray
    chi_squared: FloatArray
    degrees_of_freedom: NDArray[np.int64]


def weighted_line(x: ArrayLike, y: ArrayLike, weights: ArrayLike) -> LineFit:
    """Fit y = intercept + slope · x by least squares with weights w ≥ 0 along the last axis.

    slope = Σ w (x − x̄)(y − ȳ) / Σ w (x − x̄)², with weighted means, and variance 1 / Σ w (x − x̄)² when
    w = 1 / Var y. ``x``, ``y`` and ``weights`` broadcast to shape (…, n); the leading axes are bootstrap
    resamples or anything else. Points of weight zero take no part (their x and y may be NaN). A line with
    fewer than two distinct x is NaN throughout, because a resample may lose its points.

    Raises FitError for negative or non-finite weights, and for fewer than two points on the last axis.
    """
    xs, ys, ws = np.broadcast_arrays(
        np.asarray(x, dtype=np.float64),
        np.asarray(y, dtype=np.float64),
        np.asarray(weights, dtype=np.float64),
    )
    if xs.ndim == 0 or xs.shape[-1] < 2:
        raise FitError(f"A line needs at least 2 points along the last axis, and the shape is {xs.shape}.")
    if not np.isfinite(ws).all() or (ws < 0.0).any():
        raise FitError("Regression weights must be finite and not negative; set a point's weight to 0 to drop it.")
    used = ws > 0.0
    xs = np.where(used, xs, 0.0)
    ys = np.where(used, ys, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        total = ws.sum(axis=-1)
        x_mean = (ws * xs).sum(axis=-1) / total
        y_mean = (ws * ys).sum(axis=-1) / total
        dx = np.where(used, xs - x_mean[..., np.newaxis], 0.0)
        dy = np.where(used, ys - y_mean[..., np.newaxis], 0.0)
        # Of identical x only rounding is left: that is no spread.
        scale = np.max(np.abs(xs), axis=-1)
        distinct = np.max(np.abs(dx), axis=-1) > 1e-12 * scale
        spread = np.where(distinct, (ws * dx * dx).sum(axis=-1), np.nan)
        slope = (ws * dx * dy).sum(axis=-1) / spread
        intercept = y_mean - slope * x_mean
        residual = dy - slope[..., np.newaxis] * dx
        chi_squared = (ws * residual * residual).sum(axis=-1)
        return LineFit(
            slope=slope,
            intercept=intercept,
            slope_error=1.0 / np.sqrt(spread),
            intercept_error=np.sqrt(1.0 / total + x_mean * x_mean / spread),
            chi_squared=chi_squared,
            degrees_of_freedom=np.count_nonzero(used, axis=-1) - 2,
        )
