"""Heavy tails: distributions, fits with errors that hold, ranges, p-values, comparisons, verdicts.

Arrays in, frozen dataclasses out; no network anywhere. The usual way in is ``analyse_tail``; a pipeline
with its own resampling uses ``window_sums`` and ``power_law_exponents``.
"""

from __future__ import annotations

from quasicrit.tails.compare import ALTERNATIVES, SIGNIFICANCE, Comparison, compare_alternatives
from quasicrit.tails.critical import critical_value
from quasicrit.tails.distributions import FAMILIES, Distribution, DistributionFit, Family, fit_distribution
from quasicrit.tails.drift import Drift, exponent_drift
from quasicrit.tails.exponents import power_law_cdf, power_law_exponents, power_law_moments
from quasicrit.tails.fit import Interval, PowerLawFit, fit_power_law, window_sums
from quasicrit.tails.pvalue import Search, design_effect, p_value
from quasicrit.tails.ranges import XminSearch, ks_distance, search_xmin
from quasicrit.tails.support import MIN_EVENTS, Events, Kind, Support, select_events
from quasicrit.tails.verdict import MAX_DRIFT, MIN_DECADES, MIN_P_VALUE, TailAnalysis, Verdict, analyse_tail, judge
from quasicrit.tails.windows import (
    MIN_WINDOW_EVENTS,
    RangeSearch,
    StabilityMap,
    passing_statistic,
    search_range,
    stability_map,
)

__all__ = [
    "ALTERNATIVES",
    "FAMILIES",
    "MAX_DRIFT",
    "MIN_DECADES",
    "MIN_EVENTS",
    "MIN_P_VALUE",
    "MIN_WINDOW_EVENTS",
    "SIGNIFICANCE",
    "Comparison",
    "Distribution",
    "DistributionFit",
    "Drift",
    "Events",
    "Family",
    "Interval",
    "Kind",
    "PowerLawFit",
    "RangeSearch",
    "Search",
    "StabilityMap",
    "Support",
    "TailAnalysis",
    "Verdict",
    "XminSearch",
    "analyse_tail",
    "compare_alternatives",
    "critical_value",
    "design_effect",
    "exponent_drift",
    "fit_distribution",
    "fit_power_law",
    "judge",
    "ks_distance",
    "p_value",
    "passing_statistic",
    "power_law_cdf",
    "power_law_exponents",
    "power_law_moments",
    "search_range",
    "search_xmin",
    "select_events",
    "stability_map",
    "window_sums",
]
