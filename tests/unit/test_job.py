"""What a job does with an error: one sentence and exit code 2 for the user's, a traceback for a bug; and its CPU time."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from quasicrit.stages.job import job
from quasicrit.tables import SCHEMAS, read_table, write_table


def test_an_altered_table_ends_a_job_with_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table, log = tmp_path / "survival.parquet", tmp_path / "logs" / "job.log"
    row = dict.fromkeys(SCHEMAS["survival"].names, 1) | {"activation": "tanh"}
    write_table(table, SCHEMAS["survival"], [row], {})
    table.write_bytes(table.read_bytes()[:-40])
    with pytest.raises(SystemExit) as end, job(str(log), {"seed": 1}):
        read_table(table, SCHEMAS["survival"])
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith(f"{table}: the file is truncated or altered")
    assert said.count("\n") == 1
    assert log.read_text(encoding="utf-8") == said


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(SystemExit) as end, job(str(tmp_path / "job.log"), {}):
        write_table(tmp_path / "file" / "t.parquet", SCHEMAS["survival"], [], {})
    assert end.value.code == 2
    assert f"{tmp_path / 'file' / 't.parquet'} cannot be written (File exists)" in capsys.readouterr().err


def test_a_bug_shows_its_traceback_in_the_log(tmp_path: Path) -> None:
    log = tmp_path / "job.log"
    with pytest.raises(ZeroDivisionError), job(str(log), {}):
        1 / 0  # noqa: B018
    assert "ZeroDivisionError" in log.read_text(encoding="utf-8")


def burn(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_the_log_ends_in_the_cpu_time_before_the_body_and_in_all(tmp_path: Path) -> None:
    log = tmp_path / "job.log"
    burn(0.05)
    before = time.process_time()
    with job(str(log), {}):
        burn(0.3)
    said, last = log.read_text(encoding="utf-8").splitlines()
    assert said.startswith("done in ")
    found = json.loads(last)
    assert found["cpu_start"] >= before - 0.02  # clock ticks of 10 ms
    assert found["cpu"] - found["cpu_start"] >= 0.28


def test_a_job_that_fails_notes_no_cpu_time(tmp_path: Path) -> None:
    log = tmp_path / "job.log"
    with pytest.raises(ZeroDivisionError), job(str(log), {}):
        1 / 0  # noqa: B018
    assert "cpu_start" not in log.read_text(encoding="utf-8")
