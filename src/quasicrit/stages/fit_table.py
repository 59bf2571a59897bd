"""``quasicrit fit``: a power law in one column of a user's table of events, and what else it could be."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from quasicrit.errors import FitError
from quasicrit.rng import generator
from quasicrit.stages.user_table import UserEvents, answer, read_events, table_name
from quasicrit.tails import Distribution, PowerLawFit, Search, TailAnalysis, analyse_tail, stability_map

__all__ = ["fit_table"]

#: Bins in a decade of the picture.
_BINS = 8
_SUFFIXES = (".pdf", ".png", ".svg")


def fit_table(
    path: str,
    *,
    column: str,
    kind: str = "auto",
    xmin: float | None = None,
    xmax: float | None = None,
    search: Search = "none",
    offset: float = 0.0,
    cluster: str | None = None,
    resamples: int = 200,
    seed: int = 0,
    plot: str | None = None,
    stream: BinaryIO | None = None,
) -> dict[str, Any]:
    """Fit, test, compare and judge ``column`` (``quasicrit.tails.analyse_tail``); draw it to ``plot``.

    Events that a column ``censored`` marks are left out. ``cluster``: see ``read_events``. Without clusters
    the interval is that of independent events, from the observed information. An open window has xmax null,
    reason "infinite".

    Raises TableError for a table that cannot be read, FitError, naming file and column, for events that
    cannot be fitted.
    """
    if plot is not None and Path(plot).suffix not in _SUFFIXES:
        raise FitError(f"plot = {plot!r} cannot be drawn; its name must end in {', '.join(_SUFFIXES)}")
    events = read_events(path, [column], cluster, stream)
    values = events.values[column]
    try:
        found = analyse_tail(
            values,
            kind=kind,
            xmin=xmin,
            xmax=xmax,
            offset=offset,
            search=search,
            clusters=events.clusters,
            n_resamples=resamples,
            rng=generator(seed, "fit"),
        )
    except FitError as error:
        raise FitError(f"{table_name(path)}, column {column!r}: {error}") from None
    fit = found.fit
    if plot is not None:
        _draw(plot, column, events, values, found)
    missing = {} if events.cluster else {"n_clusters": events.reason, "cluster": events.reason}
    if not math.isfinite(found.drift.error):
        why = "the window has too few distinct values to see a curvature"
        missing |= {"drift.value": why, "drift.error": why}
    return answer(
        {
            "column": column,
            "kind": fit.kind,
            "exponent": fit.exponent,
            "ci_low": fit.ci_low,
            "ci_high": fit.ci_high,
            "xmin": fit.xmin,
            "xmax": fit.xmax,
            "offset": fit.offset,
            "n": fit.n,
            "n_total": len(values),
            "n_censored": events.n_censored,
            "cluster": events.cluster,
            "n_clusters": fit.n_clusters,
            "decades": fit.decades,
            "populated_decades": fit.populated_decades,
            "ks": fit.ks,
            "p_value": found.p_value,
            "comparisons": {
                name: {
                    "log_likelihood_ratio": other.log_likelihood_ratio,
                    "p_value": other.p_value,
                    "favours": other.favours,
                }
                for name, other in found.comparisons.items()
            },
            "drift": {
                "value": found.drift.value if math.isfinite(found.drift.error) else math.nan,
                "error": found.drift.error if math.isfinite(found.drift.error) else math.nan,
            },
            "verdict": found.verdict.verdict,
            "verdict_reasons": list(found.verdict.reasons),
            "limited_by": list(found.verdict.limited_by),
            "search": found.search,
            "xmin_searched": found.search != "none",
            "n_beyond": found.n_beyond,
            "resamples": resamples,
            "seed": seed,
            "notes": list(events.notes),
        },
        missing,
    )


def _draw(plot: str, column: str, events: UserEvents, values: np.ndarray, found: TailAnalysis) -> None:
    # Loaded here: matplotlib takes a second, and few ask for a picture.
    from quasicrit.figures.tail import TailPicture, draw_tail

    fit = found.fit
    u, density, error, inside = _density(values, events.clusters, fit)
    stable = stability_map(values, kind=fit.kind, offset=fit.offset)
    ends = np.isfinite(stable.xmaxs)
    share = fit.n / len(values)
    top = min(fit.xmax, float(values.max()))
    x = np.geomspace(fit.xmin + fit.offset, top + fit.offset, 300) - fit.offset
    # Rounding must not leave the window, where densities are zero.
    x = np.clip(np.unique(np.round(x)) if fit.kind == "discrete" else x, fit.xmin, top)
    laws = {"power_law": Distribution("power_law", fit.support, {"alpha": fit.exponent})} | {
        name: Distribution(other.alternative, fit.support, other.parameters)
        for name, other in found.comparisons.items()
    }
    draw_tail(
        plot,
        TailPicture(
            label=f"{column} + {fit.offset:g}" if fit.offset else column,
            title=f"{fit.n} events, {found.verdict.verdict.replace('_', ' ')}, p = {found.p_value:.2g}",
            u=u,
            density=density,
            error=error,
            inside=inside,
            curves={name: (x + fit.offset, share * np.exp(law.log_density(x))) for name, law in laws.items()},
            window=(fit.xmin + fit.offset, fit.xmax + fit.offset),
            exponent=fit.exponent,
            ci_low=fit.ci_low,
            ci_high=fit.ci_high,
            low_ends=stable.xmins + fit.offset,
            high_ends=stable.xmaxs[ends] + fit.offset,
            exponents=stable.exponents[:, ends].T,
        ),
    )


def _density(
    values: np.ndarray, clusters: np.ndarray | None, fit: PowerLawFit
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Centres, density, standard error and whether in the window, of logarithmic bins in u = x + offset.

    Bins begin and end at the window's ends, so that none is half in it. The error is that of the share of
    events in a bin: binomial, or by clusters Σ_k (n_kb − share_b n_k)², which holds whatever the dependence
    within a cluster.
    """
    discrete = fit.kind == "discrete"
    low, high = float(values.min()), float(values.max())
    top = min(fit.xmax, high) + discrete
    ends = np.array(sorted({low, max(fit.xmin, low), top, high + discrete}))
    edges = np.unique(
        np.concatenate(
            [
                np.geomspace(a, b, max(2, round(_BINS * math.log10(b / a)) + 1))
                for a, b in zip(ends[:-1] + fit.offset, ends[1:] + fit.offset)
            ]
        )
    )
    if discrete:
        edges = np.unique(np.round(edges - fit.offset)) + fit.offset
    bins = len(edges) - 1
    column = np.clip(np.searchsorted(edges, values + fit.offset, side="right") - 1, 0, bins - 1)
    share = np.bincount(column, minlength=bins) / len(values)
    if clusters is None:
        spread = np.sqrt(share * (1 - share) / len(values))
    else:
        count = int(clusters.max()) + 1
        by_cluster = np.bincount(clusters * bins + column, minlength=count * bins).reshape(count, bins)
        excess = by_cluster - share * np.bincount(clusters, minlength=count)[:, np.newaxis]
        spread = np.sqrt((excess**2).sum(axis=0)) / len(values)
    width = np.diff(edges)
    # The integers of a discrete bin run from its edge to the next edge less one.
    last = edges[1:] - 1.0 if discrete else edges[1:]
    centre = np.sqrt(edges[:-1] * last)
    inside = (centre >= fit.xmin + fit.offset) & (centre <= fit.xmax + fit.offset)
    return centre, share / width, spread / width, inside
