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
from quasicrit.statistics.ranks import RankComparison, compare_ranks, first_choice_regret, kendall, spearman
from quasicrit.statistics.regression import LineFit, weighted_line

__all__ = [
    "BootstrapInterval",
    "LineFit",
    "RankComparison",
    "bca_interval",
    "bootstrap_interval",
    "cluster_codes",
    "cluster_sums",
    "cluster_weights",
    "compare_ranks",
    "first_choice_regret",
    "kendall",
    "percentile_interval",
    "resampled_sums",
    "spearman",
    "student_interval",
    "weighted_line",
]
