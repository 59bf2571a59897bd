"""The one-input chain at a cost independent of the width: one normal score and one look into a table per layer. No torch.

Given ln q, q = sigma_w² m + sigma_b², ln m' = ln q + f(ln q, g) with g ~ N(0, 1) and f the quantile function of the exact law
(``quasicrit.theory.layer_law``). f is tabulated on a grid of ln q and g and interpolated by bicubic Hermite
polynomials, from the linear regime, below which f no longer depends on q, up to q = 16. m stands for nothing else than itself:
E|x| and the share of active units do not follow from it and are not known here.

Weights are Gaussian. With orthogonal weights m' is a mean over a sphere, a ratio of two dependent sums, whose law is a
two-dimensional inversion; the chain samples that.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numba
import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray
from scipy.interpolate import CubicHermiteSpline, CubicSpline

from quasicrit.errors import PropagationError
from quasicrit.networks.propagation import Layers, Signals, check_finite
from quasicrit.rng import generator, generator_state, restore_generator
from quasicrit.theory import ACTIVATIONS, LEAST_LAW_WIDTH, step_variance
from quasicrit.theory.layer_law import layer_log_quantiles

__all__ = ["LARGEST_Q", "LayerTable", "Tabulated", "layer_table"]

#: Largest variance of pre-activations in the table: sigma_w up to 4 where the signal has a ceiling.
LARGEST_Q = 16.0
#: Largest normal score: draws beyond (2e-9 of all) are set to it.
LARGEST_SCORE = 6.0
#: Reach of the table in ln q: below 16 e^−21 = 1e-8 the relative change of f with q is of that order.
_REACH = 21
#: Rows per unit of ln q, and Chebyshev nodes in w = √q/(1 + √q), in which f is smooth from the linear regime up to q = 16.
#: With few units, below 16, the law has sharp features at q > 4 (all but one unit saturated): (few, many).
_ROWS_PER_UNIT, _NODES = (16, 8), (64, 40)
_FEW = 16
_FINEST = 64  # columns per unit of the normal score
#: Largest error of the interpolation in g, times exp(−g²/4), in units of sigma_1.
_TOLERANCE = 1e-5


@dataclass(frozen=True)
class LayerTable:
    """f(ln q, g) of one activation and width, as what a bicubic Hermite polynomial needs.

    Row i lies at ln q = ``first`` + i/``rows_per_unit``, column j at g = −``LARGEST_SCORE`` + j/``columns_per_unit``;
    ``values`` (rows, columns, 4) holds f and, per cell of the table, ∂f/∂row, ∂f/∂column and the mixed derivative.
    A homogeneous phi has two equal rows and ``rows_per_unit`` 0; ``top`` is the largest ln q allowed.
    """

    first: float
    rows_per_unit: float
    columns_per_unit: float
    top: float
    values: NDArray[np.float64]


@lru_cache(maxsize=32)
def layer_table(activation: str, width: int) -> LayerTable:
    """Tabulate the exact law of a layer, in a second (below 16 units: up to 15 seconds); once per process for each activation and width.

    The columns are as few as the interpolation in g allows (1e-5 sigma_1, weighted with exp(−g²/4)).

    Raises PropagationError for an unknown activation or a width below 8.
    """
    if activation not in ACTIVATIONS:
        raise PropagationError(f"unknown activation {activation!r}; allowed are {', '.join(ACTIVATIONS)}")
    if width < LEAST_LAW_WIDTH:
        raise PropagationError(
            f"width = {width} is too small for source: tabulated; give at least {LEAST_LAW_WIDTH}, or use source: gaussian"
        )
    score = np.linspace(-LARGEST_SCORE, LARGEST_SCORE, int(2 * LARGEST_SCORE * _FINEST) + 1)
    if ACTIVATIONS[activation].homogeneous:
        f = np.repeat(layer_log_quantiles(activation, width, 0.0, score)[None], 2, axis=0)
        slope = np.zeros_like(f)
        first, per_unit, top = 0.0, 0.0, math.inf
    else:
        end = math.sqrt(LARGEST_Q) / (1 + math.sqrt(LARGEST_Q))
        nodes, rows_per_unit = (pair[width >= _FEW] for pair in (_NODES, _ROWS_PER_UNIT))
        node = 0.5 * end * (1 + chebyshev.chebpts1(nodes))
        law = np.array([layer_log_quantiles(activation, width, float(w / (1 - w)) ** 2, score) for w in node])
        # Sums over the nodes, at which the polynomials are orthogonal; no linear algebra, whose rounding depends on threads.
        polynomials = chebyshev.chebvander(2 * node / end - 1, nodes - 1)
        series = (polynomials[:, :, None] * law[:, None]).sum(axis=0) * (2 / nodes)
        series[0] /= 2
        top, per_unit = math.log(LARGEST_Q), float(rows_per_unit)
        first = top - _REACH
        root = np.exp(0.5 * (first + np.arange(_REACH * rows_per_unit + 1) / per_unit))
        at = 2 * root / (1 + root) / end - 1
        f = chebyshev.chebval(at, series).T
        # ∂f/∂ln q = ∂f/∂w w (1 − w)/2.
        slope = (chebyshev.chebval(at, chebyshev.chebder(series)) / end * root / (1 + root) ** 2).T / per_unit
    stride = _stride(score, f, math.sqrt(step_variance(activation, width)))
    across, mixed = (CubicSpline(score, part, axis=1)(score[::stride], 1) * stride / _FINEST for part in (f, slope))
    values = np.stack([f[:, ::stride], slope[:, ::stride], across, mixed], axis=-1)
    return LayerTable(first, per_unit, _FINEST / stride, top, np.ascontiguousarray(values))


def _stride(score: NDArray[np.float64], f: NDArray[np.float64], step_sd: float) -> int:
    """The largest distance of columns, in steps of ``score``, that keeps the error of the interpolation small."""
    slope = CubicSpline(score, f, axis=1)(score, 1)
    for stride in (16, 8, 4, 2):
        coarse = CubicHermiteSpline(score[::stride], f[:, ::stride], slope[:, ::stride], axis=1)
        if (np.abs(coarse(score) - f) * np.exp(-0.25 * score**2)).max() < _TOLERANCE * step_sd:
            return stride
    return 1


# Products and sums may be fused, but not reordered, as in ``kernels``.
_compiled: Any = numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})


#: ln(1 + exp(−x)) and its slope at x = i/32, interpolated to 3e-10: in a fifth of the time of the two functions.
_BIAS_CELLS = 32
_X = np.arange(0.0, 36.0, 1 / _BIAS_CELLS)
_BIAS = np.stack([np.log1p(np.exp(-_X)), -1 / (1 + np.exp(_X)) / _BIAS_CELLS], axis=1)


@_compiled
def _bias_term(x: float) -> float:
    """ln(1 + exp(−x)) for x ≥ 0: ln(e^a + e^b) = max(a, b) + this at abs(a − b)."""
    place = x * _BIAS_CELLS
    if place >= len(_BIAS) - 1:
        return 0.0  # below 3e-16
    i = int(place)
    s = place - i
    s1 = s * s * (3.0 - 2.0 * s)
    return float(
        (1.0 - s1) * _BIAS[i, 0]
        + s * (1.0 - s) * (1.0 - s) * _BIAS[i, 1]
        + s1 * _BIAS[i + 1, 0]
        + s * s * (s - 1.0) * _BIAS[i + 1, 1]
    )


@_compiled
def _steps(
    score: NDArray[np.float64],
    log_m: NDArray[np.float64],
    log_w: float,
    log_b: float,
    first: float,
    rows_per_unit: float,
    columns_per_unit: float,
    values: NDArray[np.float64],
    out: NDArray[np.float32],
) -> float:
    """Propagate the networks of a group: ``score`` (layers, networks), ``log_m`` (networks) in place, ``out`` (networks, layers).

    ``log_w`` = ln sigma_w², ``log_b`` = ln sigma_b² (−inf without biases). Returns the largest ln q.
    """
    layers, nets = score.shape
    last_row, last_column = values.shape[0] - 2, values.shape[1] - 2
    end = LARGEST_SCORE
    highest = -np.inf
    for layer in range(layers):
        for net in range(nets):
            log_q = log_w + log_m[net]
            if log_b > -np.inf:
                log_q = max(log_q, log_b) + _bias_term(abs(log_q - log_b))
            highest = max(highest, log_q)
            row = min(max((log_q - first) * rows_per_unit, 0.0), last_row + 1.0)
            column = (min(max(score[layer, net], -end), end) + end) * columns_per_unit
            i, j = min(int(row), last_row), min(int(column), last_column)
            s, t = row - i, column - j
            # Hermite's cubics: values and slopes at either end.
            s1 = s * s * (3.0 - 2.0 * s)
            s2, s3 = s * (1.0 - s) * (1.0 - s), s * s * (s - 1.0)
            t1 = t * t * (3.0 - 2.0 * t)
            t2, t3 = t * (1.0 - t) * (1.0 - t), t * t * (t - 1.0)
            a, b, c, d = values[i, j], values[i, j + 1], values[i + 1, j], values[i + 1, j + 1]
            left = (1.0 - s1) * a[0] + s2 * a[1] + s1 * c[0] + s3 * c[1]
            left_slope = (1.0 - s1) * a[2] + s2 * a[3] + s1 * c[2] + s3 * c[3]
            right = (1.0 - s1) * b[0] + s2 * b[1] + s1 * d[0] + s3 * d[1]
            right_slope = (1.0 - s1) * b[2] + s2 * b[3] + s1 * d[2] + s3 * d[3]
            m = log_q + (1.0 - t1) * left + t2 * left_slope + t1 * right + t3 * right_slope
            log_m[net] = m
            out[net, layer] = m
    return highest


class Tabulated:
    """One input per network: ln m' = ln q + f(ln q, g), f from ``layer_table``.

    A relu layer without an active unit (probability 2^-N) ends its network: the layer is drawn at the start, geometric.

    Raises PropagationError for orthogonal weights, biases or weights for which q would leave the table, and what
    ``layer_table`` refuses.
    """

    def __init__(self, signals: Signals) -> None:
        if signals.orthogonal:
            raise PropagationError(
                "init = orthogonal has no table of its law; source: tabulated needs gaussian, or use source: gaussian"
            )
        self._table = layer_table(signals.activation, signals.width)
        self._signals = signals
        self._generators = [generator(signals.root_seed, *group.key) for group in signals.replicas]
        self._log_m = np.full(signals.nets, math.log(signals.m0))
        self._end = np.full(signals.nets, np.inf)  # the layer at which a relu network has no active unit
        if signals.activation == "relu":
            rate = -math.log1p(-(2.0**-signals.width))
            waits = [
                made.standard_exponential(g.size) for g, made in zip(signals.replicas, self._generators, strict=True)
            ]
            self._end = np.floor(np.concatenate(waits) / rate) + 1

    def advance(self, first: int, count: int, units: bool) -> Layers:
        """Propagate through layers first … first + count − 1. Raises PropagationError for units, which there are not."""
        if units:
            raise PropagationError("source: tabulated has no units to record; use source: gaussian or weights")
        table, signals = self._table, self._signals
        out = np.empty((signals.nets, 1, count), np.float32)
        at = 0
        for group, made in zip(signals.replicas, self._generators, strict=True):
            nets = slice(at, at + group.size)
            at += group.size
            highest = _steps(
                made.standard_normal((count, group.size)),
                self._log_m[nets],
                2 * math.log(group.sigma_w),
                2 * math.log(group.sigma_b) if group.sigma_b > 0 else -math.inf,
                table.first,
                table.rows_per_unit,
                table.columns_per_unit,
                table.values,
                out[nets, 0],
            )
            if highest > table.top:
                raise PropagationError(
                    f"the pre-activations reached a variance of {math.exp(min(highest, 700)):.3g} by layer {first + count - 1} "
                    f"in a network with activation {signals.activation}, sigma_w = {group.sigma_w:g}, sigma_b = "
                    f"{group.sigma_b:g}; source: tabulated goes up to {LARGEST_Q:g}: use source: gaussian"
                )
        dead = first + np.arange(count) >= self._end[:, None]
        if dead.any():
            out[dead[:, None]] = -np.inf
        check_finite(signals, first, out.transpose(2, 0, 1))
        unknown = np.full_like(out, np.nan)
        return Layers(first, out, unknown, unknown, units=None, jitter=0.0)

    def state(self) -> dict[str, np.ndarray]:
        """ln m of every network, and the generators of the groups; where networks end is drawn at the start."""
        return {
            "log_m": self._log_m.copy(),
            "generators": np.stack([generator_state(made) for made in self._generators]),
        }

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from such a ``state``."""
        self._log_m = np.array(state["log_m"])
        for made, words in zip(self._generators, state["generators"], strict=True):
            restore_generator(made, words)
