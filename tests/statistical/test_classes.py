"""The classifier on processes whose answer is known: a small version of ``make classes``."""

from __future__ import annotations

from pathlib import Path

import pytest

from quasicrit.reference import IMPOSTORS, PROCESSES
from quasicrit.stages.class_summary import tabulate_confusion, trust_lines
from quasicrit.stages.classes import calibrate_classes, confuse_classes
from quasicrit.tables import SCHEMAS, read_table

REFERENCES = ("galton_watson", "walk", "abbm_0.3", "percolation_2d")
REFUSED = ("iid", "ar1_30", "superposed", "subcritical", "lognormal")
WALKS = ("ar1_1000", "walk_shuffled_increments")
REPLICATES = 8


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("classes")
    windows = sorted({(PROCESSES if n in PROCESSES else IMPOSTORS)[n].window for n in (*REFERENCES, *REFUSED, *WALKS)})
    biases = []
    for name in (*REFERENCES, "abbm_0", "abbm_0.6", "fractional_0.3", "fractional_0.7"):
        biases.append(folder / f"bias_{name}.parquet")
        calibrate_classes([name], windows, 60_000, 100, 1, biases[-1], {})
    made = {}
    for name in (*REFERENCES, *REFUSED, *WALKS):
        made[name] = folder / f"{name}.parquet"
        confuse_classes([name], biases, 30_000, REPLICATES, 100, 0.1, 1, made[name], {})
    return made


@pytest.mark.parametrize("name", REFERENCES)
def test_references_are_found(name: str, paths: dict[str, Path]) -> None:
    frame = read_table(paths[name], SCHEMAS["confusion"])
    # At 30,000 events nearly all; at the 100,000 of make classes all of 200.
    assert (frame["verdict"].astype(str) == PROCESSES[name].universality).sum() >= REPLICATES - 1
    assert frame[["tau_s", "tau_d", "gamma"]].notna().all().all()
    assert frame[["covers_tau_s", "covers_tau_d", "covers_gamma"]].astype(float).mean().mean() > 0.7


@pytest.mark.parametrize("name", REFUSED)
def test_impostors_are_refused(name: str, paths: dict[str, Path]) -> None:
    frame = read_table(paths[name], SCHEMAS["confusion"])
    assert (frame["grade"].astype(str) == "none").all()
    assert frame["statement"].str.startswith("no evidence").all()


@pytest.mark.parametrize("name", WALKS)
def test_a_memory_beyond_the_window_is_a_walk_and_nothing_more(name: str, paths: dict[str, Path]) -> None:
    frame = read_table(paths[name], SCHEMAS["confusion"])
    assert frame["statement"].str.contains("indistinguishable from a Gaussian walk|no evidence").all()
    assert not frame["statement"].str.contains("supported|strong|consistent with: ").any()


def test_the_tables_for_people(paths: dict[str, Path], tmp_path: Path) -> None:
    frame = read_table([str(path) for path in paths.values()], SCHEMAS["confusion"])
    lines = trust_lines(frame)
    assert any(line.startswith("| right class on top | 4 references |") for line in lines)
    assert any("no evidence | 5 | 100.0 %" in line for line in lines)
    assert lines[-1] == f"({REPLICATES} realisations of each process.)"
    tabulate_confusion(list(paths.values()), tmp_path / "confusion.md")
    text = (tmp_path / "confusion.md").read_text(encoding="utf-8")
    assert text.count(f"| {REPLICATES} |") == len(paths)
    assert "| walk | brownian_excursion |" in text
