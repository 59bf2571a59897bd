"""The one loop of the tails that numpy cannot shorten: the xmin search among many distinct values.

Loaded only where it runs, because numba takes half a second to load; compiled code is cached.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = ["smallest_distance"]

FloatArray = NDArray[np.float64]


@numba.njit(cache=True, nogil=True)
def _gap(j: int, i: int, log_u: FloatArray, cumulative: FloatArray, kappa: float, width: float, below: float) -> float:
    """|F_n − F| just before value j, and before the last of its events where it occurs more than once."""
    total = cumulative[-1] - below
    s = log_u[j] - log_u[i]
    if abs(kappa) * width < 1e-12:
        model = s / width
    elif kappa < 0.0:
        model = np.expm1(kappa * s) / np.expm1(kappa * width)
    else:
        model = np.exp(kappa * (s - width)) * np.expm1(-kappa * s) / np.expm1(-kappa * width)
    first = cumulative[j - 1] - below if j > i else 0.0
    last = cumulative[j] - below - 1.0
    return max(abs(model - first / total), abs(model - last / total))


@numba.njit(cache=True, nogil=True)
def smallest_distance(
    log_u: FloatArray, cumulative: FloatArray, exponents: FloatArray, log_top: float, first_stride: int
) -> int:
    """The candidate whose power law is nearest to the continuous data above it; −1 if none has a finite exponent.

    ``log_u`` (m,) ascending logarithms of the distinct values, ``cumulative`` (m,) number of events up to each,
    ``exponents`` (c,) those of the windows from candidate i ≤ c on, ``log_top`` the logarithm of the upper end
    (inf for none). Every candidate is compared with the data at coarse strides first and dropped as soon as
    one gap exceeds the smallest distance known, beginning where the last one was dropped; so the answer is
    that of the full search. Of equal distances the smaller xmin keeps more data.
    """
    m = log_u.size
    best = -1
    best_distance = np.inf
    probe = m - 1
    # A first round over a few candidates finds a distance that the second, over all, seldom exceeds.
    for step in (max(1, exponents.size // 32), 1):
        for i in range(0, exponents.size, step):
            alpha = exponents[i]
            if not np.isfinite(alpha) or i == best:
                continue
            kappa = 1.0 - alpha
            width = log_top - log_u[i]
            below = cumulative[i - 1] if i > 0 else 0.0
            limit = best_distance
            if probe > i and _gap(probe, i, log_u, cumulative, kappa, width, below) > limit:
                continue
            distance = 0.0
            stride = first_stride
            dropped = False
            while not dropped:
                # Odd multiples of a stride have not been seen at a coarser one; the coarsest takes all.
                start = i if stride == first_stride else i + stride
                hop = stride if stride == first_stride else 2 * stride
                for j in range(start, m, hop):
                    gap = _gap(j, i, log_u, cumulative, kappa, width, below)
                    if gap > distance:
                        distance = gap
                        if gap > limit:
                            probe = j
                            dropped = True
                            break
                if stride == 1:
                    break
                stride //= 2
            if not dropped and (distance < best_distance or (distance == best_distance and i < best)):
                best = i
                best_distance = distance
    return best
