"""The device of a run: what ``device: auto`` is, decided once by the process that starts the run."""

from __future__ import annotations

import os

from quasicrit.errors import ConfigError

__all__ = ["run_device"]

#: Handed to jobs in other processes, which could find another device.
_DECIDED = "QUASICRIT_DEVICE"


def run_device(chosen: str, starts_the_run: bool) -> str:
    """cpu or cuda, for ``chosen`` (config.device: auto, cpu or cuda).

    Raises ConfigError for auto in a job to which the process that started the run could not hand its decision.
    """
    if chosen != "auto":
        return chosen
    if starts_the_run:
        from quasicrit.networks.device import resolve_device

        os.environ[_DECIDED] = resolve_device("auto").type
    elif _DECIDED not in os.environ:
        raise ConfigError("device = 'auto': the executor does not hand its environment to the jobs; give cpu or cuda")
    return os.environ[_DECIDED]
