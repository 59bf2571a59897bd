"""Heavy tails: distributions, fits with errors that hold, ranges, p-values, comparisons, verdicts.

Arrays in, frozen dataclasses out; no network anywhere. The usual way in is ``analyse_tail``; a pipeline
with its own resampling uses ``window_sums`` and ``power_law_exponents``.
"""

from __future__ import annotations

from quasicrit.tails.compare import ALTERNATIVES, SIGNIFICANCE, Comparison, compare_alternatives
from quasicrit.tails.distributions import FAMILIES, Distribution, DistributionFit, Family, fit_distribution
from quasicrit.tails.exponents import power_law_cdf, power_law_exponents, power_law_moments
from quasicrit.tails.fit import PowerLawFit, fit_power_law, window_sums
from quasicrit.tails.pvalue import design_effect, p_value
from quasicrit.tails.ranges import XminSearch, ks_distance, search_xmin
from quasicrit.tails.support import MIN_EVENTS, Events, Kind, Support, select_events
from quasicrit.tails.verdict import MIN_DECADES, MIN_P_VALUE, TailAnalysis, Verdict, analyse_tail, judge

__all__ = [
    "ALTERNATIVES",
    "FAMILIES",
    "MIN_DECADES",
    "MIN_EVENTS",
    "MIN_P_VALUE",
    "SIGNIFICANCE",
    "Comparison",
    "Distribution",
    "DistributionFit",
    "Events",
    "Family",
    "Kind",
    "PowerLawFit",
    "Support",
    "TailAnalysis",
    "Verdict",
    "XminSearch",
    "analyse_tail",
    "compare_alternatives",
    "design_effect",
    "fit_distribution",
    "fit_power_law",
    "judge",
    "ks_distance",
    "p_value",
    "power_law_cdf",
    "power_law_exponents",
    "power_law_moments",
    "search_xmin",
    "select_events",
    "window_sums",
]
