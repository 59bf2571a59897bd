"""What every job of the DAG does around its work: a log, the provenance of its tables, one clear sentence on failure."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from quasicrit.errors import QuasicritError
from quasicrit.stages.cpu import cpu_line, cpu_seconds
from quasicrit.tables import provenance

__all__ = ["job"]


@contextlib.contextmanager
def job(log: str, params: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Run the body of a job; yields the provenance that its tables carry. ``log`` shows on the way what a long job has kept.

    ``params`` may hold ``device``, cpu or cuda, where the body computes; without it, it does on the CPU.
    An error that the user can mend ends the job with exit code 2 and one sentence on standard error and in ``log``;
    any other error is a bug and shows its traceback. The log of a job that is done says how long it took, and its last line
    what CPU time passed before its body and in all (``quasicrit.stages.cpu``).
    """
    start, start_cpu = time.monotonic(), cpu_seconds()
    text = json.dumps(params, sort_keys=True, default=str)
    try:
        with _progress(log):
            yield provenance(
                config=hashlib.sha256(text.encode()).hexdigest()[:16],
                fingerprint=params.get("fingerprint", ""),
                seed=params.get("seed"),
                **_device(params.get("device", "cpu")),
            )
    except QuasicritError as error:
        _note(log, f"{error}\n")
        print(f"{error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        sentence = f"{error.filename or 'a file'} cannot be read or written: {error.strerror or error}"
        _note(log, f"{sentence}\n{traceback.format_exc()}")
        print(sentence, file=sys.stderr)
        sys.exit(2)
    except Exception:
        _note(log, traceback.format_exc())
        raise
    _note(log, f"done in {time.monotonic() - start:.1f} s\n{cpu_line(start_cpu)}")


class _Log(logging.FileHandler):
    """Writes what the package logs into the file, which is not made before there is something; nothing where ``_note`` could not."""

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(OSError):
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Show no traceback."""


@contextlib.contextmanager
def _progress(log: str) -> Iterator[None]:
    """What the package logs goes into ``log``."""
    with contextlib.suppress(OSError):
        Path(log).parent.mkdir(parents=True, exist_ok=True)
    handler = _Log(log, mode="w", encoding="utf-8", delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logger = logging.getLogger("quasicrit")
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        with contextlib.suppress(OSError):
            handler.close()


def _device(name: str) -> dict[str, str]:
    if name == "cpu":
        return {"device": "cpu"}  # without torch, which half of all jobs never load
    from quasicrit.networks.device import device_details, resolve_device

    return device_details(resolve_device(name))


def _note(log: str, text: str) -> None:
    """Write the log, if it can be written: a full disk must not hide what is said on standard error."""
    with contextlib.suppress(OSError):
        Path(log).parent.mkdir(parents=True, exist_ok=True)
        Path(log).write_text(text, encoding="utf-8")
