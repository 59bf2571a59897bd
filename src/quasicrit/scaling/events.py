"""From a table of events to a class and a grade: exponents, goodness of fit, alternatives, relation, in one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from quasicrit.scaling.classes import ClassPosterior, WindowBias, classify
from quasicrit.scaling.crackling import Crackling, crackling
from quasicrit.scaling.evidence import Evidence, grade_evidence
from quasicrit.tails import (
    Comparison,
    Drift,
    PowerLawFit,
    compare_alternatives,
    exponent_drift,
    fit_power_law,
    p_value,
)

__all__ = ["EventVerdict", "classify_events", "favoured_over_power_law"]


@dataclass(frozen=True)
class EventVerdict:
    """What one table of events allows to say: ``exponents`` with their joint errors, the power ``law`` of durations
    with its ``p_value``, ``drift`` and ``comparisons``, the ``posterior`` over classes, the ``evidence``."""

    exponents: Crackling
    law: PowerLawFit
    p_value: float
    drift: Drift
    comparisons: Mapping[str, Comparison]
    posterior: ClassPosterior
    evidence: Evidence


def classify_events(
    size: np.ndarray,
    duration: np.ndarray,
    clusters: np.ndarray,
    *,
    window: tuple[int, int],
    rng: np.random.Generator,
    biases: Mapping[str, Sequence[WindowBias]] | None = None,
    offset: float = 0.5,
    n_resamples: int = 400,
    tolerance: float = 0.1,
    surrogates_differ: bool | None = None,
) -> EventVerdict:
    """Classify complete events (arrays (events,): size, whole duration, cluster) on one window of durations.

    ``biases``: of the classes on this window (``window_biases``). One table has no sizes of a system to compare, nor
    controls, so that its grade ends at "consistent with". Raises FitError where ``crackling`` or ``fit_power_law`` does.
    """
    found = crackling(
        size, duration, clusters, window=window, rng=rng, offset=offset, n_resamples=n_resamples, tolerance=tolerance
    )
    low, high = window
    law = fit_power_law(duration, kind="discrete", xmin=low, xmax=high, offset=offset)
    p = p_value(duration, law, clusters=clusters, n_resamples=n_resamples, rng=rng)
    against = compare_alternatives(duration, law, clusters=clusters)
    drift = exponent_drift(duration, law, clusters=clusters)
    posterior = classify([found.tau_s.value, found.tau_d.value, found.gamma.value], found.covariance, biases=biases)
    evidence = grade_evidence(
        posterior,
        decades=law.populated_decades,
        p_value=p,
        drift=(drift.value, drift.error),
        favoured=favoured_over_power_law({name: other.favours for name, other in against.items()}),
        difference=found.difference,
        tolerance=tolerance,
        surrogates_differ=surrogates_differ,
    )
    return EventVerdict(found, law, p, drift, against, posterior, evidence)


def favoured_over_power_law(favours: Mapping[str, str]) -> list[str]:
    """Alternatives that beat the power law, from what each comparison favours; the cut-off, which nests it, is left to the drift."""
    return [name for name, favoured in favours.items() if favoured == name and name != "truncated_power_law"]
