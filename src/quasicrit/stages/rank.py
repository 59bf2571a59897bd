"""Rule rank_predictors: how well each predictor orders the outcomes, against the susceptibility, regime by regime."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from quasicrit.errors import FitError, TheoryError
from quasicrit.networks import load_task
from quasicrit.rng import generator
from quasicrit.stages.parts import Parts
from quasicrit.statistics import compare_ranks, first_choice_regret
from quasicrit.tables import SCHEMAS, read_table, write_table
from quasicrit.theory import depth_ridge, edge_of_chaos, j0

__all__ = ["rank_predictors"]

_POINT = ["sigma_w", "sigma_b"]
_RUN = ["task", "width", "depth", "optimiser", "learning_rate"]


def rank_predictors(
    params: Mapping[str, Any],
    learned: Sequence[str],
    predictors: Sequence[str],
    ranking: Path | str,
    contests: Path | str,
    lines: Path | str,
    seed: int,
    details: Mapping[str, Any],
) -> None:
    """Rank correlations, regrets, and the contest of every pair of predictors, in every regime.

    ``params``: bias_split, chance_margin, resamples, and data: folder and sha256 by task.
    """
    outcomes = read_table(list(learned), SCHEMAS["learned"])
    known = read_table(list(predictors), SCHEMAS["predictors"])
    for frame in (outcomes, known):
        for name in frame.select_dtypes("category"):
            frame[name] = frame[name].astype("object")
    names = list(dict.fromkeys(known["predictor"]))
    floors = {}
    for task, data in params["data"].items():
        labels = load_task(task, seed, data["folder"], data["sha256"]).test_y
        # Who always says the commonest class gets this share right; points below it and a margin are tied.
        floors[task] = np.bincount(labels).max() / len(labels) + params["chance_margin"]
    rank_rows: list[dict[str, Any]] = []
    contest_rows: list[dict[str, Any]] = []
    with Parts(ranking, params, seed, details, inputs=[*learned, *predictors]) as parts:
        for label, values, scores, floor, rows in _regimes(outcomes, known, names, floors):
            biases = rows["sigma_b"].to_numpy(np.float64)
            points = rows.groupby(_POINT, sort=True).ngroup().to_numpy()
            for kind, weak in (("all", None), ("weak", True), ("strong", False)):
                inside = np.ones(len(biases), bool) if weak is None else (biases <= params["bias_split"]) == weak
                for outcome in ("accuracy", "speed"):
                    cells = {**label, "biases": kind, "outcome": outcome}
                    key = [str(value) for value in cells.values()]
                    compare = partial(
                        _compare,
                        cells,
                        names,
                        values[inside],
                        scores[outcome][inside],
                        points[inside],
                        floor if outcome == "accuracy" else 0.0,
                        params["resamples"],
                        generator(seed, "ranks", *key),
                    )
                    made = parts.keep("|".join(key), compare)
                    rank_rows += made["ranks"]
                    contest_rows += made["contests"]
        write_table(ranking, SCHEMAS["ranking"], rank_rows, details)
        write_table(contests, SCHEMAS["contests"], contest_rows, details)
        write_table(lines, SCHEMAS["lines"], list(_lines(outcomes)), details)


def _lines(outcomes: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Edge of chaos, J0(L) and the peak of chi_m(L) against sigma_b, over the plane that was learnt."""
    for at in np.linspace(outcomes["sigma_b"].min(), outcomes["sigma_b"].max(), 21):
        bias = float(at)
        cells = {"sigma_b": bias, "height": None}
        yield {**cells, "line": "edge_of_chaos", "depth": 0, "sigma_w": edge_of_chaos("tanh", bias)}
        for depth in sorted(set(outcomes["depth"])):
            top = depth_ridge("tanh", "m", int(depth), bias)
            yield {**cells, "line": "ridge_m", "depth": depth, "sigma_w": top.sigma_w, "height": top.susceptibility}
            try:
                yield {**cells, "line": "j0", "depth": depth, "sigma_w": j0("tanh", int(depth), bias)}
            except TheoryError:
                continue


