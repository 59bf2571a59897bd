"""Critical values of the Kolmogorov–Smirnov distance of a power law with a fitted exponent.

With the exponent estimated, √n D does not follow Kolmogorov's law but the supremum of a Gaussian process
that depends on the law and its window (Durbin 1973). For large n the empirical process minus the fitted one
tends to

    G(x) = B(F(x)) − h(x)/Var(l) · ∫ l dB(F),   l = ln u − E ln u,   h(x) = ∫_{u ≤ x} l dF,

B a Brownian bridge. ``simulate`` draws it; ``critical_value`` reads the table of its 90 % points that
``make critical-values`` wrote, so that a search over windows costs no resampling. For continuous data it
depends on |1 − alpha| ln(b/a) alone. For discrete data the table spans exponents 0 to 5, windows from half a
unit of ln u to infinity, and lower ends u = ½ to 128, because steps matter: a law that puts nearly all events
on one integer has hardly a distance. Beyond its ends the nearest entry is used.
"""

from __future__ import annotations

import json
import math
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import RegularGridInterpolator

from quasicrit.tails.quadrature import nodes_of
from quasicrit.tails.support import Kind, Support

__all__ = ["LEVEL", "critical_value", "simulate", "tabulate"]

FloatArray = NDArray[np.float64]

LEVEL = 0.1
"""A window passes when its distance is not among the largest tenth under a true law (p > .1)."""

_ALPHAS = (0.0, 0.5, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0, 5.0)
_LOG_WIDTHS = (0.5, 1.0, 1.8, 3.0, 5.0, 8.0, 14.0, math.inf)
_LOWER = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)
# An infinite window with alpha ≤ 1 does not exist; the entry that interpolation needs there is of this alpha.
_LEAST_ALPHA = 1.02
# |1 − alpha| ln(b/a) of the continuous entries; at the last the window is as good as infinite.
_STEEPNESS = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 14.0, 20.0, 30.0)
_FINE = 600
_NAME = "critical_values.json"


