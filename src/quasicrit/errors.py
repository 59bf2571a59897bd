"""Errors that a user can cause. Each carries one clear sentence; the command turns it into exit code 2."""

from __future__ import annotations

__all__ = [
    "AdviceError",
    "AvalancheError",
    "ConfigError",
    "DeviceError",
    "FitError",
    "PropagationError",
    "QuasicritError",
    "RecordingError",
    "RunError",
    "TableError",
    "TheoryError",
    "UncorrelatedError",
]


class QuasicritError(Exception):
    """Base of every error that a user can cause and mend."""


class ConfigError(QuasicritError):
    """A configuration key or value that cannot be run."""


class DeviceError(QuasicritError):
    """A device that is not there, or whose memory does not hold the smallest piece of work."""


class TableError(QuasicritError):
    """A file or table that is missing, truncated, altered or not of the expected form."""


class TheoryError(QuasicritError):
    """A theoretical quantity that does not exist for the given parameters."""


class PropagationError(QuasicritError):
    """A signal that cannot be propagated (it died, overflowed or was not defined)."""


class AvalancheError(QuasicritError):
    """Activity from which avalanches cannot be detected."""


class FitError(QuasicritError):
    """Data from which an exponent cannot be estimated."""


class UncorrelatedError(FitError):
    """Activity that does not depend on what it was before, and so has no branching ratio."""


class AdviceError(QuasicritError):
    """An initialisation that cannot be advised, or a model that cannot be initialised."""


class RecordingError(QuasicritError):
    """A model, or inputs to it, whose activity cannot be recorded."""


class RunError(QuasicritError):
    """A run that cannot start in a folder."""
