"""Rule fit_cascades: exponents, classes and evidence of an entry's avalanches by every definition, beside their nulls and exact processes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import fdtrc

from quasicrit.errors import FitError
from quasicrit.reference import branching_at_depth, population_at_depth, walk_at_depth
from quasicrit.rng import generator
from quasicrit.scaling import (
    CLASSES,
    NONE,
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
from quasicrit.tables import SCHEMAS, Text, read_arrays, read_provenance, read_table, write_table
from quasicrit.tails import compare_alternatives, exponent_drift, fit_power_law, p_value

__all__ = ["BRANCHING", "SAME_BELOW", "WALK", "fit_cascades"]

#: Below this p two triples of exponents differ.
SAME_BELOW = 0.01
#: Of the events in a window's upper octave no more than this share may have been cut by the last layer.
_MOST_CUT = 0.05
#: Groups that realisations of an exact process are put into, as if networks.
_GROUPS = 50
_SURROGATE = "Gaussian surrogate"
BRANCHING, WALK = "critical branching", "random walk"
#: H of fractional walks whose readings calibrate the class of Gaussian signals.
_HURST = (0.05, 0.1, 0.2, 0.35, 0.65, 0.8, 0.95)


@dataclass(frozen=True)
class _Events:
    size: np.ndarray
    duration: np.ndarray
    cluster: np.ndarray
    n_clusters: int
    cut: float


@dataclass(frozen=True)
class _Fit:
    found: Crackling
    posterior: ClassPosterior
    covariance: np.ndarray


def fit_cascades(
    params: Mapping[str, Any],
    cascades: Sequence[Path | str],
    learning: Path | str,
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
    alone. Intervals are Student's over networks, with the inputs fixed. Of K networks the covariance of the three exponents is estimated
    too: for the classes it is enlarged by K/(K − 5), which takes in the bootstrap's (K − 1)/K and the mean of the F distribution that the
    squared distance has. Signals of the same networks are resampled together, so that a null is compared with its network in pairs.
    """
    known = read_biases(biases)
    reached = _accuracies(learning)
    rows: list[dict[str, Any]] = []
    shapes: list[dict[str, Any]] = []
    for definition, path in zip(params["definitions"], cascades, strict=True):
        depths = read_provenance(path)["layers"]
        table = read_arrays(path, SCHEMAS["cascades"], SCHEMAS["cascades"].names)
        main = primary_variant(definition, params["threshold"])
        for member in params["members"]:
            low, high = (int(end) for end in member["windows"][definition])
            layers = int(depths[member["label"]])
            head = {
                "network": params["name"],
                "family": params["family"],
                "member": member["label"],
                "size": member["size"],
                "definition": definition,
                "layers": layers,
                "window_low": low,
                "window_high": high,
            }
            task = _Task((low, high), known.get((low, high), {}), resamples, tolerance, seed)
            last_start = roots_until(layers, params["lineage_roots"]) if definition == "A" else layers - high
            reference, at_depth = _references(
                definition, main, layers, last_start, params["threshold"], reference_events, task
            )
            task = replace(task, biases={**task.biases, **at_depth})
            own = _member_rows(table, definition, member["label"], main, params["nets"], task)
            for row, events in (*own, *reference):
                accuracy = reached.get(member["label"]) if row["state"] == "trained" else None
                rows.append(head | row | {"accuracy": accuracy})
                if row["primary"]:
                    names = ("network", "member", "definition", "state", "signal")
                    shapes += [{name: rows[-1][name] for name in names} | bin for bin in _distribution(events)]
    write_table(out, SCHEMAS["architectures"], rows, details)
    write_table(distributions, SCHEMAS["cascade_distributions"], shapes, details)


def _accuracies(learning: Path | str) -> dict[str, float]:
    """Mean test accuracy by member over the networks whose training did not diverge."""
    table = read_table(learning, SCHEMAS["architecture_learning"], ["member", "test_accuracy"]).dropna()
    return {
        str(member): float(group["test_accuracy"].mean()) for member, group in table.groupby("member", observed=True)
    }


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
                mask = chosen & _where(table, "signal", signal) & _where(table, "variant", variant)
                if not mask.any():
                    continue
                events = _select(table, mask, nets, task.window)
                row, fit = _row(events, task, (definition, member, state))
                row |= {"state": state, "signal": signal, "variant": variant, "primary": variant == main}
                made[signal, variant] = row, fit, events
        own = made.get((OWN, main))
        for (signal, variant), (row, fit, events) in made.items():
            if signal != OWN and own is not None:
                row["moved"], row["p_same"] = _distance(own[1], fit)
            if signal == OWN and variant == main and own is not None:
                row |= _evidence(own[1], own[2], made, main, task, (definition, member, state))
            yield row, events


