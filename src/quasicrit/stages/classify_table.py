"""``quasicrit classify``: the universality class of a table of events, or of three exponents, and the evidence."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np

from quasicrit.errors import FitError
from quasicrit.rng import generator
from quasicrit.scaling import (
    ClassPosterior,
    Estimate,
    Evidence,
    classify,
    classify_events,
    default_window,
    grade_evidence,
    window_biases,
)
from quasicrit.stages.crackling_table import group_clusters, parse_window
from quasicrit.stages.user_table import answer, read_events, table_name

__all__ = ["class_entries", "classify_table", "classify_values"]

_EXPONENTS = ("tau_s", "tau_d", "gamma")
_CAPPED = "one table of events cannot test whether the cut-off grows with size: its grade ends at 'consistent with'"


def classify_table(
    path: str,
    *,
    size: str,
    duration: str,
    cluster: str | None = None,
    window: str | None = None,
    offset: float = 0.5,
    resamples: int = 400,
    seed: int = 0,
    stream: BinaryIO | None = None,
) -> dict[str, Any]:
    """Exponents with their covariance, probabilities of the classes, and the grade of the evidence.

    Arguments as for ``quasicrit.stages.crackling_table``. The bias of each class on the window is measured by running its
    reference process there (``quasicrit.scaling.window_biases``).

    Raises TableError for a table that cannot be read, FitError, naming the file, for events that cannot be fitted.
    """
    chosen = None if window is None else parse_window(window)
    events = read_events(path, [size, duration], cluster, stream)
    sizes, durations = events.values[size], events.values[duration]
    rng = generator(seed, "classify")
    notes = [*events.notes, _CAPPED]
    try:
        if chosen is None:
            chosen = default_window(durations)
            notes.append(f"default window: durations from {chosen[0]} to their 99th percentile, {chosen[1]}")
        single = np.arange(len(durations)) if events.clusters is None else events.clusters
        made = classify_events(
            sizes,
            durations,
            group_clusters(single, rng),
            window=chosen,
            rng=rng,
            biases=window_biases(chosen, offset=offset, seed=seed),
            offset=offset,
            n_resamples=resamples,
        )
    except FitError as error:
        raise FitError(f"{table_name(path)}, columns {size!r} and {duration!r}: {error}") from None
    found = made.exponents
    details = {
        **{name: _interval(getattr(found, name)) for name in (*_EXPONENTS, "difference")},
        "window": list(chosen),
        "offset": offset,
        "p_value": made.p_value,
        "drift": {"value": made.drift.value, "error": made.drift.error},
        "n": found.n_events,
        "n_total": len(durations),
        "n_censored": events.n_censored,
        "cluster": events.cluster,
        "resamples": resamples,
        "seed": seed,
    }
    missing = {} if events.cluster else {"cluster": events.reason}
    return _answer(made.posterior, made.evidence, details, notes, missing)


def classify_values(
    tau_s: tuple[float, float], tau_d: tuple[float, float], gamma: tuple[float, float]
) -> dict[str, Any]:
    """Probabilities of the classes for three (value, error) pairs, errors taken as independent standard errors.

    Raises FitError for a value that is not finite or an error that is not positive.
    """
    given = {"tau-s": tau_s, "tau-d": tau_d, "gamma": gamma}
    for name, (value, error) in given.items():
        if not (math.isfinite(value) and math.isfinite(error) and error > 0.0):
            raise FitError(
                f"--{name} {value:g} {error:g} is no value with an error; give a finite number and its standard error "
                "above 0"
            )
    values = np.array([value for value, _ in given.values()])
    errors = np.array([error for _, error in given.values()])
    posterior = classify(values, np.diag(errors**2))
    notes = [
        "no window is known, so no class is calibrated on it: each exponent has another ± 0.05",
        "three exponents say nothing of decades, goodness of fit, sizes or controls: their grade ends at 'undecided'",
    ]
    evidence = grade_evidence(posterior, decades=0.0, difference=_difference(values, errors))
    details = {
        name: {"value": float(value), "error": float(error)} for name, value, error in zip(_EXPONENTS, values, errors)
    }
    return _answer(posterior, evidence, details, notes, {})


def class_entries(posterior: ClassPosterior) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """The classes as plain data, the most probable first, and the reasons of what is null under "classes"."""
    entries = [
        {
            "name": entry.name,
            "probability": entry.probability,
            "values": None if entry.values is None else dict(zip(_EXPONENTS, entry.values)),
            "distance": entry.distance,
            "calibrated": entry.calibrated,
        }
        for entry in posterior.classes
    ]
    reasons = {
        f"classes.{index}.{key}": "none of the classes: it has no exponents"
        for index, entry in enumerate(entries)
        for key in ("values", "distance")
        if entry[key] is None
    }
    return entries, reasons


def _interval(estimate: Estimate) -> dict[str, float]:
    return {"value": estimate.value, "ci_low": estimate.ci_low, "ci_high": estimate.ci_high}


def _difference(values: np.ndarray, errors: np.ndarray) -> Estimate | None:
    """gamma − (tau_d − 1)/(tau_s − 1) with its error to first order; None where tau_s = 1."""
    below = values[0] - 1.0
    if below == 0.0:
        return None
    slopes = np.array([(values[1] - 1.0) / below**2, -1.0 / below, 1.0])
    difference = float(values[2] - (values[1] - 1.0) / below)
    half = 1.96 * float(np.sqrt(((slopes * errors) ** 2).sum()))
    return Estimate(difference, difference - half, difference + half)


def _answer(
    posterior: ClassPosterior,
    evidence: Evidence,
    details: Mapping[str, Any],
    notes: list[str],
    missing: Mapping[str, str],
) -> dict[str, Any]:
    classes, nothing = class_entries(posterior)
    return answer(
        {
            "verdict": posterior.verdict,
            "statement": evidence.statement,
            "classes": classes,
            "evidence": {
                "grade": evidence.grade,
                "reasons": {
                    "for": list(evidence.reasons(True)),
                    "against": list(evidence.reasons(False)),
                    "open": list(evidence.reasons(None)),
                },
            },
            **details,
            "notes": notes,
        },
        {**missing, **nothing},
    )
