"""Rules calibrate_classes, confuse_classes and classify_points: window biases, confusion, and the verdict of every point."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from quasicrit.errors import FitError
from quasicrit.reference import IMPOSTORS, PROCESSES, Process
from quasicrit.rng import generator
from quasicrit.scaling import (
    NONE,
    ClassPosterior,
    Crackling,
    Estimate,
    WindowBias,
    class_biases,
    classify,
    classify_events,
    favoured_over_power_law,
    grade_evidence,
    measure_biases,
)
from quasicrit.stages.covariance import EXPONENTS, covariance_columns, covariance_of
from quasicrit.stages.parts import Parts
from quasicrit.stages.shape_name import shape_name
from quasicrit.tables import SCHEMAS, read_table, write_table

__all__ = ["calibrate_classes", "classify_points", "confuse_classes", "read_biases"]


def calibrate_classes(
    processes: Sequence[str],
    windows: Sequence[Sequence[int]],
    n_events: int,
    resamples: int,
    seed: int,
    out: Path | str,
    details: Mapping[str, Any],
) -> None:
    """What reference processes read on each window: their bias, and the covariance of the bias."""
    chosen = [(int(low), int(high)) for low, high in windows]
    rows = [row for process in processes for row in _bias_rows(process, chosen, n_events, resamples, seed)]
    write_table(out, SCHEMAS["class_bias"], rows, details)


def _bias_rows(
    process: str, windows: list[tuple[int, int]], n_events: int, resamples: int, seed: int
) -> list[dict[str, Any]]:
    source = PROCESSES[process]
    rows = []
    for window, bias in zip(
        windows, measure_biases(source, windows, n_events, generator(seed, "class", process), resamples)
    ):
        row: dict[str, Any] = {
            "process": process,
            "universality": source.universality,
            "window_low": window[0],
            "window_high": window[1],
            "n_events": n_events,
            "reason": "",
        }
        if isinstance(bias, WindowBias):
            row |= {f"shift_{name}": float(value) for name, value in zip(EXPONENTS, bias.shift)}
            row |= covariance_columns(bias.covariance)
        else:
            row |= dict.fromkeys([f"shift_{name}" for name in EXPONENTS])
            row |= dict.fromkeys(covariance_columns(np.zeros((3, 3))))
            row["reason"] = str(bias)
        rows.append(row)
    return rows


def read_biases(paths: Sequence[Path | str]) -> dict[tuple[int, int], dict[str, tuple[WindowBias, ...]]]:
    """By window the biases of the classes there, from the tables of ``calibrate_classes``."""
    return {window: class_biases(found) for window, found in _measured(paths).items()}


def _measured(paths: Sequence[Path | str]) -> dict[tuple[int, int], dict[str, WindowBias]]:
    """By window and process."""
    frame = read_table([str(path) for path in paths], SCHEMAS["class_bias"])
    measured: dict[tuple[int, int], dict[str, WindowBias]] = {}
    for row in frame[frame["reason"] == ""].to_dict("records"):
        shift = np.array([float(row[f"shift_{name}"]) for name in EXPONENTS])
        window = (int(row["window_low"]), int(row["window_high"]))
        measured.setdefault(window, {})[str(row["process"])] = WindowBias(shift, covariance_of(row))
    return measured


def _covered(found: Crackling, source: Process, own: WindowBias | None) -> dict[str, bool | None]:
    """Whether value − shift ± 1.96 √(variances of both) holds the exact exponent; the shift is the process's own, so that
    this tests the errors, not whether the shift holds for others of its class."""
    if own is None or source.exponents is None:
        return dict.fromkeys(f"covers_{name}" for name in EXPONENTS)
    covariance = found.covariance + own.covariance
    made: dict[str, bool | None] = {}
    for index, name in enumerate(EXPONENTS):
        off = getattr(found, name).value - own.shift[index] - source.exponents[index]
        made[f"covers_{name}"] = bool(abs(off) <= 1.96 * np.sqrt(covariance[index, index]))
    return made


def confuse_classes(
    processes: Sequence[str],
    biases: Sequence[Path | str],
    n_events: int,
    replicates: int,
    resamples: int,
    tolerance: float,
    seed: int,
    out: Path | str,
    details: Mapping[str, Any],
) -> None:
    """Classify fresh realisations of processes, reference or impostor, as data would be: verdict and grade."""
    key = (processes, n_events, resamples, tolerance, seed, details)
    measured = _measured(biases)
    with Parts(out, *key, inputs=biases) as parts:
        rows = [
            row
            for process in processes
            for row in _confusion_rows(parts, process, measured, n_events, replicates, resamples, tolerance, seed)
        ]
        write_table(out, SCHEMAS["confusion"], rows, details)


def _confusion_rows(
    parts: Parts,
    process: str,
    measured: Mapping[tuple[int, int], dict[str, WindowBias]],
    n_events: int,
    replicates: int,
    resamples: int,
    tolerance: float,
    seed: int,
) -> list[dict[str, Any]]:
    source = PROCESSES[process] if process in PROCESSES else IMPOSTORS[process]
    there = measured.get(source.window, {})
    known = class_biases(there) if there else None
    own = there.get(process)

    def classified(replicate: int) -> dict[str, Any]:
        rng = generator(seed, "confusion", process, replicate)
        row: dict[str, Any] = {"process": process, "universality": source.universality, "replicate": replicate}
        try:
            made = source.sample(n_events, rng)
            found = classify_events(
                made.size,
                made.duration,
                made.cluster,
                window=source.window,
                rng=rng,
                biases=known,
                n_resamples=resamples,
                tolerance=tolerance,
            )
            row |= {name: getattr(found.exponents, name).value for name in EXPONENTS}
            row |= _covered(found.exponents, source, own)
            row |= {"verdict": found.posterior.verdict, "probability": found.posterior.classes[0].probability}
            row |= {"grade": found.evidence.grade, "statement": found.evidence.statement, "reason": ""}
        except FitError as error:
            # Too little of it lies in the window to be fitted: nothing is claimed of it.
            row |= dict.fromkeys((*EXPONENTS, *(f"covers_{name}" for name in EXPONENTS), "probability"))
            row |= {"verdict": "none", "grade": "none", "statement": "no evidence of criticality", "reason": str(error)}
        return row

    return [parts.keep(f"{process} {replicate}", partial(classified, replicate)) for replicate in range(replicates)]


def classify_points(
    params: Mapping[str, Any],
    inputs: Mapping[str, Sequence[Path | str]],
    classes: Path | str,
    verdicts: Path | str,
    details: Mapping[str, Any],
) -> None:
    """Class probabilities of every point that has exponents, and the grade of the evidence for every point.

    ``inputs``: paths of points, exponents, covariances, comparisons, cutoffs, bias, controls, definitions, scaling. The
    cut-off must grow when the length looked at is doubled (``params``: saturates_below; protocol F: with the width at one
    depth), and the controls of the point's protocol that ought to be rejected must be; stability and surrogates are those
    of the map of definitions.
    """
    keys = ["source", "protocol", "point_id"]
    exponents = read_table([str(p) for p in inputs["exponents"]], SCHEMAS["exponents"])
    primary = exponents[exponents["primary"]]
    covariances = read_table([str(p) for p in inputs["covariances"]], SCHEMAS["covariances"])
    comparisons = read_table([str(p) for p in inputs["comparisons"]], SCHEMAS["comparisons"])
    cutoffs = read_table([str(p) for p in inputs["cutoffs"]], SCHEMAS["cutoffs"])
    points = (
        read_table([str(p) for p in inputs["points"]], SCHEMAS["points"])
        .astype(dict.fromkeys(keys, str))
        .set_index(keys)
    )
    controls = _controls(read_table([str(p) for p in inputs["controls"]], SCHEMAS["controls"]))
    defined = read_table([str(p) for p in inputs["definitions"]], SCHEMAS["definitions"])
    definitions = dict(iter(defined.astype(dict.fromkeys(keys, str)).groupby(keys)))
    scaling = read_table([str(p) for p in inputs["scaling"]], SCHEMAS["scaling"])
    biases = read_biases(inputs["bias"])
    favoured = comparisons[comparisons["favours"].astype(str) == comparisons["alternative"].astype(str)]
    rows_of_class: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    for row in covariances.to_dict("records"):
        key = tuple(str(row[name]) for name in keys)
        own = primary[(primary[keys].astype(str) == list(key)).all(axis=1)].set_index("quantity")
        if own["exponent"].isna().any():
            continue
        window = (int(own["window_low"].iloc[0]), int(own["window_high"].iloc[0]))
        posterior = classify(
            own.loc[list(EXPONENTS), "exponent"].to_numpy(np.float64),
            covariance_of(row),
            biases=biases.get(window),
        )
        names = dict(zip(keys, key))
        rows_of_class += _class_rows(names, posterior)
        difference = own.loc["difference"]
        other = favoured[(favoured[keys].astype(str) == list(key)).all(axis=1)]
        cut = cutoffs[(cutoffs[keys].astype(str) == list(key)).all(axis=1)]
        limit = float(params["saturates_below"])
        if key[1] == "F":
            # Its depth is the same for every width: the cut-off is set by the width, and must grow with that.
            grows, how = _growth_with_width(scaling, points.loc[key], posterior.verdict, limit)
        else:
            grows, how = _growth(cut, points.loc[key], limit)
        rejected, undecided = controls.get(key[1], (None, 0))
        collapses, shape = _shape(scaling, points, key, own.loc["gamma"], float(params["tolerance"]))
        evidence = grade_evidence(
            posterior,
            decades=float(own.loc["tau_d", "decades"]),
            p_value=_number(own.loc["tau_d", "p_value"]),
            drift=(float(row["drift"]), float(row["drift_error"])),
            favoured=favoured_over_power_law(dict(zip(other["alternative"].astype(str), other["favours"].astype(str)))),
            difference=Estimate(*(float(difference[name]) for name in ("exponent", "ci_low", "ci_high"))),
            tolerance=float(params["tolerance"]),
            cutoff_grows=grows,
            growth=how,
            controls_rejected=rejected,
            controls_undecided=undecided,
            shape_collapses=collapses,
            shape=shape,
            same_class=_same_class(definitions.get(key)),
            surrogates_differ=_surrogates_differ(definitions.get(key)),
        )
        rows.append(
            {
                **names,
                "verdict": posterior.verdict,
                "probability": posterior.classes[0].probability,
                "grade": evidence.grade,
                "statement": evidence.statement,
                "reasons_for": "\n".join(evidence.reasons(True)),
                "reasons_against": "\n".join(evidence.reasons(False)),
                "reasons_open": "\n".join(evidence.reasons(None)),
            }
        )
    rows += _unmeasured(points, exponents, {tuple(row[name] for name in keys) for row in rows})
    write_table(classes, SCHEMAS["classes"], rows_of_class, details)
    write_table(verdicts, SCHEMAS["point_verdicts"], rows, details)


def _unmeasured(points: pd.DataFrame, exponents: pd.DataFrame, measured: set[tuple[Any, ...]]) -> list[dict[str, Any]]:
    """The verdict of points without exponents: none, and why."""
    keys = list(points.index.names)
    reasons = exponents[exponents["reason"] != ""].astype(dict.fromkeys(keys, str))
    known = reasons.drop_duplicates(keys).set_index(keys)["reason"]
    return [
        {
            **dict(zip(keys, key)),
            "verdict": NONE,
            "probability": None,
            "grade": "none",
            "statement": f"no exponents: {known.get(key, 'too shallow or too few events')}",
            "reasons_for": "",
            "reasons_against": "",
            "reasons_open": "Without exponents nothing was tested.",
        }
        for key in points.index
        if key not in measured
    ]


def _class_rows(names: Mapping[str, str], posterior: ClassPosterior) -> list[dict[str, Any]]:
    return [
        {
            **names,
            "universality": entry.name,
            "label": entry.label,
            "probability": entry.probability,
            "distance": entry.distance,
            "parameter": entry.parameter,
            "calibrated": entry.calibrated,
        }
        for entry in posterior.classes
    ]


def _number(value: Any) -> float | None:
    return None if value is None or pd.isna(value) else float(value)


#: Distance at which three exponents differ with p < .01, √(quantile of χ² with 3 degrees of freedom).
_FAR = 3.368


def _same_class(definitions: pd.DataFrame | None) -> tuple[int, int] | None:
    """How many of the other definitions that could be fitted give the class of the primary one."""
    if definitions is None:
        return None
    own = definitions[(definitions["signal"] == "own") & (definitions["reason"] == "")]
    primary = own[own["primary"]]
    if not len(primary) or len(own) < 2:
        return None
    others = own[~own["primary"]]
    return int((others["verdict"].astype(str) == str(primary["verdict"].iloc[0])).sum()), len(others)


def _surrogates_differ(definitions: pd.DataFrame | None) -> bool | None:
    """Whether all surrogates that were cut as the signal was give other exponents."""
    if definitions is None:
        return None
    moved = definitions[definitions["signal"] != "own"]["moved"].dropna()
    return bool((moved > _FAR).all()) if len(moved) else None


def _shape(
    scaling: pd.DataFrame, points: pd.DataFrame, key: tuple[str, ...], gamma: pd.Series, tolerance: float
) -> tuple[bool | None, str]:
    """Whether the profiles fall on one curve, and how closely: their spread about it is within ``tolerance`` of its mean.

    Their growth is gamma − 1 whatever the signal, since ⟨s⟩(d) is d times the mean profile: it must agree, or the two were
    not measured on the same events, but alone it shows nothing.
    """
    own = points.loc[key]
    name = shape_name(own, int((points["grid"] == own["grid"]).sum()))
    found = scaling[(scaling["analysis"] == name) & scaling["value"].notna()].set_index("quantity")
    if not {"growth", "spread", "misfit"} <= set(found.index):
        return None, ""
    growth, spread, misfit = (float(found.loc[quantity, "value"]) for quantity in ("growth", "spread", "misfit"))
    text = (
        f"growth {growth:.2f}, gamma − 1 = {float(gamma['exponent']) - 1.0:.2f}; spread about one curve "
        f"{100 * spread:.1f} % of its mean, {math.sqrt(misfit):.1f} of their errors"
    )
    agrees = abs(growth + 1.0 - float(gamma["exponent"])) <= tolerance
    return agrees and spread <= tolerance, text


def _controls(controls: pd.DataFrame) -> dict[str, tuple[tuple[int, int], int]]:
    """By protocol: how many of the controls that must be rejected are, and how many are undecided."""
    must = controls[controls["expected"].astype(str) == "rejected"]
    made = {}
    for protocol, group in must.groupby(must["protocol"].astype(str)):
        outcome = group["outcome"].astype(str)
        made[str(protocol)] = (
            (int((outcome == "rejected").sum()), len(group)),
            int((outcome == "undecided").sum()),
        )
    return made


def _growth(cutoffs: pd.DataFrame, point: pd.Series, saturates_below: float) -> tuple[bool | None, str]:
    """Whether d_c grows with the length looked at: d ln d_c/d ln L over the last doubling against the declared limit."""
    own = cutoffs[(cutoffs["quantity"].astype(str) == "d_c_slope") & (cutoffs["depth"] == point["depth"])]
    if not len(own) or own["ci_low"].isna().any():
        return None, ""
    grows, text = _against(next(own.itertuples(index=False)), "L", saturates_below)
    return grows, f"{text}; at most 1 where the length alone limits it"


#: The class of which theory gives the growth of the cut-off with the width at one depth: a walk in ln m, whose steps have a
#: variance of 2/N, crosses the fixed distance between threshold and wall (kappa/N and 1/N) in some N layers, z = 1.
_DIFFUSIVE = "brownian_excursion"


def _growth_with_width(
    scaling: pd.DataFrame, point: pd.Series, universality: str, saturates_below: float
) -> tuple[bool | None, str]:
    """The same for d_c against the width, from the exponent z of all widths at sigma_c(N), for points there."""
    activation = str(point["activation"])
    analysis = "width" if activation == "tanh" else f"width_{activation}"
    own = scaling[(scaling["analysis"] == analysis) & (scaling["quantity"] == "z")].dropna(subset=["value", "ci_low"])
    if not len(own) or str(point["sigma_w_rule"]) != "critical":
        return None, ""
    grows, text = _against(next(own.itertuples(index=False)), "N", saturates_below)
    if universality != _DIFFUSIVE:
        return (False if grows is False else None), f"{text}; what this class demands is not known"
    return grows, f"{text}; a walk demands 1"


def _against(slope: Any, size: str, saturates_below: float) -> tuple[bool | None, str]:
    text = f"d ln d_c/d ln {size} = {slope.value:.2f} [{slope.ci_low:.2f}, {slope.ci_high:.2f}]"
    if slope.ci_high < saturates_below:
        return False, text
    return (True if slope.ci_low > saturates_below else None), text
