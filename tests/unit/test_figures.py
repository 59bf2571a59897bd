"""The figures: drawn whole from small tables, the same bytes twice, and a note where a grid is missing."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from quasicrit.errors import QuasicritError, TableError
from quasicrit.figures.data import amplitude
from quasicrit.figures.finite_size_scaling import _spread
from quasicrit.figures.phase_diagram import _mean_field_cut
from quasicrit.figures.style import (
    ONE_COLUMN,
    TWO_COLUMNS,
    _decade,
    caption,
    journal_style,
    letter,
    log_axes,
    new_figure,
    note,
    save,
)
from quasicrit.stages.figure_tables import FIGURE_TABLES
from quasicrit.stages.figures import FIGURES, draw_figure
from quasicrit.tables import SCHEMAS, read_table, write_table

N, L, NETS = 16, 400, 6
Tables = dict[str, list[Path | str]]


def _points() -> list[dict[str, Any]]:
    """A few points of every grid that the figures know."""
    rows: list[dict[str, Any]] = []

    def add(grid: str, protocol: str = "T", source: str = "gaussian", **own: Any) -> None:
        base = {
            "source": source,
            "protocol": protocol,
            "grid": grid,
            "architecture": "mlp",
            "activation": "tanh",
            "init": "gaussian",
            "width": N,
            "depth": L,
            "sigma_w_rule": "critical",
            "sigma_w": 1.03,
            "sigma_b": 0.0,
            "memory": None,
            "step_sd": 0.36,
            "nets": NETS,
            "inputs": 1,
            "point_id": f"p{len(rows):03d}",
        }
        rows.append({**base, **own})

    for activation in ("tanh", "linear"):
        add("weak", "W", activation=activation)
        for width in (16, 24, 32):
            add("widths", "F", activation=activation, width=width)
    add("strong_64")
    add("strong_weights", source="weights")
    add("shared_inputs", source="gram", inputs=4)
    for w, b, depth in itertools.product((0.9, 1.0, 1.5), (0.0, 0.1), (200, 400)):
        add("fan_out", sigma_w=w, sigma_b=b, depth=depth, sigma_w_rule=str(w))
    for rule, b in itertools.product(("ridge", "edge_of_chaos", "ridge-0.05", "edge_of_chaos+0.1"), (0.01, 0.1)):
        add("driven", sigma_w_rule=rule, sigma_b=b)
    add("driven_ridge_64", sigma_w_rule="ridge", sigma_b=0.001)
    add("driven_ridge_256", sigma_w_rule="ridge", sigma_b=0.001, width=32)
    add("driven_ridge_256", sigma_w_rule="ridge", sigma_b=0.1, width=32)
    for depth in (160, 320, 640):
        add("depths", depth=depth)
    for rule in ("0.7", "critical"):
        add("controls_nets", sigma_w_rule=rule)
    for process, memory in (("iid", None), ("shuffled", None), ("ar1", 10.0)):
        own: dict[str, Any] = {
            "architecture": process,
            "memory": memory,
            "sigma_w": None,
            "sigma_b": None,
            "step_sd": 1.0,
        }
        add("controls_processes", source="process", activation="none", init="none", sigma_w_rule="none", **own)
    return rows


def _tables(folder: Path, points: list[dict[str, Any]], scaling: bool) -> Tables:
    """Tables of power laws with the exponents of Brownian excursions, and one noisy raster."""
    rng = np.random.default_rng(3)
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in ("exponents", "distributions", "cutoffs", "shapes")}
    edges = np.array([1, 2, 3, 4, 6, 9, 14, 21, 32, 48])
    x = np.sqrt(edges[:-1] * (edges[1:] - 1.0))
    curves = {
        "duration": (x + 0.5) ** -1.5 * np.exp(-x / 30),
        "size": (x + 0.5) ** (-4 / 3),
        "size_given_duration": (x + 0.5) ** 1.5,
    }
    values = {"tau_d": 1.5, "tau_s": 4 / 3, "gamma": 1.5, "gamma_predicted": 1.5}
    phase = (np.arange(10) + 0.5) / 10
    for point in points:
        ids = {column: point[column] for column in ("source", "protocol", "point_id")}
        for quantity, value in values.items():
            rows["exponents"].append(
                {
                    **ids,
                    "quantity": quantity,
                    "primary": True,
                    "window_low": 4,
                    "window_high": 16,
                    "exponent": value,
                    "ci_low": value - 0.1,
                    "ci_high": value + 0.1,
                    "xmin": 4.0,
                    "xmax": 16.0,
                    "offset": 0.5,
                    "n_events": 200,
                    "n_nets": NETS,
                    "decades": 0.6,
                    "ks": 0.1,
                    "p_value": 0.5,
                    "reason": "",
                }
            )
        for quantity, density in curves.items():
            rows["distributions"] += [
                {
                    **ids,
                    "quantity": quantity,
                    "depth": point["depth"],
                    "x": float(at),
                    "x_low": float(low),
                    "x_high": float(high),
                    "value": float(v),
                    "error": float(v / 10),
                    "n": 100,
                }
                for at, low, high, v in zip(x, edges[:-1], edges[1:], density)
            ]
        # One control has no complete event: its cut-offs are null.
        known = point["sigma_w_rule"] != "0.7"
        for quantity, length in itertools.product(("d_c", "s_c"), (point["depth"] // 2, point["depth"])):
            value = 2.0 * point["width"] ** (1.0 if quantity == "d_c" else 1.5)
            found = {"value": value, "ci_low": 0.9 * value, "ci_high": 1.1 * value, "error": 0.05 * value}
            rows["cutoffs"].append(
                {
                    **ids,
                    "quantity": quantity,
                    "depth": length,
                    **(found if known else dict.fromkeys(found)),
                    "n_events": 200,
                    "n_censored": 1,
                    "n_nets": NETS,
                    "reason": "" if known else "no complete event",
                }
            )
        if point["grid"] == "strong_64":
            rows["shapes"] += [
                {
                    **ids,
                    "fold": fold,
                    "duration_low": low,
                    "duration_high": 2 * low - 1,
                    "phase": float(t),
                    "n": 60,
                    "mean_duration": 1.4 * low,
                    "mean_activity": float(np.sqrt(1.4 * low * t * (1 - t))),
                }
                for low, fold, t in itertools.product((4, 8), (0, 1), phase)
            ]
    paths: Tables = {}

    def put(name: str, content: Any, schema: str = "") -> None:
        paths[name] = [folder / f"{name}.parquet"]
        write_table(paths[name][0], SCHEMAS[schema or name], content, {})

    put("points", points)
    for name, content in rows.items():
        put(name, content)
    raster = next((p for p in points if p["grid"] == "strong_64"), None)
    length = raster["depth"] if raster else L
    log_m = rng.standard_normal((NETS, length)).cumsum(axis=1) * 0.3
    net, layer = (axis.ravel() for axis in np.indices((NETS, length)))
    ids = {column: raster[column] if raster else "T" for column in ("source", "protocol", "point_id")}
    put(
        "activity",
        {
            **ids,
            "net": net,
            "input": np.zeros(net.size, int),
            "layer": layer + 1,
            "log_m": log_m.ravel(),
            "mean_abs": np.ones(net.size),
            "active_fraction": np.ones(net.size),
        },
    )
    put(
        "events",
        [
            {
                **ids,
                "net": 1,
                "input": 0,
                "start": start,
                "duration": 20,
                "size": 9.0,
                "size_raw": 8.0,
                "censored": kind,
            }
            for start, kind in ((40, "none"), (100, "none"), (390, "end"))
        ],
    )
    axes = np.linspace(0.8, 1.8, 6), np.linspace(0.0, 0.5, 5)
    put(
        "phase_diagram",
        [
            {
                "sigma_w": w,
                "sigma_b": b,
                "m_star": 0.1,
                "chi_1": 1.0,
                "chi_m": 0.5,
                "chi_rms": 1 / (0.1 + abs(w - 1 - b)) if (w, b) != (1.0, 0.0) else None,
                "chi_abs": 0.4,
            }
            for w, b in itertools.product(*axes)
        ],
    )
    put(
        "lines",
        [
            {"line": line, "sigma_b": b, "depth": depth, "sigma_w": 1 + k * b, "height": 1.0}
            for (line, depth, k), b in itertools.product(
                (
                    ("edge_of_chaos", 0, 2.0),
                    ("ridge_m", 0, 1.5),
                    ("ridge_rms", 0, 0.8),
                    ("ridge_abs", 0, 1.0),
                    ("j0", 10, 2.2),
                    ("ridge_m", 10, 1.6),
                ),
                axes[1],
            )
        ],
    )
    put(
        "susceptibility",
        [
            {
                "order": "rms",
                "width": width,
                "sigma_b": 0.1,
                "sigma_w": w,
                "fold": fold,
                "chi": 0.9 - (w - 1.07) ** 2 + fold / 50,
            }
            for width, w, fold in itertools.product((16, 32), (1.0, 1.05, 1.1), (0, 1))
        ],
    )
    put(
        "survival",
        [
            {
                "activation": "tanh",
                "width": N,
                "depth": depth,
                "x": at,
                "sigma_w": 1.0,
                "n_seeds": 1000,
                "survivors": 100,
                "value": 0.58 * np.exp(at),
                "error": 0.01,
                "theory": 0.6 if at == 0 else None,
            }
            for depth, at in itertools.product((16, 64), (-1.0, 0.0, 1.0))
        ],
    )
    # One that figures have no colour for.
    names = ("brownian_excursion", "mean_field_dp", "rfim_3d", "none")
    put(
        "classes",
        [
            {
                **{column: point[column] for column in ("source", "protocol", "point_id")},
                "universality": name,
                "label": name,
                "probability": share,
                "distance": None if name == "none" else 1.0,
                "parameter": None,
                "calibrated": True,
            }
            for point in points
            for name, share in zip(names, (0.7, 0.2, 0.06, 0.04))
        ],
    )
    put(
        "point_verdicts",
        [
            {
                **{column: point[column] for column in ("source", "protocol", "point_id")},
                "verdict": "brownian_excursion",
                "probability": 0.7,
                "grade": "consistent with",
                "statement": "Brownian excursion, indistinguishable from a Gaussian walk",
                "reasons_for": "One.\nTwo.",
                "reasons_against": "",
                "reasons_open": "Three.",
            }
            for point in points
        ],
    )
    definitions = []
    for point in [p for p in points if p["grid"].startswith(("strong", "controls_processes"))]:
        cells = [
            ("own", shift, size, window)
            for shift in (-0.5, 0.0)
            for size in ("log_area", "log_area_raw", "excess", "activity", "peak")
            for window in ((4, 16), (8, 16))
        ]
        cells += [(name, 0.0, "log_area", (4, 16)) for name in ("phase_randomised", "shuffled_increments", "reversed")]
        for index, (signal, shift, size, window) in enumerate(cells):
            failed = index == 5
            definitions.append(
                {
                    **{column: point[column] for column in ("source", "protocol", "point_id")},
                    "signal": signal,
                    "threshold": shift,
                    "size": size,
                    "window_low": window[0],
                    "window_high": window[1],
                    "primary": (signal, shift, size, window) == ("own", 0.0, "log_area", (4, 16)),
                    "n_events": 100,
                    **dict.fromkeys(("tau_s", "tau_d", "gamma", "difference"), None if failed else 1.5),
                    "relation": "holds" if index % 3 else "undecided",
                    "verdict": "none" if failed else names[index % 4],
                    "probability": None if failed else 0.3 + 0.1 * (index % 5),
                    "moved": None if signal == "own" else 1.0,
                    "reason": "too few events" if failed else "",
                }
            )
    put("definitions", definitions or {column: [] for column in SCHEMAS["definitions"].names})
    put(
        "confusion",
        [
            {
                "process": process,
                "universality": universality,
                "replicate": replicate,
                **dict.fromkeys(("tau_s", "tau_d", "gamma"), 1.5),
                **dict.fromkeys(("covers_tau_s", "covers_tau_d", "covers_gamma"), universality and True),
                "verdict": universality or names[replicate],
                "probability": 0.9,
                "grade": "none",
                "statement": "",
                "reason": "",
            }
            for process, universality in (
                ("walk", "brownian_excursion"),
                ("galton_watson", "mean_field_dp"),
                ("seeds_in_a_field", "rfim_3d"),
                ("ar1_10", None),
            )
            for replicate in range(3)
        ],
    )
    known = [
        ("width", "z", 0.95),
        ("width", "D", 1.4),
        ("width_linear", "z", 0.1),
        ("width_linear", "D", 0.1),
        ("width_collapse", "S", 1.1),
        ("depth", "z_L", 0.95),
        ("depth_collapse", "S", 1.2),
        ("field_64", "slope", -0.7),
        ("field_256", "slope", -0.7),
        ("ridge_rms", "N=16", 1.08),
        ("ridge_rms", "N=32", 1.07),
        ("shape_strong_64", "growth", 0.5),
        ("shape_strong_64", "power", 0.5),
    ]
    put(
        "scaling",
        [
            {
                "analysis": a,
                "quantity": q,
                "value": v,
                "ci_low": v - 0.01,
                "ci_high": v + 0.01,
                "quality": 1.0,
                "sizes": "",
                "reason": "",
            }
            for a, q, v in (known if scaling else [])
        ]
        or {column: [] for column in SCHEMAS["scaling"].names},
    )
    _learning(put)
    _architectures(put)
    _populations(put)
    return paths


def _learning(put: Any) -> None:
    """Two runs of a task, its predictors and ranks, initialisations, and networks followed."""
    runs = [
        {"task": "digits", "width": N, "depth": depth, "optimiser": "sgd", "steps": 9, "learning_rate": rate}
        for depth, rate in ((4, 0.1), (4, 0.2), (8, 0.1))
    ]
    plane = [{"sigma_w": w, "sigma_b": b} for w, b in itertools.product((0.9, 1.0, 1.5), (0.0, 0.1))]
    names = ("chi_m(L)", "-|chi_1 - 1|", "tangent kernel", "log mean J²")
    put(
        "learned",
        [
            {**run, **at, "seed": seed, "accuracy": at["sigma_w"] / 2, "speed": 0.5, "fate": "trained"}
            for run, at, seed in itertools.product(runs, plane, range(2))
        ],
    )
    put(
        "predictors",
        [
            {**run, **at, "predictor": name, "value": at["sigma_w"], "reason": ""}
            for run, at, name in itertools.product(runs, plane, names)
        ],
    )
    ends = ("spearman", "spearman_low", "spearman_high", "kendall", "kendall_low", "kendall_high")
    put(
        "ranking",
        [
            {
                **{key: run[key] for key in ("task", "width", "depth", "optimiser")},
                "learning_rate": f"{run['learning_rate']:g}",
                "biases": biases,
                "outcome": "accuracy",
                "n_points": 6,
                "predictor": name,
                **dict(zip(ends, (0.5, 0.4, 0.6, 0.5, 0.4, 0.6))),
                "regret": None,
                "regret_error": None,
                "reason": "",
            }
            for run, biases, name in itertools.product(runs, ("all", "weak", "strong"), names)
        ],
    )
    put(
        "learning_lines",
        [
            {"line": line, "sigma_b": b, "depth": depth, "sigma_w": 1.1 + b, "height": None}
            for line, depths in (("edge_of_chaos", (0,)), ("ridge_m", (4, 8)), ("j0", (4, 8)))
            for depth, b in itertools.product(depths, (0.0, 0.05, 0.1))
        ],
        "lines",
    )
    put(
        "advice",
        [
            {
                **run,
                "method": method,
                "init": "gaussian",
                "sigma_w": 1.0,
                "sigma_b": 0.0,
                "rate_at_edge": False,
                "seeds": 5,
                "accuracy": 0.8,
                "ci_low": 0.7,
                "ci_high": 0.9,
                **dict.fromkeys(("difference", "difference_low", "difference_high"), 0.1),
                "verdict": verdict,
            }
            for run in runs[1:]
            for method, verdict in (("Glorot", "better"), ("advised orthogonal", "reference"))
        ],
    )
    quantities = (
        "test accuracy",
        "effective sigma_w",
        "log_jacobian per layer",
        "susceptibility",
        "xi_c at the effective scales",
        "mean duration",
    )
    put(
        "followed",
        [
            {
                "task": "digits",
                "width": N,
                "depth": 4,
                "sigma_w": w,
                "sigma_b": 0.05,
                "net": net,
                "step": step,
                "quantity": quantity,
                "value": 1.0 + 0.1 * net,
            }
            for w, net, step, quantity in itertools.product((0.9, 1.2), range(2), (0, 5, 9), quantities)
        ],
    )


def _architectures(put: Any) -> None:
    """Two networks and two trends by every definition, with a null and an exact process."""
    fits, shapes = [], []
    nets = [
        ("resnet", 0),
        ("rnn", 0),
        *(("blocks", size) for size in (9, 18)),
        *(("channels", size) for size in (2, 4)),
    ]
    for (network, size), definition in itertools.product(nets, "ABC"):
        cells = [
            ("initial", "own"),
            ("trained", "own"),
            ("trained", "Gaussian surrogate"),
            ("reference", "critical branching"),
        ]
        for state, signal in cells[:: 3 if size else 1]:
            numbers = {
                f"{name}{end}": value + shift
                for name, value in (("tau_s", 1.5), ("tau_d", 4.0 if network == "rnn" else 1.8), ("gamma", 1.6), ("difference", 0.0), ("d_c", 9.0))
                for end, shift in (("", 0.0), ("_low", -0.1), ("_high", 0.1))
            }  # fmt: skip
            names = {
                "network": network,
                "member": f"{network} {size}",
                "state": state,
                "definition": definition,
                "signal": signal,
            }
            fits.append(
                {
                    **names,
                    **numbers,
                    "family": "resnet",
                    "size": size,
                    "variant": "main",
                    "primary": True,
                    "layers": 40,
                    "window_low": 2,
                    "window_high": 16,
                    "n_nets": 8,
                    "n_events": 500,
                    "cut": 0.0,
                    "accuracy": None,
                    "p_same": None,
                    "verdict": "none",
                    "probability": 0.5,
                    "mean_field_dp": 0.1,
                    "brownian_excursion": 0.1,
                    "moved": None,
                    "grade": "none",
                    "statement": "s",
                    "reasons_for": "",
                    "reasons_against": "",
                    "reasons_open": "",
                    "reason": "",
                }
            )
            shapes += [{**names, "x": float(2**k), "value": 4.0**-k, "error": 0.1 * 4.0**-k} for k in range(6)]
    put("architectures", fits)
    put("cascade_distributions", shapes)


def _populations(put: Any) -> None:
    """A critical population, whole and in part, and a recording without exponents or m."""
    looks = [
        ("critical", "branching", 1.0, 1.0),
        ("critical", "branching", 1.0, 0.05),
        ("mine", "recording", None, 0.1),
    ]
    rows, curves = [], []
    for name, kind, sigma, fraction in looks:
        known = kind == "branching"
        numbers = {
            f"{quantity}{end}": value + shift if known else None
            for quantity, value in (("tau_s", 1.5), ("tau_d", 2.0), ("gamma", 2.0), ("difference", 0.0), ("m", 0.99))
            for end, shift in (("", 0.0), ("_low", -0.05), ("_high", 0.05))
        }
        rows.append(
            {
                "population": name,
                "kind": kind,
                "sigma": sigma,
                "fraction": fraction,
                "n_units": 1000 if known else None,
                "duration": 400.0,
                "bin": 0.004,
                "window_low": 4,
                "window_high": 64,
                "n_events": 3000,
                **numbers,
                "naive_m": 0.99 * fraction if known else None,
                "branching": "near 1" if known else "no memory",
                "verdict": "mean_field_dp" if known else None,
                "probability": 0.8 if known else None,
                "controls": 2,
                "controls_rejected": 2,
                "grade": "undecided",
                "statement": "undecided",
                "reasons_for": "",
                "reasons_against": "",
                "reasons_open": "",
                "reason": "" if known else "too few avalanches",
            }
        )
        names = {"population": name, "kind": kind, "fraction": fraction}
        for signal, steep in (("own", 2.0), ("each unit shifted in time", 3.0)):
            curves += [
                {**names, "curve": "durations", "signal": signal, "x": x, "value": 0.4 * x**-steep, "error": 0.02 * x**-steep}
                for x in (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
            ]  # fmt: skip
        if known:
            curves += [
                {
                    **names,
                    "curve": curve,
                    "signal": "own",
                    "x": 0.004 * k,
                    "value": 0.99**k * fraction**0.2,
                    "error": None,
                }
                for curve in ("slopes", "fitted")
                for k in range(1, 60)
            ]
    put("populations", rows)
    put("population_curves", curves)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    return _tables(tmp_path_factory.mktemp("full"), _points(), scaling=True)


def test_the_workflow_makes_the_tables_that_figures_read() -> None:
    read = {name: tuple(field.name for field in dataclasses.fields(tables)) for name, (tables, _) in FIGURES.items()}
    assert read == dict(FIGURE_TABLES)


@pytest.mark.parametrize("name", FIGURES)
def test_source_data_names_every_series(name: str, full: Tables, tmp_path: Path) -> None:
    draw_figure(name, full, [tmp_path / "figure.csv"])
    made = pd.read_csv(tmp_path / "figure.csv", dtype={"panel": str, "series": str})
    assert len(made) >= 4
    assert not made["series"].str.match(r"line \d+$").any()
    assert made[["y", "y_name", "value"]].notna().any(axis=1).all()
    # Every panel with a letter has data.
    letters = made["panel"].dropna().str[0].unique()
    assert sorted(letters) == [chr(ord("a") + k) for k in range(len(letters))]


@pytest.mark.parametrize("name", FIGURES)
def test_figure_has_no_empty_panel_and_the_same_svg_twice(name: str, full: Tables, tmp_path: Path) -> None:
    outputs = [tmp_path / "one.svg", tmp_path / "two.svg"]
    for output in outputs:
        draw_figure(name, full, [output])
    svg = outputs[0].read_bytes()
    assert outputs[1].read_bytes() == svg
    assert svg.rstrip().endswith(b"</svg>")
    # Neither a date, nor a panel that is left to a note.
    for absent in (b"<dc:date>", b"in this run", b"<!-- no "):
        assert absent not in svg


def test_the_three_kinds_of_file_are_whole(full: Tables, tmp_path: Path) -> None:
    outputs = [tmp_path / f"figure.{kind}" for kind in ("pdf", "png", "svg")]
    draw_figure("figure-2-phase-diagram", full, outputs)
    pdf, png, svg = (path.read_bytes() for path in outputs)
    assert (pdf[:4], pdf.rstrip()[-5:]) == (b"%PDF", b"%%EOF")
    assert b"CreationDate" not in pdf
    assert (png[:4], png[-8:-4]) == (b"\x89PNG", b"IEND")
    # 180 mm at 200 dots an inch.
    assert int.from_bytes(png[16:20], "big") == pytest.approx(180 / 25.4 * 200, abs=1)
    assert svg.rstrip().endswith(b"</svg>")
    assert set(tmp_path.iterdir()) == set(outputs)


@pytest.mark.parametrize(
    "name, kept, notes",
    [
        ("figure-1-avalanches", "none", 6),
        ("figure-2-phase-diagram", "none", 2),
        ("figure-4-finite-size-scaling", "widths", 2),
        ("extended-2-definitions", "none", 1),
    ],
)
def test_missing_grids_and_scaling_leave_notes(name: str, kept: str, notes: int, tmp_path: Path) -> None:
    # All but one grid are unknown to the figures and no scaling is fitted: panels say so, the rest is drawn.
    points = [point if point["grid"] == kept else {**point, "grid": "other"} for point in _points()]
    output = tmp_path / "figure.svg"
    draw_figure(name, _tables(tmp_path / "tables", points, scaling=False), [output])
    # matplotlib writes each text of an SVG whose glyphs are outlines as a comment above them.
    text = output.read_text(encoding="utf-8")
    assert text.count("<!-- no ") == notes
    assert ("(not fitted)" in text) == (kept == "widths")


def test_errors_are_clear(full: Tables, tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"nowhere\.parquet: there is no such file"):
        draw_figure("figure-2-phase-diagram", {**full, "lines": [tmp_path / "nowhere.parquet"]}, [tmp_path / "x.svg"])
    with journal_style():
        fig = new_figure(20)
        ax = fig.add_subplot()
        letter(ax, "a")
        note(ax, "nothing")
        with pytest.raises(QuasicritError, match="written as pdf, png or svg, its source data as csv"):
            save(fig, [tmp_path / "x.bmp"])
    assert not list(tmp_path.iterdir())


def test_amplitude_holds_the_share_of_events_in_the_window() -> None:
    d = np.arange(4, 65)
    assert (amplitude(1.5, 4, 64, 0.3, 0.5) * (d + 0.5) ** -1.5).sum() == pytest.approx(0.3, rel=1e-12)
    s = np.geomspace(2, 50, 20001)
    for exponent in (4 / 3, 1.0):
        density = amplitude(exponent, 2, 50, 0.3, None) * s**-exponent
        # The trapezoidal rule on 20,000 steps of 1.6e-4 in ln s is good to about 1e-8.
        assert np.trapezoid(density, s) == pytest.approx(0.3, rel=1e-7)


def test_labels_are_spread_without_changing_their_order() -> None:
    placed = _spread(np.array([1.0, 0.0, 0.05, 0.0, 3.0]), 0.5)
    assert np.diff(np.sort(placed)).min() >= 0.5 - 1e-12
    assert (placed[4], placed.argmax()) == (3.0, 4)
    assert np.all(np.diff(placed[[1, 3, 2, 0]]) > 0)
    far = np.array([0.0, 2.0, 1.0])
    np.testing.assert_array_equal(_spread(far, 0.5), far)


def test_mean_field_cut_passes_through_the_map(full: Tables) -> None:
    diagram = read_table(full["phase_diagram"], SCHEMAS["phase_diagram"])
    # sigma_b = .125 is a row of the map; the curve is a cubic Hermite spline through its values.
    x, y = _mean_field_cut(diagram, 0.125, (0.8, 1.8))
    row = diagram[diagram["sigma_b"] == 0.125].sort_values("sigma_w")
    assert (x[0], x[-1]) == pytest.approx((0.8, 1.8))
    assert (y[0], y[-1]) == pytest.approx((row["chi_rms"].iloc[0], row["chi_rms"].iloc[-1]))
    straight = diagram.assign(chi_rms=2 * diagram["sigma_w"] + diagram["sigma_b"])
    x, y = _mean_field_cut(straight, 0.2, (0.9, 1.7))
    np.testing.assert_allclose(y, 2 * x + 0.2, rtol=1e-12)


def test_source_data_of_a_long_raster_are_light_and_true(tmp_path: Path) -> None:
    points = [{**point, "depth": 2999} if point["grid"] == "strong_64" else point for point in _points()]
    tables = _tables(tmp_path, points, scaling=True)
    outputs = [tmp_path / f"figure.{kind}" for kind in ("csv", "pdf", "svg")]
    draw_figure("figure-1-avalanches", tables, outputs)
    assert max(output.stat().st_size for output in outputs) < 1_000_000
    made = pd.read_csv(tmp_path / "figure.csv", dtype={"panel": str, "series": str})
    pixels = made[made["series"] == "pixels"]
    # A column is the mean over five layers, the last over four; centres of columns, and networks from 1.
    assert len(pixels) == 600 * NETS
    y = read_table(tables["activity"], SCHEMAS["activity"])["log_m"].to_numpy().reshape(NETS, 2999)
    y = y - np.median(y[:, N - 1 :], axis=1, keepdims=True)
    shown = pixels.pivot(index="y", columns="x", values="value")
    np.testing.assert_array_equal(shown.columns, 3 + 5 * np.arange(600))
    np.testing.assert_allclose(shown.to_numpy()[:, :-1], y[:, :2995].reshape(NETS, 599, 5).mean(axis=2), rtol=1e-3)
    np.testing.assert_allclose(shown.to_numpy()[:, -1], y[:, 2995:].mean(axis=1), rtol=1e-3)
    # The avalanches of the trajectory above it, by first and last layer; the censored one is none.
    avalanches = made[made["series"] == "avalanche"]
    assert avalanches[["x_low", "x_high"]].to_numpy().tolist() == [[40, 59], [100, 119]]


def test_labels_of_logarithmic_axes() -> None:
    with journal_style():
        fig = new_figure(60)
        for ends, labels in (
            ((0.5, 2e3), ["10⁰", "10¹", "10²", "10³"]),
            ((0.3, 30.0), ["10⁰", "10¹"]),
            ((1.5, 40.0), ["2", "5", "10", "20"]),
            ((8.0, 9.5), ["8", "8.4", "8.8", "9.2"]),
            ((1e-12, 1.0), ["10⁻¹²", "10⁻¹⁰", "10⁻⁸", "10⁻⁶", "10⁻⁴", "10⁻²", "10⁰"]),
        ):
            ax = fig.add_subplot()
            ax.plot([1, 2], [1, 2])
            log_axes(ax)
            # Limits that are set afterwards count.
            ax.set_ylim(*ends)
            places = ax.yaxis.get_majorticklocs()
            assert [ax.yaxis.get_major_formatter()(place) for place in places] == labels
            assert (len(ax.yaxis.get_minorticklocs()) == 0) == (ends[1] > 1e5 * ends[0])


def test_foot_breaks_between_words_and_never_in_a_formula() -> None:
    with journal_style():
        for width, room in ((ONE_COLUMN, 78), (TWO_COLUMNS, 160)):
            fig = new_figure(40, width)
            formula = r"$\sigma_w=\sigma_c(N)$"
            caption(fig, " ".join(["word"] * 60 + [formula] * 12))
            lines = fig.get_supxlabel().split("\n")
            assert sum(line.count(formula) for line in lines) == 12
            # A formula counts by what is seen, not by its source.
            seen = [len(line.replace(formula, "sw=sc(N)")) for line in lines]
            assert max(seen) <= room
            assert min(seen[:-1]) > 0.85 * room


def test_decades_are_plain_text() -> None:
    assert [_decade(v, None) for v in (1.0, 1e-3, 1e12)] == ["10⁰", "10⁻³", "10¹²"]
