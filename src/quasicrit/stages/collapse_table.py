"""``quasicrit collapse``: finite-size scaling of a table of curves, or of events of systems of several sizes."""

from __future__ import annotations

from typing import Any, BinaryIO

from quasicrit.errors import FitError
from quasicrit.rng import generator
from quasicrit.scaling import Estimate, collapse_curves, collapse_events
from quasicrit.stages.user_table import answer, numbers, read_events, table_name
from quasicrit.tables import read_columns

__all__ = ["collapse_curve_table", "collapse_event_table"]


def collapse_curve_table(
    path: str,
    *,
    size: str,
    control: str,
    value: str,
    error: str | None = None,
    corrections: bool = False,
    stream: BinaryIO | None = None,
) -> dict[str, Any]:
    """Critical point, nu and zeta of value = size^(zeta/nu) F((control − t_c) size^(1/nu)), see ``collapse_curves``.

    Raises TableError for a table that cannot be read, FitError, naming the file, for one that has no collapse.
    """
    columns = [size, control, value, *([] if error is None else [error])]
    frame = read_columns(path, columns, [], stream)
    name = table_name(path)
    data = [numbers(frame, column, name) for column in columns]
    try:
        made = collapse_curves(
            data[0], data[1], data[2], data[3] if error is not None else None, corrections=corrections
        )
    except FitError as failure:
        raise FitError(f"{name}, columns {', '.join(map(repr, columns))}: {failure}") from None
    notes = [] if error is not None else ["no errors given: those that make the curves agree (quality 1) are taken"]
    without = made.without_smallest
    missing = (
        {}
        if without
        else {"without_smallest": f"without the smallest a fit needs 3 sizes, and {len(made.sizes) - 1} are left"}
    )
    missing |= {"stable": missing["without_smallest"]} if made.stable is None else {}
    if without is None and made.stable is False:
        missing = {"without_smallest": "the other sizes do not determine the exponents"}
    return answer(
        {
            **{
                key: _with_error(getattr(made, key))
                for key in ("critical_point", "nu", "zeta", "inverse_nu", "zeta_over_nu")
            },
            "quality": made.quality,
            "stable": made.stable,
            "without_smallest": None if without is None else dict(zip(("critical_point", "nu", "zeta"), without)),
            "omega": made.omega,
            "sizes": list(made.sizes),
            "n": made.n,
            "notes": notes,
        },
        missing | ({} if corrections else {"omega": "no corrections to scaling asked for"}),
    )


def collapse_event_table(
    path: str,
    *,
    size: str,
    column: str,
    cluster: str | None = None,
    xmin: float | None = None,
    resamples: int = 200,
    seed: int = 0,
    stream: BinaryIO | None = None,
) -> dict[str, Any]:
    """tau and the cut-off exponent of a column of events of systems of several sizes, see ``collapse_events``.

    Raises TableError for a table that cannot be read, FitError, naming the file, for one that has no collapse.
    """
    events = read_events(path, [size, column], cluster, stream)
    try:
        made = collapse_events(
            events.values[size],
            events.values[column],
            events.clusters,
            xmin=xmin,
            n_resamples=resamples,
            rng=generator(seed, "collapse"),
        )
    except FitError as failure:
        raise FitError(f"{table_name(path)}, columns {size!r} and {column!r}: {failure}") from None
    without = made.without_smallest
    missing = {} if events.cluster else {"cluster": events.reason}
    if without is None:
        missing["without_smallest"] = (
            f"without the smallest a fit needs 3 sizes, and {len(made.sizes) - 1} are left"
            if made.stable is None
            else "the other sizes do not determine the exponents"
        )
    if made.stable is None:
        missing["stable"] = missing["without_smallest"]
    return answer(
        {
            **{
                key: _with_error(getattr(made, key))
                for key in ("tau", "cutoff_exponent", "tau_moments", "cutoff_moments")
            },
            "quality": made.quality,
            "stable": made.stable,
            "without_smallest": None if without is None else dict(zip(("tau", "cutoff_exponent"), without)),
            "xmin": made.xmin,
            "sizes": list(made.sizes),
            "n": made.n,
            "n_censored": events.n_censored,
            "cluster": events.cluster,
            "resamples": resamples,
            "seed": seed,
            "notes": list(events.notes),
        },
        missing,
    )


def _with_error(estimate: Estimate) -> dict[str, float]:
    return {
        "value": estimate.value,
        "error": (estimate.ci_high - estimate.ci_low) / (2 * 1.96),
        "ci_low": estimate.ci_low,
        "ci_high": estimate.ci_high,
    }
