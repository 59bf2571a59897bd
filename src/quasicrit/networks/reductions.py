"""What is kept of one layer's activations x (inputs, units): numbers of each input, and moments of each unit.

For float32 on a CPU one compiled pass over memory does both; elsewhere they are torch operations on the device. A batch takes
part in the moments (n, mean, M = Σ(x − mean)²) by the merge of Chan, Golub & LeVeque (1979),

    delta = mean_b − mean,   mean ← mean + delta n_b/(n + n_b),   M ← M + M_b + delta² n n_b/(n + n_b),

where mean_b and M_b come from sums of x − shift, the shift being the mean so far: nothing cancels.
"""

from __future__ import annotations

from typing import Any, Literal

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["ActiveRule", "Moments", "fused_reductions", "quantiles", "reductions", "torch_reductions"]

#: Which units count as active: none is asked for, x > 0, or |x| > rms/10.
ActiveRule = Literal["none", "positive", "tenth"]
_RULES: dict[ActiveRule, int] = {"none": 0, "positive": 1, "tenth": 2}

#: Units that are summed in float32 before the sum goes on in float64, and inputs likewise.
_BLOCK, _TILE = 1024, 8
#: Mean squares outside have lost digits to underflow, or are infinite, in float32.
_LOW, _HIGH = 1e-28, 1e36

# Sums may be reordered, else they are not vectorised; a value that is not a number must stay so.
_compiled: Any = numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
_ZERO, _ONE = np.float32(0.0), np.float32(1.0)


class Moments:
    """n, mean and Σ(x − mean)² of each unit, float64 on the activations' device; ``mean``, ``squares`` (units,)."""

    def __init__(self, units: int, device: torch.device) -> None:
        self.count = 0
        self.mean = torch.zeros(units, dtype=torch.float64, device=device)
        self.squares = torch.zeros(units, dtype=torch.float64, device=device)


@_compiled
def _sums(x: Any) -> Any:
    """Σx², Σ|x| and the number of x > 0 of one block, float32."""
    square, size, positive = _ZERO, _ZERO, _ZERO
    for j in range(len(x)):
        square += x[j] * x[j]
        size += abs(x[j])
        positive += _ONE if x[j] > _ZERO else _ZERO
    return square, size, positive


@_compiled
def _sums_and_units(x: Any, shift: Any, first: Any, second: Any) -> Any:
    """The same, and x − shift and its square added to each unit's ``first`` and ``second``."""
    square, size, positive = _ZERO, _ZERO, _ZERO
    for j in range(len(x)):
        square += x[j] * x[j]
        size += abs(x[j])
        positive += _ONE if x[j] > _ZERO else _ZERO
        d = x[j] - shift[j]
        first[j] += d
        second[j] += d * d
    return square, size, positive


@_compiled
def _above(x: Any, level: Any) -> Any:
    found = _ZERO
    for j in range(len(x)):
        found += _ONE if abs(x[j]) > level else _ZERO
    return found


@_compiled
def _mean_square(x: Any) -> Any:
    total = 0.0
    for j in range(len(x)):
        total += np.float64(x[j]) * np.float64(x[j])
    return total / len(x)


@_compiled
def _fused(x: Any, rule: Any, out: Any, shift: Any, before: Any, mean: Any, squares: Any) -> None:
    n, units = x.shape
    track = len(shift) > 0
    first, second = np.zeros(len(shift)), np.zeros(len(shift))
    near_first, near_second = np.empty(_BLOCK, np.float32), np.empty(_BLOCK, np.float32)
    out[:] = 0.0
    for begin in range(0, n, _TILE):
        end = min(begin + _TILE, n)
        for low in range(0, units, _BLOCK):
            high = min(low + _BLOCK, units)
            if track:
                near_first[:] = _ZERO
                near_second[:] = _ZERO
            for i in range(begin, end):
                block = x[i, low:high]
                if track:
                    s, a, p = _sums_and_units(block, shift[low:high], near_first, near_second)
                else:
                    s, a, p = _sums(block)
                out[0, i] += s
                out[1, i] += a
                out[2, i] += p
            if track:
                for j in range(low, high):
                    first[j] += near_first[j - low]
                    second[j] += near_second[j - low]
        for i in range(begin, end):
            out[0, i] /= units
            out[1, i] /= units
            out[2, i] /= units
            if not _LOW < out[0, i] < _HIGH:
                out[0, i] = _mean_square(x[i])
            if rule == 0:
                out[2, i] = 0.0
            elif rule == 2:
                # While the row is still in the cache.
                level = np.float32(0.1 * np.sqrt(out[0, i]))
                found = 0.0
                for low in range(0, units, _BLOCK):
                    found += _above(x[i, low : min(low + _BLOCK, units)], level)
                out[2, i] = found / units
    if track:
        total = before + n
        for j in range(units):
            delta = np.float64(shift[j]) + first[j] / n - mean[j]
            squares[j] += second[j] - first[j] * first[j] / n + delta * delta * before * n / total
            mean[j] += delta * n / total


