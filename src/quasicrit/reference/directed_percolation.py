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
#: Sites to a word, as many as a uniform number has random bits; the numbers of such words; all bits.
_BITS = 53
_RANGE = 2.0**_BITS
_FULL = 2**_BITS - 1


@numba.njit(cache=True, nogil=True)
def _open(sites, p, rng):  # type: ignore[no-untyped-def]
    """Of the bits that are set in ``sites``, each with probability ``p``, independently.

    A uniform number is below p if it has the smaller digit at the first binary digit in which the two differ. The bits of one
    random word are that digit for all sites, and those that differ are decided: ln₂(sites) words or so decide all.
    """
    decided = np.int64(0)
    rest = p
    while sites:
        rest *= 2.0
        digits = np.int64(rng.random() * _RANGE)
        if rest >= 1.0:
            rest -= 1.0
            decided |= sites & ~digits
            sites &= digits
        else:
            sites &= ~digits
    return decided


@numba.njit(cache=True, nogil=True)
def _count(sites):  # type: ignore[no-untyped-def]
    made = 0
    while sites:
        sites &= sites - 1
        made += 1
    return made


@numba.njit(cache=True, nogil=True)
def _spread_1d(n, p, longest, rng, size, duration):  # type: ignore[no-untyped-def]
    """Wet i and i + 1 from i: the frame drifts, no cluster does. Sites are the bits of words, ``_BITS`` to a word."""
    words = longest // _BITS + 2
    wet = np.zeros(words, np.int64)
    found = 0
    while found < n:
        wet[:] = 0
        wet[0] = 1
        low = 0
        high = 0
        total = 1
        steps = 1
        count = 1
        while steps < longest:
            count = 0
            carried = np.int64(0)
            last = high
            for word in range(low, last + 1):
                here = wet[word]
                ahead = _open(here, p, rng)
                made = _open(here, p, rng) | carried | ((ahead << 1) & _FULL)
                carried = ahead >> (_BITS - 1)
                wet[word] = made
                count += _count(made)
            if carried:
                high = last + 1
                wet[high] = carried
                count += 1
            if not count:
                break
            while not wet[low]:
                low += 1
            total += count
            steps += 1
        if not count:
            size[found] = total
            duration[found] = steps
            found += 1


@numba.njit(cache=True, nogil=True)
def _spread_2d(n, p, longest, rng, size, duration):  # type: ignore[no-untyped-def]
    """Wet (i, j), (i + 1, j), (i, j + 1), (i + 1, j + 1) from (i, j): the frame drifts, no cluster does.

    A cluster of t steps covers t sites along each axis at most, so that ``longest`` + 1 of them suffice.
    """
    side = longest + 1
    mark = np.zeros(side * side, np.int64)
    now = np.empty(side * side, np.int32)
    following = np.empty(side * side, np.int32)
    moves = np.array([0, 1, side, side + 1], np.int32)
    stamp = 0
    found = 0
    while found < n:
        count = 1
        total = 1
        steps = 1
        now[0] = 0
        while steps < longest:
            stamp += 1
            made = 0
            for index in range(count):
                for move in moves:
                    site = now[index] + move
                    if mark[site] != stamp and rng.random() < p:
                        mark[site] = stamp
                        following[made] = site
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
    (_spread_1d if dimension == 1 else _spread_2d)(n, p, longest, rng, size, duration)
    return Avalanches(size, duration, np.arange(n) % _CLUSTERS)
