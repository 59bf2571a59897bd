"""Rule fit_cascades: exponents, classes and evidence of an entry's avalanches by every definition, beside their nulls and exact processes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from quasicrit.errors import FitError
from quasicrit.reference import branching_at_depth, walk_at_depth
from quasicrit.rng import generator
from quasicrit.scaling import (
    CLASSES,
    ClassPosterior,
    Crackling,
    Estimate,
    WindowBias,
    bias_of,
    classify,
    crackling,
    favoured_over_power_law,
    grade_evidence,
    log_bins,
)
from quasicrit.stages.cascades import OWN, primary_variant, roots_until
from quasicrit.stages.classes import read_biases
from quasicrit.stages.covariance import EXPONENTS
from quasicrit.statistics import cluster_codes, cluster_sums, cluster_weights, student_interval
from quasicrit.tables import SCHEMAS, Text, read_arrays, read_provenance, write_table
from quasicrit.tails import compare_alternatives, exponent_drift, fit_power_law, p_value

__all__ = ["fit_cascades"]

#: Distance at which three exponents differ with p < .01, √(quantile of χ² with 3 degrees of freedom).
_FAR = 3.368
#: Groups that realisations of an exact process are put into, as if networks.
_GROUPS = 50
_SURROGATE = "Gaussian surrogate"
_BRANCHING, _WALK = "critical branching", "random walk"
#: Fractional walks whose readings calibrate the class of Gaussian signals.
_HURST = (0.2, 0.35, 0.65, 0.8)


@dataclass(frozen=True)
class _Events:
    size: np.ndarray
    duration: np.ndarray
    cluster: np.ndarray
    n_clusters: int
    censored: float


@dataclass(frozen=True)
class _Fit:
    found: Crackling
    posterior: ClassPosterior
    covariance: np.ndarray


def fit_cascades(
    params: Mapping[str, Any],
    cascades: Sequence[Path | str],
    biases: Sequence[Path | str],
    resamples: int,
    reference_events: int,
    tolerance: float,
    out: Path | str,
    distributions: Path | str,
    seed: int,
    details: Mapping[str, Any],
) -> None:
    """Fit every table of ``cascades`` (those of the entry's definitions, in their order) on its declared window.

    The classes that have an exact process at any depth (branching, walks) are calibrated at the depth of the network, the others on the window
    alone. Intervals are Student's over networks. Of K networks the covariance of the three exponents is estimated too: for the classes it is
    enlarged by K/(K − 5), which takes in the bootstrap's (K − 1)/K and the mean of the F distribution that the squared distance has.
    """
    known = read_biases(biases)
    rows: list[dict[str, Any]] = []
    shapes: list[dict[str, Any]] = []
    for definition, path in zip(params["definitions"], cascades, strict=True):
        depths = read_provenance(path)["layers"]
        table = read_arrays(path, SCHEMAS["cascades"], SCHEMAS["cascades"].names)
        main = primary_variant(definition, params["threshold"])
        for member in params["members"]:
            low, high = (int(end) for end in member["windows"][definition])
            window = (low, high)
            layers = int(depths[member["label"]])
            head = {
                "network": params["name"],
                "family": params["family"],
                "member": member["label"],
                "size": member["size"],
                "definition": definition,
                "layers": layers,
                "window_low": window[0],
                "window_high": window[1],
            }
            task = _Task(window, known.get(window, {}), resamples, tolerance, seed)
            reference, at_depth = _references(definition, main, layers, params["threshold"], reference_events, task)
            task = replace(task, biases={**task.biases, **at_depth})
            own = _member_rows(table, definition, member["label"], main, params["nets"], task)
            for row, events in (*own, *reference):
                rows.append(head | row)
                if row["primary"]:
                    names = ("network", "member", "definition", "state", "signal")
                    shapes += [{name: rows[-1][name] for name in names} | bin for bin in _distribution(events)]
    write_table(out, SCHEMAS["architectures"], rows, details)
    write_table(distributions, SCHEMAS["cascade_distributions"], shapes, details)


def _distribution(events: _Events) -> Iterator[dict[str, Any]]:
    """Share of events per unit of duration, in bins of about an eighth of a decade, with its error over clusters."""
    if not len(events.duration):
        return
    codes, count = cluster_codes(events.cluster)
    edges = log_bins(1, int(events.duration.max()), per_octave=3)
    column = np.searchsorted(edges, events.duration, side="right") - 1
    table = np.bincount(codes * (len(edges) - 1) + column, minlength=count * (len(edges) - 1)).reshape(count, -1)
    width = np.diff(edges)
    share = table.sum(axis=0) / len(events.duration) / width
    each = table / table.sum(axis=1, keepdims=True) / width
    for index in np.nonzero(table.sum(axis=0))[0]:
        low, high = edges[index], edges[index + 1] - 1
        error = float(each[:, index].std(ddof=1) / np.sqrt(count)) if count > 1 else None
        yield {"x": float(np.sqrt(low * high)), "value": float(share[index]), "error": error}


@dataclass(frozen=True)
class _Task:
    window: tuple[int, int]
    biases: Mapping[str, Sequence[WindowBias]]
    resamples: int
    tolerance: float
    seed: int


def _member_rows(
    table: Mapping[str, Any], definition: str, member: str, main: str, nets: int, task: _Task
) -> Iterator[tuple[dict[str, Any], _Events]]:
    """Own signal and nulls of one network, in every state and variant; the grade of the own one from what the nulls read."""
    mine = _where(table, "member", member)
    for state in ("initial", "trained"):
        chosen = mine & _where(table, "state", state)
        if not chosen.any():
            continue
        made: dict[tuple[str, str], tuple[dict[str, Any], _Fit | None, _Events]] = {}
        for signal in table["signal"].names:
            for variant in table["variant"].names:
                events = _select(
                    table, chosen & _where(table, "signal", signal) & _where(table, "variant", variant), nets
                )
                if not len(events.size) and not events.censored:
                    continue
                row, fit = _row(events, task, (definition, member, state, signal, variant))
                row |= {"state": state, "signal": signal, "variant": variant, "primary": variant == main}
                made[signal, variant] = row, fit, events
        own = made.get((OWN, main))
        for (signal, variant), (row, fit, events) in made.items():
            if signal != OWN and own is not None:
                row["moved"] = _distance(own[1], fit)
            if signal == OWN and variant == main and own is not None:
                row |= _evidence(own[1], own[2], made, main, task, (definition, member, state))
            yield row, events


def _where(table: Mapping[str, Any], column: str, value: str) -> np.ndarray:
    text: Text = table[column]
    return text.codes == (text.names.index(value) if value in text.names else -1)


def _select(table: Mapping[str, Any], mask: np.ndarray, nets: int) -> _Events:
    whole = _where(table, "censored", "none")
    chosen = mask & whole
    share = float((mask & ~whole).sum() / mask.sum()) if mask.any() else 0.0
    return _Events(
        table["size"][chosen], table["duration"][chosen].astype(np.float64), table["net"][chosen], nets, share
    )


def _row(events: _Events, task: _Task, key: tuple[str, ...]) -> tuple[dict[str, Any], _Fit | None]:
    inside = (events.duration >= task.window[0]) & (events.duration <= task.window[1])
    names = [*EXPONENTS, "difference", "d_c"]
    row: dict[str, Any] = {f"{name}{end}": None for name in names for end in ("", "_low", "_high")}
    row |= {
        "n_nets": events.n_clusters,
        "n_events": int(inside.sum()),
        "censored": events.censored,
        "verdict": "none",
        "probability": None,
        "mean_field_dp": None,
        "brownian_excursion": None,
        "moved": None,
        "grade": "none",
        "statement": "",
        "reasons_for": "",
        "reasons_against": "",
        "reasons_open": "",
        "reason": "",
    }
    row |= _cut_off(events, generator(task.seed, "cut-off", *key), task.resamples)
    try:
        found = crackling(
            events.size,
            events.duration,
            events.cluster,
            window=task.window,
            rng=generator(task.seed, "cascades", *key),
            n_resamples=task.resamples,
            tolerance=task.tolerance,
        )
        nets = found.n_clusters
        if nets < 6:
            raise FitError(f"only {nets} networks have events in the window; the covariance of three exponents needs 6")
        covariance = found.covariance * nets / (nets - 5)
        posterior = classify([getattr(found, name).value for name in EXPONENTS], covariance, biases=task.biases)
    except FitError as error:
        return row | {"reason": str(error)}, None
    drawn = {name: found.samples[:, index] for index, name in enumerate(EXPONENTS)}
    drawn["difference"] = drawn["gamma"] - (drawn["tau_d"] - 1.0) / (drawn["tau_s"] - 1.0)
    for name, samples in drawn.items():
        value = getattr(found, name).value
        low, high, _ = student_interval(value, samples, nets)
        row |= {name: value, f"{name}_low": float(low), f"{name}_high": float(high)}
    chances = {entry.name: entry.probability for entry in posterior.classes}
    row |= {
        "verdict": posterior.verdict,
        "probability": posterior.classes[0].probability,
        "mean_field_dp": chances["mean_field_dp"],
        "brownian_excursion": chances["brownian_excursion"],
    }
    return row, _Fit(found, posterior, covariance)


def _cut_off(events: _Events, rng: np.random.Generator, resamples: int) -> dict[str, float]:
    """d_c = ⟨d²⟩/⟨d⟩ of all complete events with Student's interval over networks."""
    codes, count = cluster_codes(events.cluster)
    if count < 2:
        return {}
    sums = np.stack([cluster_sums(codes, events.duration**power, count) for power in (1, 2)], axis=1)
    total = sums.sum(axis=0)
    drawn = cluster_weights(count, resamples, rng) @ sums
    value = float(total[1] / total[0])
    low, high, _ = student_interval(value, drawn[:, 1] / drawn[:, 0], count)
    return {"d_c": value, "d_c_low": float(low), "d_c_high": float(high)}


def _distance(one: _Fit | None, other: _Fit | None) -> float | None:
    """Between two triples of exponents, in standard errors: √(Δᵀ (C + C')⁻¹ Δ)."""
    if one is None or other is None:
        return None
    delta = np.array([getattr(one.found, name).value - getattr(other.found, name).value for name in EXPONENTS])
    return float(np.sqrt(delta @ np.linalg.solve(one.covariance + other.covariance, delta)))


def _evidence(
    own: _Fit | None,
    events: _Events,
    made: Mapping[tuple[str, str], tuple[dict[str, Any], _Fit | None, _Events]],
    main: str,
    task: _Task,
    key: tuple[str, ...],
) -> dict[str, Any]:
    """Grade of the own signal. A null is rejected if it has no exponents or others; one with the same exponents passes as well."""
    if own is None:
        return {"statement": "no exponents", "reasons_open": "Without exponents nothing was tested."}
    rng = generator(task.seed, "cascade law", *key)
    low, high = task.window[0], task.window[1]
    law = fit_power_law(events.duration, kind="discrete", xmin=low, xmax=high, offset=0.5)
    p = p_value(events.duration, law, clusters=events.cluster, n_resamples=task.resamples, rng=rng)
    others = compare_alternatives(events.duration, law, clusters=events.cluster)
    drift = exponent_drift(events.duration, law, clusters=events.cluster)
    nulls = {
        signal: None if fit is None else _distance(own, fit)
        for (signal, variant), (_, fit, _) in made.items()
        if signal != OWN and variant == main
    }
    differ = {signal: distance is None or distance > _FAR for signal, distance in nulls.items()}
    controls = {signal: other for signal, other in differ.items() if signal != _SURROGATE}
    variants = [fit for (signal, variant), (_, fit, _) in made.items() if signal == OWN and variant != main]
    same = [fit is not None and fit.posterior.verdict == own.posterior.verdict for fit in variants]
    gap = own.found.difference
    evidence = grade_evidence(
        own.posterior,
        decades=law.populated_decades,
        p_value=p,
        drift=(drift.value, drift.error),
        favoured=favoured_over_power_law({name: other.favours for name, other in others.items()}),
        difference=Estimate(gap.value, gap.ci_low, gap.ci_high),
        tolerance=task.tolerance,
        controls_rejected=(sum(controls.values()), len(controls)) if controls else None,
        same_class=(sum(same), len(same)) if same else None,
        surrogates_differ=differ.get(_SURROGATE),
    )
    return {
        "grade": evidence.grade,
        "statement": evidence.statement,
        "reasons_for": "\n".join(evidence.reasons(True)),
        "reasons_against": "\n".join(evidence.reasons(False)),
        "reasons_open": "\n".join(evidence.reasons(None)),
    }


def _references(
    definition: str, main: str, layers: int, threshold: float, n: int, task: _Task
) -> tuple[list[tuple[dict[str, Any], _Events]], dict[str, tuple[WindowBias, ...]]]:
    """What exact processes read at the same depth and window, cut alike; and the biases there of their classes.

    Critical branching; for excursions a random walk, and fractional walks too, for the bias of the class of Gaussian signals.
    """
    rng = generator(task.seed, "reference", definition, layers, *task.window)
    last_start = roots_until(layers) if definition == "A" else layers - task.window[1]
    size, duration = branching_at_depth(layers, last_start, n, rng)
    made = {_BRANCHING: _Events(size, duration, np.arange(len(size)) % _GROUPS, _GROUPS, 0.0)}
    if definition != "A":
        walks = {_WALK: 0.5} | {f"H = {hurst:g}": hurst for hurst in _HURST}
        for name, hurst in walks.items():
            trajectories = max(_GROUPS, 20 * n // layers)
            size, duration, walk = walk_at_depth(layers, last_start, trajectories, threshold, hurst, rng)
            made[name] = _Events(size, duration, walk % _GROUPS, _GROUPS, 0.0)
    rows, curve = [], []
    biases: dict[str, tuple[WindowBias, ...]] = {}
    for signal, events in made.items():
        row, fit = _row(events, task, ("reference", definition, signal, str(layers)))
        if signal in (_BRANCHING, _WALK):
            row |= {"state": "reference", "signal": signal, "variant": main, "primary": True, "censored": None}
            rows.append((row, events))
        if fit is None:
            continue
        if signal in (_BRANCHING, _WALK):
            universality = CLASSES["mean_field_dp" if signal == _BRANCHING else "brownian_excursion"]
            biases[universality.name] = (bias_of(fit.found, universality.values),)
        else:
            hurst = walks[signal]
            curve.append(bias_of(fit.found, (2.0 / (1.0 + hurst), 2.0 - hurst, 1.0 + hurst), hurst))
    if curve:
        biases["gaussian_signal"] = tuple(curve)
    return rows, biases
