"""Scaling tests: the crackling relation, shape collapse, cut-offs against size."""

from quasicrit.scaling.branching import Branching, branching_ratio
from quasicrit.scaling.classes import (
    CLASSES,
    NONE,
    ClassPosterior,
    ClassProbability,
    UniversalityClass,
    WindowBias,
    classify,
)
from quasicrit.scaling.collapse import Collapse, PowerFit, collapse_distributions, cutoff_exponent
from quasicrit.scaling.crackling import Crackling, Estimate, crackling, default_window, log_bins, relation_holds
from quasicrit.scaling.events import EventVerdict, classify_events, favoured_over_power_law
from quasicrit.scaling.evidence import GRADES, Evidence, Finding, grade_evidence
from quasicrit.scaling.finite_size import CurveCollapse, EventCollapse, collapse_curves, collapse_events
from quasicrit.scaling.neuronal import (
    BRANCHING_STEP,
    NEAR,
    BinVerdict,
    BranchingVerdict,
    ControlVerdict,
    RecordingVerdict,
    judge_recording,
)
from quasicrit.scaling.shape import ShapeCollapse, collapse_shapes
from quasicrit.scaling.window_bias import bias_of, biases_on, class_biases, measure_biases, window_biases

__all__ = [
    "BRANCHING_STEP",
    "CLASSES",
    "GRADES",
    "NEAR",
    "NONE",
    "BinVerdict",
    "Branching",
    "BranchingVerdict",
    "ClassPosterior",
    "ClassProbability",
    "Collapse",
    "ControlVerdict",
    "Crackling",
    "CurveCollapse",
    "Estimate",
    "EventCollapse",
    "EventVerdict",
    "Evidence",
    "Finding",
    "PowerFit",
    "RecordingVerdict",
    "ShapeCollapse",
    "UniversalityClass",
    "WindowBias",
    "bias_of",
    "biases_on",
    "branching_ratio",
    "class_biases",
    "classify",
    "classify_events",
    "collapse_curves",
    "collapse_distributions",
    "collapse_events",
    "collapse_shapes",
    "crackling",
    "cutoff_exponent",
    "default_window",
    "favoured_over_power_law",
    "grade_evidence",
    "judge_recording",
    "log_bins",
    "measure_biases",
    "relation_holds",
    "window_biases",
]
