"""P8 in the pipeline: simulated populations with known answers, recordings from files, and what the summary says of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from quasicrit.config import load_config
from quasicrit.errors import ConfigError
from quasicrit.reference import branching_spikes
from quasicrit.scaling import log_bins
from quasicrit.stages.figures import draw_figure
from quasicrit.stages.population_summary import population_claim, population_lines
from quasicrit.stages.populations import judge_population
from quasicrit.tables import SCHEMAS, read_table, write_table

from ..readme import ROOT

_LOOK = {"fractions": [1.0], "bin": 0.004, "window": [4, 32]}
_COLUMNS = {"time_column": "time", "unit_column": "unit", "segment_column": None, "time_unit": 1.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("populations")


@pytest.fixture(scope="module")
def judged(folder: Path) -> dict[str, pd.DataFrame]:
    """Populations by name, by classes without calibration."""
    write_table(folder / "bias.parquet", SCHEMAS["class_bias"], [], {})
    spikes = branching_spikes(0.9, 0.05, 20_000, 100_000, np.random.default_rng(5))
    pd.DataFrame({"at": spikes.time, "cell": spikes.unit}).to_csv(folder / "spikes.csv", index=False)
    known = {"kind": "branching", "units": 20_000, "steps": 200_000}
    entries: list[dict[str, Any]] = [
        {"name": "critical", **known, "sigma": 1.0, "drive": 0.01, **_LOOK, "fractions": [1.0, 0.1]},
        {"name": "below", **known, "sigma": 0.9, "drive": 0.05, **_LOOK, "fractions": [1.0, 0.1]},
        {"name": "alone", "kind": "independent", "rate": 5.0, "units": 50, "seconds": 100.0, **_LOOK, "bin": None},
        {"name": "mine", "kind": "recording", "file": str(folder / "spikes.csv"), "form": "spikes", **_LOOK}
        | {**_COLUMNS, "time_column": "at", "unit_column": "cell", "start": 0.0, "stop": 400.0},
    ]
    made = {}
    for entry in entries:
        out = folder / f"{entry['name']}.parquet"
        judge_population(
            entry, [folder / "bias.parquet"], out, folder / f"{entry['name']}_curves.parquet", 100, 0.1, 1, {}
        )
        made[entry["name"]] = read_table(out, SCHEMAS["populations"])
    return made


def test_m_is_found_whatever_share_is_seen(judged: dict[str, pd.DataFrame]) -> None:
    below = judged["below"]
    assert list(below["fraction"]) == [1.0, 0.1]
    # Coincidences among 20,000 units of some .5 active ones are negligible: m = sigma, within three standard errors.
    error = (below["m_high"] - below["m_low"]) / 3.92
    assert (np.abs(below["m"] - 0.9) < 3 * error).all()
    assert set(below["branching"].astype(str)) == {"below 1"}
    assert set(below["grade"].astype(str)) == {"none"}
    # The slope of the next step on this one is biased in a part.
    assert below["naive_m"][1] < 0.8 < below["naive_m"][0]
    assert (judged["critical"]["m"] > 0.98).all()


def test_independent_units_have_no_memory(judged: dict[str, pd.DataFrame]) -> None:
    (row,) = judged["alone"].itertuples()
    assert row.branching == "no memory"
    assert pd.isna(row.m)
    assert row.grade == "none"


def test_a_recording_is_judged_as_what_it_holds(judged: dict[str, pd.DataFrame]) -> None:
    (row,) = judged["mine"].itertuples()
    assert row.duration == 400.0
    assert row.m_low < 0.9 < row.m_high or abs(row.m - 0.9) < 3 * (row.m_high - row.m_low) / 3.92
    assert row.branching == "below 1"


def test_the_claim_and_the_summary_count_them(judged: dict[str, pd.DataFrame]) -> None:
    frame = pd.concat(judged.values(), ignore_index=True)
    rows = population_claim(frame)
    assert [r["quantity"].split(",")[0] for r in rows[:2]] == ["m in steps of 4 ms", "gamma − gamma_predicted"]
    assert len(rows) == 2 * len(frame)
    assert all(r["claim"] == "P8" for r in rows)
    text = population_lines(frame)[0]
    near = int((judged["critical"]["branching"].astype(str) == "near 1").sum())
    assert f"near 1 in {near} of 2 recordings of critical ones and in 0 of 3 recordings of others." in text
    assert "Recordings stand below" in text
    assert "tests the estimators, not brains" in population_lines(frame[frame["kind"] != "recording"])[0]
    assert "No population" in population_lines(frame.iloc[:0])[0]


@pytest.mark.parametrize(
    "change, words",
    [
        ({"window": [9, 4]}, "give two durations"),
        ({"kind": "cortex"}, "cortex"),
        ({"sigma": -1}, "sigma"),
        ({"fractions": [1.5]}, "fractions"),
        ({"name": "leaky"}, "given twice"),
    ],
)
def test_impossible_populations_are_refused(change: dict[str, Any], words: str) -> None:
    raw = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    raw["populations"][0] |= change
    with pytest.raises(ConfigError, match=words):
        load_config(raw)


def test_curves_are_normalised_and_follow_the_fit(folder: Path, judged: dict[str, pd.DataFrame]) -> None:
    curves = read_table(folder / "below_curves.parquet", SCHEMAS["population_curves"])
    own = curves[(curves["curve"] == "durations") & (curves["signal"] == "own") & (curves["fraction"] == 1.0)]
    assert (own["error"] > 0).all()
    edges = log_bins(1, 10_000, per_octave=3)
    index = np.searchsorted(edges, own["x"], side="right") - 1
    # Every bin but the last, which may end with the longest avalanche, has the width of the grid.
    assert 0.99 < float((own["value"] * np.diff(edges)[index]).sum()) < 1.01
    for fraction in (1.0, 0.1):
        mine = curves[curves["fraction"] == fraction]
        slopes, fitted = (mine[mine["curve"] == name]["value"].to_numpy() for name in ("slopes", "fitted"))
        assert len(slopes) == len(fitted) > 5
        assert np.abs(slopes - fitted).max() < 0.1
    assert set(curves[curves["signal"] != "own"]["signal"]) == {
        "each unit shifted in time",
        "intervals of each unit shuffled",
    }


def test_the_figure_shows_every_population(folder: Path, judged: dict[str, pd.DataFrame]) -> None:
    paths = {
        "populations": [folder / f"{name}.parquet" for name in judged],
        "population_curves": [folder / f"{name}_curves.parquet" for name in judged],
    }
    draw_figure("extended-5-populations", paths, [folder / "figure.png", folder / "figure.csv"])
    shown = pd.read_csv(folder / "figure.csv")
    ratios = shown[(shown["panel"] == "c") & shown["series"].str.startswith("m, ")]
    measured = pd.concat(judged.values())["m"].dropna()
    assert np.allclose(np.sort(ratios["x"]), np.sort(measured), rtol=1e-6)
    draw_figure("extended-5-populations", {name: [] for name in paths}, [folder / "empty.png"])
    assert (folder / "empty.png").stat().st_size > 1000
