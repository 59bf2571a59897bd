"""The linear interface at depinning, driven quasi-statically: the class of short-range Barkhausen noise in d = 2."""

from __future__ import annotations

import numba
import numpy as np

from quasicrit.reference.process import Avalanches

__all__ = ["linear_interface"]

#: Moves per site before avalanches count, many times what the roughness below the cut-off length takes to form.
_WARM = 40
#: Lattices, each a cluster: at least, at most, and avalanches on each in between.
_FEWEST, _MOST, _EACH = 20, 50, 1000
_BLOCK = 64


@numba.njit(cache=True, nogil=True)
def _neighbours(dimension, side):  # type: ignore[no-untyped-def]
    """Of every site, (sites, 2 dimension), on the periodic lattice."""
    sites = side**dimension
    near = np.empty((sites, 2 * dimension), np.int64)
    for here in range(sites):
        column = here % side
        near[here, 0] = here + 1 if column + 1 < side else here + 1 - side
        near[here, 1] = here - 1 if column > 0 else here - 1 + side
        if dimension == 2:
            near[here, 2] = (here + side) % sites
            near[here, 3] = (here - side) % sites
    return near


@numba.njit(cache=True, nogil=True)
def _depin(dimension, side, stiffness, warm, rng, size, duration):  # type: ignore[no-untyped-def]
    """Fill size and duration with consecutive avalanches of one interface, after ``warm`` moves.

    ``force`` is Laplacian + spring + pinning up to a common constant; the drive raises that constant until the site
    with the largest force moves, and holds it while the avalanche lasts. That site is found among the largest forces
    of blocks of sites, of which only those are looked through again that an avalanche has touched.
    """
    near = _neighbours(dimension, side)
    sites, degree = near.shape
    pinning = np.empty(sites)
    for site in range(sites):
        pinning[site] = rng.standard_normal()
    force = pinning.copy()
    active = np.empty(sites, np.int64)
    following = np.empty(sites, np.int64)
    mark = np.zeros(sites, np.int64)
    blocks = (sites + _BLOCK - 1) // _BLOCK
    largest = np.empty(blocks)
    touched = np.ones(blocks, np.bool_)
    stamp = 0
    moved = 0
    found = 0
    while found < len(size):
        for block in range(blocks):
            if touched[block]:
                largest[block] = force[block * _BLOCK : (block + 1) * _BLOCK].max()
                touched[block] = False
        first = np.argmax(largest) * _BLOCK
        active[0] = first + np.argmax(force[first : first + _BLOCK])
        limit = force[active[0]]
        count = 1
        moves = 0
        steps = 0
        while count:
            steps += 1
            moves += count
            stamp += 1
            # All unstable sites move one step at once, and meet new pinning there.
            for index in range(count):
                here = active[index]
                new = rng.standard_normal()
                force[here] += new - pinning[here] - degree - stiffness
                pinning[here] = new
                touched[here // _BLOCK] = True
                for k in range(degree):
                    force[near[here, k]] += 1.0
                    touched[near[here, k] // _BLOCK] = True
            made = 0
            for index in range(count):
                here = active[index]
                if force[here] > limit and mark[here] != stamp:
                    mark[here] = stamp
                    following[made] = here
                    made += 1
                for k in range(degree):
                    site = near[here, k]
                    if force[site] > limit and mark[site] != stamp:
                        mark[site] = stamp
                        following[made] = site
                        made += 1
            active, following = following, active
            count = made
        moved += moves
        if moved > warm:
            size[found] = moves
            duration[found] = steps
            found += 1


def linear_interface(dimension: int, side: int, stiffness: float, n: int, rng: np.random.Generator) -> Avalanches:
    """n avalanches, or a few more, of interfaces on periodic lattices of ``side``^``dimension`` sites, dimension 1 or 2.

    Force on a site: Σ_neighbours (h_j − h_i) + stiffness (w − h_i) + eta(i, h_i), eta ~ N(0, 1) drawn anew at each height;
    w is raised until one site moves (quasi-static), then all sites of positive force move one step at a time. Size =
    moves, duration = parallel steps. With roughness zeta and dynamic exponent z, up to the cut-off length
    1/√stiffness: tau_s = 2 − 2/(d + zeta), tau_d = 1 + (d − 2 + zeta)/z, gamma = (d + zeta)/z.
    Each lattice is a cluster, 20 to 50 of them. Sources: Narayan and Fisher 1993; Rosso, Le Doussal and Wiese 2009, arXiv:0904.1123.
    """
    lattices = min(max(n // _EACH, _FEWEST), _MOST)
    each = -(-n // lattices)
    size, duration = np.empty((lattices, each)), np.empty((lattices, each))
    for lattice in range(lattices):
        _depin(dimension, side, stiffness, _WARM * side**dimension, rng, size[lattice], duration[lattice])
    return Avalanches(size.ravel(), duration.ravel(), np.repeat(np.arange(lattices), each))