def _where(table: Mapping[str, Any], column: str, value: str) -> np.ndarray:
    text: Text = table[column]
    return text.codes == (text.names.index(value) if value in text.names else -1)


def _select(table: Mapping[str, Any], mask: np.ndarray, nets: int, window: tuple[int, int]) -> _Events:
    """Complete events, and the share in the window's upper octave that was cut: those cut within it might have ended there."""
    whole = _where(table, "censored", "none")
    chosen, high = mask & whole, window[1]
    duration = table["duration"]
    n_cut = int((mask & ~whole & (duration <= high)).sum())
    n_upper = int((chosen & (duration <= high) & (duration >= high / 2)).sum())
    cut = n_cut / max(1, n_cut + n_upper)
    return _Events(table["size"][chosen], duration[chosen].astype(np.float64), table["net"][chosen], nets, cut)


def _row(events: _Events, task: _Task, key: tuple[str, ...]) -> tuple[dict[str, Any], _Fit | None]:
    inside = (events.duration >= task.window[0]) & (events.duration <= task.window[1])
    names = [*EXPONENTS, "difference", "d_c"]
    row: dict[str, Any] = {f"{name}{end}": None for name in names for end in ("", "_low", "_high")}
    row |= {
        "n_nets": events.n_clusters,
        "n_events": int(inside.sum()),
        "cut": events.cut,
        "verdict": "none",
        "probability": None,
        "mean_field_dp": None,
        "brownian_excursion": None,
        "moved": None,
        "p_same": None,
        "grade": "none",
        "statement": "",
        "reasons_for": "",
        "reasons_against": "",
        "reasons_open": "",
        "reason": "",
    }
    row |= _cut_off(events, generator(task.seed, "cut-off", *key), task.resamples)
    try:
        if events.cut > _MOST_CUT:
            raise FitError(
                f"the last layer may have cut {100 * events.cut:.0f} % of the events of {task.window[1] // 2} to {task.window[1]}, and "
                f"{100 * _MOST_CUT:.0f} % are allowed: shorten the window, or let lineages begin earlier"
            )
        found = crackling(
            events.size,
            events.duration,
            events.cluster,
            window=task.window,
            # The key holds no signal: all signals of a network are drawn together.
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
        low, high = _interval(value, samples, nets)
        row |= {name: value, f"{name}_low": low, f"{name}_high": high}
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
    low, high = _interval(value, drawn[:, 1] / drawn[:, 0], count)
    return {"d_c": value, "d_c_low": low, "d_c_high": high}


def _interval(value: float, samples: np.ndarray, nets: int) -> tuple[float, float]:
    """Student's interval; the spread of resampled networks is too small by √((K − 1)/K)."""
    low, high, _ = student_interval(value, value + (samples - value) * np.sqrt(nets / (nets - 1)), nets)
    return float(low), float(high)


def _distance(one: _Fit | None, other: _Fit | None) -> tuple[float | None, float | None]:
    """T = √(Δᵀ C⁻¹ Δ) between two triples of exponents of the same K networks, and p of it (Hotelling 1931).

    C is the covariance of the differences in the same resamples; T² (K − 3)/(3 (K − 1)) has the F distribution of 3 and K − 3 degrees of
    freedom if the exponents are the same. None where one has no exponents, or not from all of the same networks.
    """
    if one is None or other is None or one.found.n_clusters != other.found.n_clusters:
        return None, None
    nets = one.found.n_clusters
    delta = np.array([getattr(one.found, name).value - getattr(other.found, name).value for name in EXPONENTS])
    covariance = np.cov(one.found.samples - other.found.samples, rowvar=False) * nets / (nets - 1)
    # A null that leaves every event as it was has differences without spread.
    squared = float(delta @ np.linalg.pinv(covariance) @ delta)
    return float(np.sqrt(squared)), float(fdtrc(3, nets - 3, squared * (nets - 3) / (3 * (nets - 1))))


def _evidence(
    own: _Fit | None,
    events: _Events,
    made: Mapping[tuple[str, str], tuple[dict[str, Any], _Fit | None, _Events]],
    main: str,
    task: _Task,
    key: tuple[str, ...],
) -> dict[str, Any]:
    """Grade of the own signal. A null passes as well if it is of the same class, is rejected if it has other exponents, and is else undecided."""
    if own is None:
        return {"statement": "no exponents", "reasons_open": "Without exponents nothing was tested."}
    rng = generator(task.seed, "cascade law", *key)
    low, high = task.window[0], task.window[1]
    law = fit_power_law(events.duration, kind="discrete", xmin=low, xmax=high, offset=0.5)
    p = p_value(events.duration, law, clusters=events.cluster, n_resamples=task.resamples, rng=rng)
    others = compare_alternatives(events.duration, law, clusters=events.cluster)
    drift = exponent_drift(events.duration, law, clusters=events.cluster)
    nulls = {signal: fit for (signal, variant), (_, fit, _) in made.items() if signal != OWN and variant == main}
    passing = {
        signal: fit is not None and fit.posterior.verdict == own.posterior.verdict != NONE
        for signal, fit in nulls.items()
    }
    differ = {}
    for signal, fit in nulls.items():
        p_same = _distance(own, fit)[1]
        differ[signal] = None if p_same is None else p_same < SAME_BELOW
    controls = [signal for signal in nulls if signal != _SURROGATE]
    rejected = sum(bool(differ[signal]) and not passing[signal] for signal in controls)
    undecided = sum(not differ[signal] and not passing[signal] for signal in controls)
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
        controls_rejected=(rejected, len(controls)) if controls else None,
        controls_undecided=undecided,
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
    definition: str, main: str, layers: int, last_start: int, threshold: float, n: int, task: _Task
) -> tuple[list[tuple[dict[str, Any], _Events]], dict[str, tuple[WindowBias, ...]]]:
    """What exact processes read at the same depth and window; and the biases there of their classes.

    For lineages critical branching, a generation for every layer. For excursions the activity of critical branching populations and
    random walks, z-scored and cut as networks are; fractional walks too, for the bias of the class of Gaussian signals.
    """
    rng = generator(task.seed, "reference", definition, layers, *task.window)
    made: dict[str, _Events] = {}
    walks: dict[str, float] = {}
    if definition == "A":
        size, duration = branching_at_depth(layers, last_start, n, rng)
        made[BRANCHING] = _Events(size, duration, np.arange(len(size)) % _GROUPS, _GROUPS, 0.0)
    else:
        trajectories = max(_GROUPS, 20 * n // layers)
        drawn = population_at_depth(layers, last_start, trajectories, threshold, rng)
        made[BRANCHING] = _Events(drawn[0], drawn[1], drawn[2] % _GROUPS, _GROUPS, 0.0)
        walks = {WALK: 0.5} | {f"H = {hurst:g}": hurst for hurst in _HURST}
        for name, hurst in walks.items():
            drawn = walk_at_depth(layers, last_start, trajectories, threshold, hurst, rng)
            made[name] = _Events(drawn[0], drawn[1], drawn[2] % _GROUPS, _GROUPS, 0.0)
    rows, curve = [], []
    biases: dict[str, tuple[WindowBias, ...]] = {}
    for signal, events in made.items():
        row, fit = _row(events, task, ("reference", definition, signal, str(layers)))
        if signal in (BRANCHING, WALK):
            row |= {"state": "reference", "signal": signal, "variant": main, "primary": True, "cut": None}
            rows.append((row, events))
        if fit is None:
            continue
        if signal in (BRANCHING, WALK):
            universality = CLASSES["mean_field_dp" if signal == BRANCHING else "brownian_excursion"]
            biases[universality.name] = (bias_of(fit.found, universality.values),)
        else:
            hurst = walks[signal]
            curve.append(bias_of(fit.found, (2.0 / (1.0 + hurst), 2.0 - hurst, 1.0 + hurst), hurst))
    if curve:
        biases["gaussian_signal"] = tuple(curve)
    return rows, biases
