"""Rule fit_exponents: events and moments of one source and protocol → exponents, distributions, cut-offs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from quasicrit.errors import FitError
from quasicrit.points import Point
from quasicrit.rng import generator
from quasicrit.scaling import Crackling, crackling, log_bins
from quasicrit.stages.covariance import covariance_columns
from quasicrit.stages.parts import Parts
from quasicrit.statistics import cluster_weights, percentile_interval
from quasicrit.tables import SCHEMAS, read_arrays, write_table
from quasicrit.tails import ALTERNATIVES, compare_alternatives, exponent_drift, fit_power_law, p_value

__all__ = ["fit_exponents"]


def fit_exponents(
    params: Mapping[str, Any],
    events: Sequence[Path | str],
    moments: Sequence[Path | str],
    exponents: Path | str,
    covariances: Path | str,
    comparisons: Path | str,
    distributions: Path | str,
    cutoffs: Path | str,
    seed: int,
    details: Mapping[str, Any],
) -> None:
    """Fit every point in its declared windows; errors by bootstrap over networks (docs/physics.md 4).

    Below L = 10 N, and where too few events fall into the window, an exponent is null and its reason is given.
    """
    points = [Point.from_params(point) for point in params["points"]]
    sums = read_arrays(moments, SCHEMAS["moments"], ["point_id", *_MOMENTS, "depth", "net", "n_censored"])
    moments_by = _by_point(sums, np.ones(len(sums["net"]), bool), ("net", "depth"))
    names = ("exponents", "covariances", "comparisons", "distributions", "cutoffs")

    def rows_of(point: Point, found: Mapping[str, np.ndarray]) -> dict[str, list[dict[str, Any]]]:
        rows: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
        size, duration, net = found["size"], found["duration"].astype(np.float64), found["net"]
        for index, window in enumerate(_windows(point, params["other_windows"])):
            fitted, covariance = _exponent_rows(point, size, duration, net, window, index == 0, params, seed)
            rows["exponents"] += fitted
            if covariance is not None and index == 0:
                drift = _drift(point, duration, net)
                rows["covariances"].append({**_names(point), **covariance_columns(covariance), **drift})
        rows["comparisons"] += _comparison_rows(point, duration, net)
        rows["distributions"] += _distribution_rows(point, size, duration, net)
        rows["cutoffs"] += _cutoff_rows(point, moments_by[point.point_id], params["resamples"], seed)
        return rows

    with Parts(exponents, params, seed, details, inputs=[*events, *moments]) as parts:
        made = {
            point.point_id: parts.keep(point.point_id, partial(rows_of, point, found))
            for point, found in _events_by_point(events, points)
        }
        for name, path in zip(names, (exponents, covariances, comparisons, distributions, cutoffs)):
            write_table(path, SCHEMAS[name], [row for point in points for row in made[point.point_id][name]], details)


def _events_by_point(
    paths: Sequence[Path | str], points: Sequence[Point]
) -> Iterator[tuple[Point, dict[str, np.ndarray]]]:
    """Each point with its complete events, as soon as the last of its files is read: no more is held than points under way."""
    last: dict[str, int] = {}
    for index, path in enumerate(paths):
        last.update(dict.fromkeys(read_arrays(path, SCHEMAS["events"], ["point_id"])["point_id"].names, index))
    held: dict[str, list[dict[str, np.ndarray]]] = {point.point_id: [] for point in points}
    by_id = {point.point_id: point for point in points}
    nothing = {name: np.empty(0) for name in ("size", "duration", "net")}
    for index, path in enumerate(paths):
        columns = read_arrays(path, SCHEMAS["events"], ["point_id", *_EVENTS, "censored"])
        whole = columns.pop("censored")
        complete = np.isin(whole.codes, [code for code, name in enumerate(whole.names) if name == "none"])
        for name, part in _by_point(columns, complete, ("start", "input", "net")).items():
            held[name].append(part)
        for name in [name for name, end in last.items() if end == index]:
            yield by_id[name], _joined(held.pop(name))
    for name in held:
        yield by_id[name], nothing


def _joined(parts: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The parts of one point, in the order of networks, inputs and starts whatever blocks they came in."""
    columns = {name: np.concatenate([part[name] for part in parts]) for name in _EVENTS}
    order = np.lexsort([columns[name] for name in ("start", "input", "net")])
    return {name: values[order] for name, values in columns.items()}


