"""Rule measure_scaling: cut-offs against width, depth and field, collapses, finite-width ridge, mean profiles, controls."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import minimize

from quasicrit.errors import FitError
from quasicrit.rng import generator
from quasicrit.scaling import Estimate, collapse_distributions, collapse_shapes, cutoff_exponent
from quasicrit.stages.shape_name import shape_name
from quasicrit.statistics import cluster_weights, percentile_interval, weighted_line
from quasicrit.tables import SCHEMAS, read_table, write_table
from quasicrit.theory import drift, edge_of_chaos, ridge, sigma_c, step_variance, xi_q

__all__ = ["find_peak", "measure_scaling"]


class _Rows(list[dict[str, Any]]):
    """Rows of the scaling table."""

    def put(
        self,
        analysis: str,
        quantity: str,
        estimate: Estimate | float | None,
        sizes: Sequence[float] = (),
        quality: float | None = None,
        reason: str = "",
    ) -> None:
        value = low = high = None
        if isinstance(estimate, Estimate):
            value, low, high = (v if math.isfinite(v) else None for v in _of(estimate))
        elif estimate is not None and math.isfinite(estimate):
            value = float(estimate)
        if quality is not None and not math.isfinite(quality):
            quality = None
        self.append(
            {
                "analysis": analysis,
                "quantity": quantity,
                "value": value,
                "ci_low": low,
                "ci_high": high,
                "quality": quality,
                "sizes": ", ".join(f"{size:g}" for size in sizes),
                "reason": reason,
            }
        )


def _of(estimate: Estimate) -> tuple[float, float, float]:
    return estimate.value, estimate.ci_low, estimate.ci_high


def measure_scaling(
    params: Mapping[str, Any],
    inputs: Mapping[str, Sequence[str]],
    scaling: Path | str,
    controls: Path | str,
    seed: int,
    details: Mapping[str, Any],
) -> None:
    """Write the scaling and controls tables.

    ``inputs``: paths of points, exponents, comparisons, distributions, cutoffs, moments, shapes, susceptibility.
    ``params``: criteria, fit_points, resamples, sigma_b (of the susceptibility).
    """
    points = read_table(list(inputs["points"]), SCHEMAS["points"]).astype({"grid": str, "point_id": str})
    by = ["source", "protocol", "point_id"]
    merged = {}
    for name in ("exponents", "comparisons", "distributions", "cutoffs"):
        frame = read_table(list(inputs[name]), SCHEMAS[name]).astype(dict.fromkeys(by, str))
        merged[name] = frame
    keyed = points.astype(dict.fromkeys(by, str))
    cut = merged["cutoffs"].merge(keyed, on=by, suffixes=("", "_of_point"))
    rows = _Rows()
    grown = {"tanh": "width", "linear": "width_linear"}
    for activation, analysis in grown.items():
        chosen = keyed[(keyed["grid"] == "widths") & (keyed["activation"] == activation)]
        _growth(rows, analysis, ("z", "D"), chosen, "width", cut, inputs["moments"], params, seed)
    _collapse(rows, "width", keyed, merged, "widths", "width")
    shift = cut[(cut["grid"] == "widths") & (cut["quantity"] == "d_c_slope") & (cut["depth"] == cut["depth_of_point"])]
    for row in shift.itertuples():
        name = "depth_shift" if row.activation == "tanh" else f"depth_shift_{row.activation}"
        if pd.notna(row.value):
            moved = (2**v - 1 for v in (row.value, row.ci_low, row.ci_high))
            rows.put(name, f"N={row.width}", Estimate(*moved), (row.depth,))
    chosen = keyed[(keyed["grid"] == "depths")]
    _growth(rows, "depth", ("z_L", "D_L"), chosen, "depth", cut, inputs["moments"], params, seed)
    _collapse(rows, "depth", keyed, merged, "depths", "depth")
    _field(rows, cut)
    _ridges(rows, inputs["susceptibility"], params)
    _shapes(rows, keyed, inputs["shapes"])
    write_table(scaling, SCHEMAS["scaling"], list(rows) or [_blank()], details)
    write_table(controls, SCHEMAS["controls"], _controls(keyed, merged, cut, params), details)


def _blank() -> dict[str, Any]:
    rows = _Rows()
    rows.put("none", "none", None, reason="the configuration has no grid to scale")
    return rows[0]


def _growth(
    rows: _Rows,
    analysis: str,
    names: tuple[str, str],
    points: pd.DataFrame,
    size: str,
    cut: pd.DataFrame,
    moments: Sequence[str],
    params: Mapping[str, Any],
    seed: int,
) -> None:
    """Exponents of d_c and s_c against ``size``, and their ratio by a joint bootstrap over networks."""
    points = points.sort_values(size)
    sizes = points[size].to_numpy(np.float64)
    if len(sizes) < 3:
        reason = f"needs 3 sizes, and the configuration has {len(sizes)}"
        for name in (*names, "D_over_z"):
            rows.put(analysis, name, None, sizes, reason=reason)
        return
    ids = points["point_id"].tolist()
    cut = cut[(cut["protocol"] == points["protocol"].iloc[0]) & (cut["source"] == points["source"].iloc[0])]
    for name, quantity in zip(names, ("d_c", "s_c"), strict=True):
        at = cut[(cut["quantity"] == quantity) & (cut["depth"] == cut["depth_of_point"])]
        found = at.set_index("point_id").reindex(ids)
        try:
            fit = cutoff_exponent(sizes, found["value"].to_numpy(np.float64), found["error"].to_numpy(np.float64))
        except FitError as error:
            rows.put(analysis, name, None, sizes, reason=str(error))
            continue
        rows.put(analysis, name, fit.exponent, sizes, fit.quality)
        rows.put(analysis, f"{name}_without_smallest", fit.without_smallest, sizes[1:])
    folder = f"/{points['source'].iloc[0]}/{points['protocol'].iloc[0]}/"
    frame = read_table([p for p in moments if folder in p], SCHEMAS["moments"])
    samples = []
    for point in points.itertuples():
        own = frame[(frame["point_id"] == point.point_id) & (frame["depth"] == point.depth)].sort_values("net")
        sums = own[["d1", "d2", "s1", "s2"]].to_numpy(np.float64)
        rng = generator(seed, "growth", point.point_id)
        total = np.vstack([np.ones(len(sums)), cluster_weights(len(sums), params["resamples"], rng)]) @ sums
        with np.errstate(divide="ignore", invalid="ignore"):
            samples.append(np.log(np.stack([total[:, 1] / total[:, 0], total[:, 3] / total[:, 2]])))
    logs = np.stack(samples, axis=-1)
    if not np.isfinite(logs[:, 0]).all():
        rows.put(analysis, "D_over_z", None, sizes, reason="a size has no complete event")
        return
    known = np.where(np.isfinite(logs[:, 1:]), logs[:, 1:], np.nan)
    weight = 1 / np.maximum(np.nanvar(known, axis=1, keepdims=True), 1e-300)
    lines = weighted_line(np.log(sizes), logs, np.broadcast_to(weight, logs.shape))
    ratio = lines.slope[1] / lines.slope[0]
    low, high = percentile_interval(ratio[1:])
    rows.put(analysis, "D_over_z", Estimate(float(ratio[0]), float(low), float(high)), sizes)


def _collapse(
    rows: _Rows, analysis: str, points: pd.DataFrame, merged: Mapping[str, pd.DataFrame], grid: str, size: str
) -> None:
    """Collapse of P(d): tau and z for which d^tau P(d) against d/size^z falls on one curve (smallest S)."""
    chosen = points[(points["grid"] == grid) & (points["activation"] == "tanh")].sort_values(size)
    found = merged["distributions"]
    found = found[(found["quantity"] == "duration") & (found["n"] >= 20) & (found["x"] >= 4) & (found["error"] > 0)]
    curves = []
    for point in chosen.itertuples():
        own = found[(found["point_id"] == point.point_id) & (found["protocol"] == point.protocol)].sort_values("x")
        if len(own) >= 4:
            curves.append((getattr(point, size), *(own[c].to_numpy(np.float64) for c in ("x", "value", "error"))))
    sizes = [float(curve[0]) for curve in curves]
    if len(curves) < 2:
        rows.put(
            f"{analysis}_collapse", "S", None, sizes, reason="needs two sizes with events lasting 4 layers or more"
        )
        return

    def quality(parameters: np.ndarray) -> float:
        tau, z = parameters
        scaled = [(x / n**z, y * x**tau, dy * x**tau) for n, x, y, dy in curves]
        try:
            return collapse_distributions(scaled).quality
        except FitError:
            return 1e6

    best = minimize(quality, np.array([1.5, 1.0]), method="Nelder-Mead", options={"xatol": 1e-4, "fatol": 1e-4})
    plain = "where S is smallest; its interval is that of the cut-offs"
    rows.put(f"{analysis}_collapse", "S", float(best.fun), sizes, float(best.fun))
    rows.put(f"{analysis}_collapse", "tau", float(best.x[0]), sizes, reason=plain)
    rows.put(f"{analysis}_collapse", "z", float(best.x[1]), sizes, reason=plain)


def _field(rows: _Rows, cut: pd.DataFrame) -> None:
    """How the cut-off on the ridge shrinks with the field sigma_b, per width."""
    at = cut[
        cut["grid"].str.startswith("driven")
        & (cut["sigma_w_rule"] == "ridge")
        & (cut["quantity"] == "d_c")
        & (cut["depth"] == cut["depth_of_point"])
    ]
    for width, group in at.groupby("width"):
        group = group.sort_values("sigma_b")
        try:
            fit = cutoff_exponent(*(group[c].to_numpy(np.float64) for c in ("sigma_b", "value", "error")))
        except FitError as error:
            rows.put(f"field_{width}", "slope", None, group["sigma_b"].tolist(), reason=str(error))
            continue
        rows.put(f"field_{width}", "slope", fit.exponent, fit.sizes, fit.quality)


def find_peak(sigma_w: np.ndarray, chi: np.ndarray, fit_points: int) -> tuple[float, float]:
    """Position and height of the maximum of chi(sigma_w), by a cubic through the ``fit_points`` values around it.

    The peak is lopsided: on the mean-field curve a parabola through 7 points 0.02 apart is 0.005 too high, a cubic 1e-5.
    Returns NaN when the largest value lies at an end or the cubic has no maximum among the points.
    """
    top = int(np.argmax(chi))
    if top in (0, len(chi) - 1):
        return math.nan, math.nan
    first = min(max(top - fit_points // 2, 0), len(chi) - fit_points)
    x = sigma_w[first : first + fit_points]
    centre = x.mean()
    cubic = np.polynomial.Polynomial.fit(x - centre, chi[first : first + fit_points], 3)
    roots = cubic.deriv().roots()
    real = roots[np.isreal(roots)].real
    tops = real[(real >= x[0] - centre) & (real <= x[-1] - centre) & (cubic.deriv(2)(real) < 0)]
    if not len(tops):
        return math.nan, math.nan
    return float(centre + tops[0]), float(cubic(tops[0]))


def _ridges(rows: _Rows, susceptibility: Sequence[str], params: Mapping[str, Any]) -> None:
    """The ridge at finite width, its error by a jackknife over folds of networks, and its distance to the edge of chaos."""
    frame = read_table(list(susceptibility), SCHEMAS["susceptibility"])
    edge = edge_of_chaos("tanh", params["sigma_b"])
    for order in ("rms", "abs", "m"):
        rows.put(f"ridge_{order}", "mean field", ridge("tanh", order, params["sigma_b"]).sigma_w)
        for width, group in frame[frame["order"] == order].groupby("width"):
            table = group.pivot(index="fold", columns="sigma_w", values="chi")
            x, chi = table.columns.to_numpy(np.float64), table.to_numpy()
            folds = len(chi)
            top, height = find_peak(x, chi.mean(0), params["fit_points"])
            left_out = np.array(
                [find_peak(x, np.delete(chi, f, 0).mean(0), params["fit_points"]) for f in range(folds)]
            )
            if not (math.isfinite(top) and np.isfinite(left_out).all()):
                rows.put(f"ridge_{order}", f"N={width}", None, x, reason="no maximum within the declared sigma_w")
                continue
            error = np.sqrt((folds - 1) / folds * ((left_out - left_out.mean(0)) ** 2).sum(0))
            half = 1.96 * float(error[0])
            rows.put(f"ridge_{order}", f"N={width}", Estimate(top, top - half, top + half), x)
            rows.put(
                f"ridge_{order}_height",
                f"N={width}",
                Estimate(height, height - 1.96 * error[1], height + 1.96 * error[1]),
                x,
            )
            rows.put(
                f"edge_minus_ridge_{order}", f"N={width}", Estimate(edge - top, edge - top - half, edge - top + half), x
            )
    rows.put("edge_of_chaos", "mean field", edge)


def _shapes(rows: _Rows, points: pd.DataFrame, shapes: Sequence[str]) -> None:
    chosen = points[points["grid"].str.startswith(("weak", "strong"))]
    for (source, protocol), group in chosen.groupby(["source", "protocol"]):
        files = [path for path in shapes if f"/{source}/{protocol}/" in path]
        frame = read_table(files, SCHEMAS["shapes"])
        for point in group.itertuples():
            own = frame[frame["point_id"] == point.point_id]
            name = shape_name(point, int((group["grid"] == point.grid).sum()))
            try:
                shape = _collapse_shape(own)
            except FitError as error:
                rows.put(name, "growth", None, reason=str(error))
                continue
            for quantity in ("growth", "power", "asymmetry", "deviation", "spread", "misfit"):
                rows.put(name, quantity, getattr(shape, quantity), shape.durations)


def _collapse_shape(frame: pd.DataFrame) -> Any:
    if frame.empty:
        raise FitError("no complete event is long enough for a mean profile")
    keys = ["fold", "duration_low", "phase"]
    cells = frame.set_index(keys)[["n", "mean_duration", "mean_activity"]]
    levels = [np.sort(frame[key].unique()) for key in keys]
    full = cells.reindex(pd.MultiIndex.from_product(levels, names=keys)).fillna(0.0)
    shape = tuple(len(level) for level in levels)
    n, duration, activity = (full[c].to_numpy(np.float64).reshape(shape) for c in full.columns)
    return collapse_shapes(n[:, :, 0], duration[:, :, 0], activity, levels[2])


def _memory(point: Any) -> float:
    """Layers over which the signal of a control remembers: AR(1) its memory, i.i.d. and shuffled 1, a chaotic network xi_q,
    an ordered one the time after which its drift beats its walk, sigma_1²/drift²; infinite at sigma_c."""
    if point.source == "process":
        return float(point.memory) if pd.notna(point.memory) else 1.0
    critical = sigma_c(point.activation, int(point.width))
    if math.isclose(point.sigma_w, critical, rel_tol=1e-9):
        return math.inf
    if point.sigma_w < critical:
        slope = drift(point.activation, int(point.width), float(point.sigma_w))
        return max(1.0, step_variance(point.activation, int(point.width)) / slope**2)
    return max(1.0, xi_q(point.activation, float(point.sigma_w), float(point.sigma_b)))


def _controls(
    points: pd.DataFrame, merged: Mapping[str, pd.DataFrame], cut: pd.DataFrame, params: Mapping[str, Any]
) -> list[dict[str, Any]]:
    criteria = params["criteria"]
    exponents = merged["exponents"]
    primary = exponents[exponents["primary"]].pivot_table(
        index=["source", "protocol", "point_id"], columns="quantity", values="exponent", observed=True, dropna=False
    )
    made = []
    comparisons = merged["comparisons"]
    against = comparisons[comparisons["alternative"] == "exponential"].set_index(["source", "protocol", "point_id"])
    chosen = points[
        points["grid"].str.startswith("controls") | ((points["grid"] == "widths") & (points["activation"] == "linear"))
    ]
    for point in chosen.itertuples():
        key = (point.source, point.protocol, point.point_id)
        own = cut[
            (cut["point_id"] == point.point_id) & (cut["protocol"] == point.protocol) & (cut["source"] == point.source)
        ]
        own = own[own["depth"] == point.depth].set_index("quantity")
        ratio = against.loc[[key]].iloc[0]
        row: dict[str, Any] = {
            "control": _control_name(point),
            "point_id": point.point_id,
            "protocol": point.protocol,
            **{
                name: _number(primary[name].get(key)) if name in primary else None
                for name in ("tau_d", "tau_s", "gamma")
            },
            "d_c": _number(own["value"].get("d_c")),
            "slope": _number(own["value"].get("d_c_slope")),
            "slope_low": _number(own["ci_low"].get("d_c_slope")),
            "slope_high": _number(own["ci_high"].get("d_c_slope")),
            "events_slope": _number(own["value"].get("n_events_slope")),
            "events_slope_high": _number(own["ci_high"].get("n_events_slope")),
            "likelihood_ratio": _number(ratio["log_likelihood_ratio"]),
            "likelihood_ratio_p": _number(ratio["p_value"]),
        }
        row |= _judge_control(point, row, criteria)
        made.append(row)
    _judge_manufactured(made)
    return made or [
        dict.fromkeys(SCHEMAS["controls"].names)
        | {
            "control": "none",
            "point_id": "",
            "protocol": "",
            "expected": "",
            "outcome": "",
            "reason": "no grid of controls",
        }
    ]


def _number(value: Any) -> float | None:
    return None if value is None or not np.isfinite(value) else float(value)


def _control_name(point: Any) -> str:
    if point.source == "process":
        memory = f", memory {point.memory:g}" if pd.notna(point.memory) else ""
        return {"iid": "i.i.d. noise", "shuffled": "shuffled layers", "ar1": "AR(1)"}[point.architecture] + memory
    if point.protocol == "layerwise":
        return f"layer-wise threshold, sigma_w = {point.sigma_w:g}"
    if point.activation == "linear":
        return f"linear net, protocol {point.protocol}, N = {point.width}"
    at = "sigma_c(N)" if point.sigma_w_rule == "critical" else f"{point.sigma_w:g}"
    return f"tanh net, sigma_w = {at}, N = {point.width}"


def _judge_control(point: Any, row: Mapping[str, Any], criteria: Mapping[str, float]) -> dict[str, str]:
    """Outcome by the declared criterion.

    F: rejected when doubling L moves d_c by more than depth_shift. Else: undecided below memories_needed memories (inside its
    memory a process cannot be told from a critical one); rejected when the cut-off saturates (d ln d_c/d ln L, upper end,
    below saturates_below), the exponential is favoured over the power law (p < .05), or the signal drifts (the number of events
    hardly grows with L: upper end of its slope below drifts_below); critical-like when the cut-off grows (lower end above
    saturates_below); else undecided.
    """
    slope, low, high = row["slope"], row["slope_low"], row["slope_high"]
    if point.protocol == "F":
        if slope is None or low is None:
            return {"expected": "rejected", "outcome": "undecided", "reason": "no cut-off at two lengths"}
        moved = 2**slope - 1
        failed = 2**low - 1 > criteria["depth_shift"]
        return {
            "expected": "rejected",
            "outcome": "rejected" if failed else "undecided",
            "reason": f"doubling L moves d_c by {100 * moved:.0f} %, allowed are {100 * criteria['depth_shift']:.0f} %",
        }
    memory = _memory(point)
    critical = math.isinf(memory)
    enough = critical or point.depth >= criteria["memories_needed"] * memory
    expected = "critical" if critical else "rejected" if enough else "indistinguishable"
    favours_exponential = (
        row["likelihood_ratio"] is not None and row["likelihood_ratio"] < 0 and (row["likelihood_ratio_p"] or 0) < 0.05
    )
    parts = [f"d_c = {row['d_c']:.3g}" if row["d_c"] is not None else "no complete event"]
    if slope is not None:
        parts.append(
            f"d ln d_c/d ln L = {slope:.2f} [{low:.2f}, {high:.2f}]" if low is not None else f"slope {slope:.2f}"
        )
    if row["likelihood_ratio"] is not None:
        side = "power law" if row["likelihood_ratio"] > 0 else "exponential"
        parts.append(f"likelihood ratio favours the {side} (p = {row['likelihood_ratio_p']:.2g})")
    drifts = row["events_slope_high"] is not None and row["events_slope_high"] < criteria["drifts_below"]
    if drifts:
        parts.append(f"no stationary state: d ln(events)/d ln L = {row['events_slope']:.2f}")
    if not enough:
        parts.append(
            f"only {point.depth / memory:.0f} memories long, {criteria['memories_needed']:g} are needed to see it saturate"
        )
        outcome = "undecided"
    elif (
        row["d_c"] is None or favours_exponential or drifts or (high is not None and high < criteria["saturates_below"])
    ):
        outcome = "rejected"
    elif low is not None and low >= criteria["saturates_below"]:
        outcome = "critical-like"
    else:
        outcome = "undecided"
    return {"expected": expected, "outcome": outcome, "reason": "; ".join(parts)}


def _judge_manufactured(rows: list[dict[str, Any]]) -> None:
    """The layer-wise threshold is judged against protocol T at the same point: what only the definition makes is no finding."""
    for row in rows:
        if row["protocol"] == "layerwise":
            same = f"tanh net, {row['control'].partition(', ')[2]},"
            twins = [other for other in rows if other["protocol"] == "T" and other["control"].startswith(same)]
            row["expected"] = "rejected"
            if any(twin["outcome"] == "rejected" for twin in twins):
                row["reason"] += "; protocol T at this sigma_w is rejected, so the definition made these exponents"
                row["outcome"] = "rejected"
