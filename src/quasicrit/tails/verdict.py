"""A verdict in words: what the window, the p-value and the comparisons allow one to say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from quasicrit.errors import FitError
from quasicrit.tails.compare import Comparison, compare_alternatives
from quasicrit.tails.fit import PowerLawFit, fit_power_law
from quasicrit.tails.pvalue import p_value
from quasicrit.tails.ranges import search_xmin

__all__ = ["MIN_DECADES", "MIN_P_VALUE", "TailAnalysis", "Verdict", "analyse_tail", "judge"]

MIN_DECADES = 1.5
"""A window narrower than this never earns the verdict "power_law"."""

MIN_P_VALUE = 0.1
"""A p-value at or below this rejects the law (Clauset et al. 2009)."""


# The cut-off must lie this many times above xmin, or there is no power law below it.
_CUTOFF_ROOM = 10.0


@dataclass(frozen=True)
class Verdict:
    """``verdict`` with its ``reasons``, one sentence each."""

    verdict: Literal["power_law", "cutoff", "rejected", "undecided"]
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class TailAnalysis:
    """Everything that is said about one column of events. ``searched``: xmin came from the search."""

    fit: PowerLawFit
    p_value: float
    comparisons: Mapping[str, Comparison]
    verdict: Verdict
    searched: bool


def judge(fit: PowerLawFit, p: float, comparisons: Mapping[str, Comparison]) -> Verdict:
    """Apply the rule, in this order.

    1. "cutoff": the truncated power law is favoured (p < .05), falls as a power law for a decade at least
       (alpha > 0, 1/rate ≥ 10 (xmin + offset)), and no exponential, lognormal or stretched exponential has a
       smaller BIC; a cut-off that describes the data worse than another law does is no finding.
    2. "rejected": p ≤ .1, or an exponential, lognormal or stretched exponential is favoured, or a cut-off is
       favoured without earning the first verdict.
    3. "power_law": at least 1.5 decades.
    4. "undecided" otherwise: nothing speaks against the law, and the window is too narrow to speak for it.

    Raises FitError when a comparison is missing.
    """
    missing = {"exponential", "lognormal", "stretched_exponential", "truncated_power_law"} - set(comparisons)
    if missing:
        raise FitError(f"A verdict needs the comparisons with {', '.join(sorted(missing))}; run them first.")
    cutoff = comparisons["truncated_power_law"]
    others = [comparisons[name] for name in ("exponential", "lognormal", "stretched_exponential")]
    favoured = [other for other in others if other.favours == other.alternative]
    reasons = []
    if p <= MIN_P_VALUE:
        reasons.append(f"The goodness-of-fit p-value {p:.3g} is at most {MIN_P_VALUE:g}.")
    else:
        reasons.append(f"The goodness-of-fit p-value {p:.3g} does not reject the power law.")
    for other in favoured:
        reasons.append(f"The {_name(other)} is favoured over the power law (p = {other.p_value:.2g}).")
    excluded = [_name(other) for other in others if other.favours == "power_law"]
    if excluded:
        reasons.append(f"The power law is favoured over: {', '.join(excluded)}.")
    tied = [_name(other) for other in others if other.favours == "neither"]
    if tied:
        reasons.append(f"The data do not tell the power law from: {', '.join(tied)}.")
    has_cutoff = cutoff.favours == cutoff.alternative
    gradual = (
        has_cutoff
        and cutoff.parameters["alpha"] > 0.0
        and cutoff.parameters["rate"] * fit.support.lower * _CUTOFF_ROOM <= 1.0
    )
    better = [other for other in others if _bic(other, fit.n) < _bic(cutoff, fit.n)]
    if has_cutoff:
        rate = cutoff.parameters["rate"]
        scale = f"{1.0 / rate:.3g}" if rate > 0.0 else "infinity"
        reasons.append(
            f"A power law with an exponential cut-off at {scale} (exponent "
            f"{cutoff.parameters['alpha']:.3g}) is favoured over the pure one (p = {cutoff.p_value:.2g})."
        )
        if not gradual:
            reasons.append("That is no power law over a decade below its cut-off.")
        for other in better:
            reasons.append(f"The {_name(other)} describes the data better than the cut-off does.")
    wide = fit.decades >= MIN_DECADES
    reasons.append(
        f"The window holds {fit.decades:.2f} decades, {'at least' if wide else 'below'} the {MIN_DECADES:g} required."
    )
    if gradual and not better:
        return Verdict("cutoff", tuple(reasons))
    if p <= MIN_P_VALUE or favoured or has_cutoff:
        return Verdict("rejected", tuple(reasons))
    return Verdict("power_law" if wide else "undecided", tuple(reasons))


def _bic(comparison: Comparison, n: int) -> float:
    return len(comparison.parameters) * float(np.log(n)) - 2.0 * comparison.log_likelihood


def _name(comparison: Comparison) -> str:
    return comparison.alternative.replace("_", " ")


def analyse_tail(
    values: ArrayLike,
    *,
    kind: str = "auto",
    xmin: float | None = None,
    xmax: float | None = None,
    offset: float = 0.0,
    search: bool = False,
    clusters: ArrayLike | None = None,
    n_resamples: int = 200,
    rng: np.random.Generator,
) -> TailAnalysis:
    """Fit, test, compare and judge one column of events.

    Arguments as for ``fit_power_law``; with ``search`` xmin is chosen by ``search_xmin``, and the p-value
    repeats it.

    Raises FitError as its parts do, and when both xmin and search are given.
    """
    if search:
        if xmin is not None:
            raise FitError("Give either xmin or the search for it, not both.")
        xmin = search_xmin(values, kind=kind, xmax=xmax, offset=offset).xmin
    fit = fit_power_law(
        values,
        kind=kind,
        xmin=xmin,
        xmax=xmax,
        offset=offset,
        clusters=clusters,
        n_resamples=n_resamples,
        rng=rng,
    )
    p = p_value(values, fit, clusters=clusters, searched=search, n_resamples=n_resamples, rng=rng)
    comparisons = compare_alternatives(values, fit, clusters=clusters)
    return TailAnalysis(fit, p, comparisons, judge(fit, p, comparisons), search)