_EVENTS = ("net", "input", "start", "duration", "size")
_MOMENTS = ("n", "d1", "d2", "s1", "s2")


def _by_point(columns: Mapping[str, Any], keep: np.ndarray, order: Sequence[str]) -> dict[str, dict[str, np.ndarray]]:
    """The rows of each point_id, sorted by ``order`` (last key first), so that the blocks they came in leave no trace."""
    ids = columns["point_id"]
    rows = np.lexsort([*(columns[name][keep] for name in order), ids.codes[keep]])
    codes = ids.codes[keep][rows]
    ends = np.searchsorted(codes, np.arange(len(ids.names) + 1))
    others = {name: values[keep][rows] for name, values in columns.items() if name != "point_id"}
    return {
        name: {key: values[ends[code] : ends[code + 1]] for key, values in others.items()}
        for code, name in enumerate(ids.names)
    }


def _windows(point: Point, others: Sequence[Sequence[Any]]) -> list[tuple[int, int]]:
    """The primary window, then the declared others that fit under it in this point's layers."""
    made = [tuple(point.window)]
    for low, high in others if point.vary_window else ():
        window = (int(low), point.width if high == "width" else int(high))
        if window[1] > 2 * window[0] and window[1] <= point.window[1] and window not in made:
            made.append(window)
    return made  # type: ignore[return-value]


def _names(point: Point) -> dict[str, str]:
    return {"source": point.source, "protocol": point.protocol, "point_id": point.point_id}


def _exponent_rows(
    point: Point,
    size: np.ndarray,
    duration: np.ndarray,
    net: np.ndarray,
    window: tuple[int, int],
    primary: bool,
    params: Mapping[str, Any],
    seed: int,
) -> tuple[list[dict[str, Any]], np.ndarray | None]:
    """The rows of one window, and the covariance of (tau_s, tau_d, gamma) where they could be had."""
    common: dict[str, Any] = {
        **_names(point),
        "primary": primary,
        "window_low": window[0],
        "window_high": window[1],
        "offset": 0.5,
    }
    reason = ""
    result: Crackling | None = None
    if not point.exponents:
        reason = (
            f"depth {point.depth} is below {params['min_layers_per_width']} N: no exponent, see cut-off and survival"
        )
    else:
        sd = point.step_sd
        if sd == 0:
            reason = "orthogonal weights keep the length of a weak signal: it does not fluctuate (sigma_1 = 0)"
        else:
            try:
                result = crackling(
                    size,
                    duration,
                    net,
                    window=window,
                    rng=generator(seed, "crackling", point.source, point.protocol, point.point_id, *window),
                    step_sd=sd,
                    n_resamples=params["resamples"],
                    tolerance=params["tolerance"],
                )
            except FitError as error:
                reason = str(error)
    if result is None:
        blank = dict.fromkeys(("exponent", "ci_low", "ci_high", "xmin", "xmax", "decades", "ks", "p_value"))
        return [
            {**common, **blank, "quantity": name, "n_events": 0, "n_nets": 0, "reason": reason}
            for name in ("tau_d", "tau_s", "gamma", "gamma_predicted", "difference")
        ], None
    inside = (duration >= window[0]) & (duration <= window[1])
    low_s, high_s = result.size_window
    sizes = size[(size >= low_s) & (size <= high_s)]
    ranges = {"tau_s": (low_s, high_s, result.n_sizes, sizes.max())}
    fitness = {}
    if primary:
        laws = {
            "tau_d": (duration, fit_power_law(duration, kind="discrete", xmin=window[0], xmax=window[1], offset=0.5)),
            "tau_s": (size, fit_power_law(size, kind="continuous", xmin=low_s, xmax=high_s)),
        }
        for name, (values, law) in laws.items():
            rng = generator(seed, "p-value", point.source, point.protocol, point.point_id, name)
            p = p_value(values, law, clusters=net, n_resamples=params["resamples"], rng=rng)
            fitness[name] = {"ks": law.ks, "p_value": p}
    made = []
    for name in ("tau_d", "tau_s", "gamma", "gamma_predicted", "difference"):
        estimate = getattr(result, name)
        low, high, n, largest = ranges.get(name, (*window, result.n_events, duration[inside].max()))
        made.append(
            {
                **common,
                "quantity": name,
                "exponent": estimate.value,
                "ci_low": estimate.ci_low,
                "ci_high": estimate.ci_high,
                "xmin": low,
                "xmax": high,
                "n_events": n,
                "n_nets": result.n_clusters,
                "decades": math.log10(min(high, largest) / low),
                **fitness.get(name, {"ks": None, "p_value": None}),
                "reason": "",
            }
        )
    return made, result.covariance


