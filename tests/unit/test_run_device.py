"""The device of a run: auto is decided by the process that starts it, and by no job."""

from __future__ import annotations

import pytest
import torch

from quasicrit.errors import ConfigError
from quasicrit.stages.run_device import run_device


def test_a_named_device_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUASICRIT_DEVICE", "cuda")
    assert run_device("cpu", True) == run_device("cpu", False) == "cpu"
    assert run_device("cuda", False) == "cuda"


def test_auto_is_decided_once_and_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QUASICRIT_DEVICE", raising=False)
    with pytest.raises(ConfigError, match="device = 'auto': the executor does not hand its environment to the jobs"):
        run_device("auto", False)
    found = "cuda" if torch.cuda.is_available() else "cpu"
    assert run_device("auto", True) == found
    assert run_device("auto", False) == found
    # A job keeps what was decided, whatever it would find itself.
    monkeypatch.setenv("QUASICRIT_DEVICE", "cuda")
    assert run_device("auto", False) == "cuda"