def _regimes(
    outcomes: pd.DataFrame, known: pd.DataFrame, names: Sequence[str], floors: Mapping[str, float]
) -> Iterator[tuple[dict[str, Any], np.ndarray, dict[str, np.ndarray], float, pd.DataFrame]]:
    """Labels, predictors [n, P], outcomes [n, seeds], the tie of accuracies and the points [n] of each run; of the best rate; pooled."""
    scores = {
        name: outcomes.pivot_table(index=[*_RUN, *_POINT], columns="seed", values=name, sort=True)
        for name in ("accuracy", "speed")
    }
    values = known.pivot_table(index=[*_RUN, *_POINT], columns="predictor", values="value", dropna=False, sort=True)
    # What no point has is missing from the pivot; infinite values stay.
    values = values.reindex(index=scores["accuracy"].index, columns=list(names))

    def parts(chosen: pd.DataFrame) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        rows = pd.MultiIndex.from_frame(chosen)
        return (
            values.loc[rows].to_numpy(np.float64),
            {name: frame.loc[rows].dropna(axis=1, how="all").to_numpy(np.float64) for name, frame in scores.items()},
        )

    index = scores["accuracy"].index.to_frame(index=False)
    for (task, width), both in index.groupby(["task", "width"], sort=True):
        floor = floors[task]
        for (depth, optimiser), run in both.groupby(["depth", "optimiser"], sort=True):
            rates = sorted(run["learning_rate"].unique())
            label = {"task": task, "width": int(width), "depth": int(depth), "optimiser": optimiser}
            each = []
            for rate in rates:
                chosen = run[run["learning_rate"] == rate]
                each.append(parts(chosen))
                yield {**label, "learning_rate": f"{rate:g}"}, *each[-1], floor, chosen
            if len(rates) > 1 and each[0][1]["accuracy"].shape[1] > 1:
                made = {name: _best(np.stack([s[name] for _, s in each])) for name in scores}
                # A predictor that depends on the rate takes its own best.
                top = np.fmax.reduce([x for x, _ in each])
                yield {**label, "learning_rate": "best"}, top, made, floor, run[run["learning_rate"] == rates[0]]
        if len(both.groupby(["depth", "optimiser"])) > 1:
            pooled = {"task": task, "width": int(width), "depth": 0, "optimiser": "pooled", "learning_rate": "own"}
            yield pooled, *parts(both), floor, both


def _best(outcomes: np.ndarray) -> np.ndarray:
    """Outcomes [n, seeds] at the rate that is best at each point, from those at every rate [rates, n, seeds].

    The rate of a seed is chosen by the mean over the other seeds, so that its luck does not choose it.
    """
    others = outcomes.sum(2, keepdims=True) - outcomes
    return np.take_along_axis(outcomes, others.argmax(0)[None], axis=0)[0]


def _compare(
    cells: Mapping[str, Any],
    names: Sequence[str],
    values: np.ndarray,
    scores: np.ndarray,
    points: np.ndarray,
    floor: float,
    resamples: int,
    rng: np.random.Generator,
) -> dict[str, list[dict[str, Any]]]:
    """The rows of one regime: ranks and contests. A point at which a predictor is null is ranked last by it; rows of one point are drawn together."""
    measured = ~np.isnan(values).all(0)
    label = {**cells, "n_points": len(values)}
    x, y = np.where(np.isnan(values), -np.inf, values)[:, measured].T, scores
    reason = ""
    try:
        made = compare_ranks(x, y, floor=floor, n_resamples=resamples, rng=rng, clusters=points)
    except FitError as error:
        made, reason = None, str(error)
    regret = error_of = np.full(len(x), np.nan)
    if made is not None and np.isfinite(y).all() and y.shape[1] > 1:
        regret, error_of = first_choice_regret(x, y)
    rank_rows: list[dict[str, Any]] = []
    contest_rows: list[dict[str, Any]] = []
    position = {name: row for row, name in enumerate(np.array(names)[measured])}
    for name in names:
        row = position.get(name)
        cell: dict[str, Any] = dict.fromkeys(
            ("spearman", "spearman_low", "spearman_high", "kendall", "kendall_low", "kendall_high")
        )
        if made is not None and row is not None:
            numbers = (made.spearman[row], *made.spearman_interval[row], made.kendall[row], *made.kendall_interval[row])
            cell = {key: _null(number) for key, number in zip(cell, numbers)}
        why = reason or ("it is null at every point" if row is None else "")
        if not why and cell["spearman"] is None:
            why = "the predictor or the outcome is the same at every point"
        cell["regret"] = None if row is None else _null(regret[row])
        cell["regret_error"] = None if row is None else _null(error_of[row])
        rank_rows.append({**label, "predictor": name, **cell, "reason": why})
    for name, one in position.items():
        for rival, other in position.items():
            if made is None or name == rival:
                continue
            low, high = made.difference_interval[one, other]
            verdict = "none" if np.isnan(low) else "wins" if low > 0.0 else "loses" if high < 0.0 else "ties"
            contest_rows.append(
                {
                    **label,
                    "predictor": name,
                    "rival": rival,
                    "difference": _null(made.difference[one, other]),
                    "ci_low": _null(low),
                    "ci_high": _null(high),
                    "outcome_of_contest": verdict,
                }
            )
    return {"ranks": rank_rows, "contests": contest_rows}


def _null(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
