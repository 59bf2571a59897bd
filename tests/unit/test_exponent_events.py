"""Events of points whose blocks lie in several files: read file by file, the same as all at once."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from quasicrit.config import load_config, points
from quasicrit.points import Point
from quasicrit.stages.exponents import _events_by_point
from quasicrit.tables import SCHEMAS, write_table

from .test_config import merged


@pytest.fixture(scope="module")
def some() -> list[Point]:
    return [Point.from_params(asdict(point)) for point in points(load_config(merged("smoke.yaml")))[:4]]


def write(path: Path, rows: list[tuple[str, int, int, int, str]]) -> Path:
    """(point, net, start, duration, censored) of each event."""
    table = [
        {
            "source": "gaussian",
            "protocol": "T",
            "point_id": point,
            "net": net,
            "input": 0,
            "start": start,
            "duration": duration,
            "size": duration + 0.5,
            "size_raw": float(duration),
            "censored": censored,
        }
        for point, net, start, duration, censored in rows
    ]
    write_table(path, SCHEMAS["events"], table, {})
    return path


def test_a_point_comes_when_its_last_file_is_read_and_in_order(some: list[Point], tmp_path: Path) -> None:
    a, b, c, d = (point.point_id for point in some)
    files = [
        write(tmp_path / "0.parquet", [(a, 0, 5, 1, "none"), (a, 0, 9, 2, "end"), (b, 16, 4, 3, "none")]),
        write(tmp_path / "1.parquet", [(b, 0, 7, 4, "none"), (b, 0, 3, 5, "none"), (c, 1, 1, 6, "start")]),
    ]
    found = list(_events_by_point(files, some))
    assert [point.point_id for point, _ in found] == [a, b, c, d]
    columns = {point.point_id: part for point, part in found}
    assert columns[a]["duration"].tolist() == [1]
    # By net, then start, whichever file they came in; censored events are left out.
    assert columns[b]["net"].tolist() == [0, 0, 16]
    assert columns[b]["duration"].tolist() == [5, 4, 3]
    assert columns[b]["size"].tolist() == [5.5, 4.5, 3.5]
    assert len(columns[c]["net"]) == len(columns[d]["net"]) == 0


def test_no_file_is_read_before_it_is_needed(some: list[Point], tmp_path: Path) -> None:
    """The first point can be fitted while the second file's events are not in memory."""
    a, b = some[0].point_id, some[1].point_id
    files = [
        write(tmp_path / "0.parquet", [(a, 0, 5, 1, "none")]),
        write(tmp_path / "1.parquet", [(b, 0, 7, 4, "none")]),
    ]
    stream = _events_by_point(files, some[:2])
    point, part = next(stream)
    assert (point.point_id, part["duration"].tolist()) == (a, [1])
    files[1].write_bytes(b"")
    with pytest.raises(Exception, match=r"1\.parquet"):
        next(stream)
    assert np.isfinite(part["size"]).all()
