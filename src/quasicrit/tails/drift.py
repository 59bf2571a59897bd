"""Does the exponent change along the window? The curvature of the law, with its error.

Add a curvature to the power law, p(u) ∝ u^{−alpha − c ln(u/a)}: its local exponent −d ln p/d ln u is alpha +
2 c ln(u/a), and c > 0 is the lognormal of sigma² = 1/(2c). The drift is 2 c times the width of the window in
s = ln(u/a): what the exponent gains from xmin to the largest event. A power law has none, and a verdict that
calls a law one must know it to be small: a test that finds no misfit among few events knows nothing.

For c > 0 the estimate is the lognormal's maximum likelihood. Where that ends at c = 0 (the log-log plot bends
upwards) one step of Rao's score method from the power law gives a negative c. Both have the influence

    r_i/(n E r²),   r = −(s² − E s²) + (Cov(s, s²)/Var s)(s − E s),

moments under the law that was fitted, so the variance is Σ r²/(n E r²)², or over clusters Σ_k (Σ_{i in k} r_i)².
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quasicrit.statistics import cluster_sums
from quasicrit.tails.distributions import SIGMA_MAX, Distribution, fit_distribution
from quasicrit.tails.fit import PowerLawFit
from quasicrit.tails.quadrature import nodes_of
from quasicrit.tails.support import Events, Support, select_events

__all__ = ["Drift", "exponent_drift"]

FloatArray = NDArray[np.float64]

# The 95 % quantile of the normal law: |drift| + this many errors bounds it with confidence 95 %.
_ONE_SIDED = 1.6448536269514722


@dataclass(frozen=True)
class Drift:
    """The change of the exponent from xmin to the upper end of the data, with its standard error."""

    value: float
    error: float

    @property
    def bound(self) -> float:
        """|drift| is below this with confidence 95 % at least."""
        return abs(self.value) + _ONE_SIDED * self.error


def exponent_drift(values: ArrayLike, fit: PowerLawFit, *, clusters: ArrayLike | None = None) -> Drift:
    """Return how much the local exponent changes over the window of ``fit``, see above.

    ``values``, shape (n,), and ``clusters`` as they were given to the fit. Raises FitError as
    ``select_events`` does.
    """
    events = select_events(values, kind=fit.kind, xmin=fit.xmin, xmax=fit.xmax, offset=fit.offset, clusters=clusters)
    law = fit_distribution("lognormal", *_distinct(events)).distribution
    curved = law.parameters["sigma"] < SIGMA_MAX
    if not curved:
        law = Distribution("power_law", fit.support, {"alpha": fit.exponent})
    t, share = nodes_of(fit.support).log_ratio, law.node_shares()
    mean, mean_square = share @ t, share @ t**2
    first, second = t - mean, t**2 - mean_square
    slope = (share @ (first * second)) / (share @ first**2)
    information = float(share @ (second - slope * first) ** 2)
    if not information > 1e-12 * mean_square**2:
        # Two integers, say: any change of the exponent fits as well.
        return Drift(0.0, math.inf)
    s = np.log1p((events.values - fit.xmin) / fit.support.lower)
    score = slope * (s - mean) - (s**2 - mean_square)
    n = events.values.size
    curvature = 0.5 / law.parameters["sigma"] ** 2 if curved else min(0.0, float(score.sum()) / (n * information))
    sums = score if events.codes is None else cluster_sums(events.codes, score, events.n_clusters or 0)
    reach = 2.0 * float(s.max())
    return Drift(reach * curvature, reach * math.sqrt(float(sums @ sums)) / (n * information))


def _distinct(events: Events) -> tuple[FloatArray, Support, FloatArray]:
    values, counts = events.pairs()
    return values, events.support, counts
