"""Scaling tests: the crackling relation, shape collapse, cut-offs against size."""

from quasicrit.scaling.collapse import Collapse, PowerFit, collapse_distributions, cutoff_exponent
from quasicrit.scaling.crackling import Crackling, Estimate, crackling, log_bins, relation_holds
from quasicrit.scaling.shape import ShapeCollapse, collapse_shapes

__all__ = [
    "Collapse",
    "Crackling",
    "Estimate",
    "PowerFit",
    "ShapeCollapse",
    "collapse_distributions",
    "collapse_shapes",
    "crackling",
    "cutoff_exponent",
    "log_bins",
    "relation_holds",
]
