"""A verdict in words: what the window, the p-value and the comparisons allow one to say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr

from quasicrit.errors import FitError
from quasicrit.tails.compare import SIGNIFICANCE, Comparison, compare_alternatives
from quasicrit.tails.drift import Drift, exponent_drift
from quasicrit.tails.fit import Interval, PowerLawFit, fit_power_law
from quasicrit.tails.pvalue import Search, p_value
from quasicrit.tails.ranges import search_xmin
from quasicrit.tails.support import select_events
from quasicrit.tails.windows import search_range

__all__ = ["MAX_DRIFT", "MIN_DECADES", "MIN_P_VALUE", "TailAnalysis", "Verdict", "analyse_tail", "judge"]

MIN_DECADES = 1.5
"""A window narrower than this, up to its fifth largest event, never earns the verdict "power_law"."""

MIN_P_VALUE = 0.1
"""A p-value at or below this rejects the law (Clauset et al. 2009)."""


MAX_DRIFT = 1.0
"""The exponent must be known to change by less than this over the window, or there is no verdict "power_law"."""

# The cut-off must lie this many times above xmin, or there is no power law below it.
_CUTOFF_ROOM = 10.0
_NOT_NESTED = ("exponential", "lognormal", "stretched_exponential")


@dataclass(frozen=True)
class Verdict:
    """``verdict`` with its ``reasons``, one sentence each.

    ``limited_by`` names what stands between the data and "power_law": "p_value", "alternatives", "cutoff",
    "decades", "drift" (too few events to know that the exponent is constant), "upper_end" (the law ends below the
    largest events). It is empty for a power law.
    """

    verdict: Literal["power_law", "cutoff", "rejected", "undecided"]
    reasons: tuple[str, ...]
    limited_by: tuple[str, ...]


@dataclass(frozen=True)
class TailAnalysis:
    """Everything that is said about one column of events.

    ``search``: how the window was found. ``n_beyond``: events above a searched xmax (0 for a given one).
    """

    fit: PowerLawFit
    p_value: float
    comparisons: Mapping[str, Comparison]
    drift: Drift
    verdict: Verdict
    search: Search
    n_beyond: int


def judge(
    fit: PowerLawFit, p: float, comparisons: Mapping[str, Comparison], drift: Drift, *, n_beyond: int = 0
) -> Verdict:
    """Apply the rule, in this order.

    1. "cutoff": a cut-off is favoured so clearly that it earns its parameter (2 |ln likelihood ratio| > ln n, the
       BIC), falls as a power law for a decade at least (alpha > 0, 1/rate ≥ 10 (xmin + offset)), and no
       exponential, lognormal or stretched exponential has a smaller BIC; a cut-off that describes the data worse
       than another law does is no finding.
    2. "rejected": p ≤ .1, or an exponential, lognormal or stretched exponential is favoured, or a cut-off is
       favoured without earning the first verdict.
    3. "undecided": less than 1.5 decades up to the fifth largest event, or too few events to know that the exponent changes by less than 1 over
       them. Nothing speaks against the law, and the data cannot speak for it.
    4. The search ended the window below ``n_beyond`` events, which the law does not describe: "cutoff" if its
       exponent is above 1 (by its interval), else "rejected", because then most of its events crowd at its upper
       end, as those of any density do that is smooth near zero.
    5. "power_law".

    Raises FitError when a comparison is missing.
    """
    missing = {*_NOT_NESTED, "truncated_power_law"} - set(comparisons)
    if missing:
        raise FitError(f"A verdict needs the comparisons with {', '.join(sorted(missing))}; run them first.")
    cutoff = comparisons["truncated_power_law"]
    others = [comparisons[name] for name in _NOT_NESTED]
    favoured = [other for other in others if other.favours == other.alternative]
    better = [other for other in others if _bic(other, fit.n) < _bic(cutoff, fit.n)]
    has_cutoff = cutoff.p_value < _cutoff_level(fit)
    gradual = (
        has_cutoff
        and cutoff.parameters["alpha"] > 0.0
        and cutoff.parameters["rate"] * fit.support.lower * _CUTOFF_ROOM <= 1.0
    )
    rejects, narrow, unknown = p <= MIN_P_VALUE, fit.populated_decades < MIN_DECADES, drift.bound >= MAX_DRIFT
    limits = {
        "p_value": rejects,
        "alternatives": bool(favoured),
        "cutoff": has_cutoff,
        "decades": narrow,
        "drift": unknown,
        "upper_end": n_beyond > 0,
    }
    limited_by = tuple(name for name, limit in limits.items() if limit)
    reasons = [
        *_goodness(p, others),
        *_cutoff_reasons(cutoff, has_cutoff, gradual, better),
        *_range_reasons(fit, drift, n_beyond),
    ]
    if gradual and not better:
        verdict: Literal["power_law", "cutoff", "rejected", "undecided"] = "cutoff"
    elif rejects or favoured or has_cutoff:
        verdict = "rejected"
    elif narrow or unknown:
        verdict = "undecided"
    elif n_beyond:
        verdict = "cutoff" if fit.ci_low > 1.0 else "rejected"
    else:
        verdict = "power_law"
    return Verdict(verdict, tuple(reasons), limited_by)


def _cutoff_level(fit: PowerLawFit) -> float:
    """The p-value of the nested comparison at which its deviance is ln n: the cut-off's BIC equals the law's."""
    sides = 2.0 if np.isinf(fit.xmax) else 1.0
    return min(SIGNIFICANCE, float(sides * ndtr(-np.sqrt(np.log(fit.n)))))


def _goodness(p: float, others: Sequence[Comparison]) -> Iterator[str]:
    if p <= MIN_P_VALUE:
        yield f"The goodness-of-fit p-value {p:.3g} is at most {MIN_P_VALUE:g}."
    else:
        yield f"The goodness-of-fit p-value {p:.3g} does not reject the power law."
    for other in others:
        if other.favours == other.alternative:
            yield f"The {_name(other)} is favoured over the power law (p = {other.p_value:.2g})."
    excluded = [_name(other) for other in others if other.favours == "power_law"]
    if excluded:
        yield f"The power law is favoured over: {', '.join(excluded)}."
    tied = [_name(other) for other in others if other.favours == "neither"]
    if tied:
        yield f"The data do not tell the power law from: {', '.join(tied)}."


def _cutoff_reasons(cutoff: Comparison, has_cutoff: bool, gradual: bool, better: Sequence[Comparison]) -> Iterator[str]:
    if cutoff.p_value >= SIGNIFICANCE:
        return
    rate = cutoff.parameters["rate"]
    scale = f"{1.0 / rate:.3g}" if rate > 0.0 else "infinity"
    yield (
        f"A power law with an exponential cut-off at {scale} (exponent {cutoff.parameters['alpha']:.3g}) "
        f"{'is favoured over' if has_cutoff else 'fits a little better than'} the pure one (p = {cutoff.p_value:.2g})."
    )
    if not has_cutoff:
        yield "By the BIC it does not earn its additional parameter."
        return
    if not gradual:
        yield "That is no power law over a decade below its cut-off."
    for other in better:
        yield f"The {_name(other)} describes the data better than the cut-off does."


def _range_reasons(fit: PowerLawFit, drift: Drift, n_beyond: int) -> Iterator[str]:
    wide = fit.populated_decades >= MIN_DECADES
    yield (
        f"The events span {fit.decades:.2f} decades, {fit.populated_decades:.2f} up to the fifth largest: "
        f"{'at least' if wide else 'below'} the {MIN_DECADES:g} required."
    )
    if np.isfinite(drift.error):
        known = "known to be" if drift.bound < MAX_DRIFT else "not known to be"
        yield (
            f"The exponent changes by {drift.value:.2g} ± {drift.error:.2g} over the window, {known} below {MAX_DRIFT:g}."
        )
    else:
        yield "The window is too narrow to know whether the exponent changes over it."
    if n_beyond:
        lie = "event lies" if n_beyond == 1 else "events lie"
        yield f"The law ends at {fit.xmax:.4g}: {n_beyond} {lie} above it and do not continue it."
        if not fit.ci_low > 1.0:
            yield (
                f"With an exponent of {fit.exponent:.3g} most of its events lie near its upper end: the beginning of "
                "another law, not a tail."
            )


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
    search: Search = "none",
    clusters: ArrayLike | None = None,
    n_resamples: int = 200,
    interval: Interval = "student",
    rng: np.random.Generator,
) -> TailAnalysis:
    """Fit, test, compare and judge one column of events.

    Arguments as for ``fit_power_law``. ``search``: "none" takes the window as given, "xmin" chooses its lower
    end (``search_xmin``), "range" both ends between xmin and xmax (``search_range``); the p-value repeats the
    search. Its resampling stops when p > .1 is certain, since the verdict cannot change then.

    Raises FitError as its parts do, and when both xmin and the search for it are given.
    """
    bounds = (xmin, xmax)
    n_beyond = 0
    if search == "xmin":
        if xmin is not None:
            raise FitError("Give either xmin or the search for it, not both.")
        xmin = search_xmin(values, kind=kind, xmax=xmax, offset=offset).xmin
    elif search == "range":
        found = search_range(values, kind=kind, xmin=xmin, xmax=xmax, offset=offset)
        xmin, xmax = found.xmin, found.xmax
        inside = select_events(values, kind=kind, xmin=bounds[0], xmax=bounds[1], offset=offset).values
        n_beyond = int(np.count_nonzero(inside > xmax))
        kind = found.map.kind
    fit = fit_power_law(
        values,
        kind=kind,
        xmin=xmin,
        xmax=xmax,
        offset=offset,
        clusters=clusters,
        n_resamples=n_resamples,
        interval=interval,
        rng=rng,
    )
    comparisons = compare_alternatives(values, fit, clusters=clusters)
    drift = exponent_drift(values, fit, clusters=clusters)
    p = p_value(
        values,
        fit,
        clusters=clusters,
        search=search,
        bounds=bounds,
        n_resamples=n_resamples,
        stop_above=MIN_P_VALUE,
        rng=rng,
    )
    verdict = judge(fit, p, comparisons, drift, n_beyond=n_beyond)
    return TailAnalysis(fit, p, comparisons, drift, verdict, search, n_beyond)