_NOTHING: NDArray[Any] = np.empty(0)


def fused_reductions(x: Tensor, rule: ActiveRule, moments: Moments | None) -> Tensor:
    """Mean square, mean |x| and active share of each input of ``x`` (inputs, units), float32, CPU, without gaps: (3, inputs).

    ``moments`` takes the batch in. One pass over memory, and a second one over what is in the cache for |x| > rms/10.
    """
    out = np.empty((3, len(x)))
    if moments is None:
        _fused(x.numpy(), _RULES[rule], out, _NOTHING.astype(np.float32), 0, _NOTHING, _NOTHING)
    else:
        shift = moments.mean.float() if moments.count else x.mean(0)
        _fused(
            x.numpy(), _RULES[rule], out, shift.numpy(), moments.count, moments.mean.numpy(), moments.squares.numpy()
        )
        moments.count += len(x)
    return torch.from_numpy(out)


def torch_reductions(x: Tensor, rule: ActiveRule, moments: Moments | None) -> Tensor:
    """The same for any floating ``x`` (inputs, units) on any device, (3, inputs) float64 there."""
    n, units = x.shape
    out = torch.zeros(3, n, dtype=torch.float64, device=x.device)
    out[0] = torch.linalg.vector_norm(x, 2, 1, dtype=torch.float64).square_() / units
    out[1] = torch.linalg.vector_norm(x, 1, 1, dtype=torch.float64) / units
    if rule == "positive":
        out[2] = (x > 0).sum(1).double() / units
    elif rule == "tenth":
        out[2] = (x.abs() > (0.1 * out[0].sqrt()).to(x.dtype)[:, None]).sum(1).double() / units
    if moments is not None:
        wide = x.double()
        shift = moments.mean if moments.count else wide.mean(0)
        d = wide - shift
        first, second, total = d.sum(0), d.square_().sum(0), moments.count + n
        delta = shift + first / n - moments.mean
        moments.squares += second - first.square() / n + delta.square() * (moments.count * n / total)
        moments.mean += delta * (n / total)
        moments.count = total
    return out


def reductions(x: Tensor, rule: ActiveRule, moments: Moments | None) -> Tensor:
    """Mean square, mean |x| and active share of each input of ``x`` (inputs, units): (3, inputs) float64 on its device.

    ``moments`` takes the batch in. The share is 0 where the rule is "none".
    """
    if x.is_cpu and x.dtype == torch.float32 and x.is_contiguous():
        return fused_reductions(x, rule, moments)
    return torch_reductions(x, rule, moments)


def quantiles(x: Tensor, levels: list[float]) -> Tensor:
    """Quantiles of the units of each input of ``x`` (inputs, units), linear between the order statistics: (levels, inputs) float64.

    torch.quantile does the same for up to 16 million numbers only.
    """
    if x.is_cpu and x.dtype in (torch.float32, torch.float64):
        # Five times faster than torch's.
        ordered = torch.from_numpy(np.sort(x.numpy(), axis=1))
    else:
        ordered = x.sort(1).values
    found = []
    for level in levels:
        at = level * (x.shape[1] - 1)
        low = int(at)
        one, two = ordered[:, low].double(), ordered[:, min(low + 1, x.shape[1] - 1)].double()
        found.append(one + (two - one) * (at - low))
    return torch.stack(found)
