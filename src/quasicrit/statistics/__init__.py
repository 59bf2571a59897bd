"""Errors that respect dependence: cluster bootstrap on sufficient statistics, regression with errors."""

from __future__ import annotations

from quasicrit.statistics.bootstrap import (
    BootstrapInterval,
    bca_interval,
    bootstrap_interval,
    cluster_codes,
    cluster_sums,
    cluster_weights,
    percentile_interval,
    resampled_sums,
    student_interval,
)
from quasicrit.statistics.regression import LineFit, weighted_line

__all__ = [
    "BootstrapInterval",
    "LineFit",
    "bca_interval",
    "bootstrap_interval",
    "cluster_codes",
    "cluster_sums",
    "cluster_weights",
    "percentile_interval",
    "resampled_sums",
    "student_interval",
    "weighted_line",
]
