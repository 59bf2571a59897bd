"""The run that tests of the workflow and of SLURM compare with: made once for both."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.workflow.conftest import run


@pytest.fixture(scope="session")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an undisturbed smoke run on two cores."""
    folder = tmp_path_factory.mktemp("smoke")
    done = run(folder, "--cores", "2")
    assert done.returncode == 0, done.stderr[-4000:]
    return folder
