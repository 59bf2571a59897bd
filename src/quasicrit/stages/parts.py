"""What a long job has done so far, kept beside its output until that is whole: after a kill the job goes on from there.

A job that takes more than ``SAVE_SECONDS`` keeps what it has done in a hidden folder, .NAME.parts beside its output NAME, of which
Snakemake knows nothing. What depends on other parameters, code, libraries or inputs lies under another key there and is never used;
what is damaged is done again. The folder goes when the job is done.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from quasicrit.tables import atomic_path

__all__ = ["SAVE_SECONDS", "Parts"]

#: Seconds of work between two files: what a kill costs at most, besides the piece under way.
SAVE_SECONDS = 30.0

#: Bytes of the checksum at the start of a file.
_DIGEST = hashlib.sha256().digest_size

_LOG = logging.getLogger("quasicrit")


class Parts:
    """The finished pieces of one job (a context manager; leaving it without an error removes them).

    ``key``: everything besides the inputs that the values depend on, as JSON takes it; ``inputs``: the files that are read, known by their
    sizes and times. A piece is a mapping of names to arrays and to what JSON takes.
    """

    def __init__(self, output: Path | str, *key: Any, inputs: Sequence[Path | str] = ()) -> None:
        output = Path(output)
        stats = [Path(path).stat() for path in inputs]
        seen = [[str(path), stat.st_size, stat.st_mtime_ns] for path, stat in zip(inputs, stats)]
        digest = hashlib.sha256(json.dumps([key, seen], sort_keys=True, default=str).encode()).hexdigest()[:16]
        self._root = output.with_name(f".{output.name}.parts")
        self._folder = self._root / digest
        self._output = output.name
        self._done: dict[str, dict[str, Any]] = {}
        self._pending: list[str] = []
        self._saved = time.monotonic()

    def __enter__(self) -> Parts:
        for other in self._root.glob("*"):
            if other != self._folder:
                shutil.rmtree(other, ignore_errors=True)
        for path in self._folder.glob(".*.tmp"):
            path.unlink()
        for path in sorted(self._folder.glob("pieces-*.npz")):
            self._done |= _read(path)
        if self._done:
            _LOG.info("%s: goes on after %d pieces of a run that was stopped", self._output, len(self._done))
        self.restart()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            shutil.rmtree(self._root, ignore_errors=True)

    def file(self, name: str) -> Path:
        """Where something else that belongs to the job may lie: a checkpoint of training, a table."""
        return self._folder / name

    def due(self) -> bool:
        """Whether enough was done since the last file to write another."""
        return time.monotonic() - self._saved >= SAVE_SECONDS

    def restart(self) -> None:
        """Wait as long again until ``due``."""
        self._saved = time.monotonic()

    def keep(self, name: str, make: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
        """The piece ``name``: of an earlier run of the same job, or else made now and kept.

        Either way its values are those that a file gives back: numbers, texts and lists as JSON has them (NaN included), arrays bit for bit.
        """
        if name not in self._done:
            self._done[name] = _plain(make())
            self._pending.append(name)
            if self.due():
                self._write(f"pieces-{len(self._done):06d}.npz", {n: self._done[n] for n in self._pending})
                self._pending.clear()
                _LOG.info("%s: %d pieces done", self._output, len(self._done))
        return self._done[name]

    def save(self, name: str, state: Mapping[str, Any], progress: str) -> None:
        """Write the state of a job that is not made of pieces; ``progress`` says for the log how far it is."""
        self._write(f"{name}.npz", {name: _plain(state)})
        _LOG.info("%s: %s", self._output, progress)

    def load(self, name: str) -> dict[str, Any] | None:
        """The state that was saved last; None if there is none, or it is damaged."""
        state = _read(self._folder / f"{name}.npz").get(name)
        if state is not None:
            _LOG.info("%s: goes on where a run was stopped", self._output)
        return state

    def _write(self, file: str, pieces: Mapping[str, Mapping[str, Any]]) -> None:
        arrays: dict[str, np.ndarray] = {}
        texts: dict[str, dict[str, Any]] = {}
        for name, piece in pieces.items():
            texts[name] = {}
            for key, value in piece.items():
                if isinstance(value, np.ndarray):
                    arrays[str(len(arrays))] = value
                    texts[name][key] = {"array": str(len(arrays) - 1)}
                else:
                    texts[name][key] = {"value": value}
        content = io.BytesIO()
        header = np.frombuffer(json.dumps(texts).encode(), np.uint8)
        np.savez(content, allow_pickle=False, pieces=header, **arrays)
        data = content.getbuffer()
        with atomic_path(self._folder / file) as path, path.open("wb") as handle:
            handle.write(hashlib.sha256(data).digest())
            handle.write(data)
        self.restart()


def _plain(piece: Mapping[str, Any]) -> dict[str, Any]:
    """The piece as a file would give it back."""
    return {
        name: value if isinstance(value, np.ndarray) else json.loads(json.dumps(value, default=_item))
        for name, value in piece.items()
    }


def _item(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} cannot be kept in a part")


def _read(path: Path) -> dict[str, dict[str, Any]]:
    """The pieces of a file; none if it is missing or does not match its checksum."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return {}
    digest, data = content[:_DIGEST], content[_DIGEST:]
    if hashlib.sha256(data).digest() != digest:
        return {}
    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        texts = json.loads(file["pieces"].tobytes())
        return {
            name: {key: file[entry["array"]] if "array" in entry else entry["value"] for key, entry in piece.items()}
            for name, piece in texts.items()
        }
