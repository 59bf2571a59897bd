"""Tables: what is written comes back, and what was damaged is never read as if it were whole."""

from __future__ import annotations

import errno
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
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


def test_every_altered_byte_is_named(tmp_path: Path) -> None:
    """Each byte in turn with one bit flipped, and as the number of another encoding (byte stream split)."""
    path = tmp_path / "events.parquet"
    write_table(path, SCHEMA, events(20), {"seed": 7})
    whole = path.read_bytes()
    for at, byte in enumerate(whole):
        for altered in {byte ^ 0x01, 0x12} - {byte}:
            path.write_bytes(whole[:at] + bytes([altered]) + whole[at + 1 :])
            with pytest.raises(
                TableError, match=rf"{path}: the file is truncated or altered .*delete it and run again"
            ):
                read_table(path, SCHEMA)


def test_leftovers_of_the_dead_are_removed_and_of_the_living_kept(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    path = tmp_path / "events.parquet"
    left = {
        number: tmp_path / f".events.parquet.{host}.{number}.tmp"
        for host, number in ((platform.node(), dead.pid), (platform.node(), os.getppid()), ("elsewhere", 1))
    }
    others = [tmp_path / f".shapes.parquet.{platform.node()}.{dead.pid}.tmp", tmp_path / ".events.parquet.notes.tmp"]
    for file in (*left.values(), *others):
        file.write_bytes(b"half")
    write_table(path, SCHEMA, events(), {})
    assert {file.name for file in tmp_path.iterdir()} == {
        path.name, left[os.getppid()].name, left[1].name, *(file.name for file in others)
    }  # fmt: skip


def test_two_writers_of_one_file_each_complete_their_own(tmp_path: Path) -> None:
    """An orphan of a killed run that ends after its successor: whoever is last, the file is whole."""
    path = tmp_path / "events.parquet"
    with TableWriter(path, SCHEMA, {"seed": 1}) as orphan:
        orphan.write(events(20))
        code = f"import sys; sys.path[:0] = {sys.path!r}\nfrom tests.unit.test_tables import *\nwrite_table({str(path)!r}, SCHEMA, events(40), {{'seed': 2}})"
        subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
        assert len(read_table(path, SCHEMA)) == 40
        orphan.write(events(20))
    assert read_provenance(path) == {"seed": 1}
    assert len(read_table(path, SCHEMA)) == 40
    assert os.listdir(tmp_path) == [path.name]


def test_a_disk_without_room_is_named(tmp_path: Path) -> None:
    """The largest file that a process may write stands in for the disk: the error comes from the same call."""
    path = tmp_path / "events.parquet"
    code = f"""
import resource, signal, sys
sys.path[:0] = {sys.path!r}
from tests.unit.test_tables import *
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
try:
    write_table({str(path)!r}, SCHEMA, events(400), {{}})
except TableError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    assert done.stdout == f"{path} cannot be written (File too large): make room, or see that its folder is writable, and run again\n"  # fmt: skip
    assert os.listdir(tmp_path) == []


def test_a_missing_column_or_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "events.parquet"
    with pytest.raises(TableError, match="no such file"):
        read_table(path, SCHEMA)
    write_table(path, SCHEMA, events(), {})
    with pytest.raises(TableError, match="is missing"):
        read_table(path, SCHEMAS["activity"])


def test_a_disk_that_is_full_before_the_first_byte_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "Error writing bytes to file. Detail: [errno 28] No space left on device")

    monkeypatch.setattr(pq, "ParquetWriter", full)
    path = tmp_path / "events.parquet"
    with (
        pytest.raises(TableError, match=rf"^{re.escape(str(path))} cannot be written \(No space left on device\)"),
        TableWriter(path, SCHEMA, {}),
    ):
        raise AssertionError("nothing to write into")
    assert not list(tmp_path.iterdir())
