"""``make calibrate`` in small: the same cells, fewer replicates, tolerances to match."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd
import pytest

from quasicrit.stages.calibrate import GROUPS, calibrate_group, tabulate_calibration, trust_table
from quasicrit.tables import SCHEMAS, provenance, read_table

DETAILS = provenance(config="test", fingerprint="test", seed=5, device="cpu")


def measured(group: str, share: float, folder: Path) -> pd.DataFrame:
    path = folder / f"{group}.parquet"
    calibrate_group(group, share, 5, path, DETAILS)
    return read_table(path, SCHEMAS["calibration"])


def total(frame: pd.DataFrame, measure: str) -> tuple[int, int]:
    """Successes and replicates over all cells."""
    rows = frame[frame["measure"] == measure]
    return round((rows["value"] * rows["replicates"]).sum()), int(rows["replicates"].sum())


@pytest.mark.parametrize(("group", "share"), [("discrete-1.5", 0.025), ("continuous-3.5", 0.025)])
def test_intervals_of_independent_events_cover(group: str, share: float, tmp_path: Path) -> None:
    frame = measured(group, share, tmp_path)
    count, of = total(frame, "coverage")
    assert of == 9 * 50
    # Four binomial s.d. of 450 replicates are .041; intervals of (alpha − 1)/√n on these ranges cover .59 to .89.
    assert count / of == pytest.approx(0.95, abs=4 * math.sqrt(0.95 * 0.05 / of))
    bias = frame[(frame["measure"] == "bias") & (frame["n"] >= 2000)]
    # The half width of the bias's interval is 1.96 standard errors.
    assert (bias["value"].abs() < 0.01 + 2.5 * (bias["ci_high"] - bias["value"])).all()


def test_intervals_over_clusters_cover(tmp_path: Path) -> None:
    frame = measured("dependent-continuous", 0.02, tmp_path)
    for measure in ("coverage", "coverage, percentile", "coverage, BCa"):
        count, of = total(frame, measure)
        assert of == 6 * 40
        # .94 is what the full calibration finds; four binomial s.d. of 240 replicates are .061.
        assert count / of == pytest.approx(0.94, abs=4 * math.sqrt(0.94 * 0.06 / of))


@pytest.mark.parametrize("group", ["p-continuous", "p-clusters", "p-xmin-continuous"])
def test_p_values_are_uniform(group: str, tmp_path: Path) -> None:
    frame = measured(group, 0.12, tmp_path).set_index("measure")
    assert frame.loc["uniform", "value"] > 0.001
    share = frame.loc["p at most 0.1", "value"]
    # Four binomial s.d. of 60 replicates.
    assert share < 0.1 + 4 * math.sqrt(0.1 * 0.9 / 60)


def test_verdicts_on_laws_and_on_what_is_none(tmp_path: Path) -> None:
    false = measured("false-none", 0.025, tmp_path)
    count, of = total(false, "power_law")
    assert of == 9 * 10
    # At a rate of .05 more than 12 of 90 have probability .001.
    assert count <= 12
    true = measured("power-none", 0.02, tmp_path)
    count, of = total(true, "power_law")
    assert of == 6 * 20
    # p > .1 lets .9 of them pass; four binomial s.d. of 120 replicates are .11.
    assert count / of > 0.9 - 4 * math.sqrt(0.9 * 0.1 / of)


def test_the_same_seed_gives_the_same_numbers_and_the_tables_hold_them(tmp_path: Path) -> None:
    first = measured("continuous-2", 0.005, tmp_path)
    (tmp_path / "again").mkdir()
    again = measured("continuous-2", 0.005, tmp_path / "again")
    pd.testing.assert_frame_equal(first, again)
    groups = [tmp_path / "continuous-2.parquet"]
    for group in ("discrete-2", "dependent-discrete", "p-discrete", "false-none", "power-none"):
        calibrate_group(group, 0.005, 5, tmp_path / f"{group}.parquet", DETAILS)
        groups.append(tmp_path / f"{group}.parquet")
    tabulate_calibration(groups, tmp_path / "all.parquet", tmp_path / "all.md", DETAILS)
    table = read_table(tmp_path / "all.parquet", SCHEMAS["calibration"])
    cells = sum(len(GROUPS[path.stem]) for path in groups)
    assert len(table.drop_duplicates(["section", "cell", "xmax", "n", "search"])) == cells
    page = (tmp_path / "all.md").read_text(encoding="utf-8")
    assert trust_table(table.to_dict("records")) in page
    assert page.count("| power_law |") == len(GROUPS["false-none"]) + len(GROUPS["power-none"])


def test_cells_are_those_declared() -> None:
    independent = [cell for group in GROUPS.values() for cell in group if cell.section == "independent"]
    # 5 exponents, 3 ranges, 3 sizes, 2 kinds, less the discrete open ones of 1.2.
    assert len(independent) == 5 * 3 * 3 * 2 - 3
    assert all(cell.replicates >= 2000 for cell in independent)
    p_values = [cell for group in GROUPS.values() for cell in group if cell.section == "p_value"]
    assert len(p_values) == 6
    assert sum(cell.search != "none" for cell in p_values) == 3
    assert {cell.search for cell in GROUPS["false-none"]} == {"none"}
    assert len(GROUPS["false-none"]) == 9