def _drift(point: Point, duration: np.ndarray, net: np.ndarray) -> dict[str, float]:
    low, high = point.window
    law = fit_power_law(duration, kind="discrete", xmin=low, xmax=high, offset=0.5)
    found = exponent_drift(duration, law, clusters=net)
    return {"drift": found.value, "drift_error": found.error}


def _comparison_rows(point: Point, duration: np.ndarray, net: np.ndarray) -> list[dict[str, Any]]:
    """Power law against its alternatives on the primary window of durations, variances over networks."""
    row = {**_names(point), "quantity": "tau_d"}

    def without(reason: str) -> list[dict[str, Any]]:
        blank = {"log_likelihood_ratio": None, "p_value": None, "favours": "neither", "reason": reason}
        return [{**row, "alternative": name, **blank} for name in ALTERNATIVES]

    if not point.exponents:
        return without("no exponent below the least depth")
    low, high = point.window
    try:
        fit = fit_power_law(duration, kind="discrete", xmin=low, xmax=high, offset=0.5)
        found = compare_alternatives(duration, fit, clusters=net)
    except FitError as error:
        return without(str(error))
    return [
        {
            **row,
            "alternative": name,
            "log_likelihood_ratio": other.log_likelihood_ratio,
            "p_value": other.p_value,
            "favours": other.favours,
            "reason": "",
        }
        for name, other in found.items()
    ]