def simulate(alpha: float, support: Support, n_draws: int, rng: np.random.Generator) -> FloatArray:
    """Draw sup |G|, shape (n_draws,): the limit of √n D for the power law ``alpha`` fitted on its window.

    Discrete data: on the window's integers, in groups where a group holds less than 1/600 of the events.
    Continuous: on 600 points, plus .5826/√600, by which the supremum over points falls short (Asmussen et al.
    1995).
    """
    x, share = _points(alpha, support)
    distribution = np.cumsum(share)
    score = x - share @ x
    partial = np.cumsum(share * score)
    variance = share @ score**2
    found = np.empty(n_draws)
    step = max(1, (1 << 22) // share.size)
    for first in range(0, n_draws, step):
        count = min(step, n_draws - first)
        noise = rng.standard_normal((count, share.size)) * np.sqrt(share)
        process = np.cumsum(noise, axis=1) - noise.sum(axis=1, keepdims=True) * distribution
        process -= (noise @ score / variance)[:, np.newaxis] * partial
        found[first : first + count] = np.abs(process).max(axis=1)
    return found if support.discrete else found + 0.5826 / math.sqrt(share.size)


def _points(alpha: float, support: Support) -> tuple[FloatArray, FloatArray]:
    """ln u and the share of the law at the points that carry it."""
    if not support.discrete:
        # In s = ln(u/a) the law is exponential with rate alpha − 1, cut at the window's width.
        middle = (np.arange(_FINE) + 0.5) / _FINE
        kappa = 1.0 - alpha
        width = math.log(support.upper / support.lower)
        if abs(kappa) * width < 1e-9:
            s = middle * width
        elif kappa < 0.0:
            s = np.log1p(middle * math.expm1(kappa * width)) / kappa
        else:
            s = width + np.log(middle + (1.0 - middle) * math.exp(-kappa * width)) / kappa
        return s, np.full(_FINE, 1.0 / _FINE)
    nodes = nodes_of(support)
    weight = nodes.log_weight - alpha * nodes.log_ratio
    share = np.exp(weight - weight.max())
    share /= share.sum()
    # Nodes beyond the first integers stand for groups of them; groups too heavy to be one step are cut up.
    pieces = np.where(nodes.log_ratio > math.log1p(63.0 / support.lower), np.ceil(share * _FINE), 1.0)
    pieces = np.maximum(pieces, 1.0).astype(np.intp)
    gap = np.diff(nodes.log_ratio, append=nodes.log_ratio[-1])
    index = np.repeat(np.arange(share.size), pieces)
    order = np.arange(index.size) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    s = nodes.log_ratio[index] + gap[index] * order / pieces[index]
    share = share[index] / pieces[index]
    keep = share > 1e-7
    return s[keep], share[keep] / share[keep].sum()


def tabulate(n_draws: int, rng: np.random.Generator) -> dict[str, Any]:
    """The table that ``critical_value`` reads: the 90 % points of ``simulate`` at its entries."""
    continuous = []
    for steepness in _STEEPNESS:
        draws = simulate(1.0 + steepness, Support("continuous", 1.0, math.e), n_draws, rng)
        continuous.append(round(float(np.quantile(draws, 1.0 - LEVEL)), 4))
    values = np.empty((len(_ALPHAS), len(_LOG_WIDTHS), len(_LOWER)))
    for place in np.ndindex(values.shape):
        alpha, width, lower = _ALPHAS[place[0]], _LOG_WIDTHS[place[1]], _LOWER[place[2]]
        # The lower end is the offset, so that it need not be whole; with two integers a law fits exactly.
        top = math.inf if math.isinf(width) else max(2.0, math.floor(lower * math.expm1(width)))
        alpha = max(alpha, _LEAST_ALPHA) if math.isinf(width) else alpha
        draws = simulate(alpha, Support("discrete", 0.0, top, lower), n_draws, rng)
        values[place] = np.quantile(draws, 1.0 - LEVEL)
    return {
        "level": LEVEL,
        "n_draws": n_draws,
        "continuous": continuous,
        "discrete": np.round(values, 4).tolist(),
    }


def critical_value(alpha: ArrayLike, lower: ArrayLike, log_width: ArrayLike, *, kind: Kind) -> FloatArray:
    """The value that √n D exceeds with probability .1 under the law; arguments broadcast.

    ``lower`` is u at xmin, ``log_width`` ln(b/a), infinite for an open window; n large. For n events of
    continuous data compare (D − .2/n)(√n + .26 + .5/√n) with it (Stephens 1974, for the exponential law).
    """
    alphas = np.asarray(alpha, np.float64)
    widths = np.asarray(log_width, np.float64)
    if kind == "continuous":
        with np.errstate(invalid="ignore"):
            steepness = np.where(np.isinf(widths), math.inf, np.abs(1.0 - alphas) * widths)
        return np.interp(steepness, _STEEPNESS, _table()["continuous"])
    axes = np.broadcast_arrays(
        np.clip(alphas, _ALPHAS[0], _ALPHAS[-1]),
        _narrowness(np.maximum(widths, _LOG_WIDTHS[0])),
        np.clip(np.log(np.asarray(lower, np.float64)), math.log(_LOWER[0]), math.log(_LOWER[-1])),
    )
    shape = axes[0].shape
    return _discrete_table()(np.stack([axis.ravel() for axis in axes], axis=-1)).reshape(shape)


def _narrowness(log_width: ArrayLike) -> FloatArray:
    """1/(1 + ln(b/a)): the axis on which an infinite window lies at 0."""
    return 1.0 / (1.0 + np.asarray(log_width, np.float64))


@cache
def _table() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(resources.files("quasicrit.tails").joinpath(_NAME).read_text(encoding="utf-8"))
    return loaded


@cache
def _discrete_table() -> RegularGridInterpolator:
    # Axes must ascend, and an infinite window is the least narrow.
    axes = (np.array(_ALPHAS), _narrowness(_LOG_WIDTHS)[::-1], np.log(_LOWER))
    return RegularGridInterpolator(axes, np.asarray(_table()["discrete"])[:, ::-1])
