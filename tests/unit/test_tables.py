"""Tables: what is written comes back, and what was damaged is never read as if it were whole."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from quasicrit.errors import TableError
from quasicrit.tables import SCHEMAS, TableWriter, read_arrays, read_provenance, read_table, write_table

SCHEMA = SCHEMAS["events"]


def events(n: int = 40) -> dict[str, object]:
    rng = np.random.default_rng(5)
    duration = rng.integers(1, 50, n).astype(np.int32)
    return {
        "source": "gaussian",
        "protocol": "T",
        "point_id": ["abc", "def"] * (n // 2),
        "net": np.arange(n, dtype=np.int32),
        "input": 0,
        "start": rng.integers(0, 900, n).astype(np.int32),
        "duration": duration,
        "size": rng.random(n),
        "size_raw": rng.random(n),
        "censored": "none",
    }


def test_round_trip_with_provenance(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "events.parquet"
    write_table(path, SCHEMA, events(), {"seed": 7, "config": "abc"})
    frame = read_table(path, SCHEMA)
    assert list(frame.columns) == SCHEMA.names
    np.testing.assert_array_equal(frame["size"], events()["size"])
    assert frame["point_id"].tolist() == events()["point_id"]
    assert read_provenance(path) == {"seed": 7, "config": "abc"}
    arrays = read_arrays([path, path], SCHEMA, ["size", "point_id"])
    assert len(arrays["size"]) == 80
    assert [arrays["point_id"].names[c] for c in arrays["point_id"].codes[:2]] == ["abc", "def"]


def test_provenance_may_grow_until_the_file_is_complete(tmp_path: Path) -> None:
    details = {"seed": 7}
    with TableWriter(tmp_path / "events.parquet", SCHEMA, details) as writer:
        writer.write(events())
        writer.details["layers"] = ["conv"]
    assert read_provenance(tmp_path / "events.parquet") == {"seed": 7, "layers": ["conv"]}
    assert details == {"seed": 7}


def test_every_column_says_its_unit_and_meaning() -> None:
    for name, schema in SCHEMAS.items():
        for field in schema:
            assert field.metadata, f"{name}.{field.name}"
            assert field.metadata[b"meaning"]
            assert field.metadata[b"unit"]


def test_an_interrupted_write_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "events.parquet"

    def interrupted() -> None:
        with TableWriter(path, SCHEMA, {}) as writer:
            writer.write(events())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert os.listdir(tmp_path) == []


def test_every_truncation_is_named(tmp_path: Path) -> None:
    path = tmp_path / "events.parquet"
    write_table(path, SCHEMA, events(), {})
    whole = path.read_bytes()
    for length in range(0, len(whole), 17):
        path.write_bytes(whole[:length])
        with pytest.raises(TableError, match=r"events\.parquet.*truncated or altered"):
            read_table(path, SCHEMA)


def test_no_flipped_byte_changes_a_value_unseen(tmp_path: Path) -> None:
    """Each byte of the file altered in turn: the reader names the file, or every value and the provenance are as written."""
    path = tmp_path / "events.parquet"
    write_table(path, SCHEMA, events(20), {"seed": 7})
    whole = path.read_bytes()
    good = read_table(path, SCHEMA)
    detected = 0
    for at in range(len(whole)):
        for flip in (0x01, 0xFF):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ flip]) + whole[at + 1 :])
            try:
                frame = read_table(path, SCHEMA)
                details = read_provenance(path)
            except TableError as error:
                detected += str(path) in str(error)
                continue
            assert frame.equals(good), f"byte {at} ^ {flip:#x} changed a value unseen"
            assert details == {"seed": 7}
    assert detected > len(whole)


def test_a_missing_column_or_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "events.parquet"
    with pytest.raises(TableError, match="no such file"):
        read_table(path, SCHEMA)
    write_table(path, SCHEMA, events(), {})
    with pytest.raises(TableError, match="is missing"):
        read_table(path, SCHEMAS["activity"])
