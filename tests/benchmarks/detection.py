"""Detection against what memory allows: a copy of the activity, and a cumulative sum, which reads and writes each value once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from quasicrit.avalanches import detect

from .measure import Row, ratio

TITLE = "Detection of avalanches"


def rows() -> Iterator[Row]:
    noise = np.random.default_rng(1).standard_normal((2000, 3000))
    walk = np.cumsum(noise, axis=1)
    out = np.empty_like(noise)
    for name, y, bound in (("critical walks", walk, 1.5), ("i.i.d. noise", noise, 4.0)):
        yield ratio(
            f"detection / one numpy.cumsum, {name}",
            lambda y=y: detect(y, 0.0),
            lambda y=y: np.cumsum(y, 1, out=out),
            at_most=bound,
        )
        yield ratio(
            f"detection / one copy in memory, {name}",
            lambda y=y: detect(y, 0.0),
            lambda y=y: np.copyto(out, y),
            expected="the floor is ½: a copy writes as well",
        )