def _distribution_rows(point: Point, size: np.ndarray, duration: np.ndarray, net: np.ndarray) -> list[dict[str, Any]]:
    """P(d), P(s), ⟨s⟩(d) in logarithmic bins and the survival curve P(D ≥ t), errors over networks."""
    if not len(duration):
        return []
    clusters, net_code = np.unique(net, return_inverse=True)
    k, total = len(clusters), len(duration)
    per_net = np.bincount(net_code, minlength=k).astype(np.float64)
    rows: list[dict[str, Any]] = []

    def table(quantity: str, x: np.ndarray, low: np.ndarray, high: np.ndarray, value: Any, error: Any, n: Any) -> None:
        for cells in zip(x, low, high, value, error, n, strict=True):
            named = dict(zip(("x", "x_low", "x_high", "value", "error", "n"), map(float, cells), strict=True))
            named["n"] = int(named["n"])
            if named["n"]:
                rows.append({**_names(point), "quantity": quantity, "depth": point.depth, **named})

    def shares(column: np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Share of events in each bin, its error over networks, and the count."""
        by_net = np.bincount(net_code * bins + column, minlength=k * bins).reshape(k, bins)
        share = by_net.sum(0) / total
        spread = by_net - share * per_net[:, None]
        return share, np.sqrt((spread**2).sum(0)) / total, by_net.sum(0)

    edges = log_bins(1, max(int(duration.max()), 2))
    column = np.searchsorted(edges, duration, side="right") - 1
    width = np.diff(edges)
    share, error, n = shares(column, len(width))
    centre = np.sqrt(edges[:-1] * (edges[1:] - 1.0))
    table("duration", centre, edges[:-1], edges[1:], share / width, error / width, n)
    with np.errstate(divide="ignore", invalid="ignore"):
        by_bin = np.bincount(column, weights=size, minlength=len(width))
        mean = by_bin / n
        sums = np.bincount(net_code * len(width) + column, weights=size, minlength=k * len(width)).reshape(k, -1)
        counts = np.bincount(net_code * len(width) + column, minlength=k * len(width)).reshape(k, -1)
        squares = ((sums - mean * counts) ** 2).sum(0)
        mean_d = np.bincount(column, weights=duration, minlength=len(width)) / n
        table("size_given_duration", mean_d, edges[:-1], edges[1:], mean, np.sqrt(squares) / n, n)
    if size.min() > 0 and size.max() > size.min():
        count = max(3, round(6 * math.log10(size.max() / size.min())))
        s_edges = np.geomspace(size.min(), size.max() * (1 + 1e-12), count + 1)
        column = np.clip(np.searchsorted(s_edges, size, side="right") - 1, 0, count - 1)
        share, error, n = shares(column, count)
        width_s = np.diff(s_edges)
        table(
            "size", np.sqrt(s_edges[1:] * s_edges[:-1]), s_edges[:-1], s_edges[1:], share / width_s, error / width_s, n
        )
    marks = edges[:-1]
    reached = np.stack([np.bincount(net_code, weights=duration >= t, minlength=k) for t in marks], axis=1)
    value = reached.sum(0) / total
    spread = np.sqrt(((reached - value * per_net[:, None]) ** 2).sum(0)) / total
    table("survival", marks, marks, marks, value, spread, reached.sum(0))
    return rows


def _cutoff_rows(point: Point, moments: Mapping[str, np.ndarray], resamples: int, seed: int) -> list[dict[str, Any]]:
    """⟨d⟩, d_c = ⟨d²⟩/⟨d⟩, s_c = ⟨s²⟩/⟨s⟩ at each length; slopes in ln L of d_c, s_c and the number of events between lengths."""
    lengths = sorted(set(moments["depth"].tolist()))
    # Sorted by length, then network: one row of networks for each length.
    cube = {name: moments[name].reshape(len(lengths), -1) for name in (*_MOMENTS, "n_censored")}
    sums = np.stack([cube[name].T.astype(np.float64) for name in _MOMENTS], axis=2)
    nets = len(sums)
    rows: list[dict[str, Any]] = []
    if nets < 2:
        weights = np.ones((1, nets))
        lacking = "one network only: no error over networks"
    else:
        rng = generator(seed, "cutoffs", point.source, point.protocol, point.point_id)
        weights = np.vstack([np.ones(nets), cluster_weights(nets, resamples, rng)])
        lacking = ""
    total = np.einsum("bk,klm->blm", weights, sums)
    with np.errstate(divide="ignore", invalid="ignore"):
        values = {
            "mean_duration": total[..., 1] / total[..., 0],
            "d_c": total[..., 2] / total[..., 1],
            "s_c": total[..., 4] / total[..., 3],
        }
        growing = {"d_c": values["d_c"], "s_c": values["s_c"], "n_events": total[..., 0]}
        for name, table in growing.items():
            values[f"{name}_slope"] = np.log(table[:, 1:] / table[:, :-1]) / math.log(2)
    for name, table in values.items():
        of = lengths[1:] if name.endswith("slope") else lengths
        for column, length in enumerate(of):
            row = lengths.index(length)
            value = float(table[0, column])
            known = math.isfinite(value)
            low, high = percentile_interval(table[1:, column]) if nets > 1 else (math.nan, math.nan)
            # A slope is infinite where a resample has no event of one length: then it has no standard error.
            bounded = nets > 1 and known and not np.isinf(table[1:, column]).any()
            spread = float(np.nanstd(table[1:, column])) if bounded else math.nan
            rows.append(
                {
                    **_names(point),
                    "quantity": name,
                    "depth": int(length),
                    "value": value if known else None,
                    "ci_low": float(low) if known and not lacking else None,
                    "ci_high": float(high) if known and not lacking else None,
                    "error": spread if math.isfinite(spread) and not lacking else None,
                    "n_events": int(cube["n"][row].sum()),
                    "n_censored": int(cube["n_censored"][row].sum()),
                    "n_nets": nets,
                    "reason": lacking if known else "no complete event",
                }
            )
    return rows
