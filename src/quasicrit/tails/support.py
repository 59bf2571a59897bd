"""What the user gives: values, a window [xmin, xmax], an offset. Checked once, here."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quasicrit.errors import FitError
from quasicrit.statistics import cluster_codes

__all__ = ["MIN_EVENTS", "Events", "Kind", "Support", "select_events"]

FloatArray = NDArray[np.float64]
Kind = Literal["discrete", "continuous"]

MIN_EVENTS = 10
"""Fewer events than this in the window are not fitted."""


@dataclass(frozen=True)
class Support:
    """The window [xmin, xmax] on which every distribution is normalised, in terms of u = x + offset.

    ``kind`` is "discrete" (x integer) or "continuous"; ``xmax`` may be infinite. Densities are written in u,
    which must be positive on the window, so offset ½ gives the (d + ½)^−tau of durations.

    Raises FitError for a window that is empty, not positive in u, not finite at its lower end, or not of
    whole numbers although discrete.
    """

    kind: Kind
    xmin: float
    xmax: float = math.inf
    offset: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in ("discrete", "continuous"):
            raise FitError(f"The kind of data must be 'discrete' or 'continuous', not {self.kind!r}.")
        if not math.isfinite(self.offset):
            raise FitError(f"The offset must be a finite number, not {self.offset}.")
        if not math.isfinite(self.xmin) or math.isnan(self.xmax):
            raise FitError(
                f"The window needs a finite xmin and an xmax that is a number, not [{self.xmin}, {self.xmax}]."
            )
        if self.xmin >= self.xmax:
            raise FitError(f"The window is empty: xmin = {self.xmin:g} must be below xmax = {self.xmax:g}; change one.")
        if self.lower <= 0.0:
            raise FitError(
                f"xmin + offset must be positive, and xmin = {self.xmin:g} with offset = "
                f"{self.offset:g} is not; raise one of them."
            )
        if self.kind == "discrete" and not (
            float(self.xmin).is_integer() and (math.isinf(self.xmax) or float(self.xmax).is_integer())
        ):
            raise FitError(f"The ends of a discrete window must be whole numbers, not [{self.xmin:g}, {self.xmax:g}].")

    @property
    def lower(self) -> float:
        """u at xmin."""
        return self.xmin + self.offset

    @property
    def upper(self) -> float:
        """u at xmax."""
        return self.xmax + self.offset

    @property
    def discrete(self) -> bool:
        """Whether x is a whole number."""
        return self.kind == "discrete"


@dataclass(frozen=True)
class Events:
    """Events inside a window.

    ``values`` (n,) lie in the window of ``support``, in the order given; ``codes`` (n,) are their clusters
    0 … n_clusters−1, or None; ``n_clusters`` counts all clusters given, also those without an event in the
    window.
    """

    values: FloatArray
    support: Support
    codes: NDArray[np.intp] | None
    n_clusters: int | None

    @property
    def shifted(self) -> FloatArray:
        """u = x + offset of every event, shape (n,)."""
        return self.values + self.support.offset

    def pairs(self) -> tuple[FloatArray, FloatArray]:
        """Distinct values in ascending order, and how often each occurs."""
        values, counts = np.unique(self.values, return_counts=True)
        return values, counts.astype(np.float64)


def select_events(
    values: ArrayLike,
    *,
    kind: str = "auto",
    xmin: float | None = None,
    xmax: float | None = None,
    offset: float = 0.0,
    clusters: ArrayLike | None = None,
) -> Events:
    """Check ``values`` and keep those inside [xmin, xmax].

    kind "auto" is discrete when all values are whole numbers. ``xmin`` defaults to the smallest value and
    ``xmax`` to infinity. For discrete data the window's ends are moved inwards to whole numbers.

    Raises FitError for values that are empty, not numbers, NaN, infinite or not positive (after the
    offset), for non-integers given as discrete, an impossible window, fewer than 10 events in it, events
    that are all equal, labels of another length, a single cluster, and events in the window that all come
    from one cluster.
    """
    data = _checked_values(values, offset)
    support = _checked_support(data, kind, xmin, xmax, offset)
    inside = (data >= support.xmin) & (data <= support.xmax)
    selected = data[inside]
    window = f"[{support.xmin:g}, {support.xmax:g}]"
    if selected.size < MIN_EVENTS:
        raise FitError(
            f"A fit needs at least {MIN_EVENTS} events in its window, and {selected.size} of "
            f"{data.size} lie in {window}; widen the window or collect more."
        )
    if selected.min() == selected.max():
        raise FitError(
            f"All {selected.size} events in {window} are equal to {selected[0]:g}, which has no exponent; "
            "check the column or widen the window."
        )
    codes: NDArray[np.intp] | None = None
    n_clusters: int | None = None
    if clusters is not None:
        labels = np.asarray(clusters)
        if labels.shape[:1] != data.shape:
            raise FitError(
                f"There are {data.size} values and {labels.shape[0] if labels.ndim else 0} cluster labels; "
                "give each value one label."
            )
        all_codes, n_clusters = cluster_codes(labels)
        codes = all_codes[inside]
        if n_clusters < 2 or bool((codes == codes[0]).all()):
            raise FitError(
                "An interval over clusters needs events from at least 2 clusters, and all events in "
                f"{window} come from one; leave the clusters out if the events are independent."
            )
    return Events(selected, support, codes, n_clusters)


def _checked_values(values: ArrayLike, offset: float) -> FloatArray:
    try:
        data = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise FitError("The values to fit must be numbers, and some are not; check the column.") from None
    if data.ndim != 1:
        raise FitError(f"The values to fit must be one column of numbers, not an array of shape {data.shape}.")
    if data.size == 0:
        raise FitError("There are no values to fit: the column is empty.")
    n_bad = int(np.count_nonzero(np.isnan(data)))
    if n_bad:
        raise FitError(f"{n_bad} of {data.size} values are NaN; drop them or mend their source.")
    n_bad = int(np.count_nonzero(np.isinf(data)))
    if n_bad:
        raise FitError(f"{n_bad} of {data.size} values are infinite; drop them or mend their source.")
    n_bad = int(np.count_nonzero(data + offset <= 0.0))
    if n_bad:
        raise FitError(
            f"{n_bad} of {data.size} values are not positive (smallest: {data.min():g}, offset: "
            f"{offset:g}), and a power law has only positive ones; drop them or give an offset."
        )
    return data


def _checked_support(data: FloatArray, kind: str, xmin: float | None, xmax: float | None, offset: float) -> Support:
    if kind not in ("auto", "discrete", "continuous"):
        raise FitError(f"The kind of data must be 'auto', 'discrete' or 'continuous', not {kind!r}.")
    whole = data == np.floor(data)
    if kind == "discrete" and not whole.all():
        example = data[~whole][0]
        raise FitError(
            f"The values were given as discrete, and {int(np.count_nonzero(~whole))} of them are not "
            f"whole numbers (for example {example:g}); use kind 'continuous'."
        )
    discrete = kind == "discrete" or (kind == "auto" and bool(whole.all()))
    low = float(data.min()) if xmin is None else float(xmin)
    high = math.inf if xmax is None else float(xmax)
    if low >= high:
        raise FitError(f"The window is empty: xmin = {low:g} must be below xmax = {high:g}; change one of them.")
    if discrete and math.isfinite(low):
        low = float(math.ceil(low))
        high = high if math.isinf(high) or math.isnan(high) else float(math.floor(high))
    return Support("discrete" if discrete else "continuous", low, high, float(offset))
