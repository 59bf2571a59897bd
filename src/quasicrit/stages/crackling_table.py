"""``quasicrit crackling``: the crackling-noise relation in a user's own table of events."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, BinaryIO

import numpy as np

from quasicrit.errors import FitError
from quasicrit.rng import generator
from quasicrit.scaling import Estimate, crackling, default_window
from quasicrit.stages.user_table import answer, read_events, table_name

__all__ = ["crackling_table", "group_clusters", "parse_window"]

#: More clusters than this are dealt at random into this many groups, which bounds the memory of the
#: bootstrap. A sum over independent clusters is independent between groups, so the errors stay right.
_GROUPS = 2000

_NO_PROFILES = "a table of events holds no activity profiles; shape collapse needs the activity"


def parse_window(text: str) -> tuple[int, int]:
    """``"a,b"`` as whole durations; raises FitError unless 1 ≤ a < b."""
    try:
        low, high = (int(part) for part in text.split(","))
    except ValueError:
        low = high = 0
    if not 1 <= low < high:
        raise FitError(
            f"window = {text!r} is not understood; give two whole durations a,b with 1 <= a < b, such as 8,500"
        )
    return low, high


def group_clusters(clusters: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Codes 0 … K−1 of the clusters, dealt at random into 2000 groups where there are more."""
    count = int(clusters.max()) + 1
    return (rng.permutation(count) % _GROUPS)[clusters] if count > _GROUPS else clusters


def crackling_table(
    path: str,
    *,
    size: str,
    duration: str,
    cluster: str | None = None,
    window: str | None = None,
    offset: float = 0.5,
    resamples: int = 400,
    seed: int = 0,
    stream: BinaryIO | None = None,
) -> dict[str, Any]:
    """tau_s, tau_d, gamma and the relation (``quasicrit.scaling.crackling``) from a table of events.

    Events that a column ``censored`` marks are left out. ``cluster``: see ``read_events``; independent
    events are each a cluster. Without ``window`` it is ``default_window``. The shape is null: events have
    no profiles.

    Raises TableError for a table that cannot be read, FitError, naming the file, for events that cannot be
    fitted.
    """
    chosen = None if window is None else parse_window(window)
    events = read_events(path, [size, duration], cluster, stream)
    sizes, durations = events.values[size], events.values[duration]
    rng = generator(seed, "crackling")
    clusters = np.arange(len(durations)) if events.clusters is None else events.clusters
    notes = list(events.notes)
    try:
        if chosen is None:
            chosen = default_window(durations)
            notes.append(
                f"default window: durations from {chosen[0]} to their 99th percentile, {chosen[1]}; where "
                "recordings are short give a window well below their length, since long avalanches are "
                "missing from them"
            )
        inside = (durations >= chosen[0]) & (durations <= chosen[1])
        n_clusters = None if events.clusters is None else len(np.unique(clusters[inside]))
        grouped = group_clusters(clusters, rng)
        found = crackling(sizes, durations, grouped, window=chosen, rng=rng, offset=offset, n_resamples=resamples)
    except FitError as error:
        raise FitError(f"{table_name(path)}, columns {size!r} and {duration!r}: {error}") from None
    shape = ("exponent", "asymmetry", "misfit")
    reasons = {f"shape.{key}": _NO_PROFILES for key in shape}
    if found.holds is None and math.isfinite(found.difference.ci_high):
        reasons["relation.holds"] = "undecided: the interval neither lies within 0.1 of zero nor excludes it from there"
    elif found.holds is None:
        reasons["relation.holds"] = "the difference has no interval"
    if not events.cluster:
        reasons |= {"n_clusters": events.reason, "cluster": events.reason}
    return answer(
        {
            "tau_s": _plain(found.tau_s),
            "tau_d": _plain(found.tau_d),
            "gamma": _plain(found.gamma),
            "gamma_predicted": found.gamma_predicted.value,
            "relation": {
                "difference": found.difference.value,
                "ci_low": found.difference.ci_low,
                "ci_high": found.difference.ci_high,
                "holds": found.holds,
            },
            "shape": dict.fromkeys(shape),
            "window": list(found.window),
            "size_window": list(found.size_window),
            "offset": offset,
            "n": found.n_events,
            "n_sizes": found.n_sizes,
            "n_total": len(durations),
            "n_censored": events.n_censored,
            "cluster": events.cluster,
            "n_clusters": n_clusters,
            "resamples": resamples,
            "seed": seed,
            "notes": notes,
        },
        reasons,
    )


def _plain(estimate: Estimate) -> dict[str, float]:
    return dataclasses.asdict(estimate)
