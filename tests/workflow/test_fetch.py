"""Files of a task are fetched through Snakemake's storage, verified, and waited for; from a server of the test, never a real one."""

from __future__ import annotations

import functools
import gzip
import hashlib
import http.server
import os
import struct
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from quasicrit.stages.fetch import fetched_files

from .conftest import REPOSITORY, snakemake


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def idx(array: np.ndarray) -> bytes:
    return struct.pack(">BBBB", 0, 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    folder = tmp_path / "served"
    folder.mkdir()
    rng = np.random.default_rng(1)
    for name in fetched_files("mnist"):
        shape = (60, 6, 6) if "images" in name else (60,)
        (folder / name).write_bytes(gzip.compress(idx(rng.integers(0, 3, shape).astype(np.uint8))))
    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{made.server_port}", folder
    made.shutdown()


def fetch(folder: Path, address: str, digests: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """The project's workflow, its addresses and digests those of the test's server."""
    sources = {f"{address}/{name}": digest for name, digest in digests.items()}
    snakefile = folder / "Snakefile"
    snakefile.write_text(
        "import quasicrit.stages.fetch as fetch\n"
        f"fetch.SOURCES['mnist'] = {sources!r}\n"
        f"include: {str(REPOSITORY / 'Snakefile')!r}\n",
        encoding="utf-8",
    )
    wanted = "results/learned/mnist/width=16/depth=5/optimiser=sgd/block=0.parquet"
    settings = ['data={"folder": "data", "fetch": true}', "learning={tasks: [mnist]}"]
    # The workflow looks for its own configuration beside the Snakefile that was called, which is the test's.
    files = [str(REPOSITORY / name) for name in ("config.yaml", "workflow/presets/smoke.yaml")]
    command = snakemake(
        folder, "--cores", "1", "--configfile", *files, "--config", *settings, "--", wanted, preset=None
    )
    command[command.index("--snakefile") + 1] = str(snakefile)
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": ""},
        check=False,
        timeout=300,
    )


def test_a_task_is_fetched_verified_and_learnt(server: tuple[str, Path], tmp_path: Path) -> None:
    address, served = server
    digests = {name: hashlib.sha256((served / name).read_bytes()).hexdigest() for name in fetched_files("mnist")}
    done = fetch(tmp_path, address, digests)
    assert done.returncode == 0, done.stderr[-3000:]
    for name in digests:
        assert (tmp_path / "data" / "mnist" / name).read_bytes() == (served / name).read_bytes()
    assert "Nothing to be done" in fetch(tmp_path, address, digests).stderr


def test_another_file_than_the_published_one_stops_the_run(server: tuple[str, Path], tmp_path: Path) -> None:
    address, _ = server
    done = fetch(tmp_path, address, dict.fromkeys(fetched_files("mnist"), "0" * 64))
    assert done.returncode != 0
    assert "it is not the published one" in done.stderr
    assert not (tmp_path / "data" / "mnist" / fetched_files("mnist")[0]).exists()
