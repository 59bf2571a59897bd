"""Bond directed percolation from a single seed, in 1 + 1 and 2 + 1 dimensions."""

from __future__ import annotations

import numba
import numpy as np

from quasicrit.reference.process import Avalanches

__all__ = ["P_C_1D", "P_C_2D", "directed_percolation"]

P_C_1D = 0.644700185
"""Critical bond probability of the square lattice (Jensen 1999, J. Phys. A 32, 5233)."""
P_C_2D = 0.28733838
"""Critical bond probability of the body-centred cubic lattice (Perlsman and Havlin 2002; Wang et al. 2013)."""
_CLUSTERS = 200


@numba.njit(cache=True, nogil=True)
def _spread(n, columns, p, longest, rng, size, duration):  # type: ignore[no-untyped-def]
    """Wet (i, j), (i + 1, j) and, in two dimensions, (i, j + 1), (i + 1, j + 1): the frame drifts, no cluster does.

    A cluster of t steps covers t sites along each axis at most, so that ``longest`` + 1 of them suffice.
    """
    side = longest + 1
    rows = side if columns == 4 else 1
    mark = np.zeros((side, rows), np.int64)
    now = np.empty((side * rows, 2), np.int64)
    following = np.empty((side * rows, 2), np.int64)
    stamp = 0
    found = 0
    while found < n:
        count = 1
        total = 1
        steps = 1
        now[0, 0] = 0
        now[0, 1] = 0
        while steps < longest:
            stamp += 1
            made = 0
            for index in range(count):
                for direction in range(columns):
                    i = now[index, 0] + (direction & 1)
                    j = now[index, 1] + (direction >> 1)
                    if mark[i, j] != stamp and rng.random() < p:
                        mark[i, j] = stamp
                        following[made, 0] = i
                        following[made, 1] = j
                        made += 1
            now, following = following, now
            count = made
            if not count:
                break
            total += count
            steps += 1
        if not count:
            size[found] = total
            duration[found] = steps
            found += 1


def directed_percolation(
    dimension: int, n: int, rng: np.random.Generator, longest: int = 400, probability: float | None = None
) -> Avalanches:
    """n clusters of one seed; size = wet sites, duration = time steps that hold any; ``probability`` by default critical.

    Clusters that live ``longest`` steps are left out. 1 + 1: square lattice, two bonds a site; 2 + 1: body-centred
    cubic lattice, four. tau_d = 1 + delta, gamma = 1 + theta + delta, tau_s = 1 + delta/gamma (Muñoz et al. 1999).
    """
    size, duration = np.empty(n), np.empty(n)
    critical = P_C_1D if dimension == 1 else P_C_2D
    p = critical if probability is None else probability
    _spread(n, 2 if dimension == 1 else 4, p, longest, rng, size, duration)
    return Avalanches(size, duration, np.arange(n) % _CLUSTERS)
