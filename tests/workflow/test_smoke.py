"""The whole DAG: complete, and idle the second time. After kills and with other cores and block sizes: test_faults.py."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from quasicrit.stages.plan_report import plan_report
from quasicrit.tables import SCHEMAS, read_provenance, read_table

from .conftest import REPOSITORY, run

FIGURES = ("figure-1-avalanches", "figure-2-phase-diagram", "figure-3-learning", "figure-4-finite-size-scaling", "figure-5-architectures", "extended-3-initialisations", "extended-4-along-training", "extended-5-populations")  # fmt: skip


def tables(folder: Path, name: str) -> pd.DataFrame:
    """All rows of one kind of table, in an order that does not depend on the blocks they came in."""
    results = folder / "results"
    files = sorted(results.glob(f"**/{name}.parquet")) or sorted((results / name).glob("**/*.parquet"))
    frame = read_table(files, SCHEMAS[name])
    frame = frame.astype({column: str for column in frame.columns if frame[column].dtype == "category"})
    return frame.sort_values(list(frame.columns), kind="stable", ignore_index=True)


COMPARED = ("activity", "events", "moments", "exponents", "comparisons", "distributions", "cutoffs", "learning", "scaling", "controls", "verdicts", "survival", "susceptibility", "learned", "predictors", "ranking", "followed", "advice", "architecture_learning", "layer_activity", "cascades", "architectures", "populations")  # fmt: skip


def test_everything_is_made(smoke: Path) -> None:
    results = smoke / "results"
    for figure in FIGURES:
        for kind in ("pdf", "png", "svg"):
            assert (results / "figures" / f"{figure}.{kind}").stat().st_size > 5000
        assert len(pd.read_csv(results / "figures" / f"{figure}.csv")) > 1
    summary = (results / "summary.md").read_text(encoding="utf-8")
    for claim in ("P1", "P2", "P3", "P4", "P5", "P6", "P7", "P8"):
        assert f"## {claim}" in summary
    verdicts = read_table(results / "verdicts.parquet", SCHEMAS["verdicts"])
    assert set(verdicts["claim"]) == {"P1", "P2", "P3", "P4", "P5", "P6", "P7", "P8"}
    assert (verdicts["sentence"].str.len() > 10).all()
    measured = verdicts[verdicts["ours"].notna() & verdicts["ci_low"].notna()]
    assert (measured["ci_low"] <= measured["ci_high"]).all()
    assert len(measured) > 20
    assert json.loads((results / "config.json").read_text(encoding="utf-8"))["resamples"] == 100


def test_cpu_time_outside_the_science_is_known(smoke: Path) -> None:
    """Every job and the main process noted theirs; only bounds that hold on any machine."""
    made = plan_report(
        [str(REPOSITORY / "config.yaml"), str(REPOSITORY / "workflow/presets/smoke.yaml")], str(smoke / "results")
    )
    outside = made["outside"]
    assert outside["jobs"] == made["jobs"]
    assert outside["stages"]["snakemake"]["cpu_seconds"] > 1
    for row in outside["stages"].values():
        assert 0 < row["start_seconds"] <= row["cpu_seconds"]
    assert 0 < outside["share"] < 1


def test_tables_say_where_they_come_from(smoke: Path) -> None:
    files = sorted((smoke / "results").glob("**/*.parquet"))
    assert len(files) > 60
    for path in files:
        details = read_provenance(path)
        assert len(details["fingerprint"]) == 16
        assert details["device"] == "cpu"
    assert not list((smoke / "results").glob("**/*.tmp"))


def test_no_exponent_below_ten_widths(smoke: Path) -> None:
    exponents = tables(smoke, "exponents")
    shallow = exponents[exponents["protocol"] == "S"]
    assert len(shallow)
    assert shallow["exponent"].isna().all()
    assert shallow["reason"].str.contains("below 10 N").all()


def test_units_are_recorded_in_row_groups_of_one_layer(smoke: Path) -> None:
    (path,) = (smoke / "results" / "activations").glob("**/*.parquet")
    file = pq.ParquetFile(path)
    assert file.num_row_groups == 2 * 160
    assert file.metadata.row_group(0).num_rows == 1
    assert file.schema_arrow.field("units").type.byte_width == 4 * 16


def test_a_second_run_does_nothing(smoke: Path) -> None:
    again = run(smoke, "--cores", "2")
    assert again.returncode == 0
    assert "Nothing to be done" in again.stdout + again.stderr


def test_a_changed_window_remakes_no_network(smoke: Path) -> None:
    planned = run(smoke, "-n", "--config", "criteria={tolerance: 0.2}")
    text = planned.stdout + planned.stderr
    assert "fit_exponents" in text
    assert "propagate_signals" not in text
    assert "train_networks" not in text


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("seed=-3", "seed = -3"),
        ("sead=3", "sead = 3: this key is not known"),
        ("grids=[]", "at least one grid"),
        ("training={depth: [many]}", "training.depth"),
    ],
)
def test_bad_configuration_stops_before_the_dag(tmp_path: Path, setting: str, said: str) -> None:
    failed = run(tmp_path, "-n", "--config", setting)
    assert failed.returncode == 2
    assert said in failed.stderr
    assert "Traceback" not in failed.stderr
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("preset", [None, "paper.yaml", "scaling.yaml"])
def test_presets_dry_run(tmp_path: Path, preset: str | None) -> None:
    planned = run(tmp_path, "-n", "--quiet", preset=preset)
    assert planned.returncode == 0, planned.stderr[-2000:]


def test_slurm_profile_dry_runs(tmp_path: Path) -> None:
    profile = str(REPOSITORY / "workflow/profiles/slurm")
    planned = run(tmp_path, "-n", "--quiet", "--workflow-profile", profile)
    assert planned.returncode == 0, planned.stderr[-2000:]


def test_one_figure_as_target(smoke: Path) -> None:
    planned = run(smoke, "-n", "results/figures/figure-2-phase-diagram.png")
    assert "Nothing to be done" in planned.stdout + planned.stderr


def test_scripts_are_adapters() -> None:
    for path in (REPOSITORY / "scripts").glob("*.py"):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 40, path.name
