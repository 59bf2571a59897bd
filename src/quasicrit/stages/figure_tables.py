"""Which tables each figure reads: what the workflow must make before it can be drawn. Loads nothing."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["FIGURE_TABLES"]

#: Name of a figure's files → fields of the class of tables that draws it (``quasicrit.stages.figures``).
FIGURE_TABLES: Mapping[str, tuple[str, ...]] = {
    "figure-1-avalanches": ("points", "exponents", "distributions", "shapes", "scaling", "activity", "events"),
    "figure-2-phase-diagram": ("points", "cutoffs", "phase_diagram", "lines", "susceptibility", "scaling"),
    "figure-3-learning": ("learned", "predictors", "ranking", "learning_lines"),
    "figure-4-finite-size-scaling": (
        "points",
        "distributions",
        "cutoffs",
        "survival",
        "scaling",
        "classes",
        "point_verdicts",
    ),
    "figure-5-architectures": ("architectures", "cascade_distributions"),
    "extended-1-confusion": ("confusion",),
    "extended-2-definitions": ("points", "definitions"),
    "extended-3-initialisations": ("advice",),
    "extended-4-along-training": ("followed",),
    "extended-5-populations": ("populations", "population_curves"),
}
