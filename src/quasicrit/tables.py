"""The tables that pass between the rules: Parquet schemas, atomic writes, verified reads.

Each table has one schema object here, with the unit and meaning of every column in the field
metadata. A file is written under a temporary name in its own folder and renamed when complete, so
that an interrupted write leaves nothing under a final name. The footer carries a SHA-256 of the whole
file, which is verified on reading: Parquet's own page checksums do not cover the headers of pages, where
one altered byte can name another encoding and change every value of a column.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from quasicrit import __version__
from quasicrit.errors import TableError

if TYPE_CHECKING:  # pandas takes longer to load than many a job to run: only readers that give frames load it
    import pandas as pd

__all__ = [
    "SCHEMAS",
    "TableWriter",
    "Text",
    "activations_schema",
    "atomic_path",
    "device_of",
    "provenance",
    "read_arrays",
    "read_columns",
    "read_provenance",
    "read_rows",
    "read_table",
    "recorded_schema",
    "row_groups",
    "write_table",
]

_KEY = b"quasicrit"


def _field(name: str, kind: pa.DataType, meaning: str, unit: str = "1", nullable: bool = False) -> pa.Field:
    return pa.field(name, kind, nullable=nullable, metadata={"meaning": meaning, "unit": unit})


_TEXT = pa.dictionary(pa.int32(), pa.string())
_SOURCE = [
    _field("source", _TEXT, "what made the signal: gaussian, tabulated, weights, gram, process, initial, trained"),
    _field("protocol", _TEXT, "start, threshold and event rule: W, T, F, S or layerwise"),
    _field("point_id", _TEXT, "hash of the point's canonical parameters; the points table spells it out"),
]
_TRAJECTORY = [
    _field("net", pa.int32(), "index of the network (the cluster of the bootstrap)"),
    _field("input", pa.int32(), "index of the input within its network"),
]
_ESTIMATE = [
    _field("value", pa.float64(), "estimate", nullable=True),
    _field("ci_low", pa.float64(), "lower end of the 95 % interval, bootstrap over nets", nullable=True),
    _field("ci_high", pa.float64(), "upper end of the 95 % interval, bootstrap over nets", nullable=True),
]
_COVARIANCE = [
    _field(f"cov_{one}_{two}", pa.float64(), f"covariance of {one} and {two}", nullable=True)
    for index, one in enumerate(("tau_s", "tau_d", "gamma"))
    for two in ("tau_s", "tau_d", "gamma")[index:]
]
_RUN = [
    _field("task", _TEXT, "data set that is learnt"),
    _field("width", pa.int32(), "N", "units"),
    _field("depth", pa.int32(), "L", "layers"),
    _field("optimiser", _TEXT, "sgd or adam"),
    _field("steps", pa.int32(), "optimiser steps of the whole training"),
    _field("learning_rate", pa.float64(), "learning rate"),
]
_SIGMAS = [
    _field("sigma_w", pa.float64(), "scale of the weights at initialisation"),
    _field("sigma_b", pa.float64(), "scale of the biases at initialisation"),
]
_REGIME = [
    _field("task", _TEXT, "data set that is learnt"),
    _field("width", pa.int32(), "N", "units"),
    _field("depth", pa.int32(), "L; 0: all depths pooled", "layers"),
    _field("optimiser", _TEXT, "sgd, adam, or pooled"),
    _field("learning_rate", _TEXT, "the rate; best: the best of several at each point; own: each run's, pooled"),
    _field("biases", _TEXT, "which sigma_b: all, weak (up to bias_split) or strong"),
    _field("outcome", _TEXT, "accuracy or speed"),
    _field("n_points", pa.int32(), "points that were ranked"),
]
_MEMBER = [
    _field("member", _TEXT, "network of the configuration, with what varies"),
    _field("state", _TEXT, "initial, trained, shuffled (trained weights permuted), or reference"),
]
_TRUTH = _field("reason", pa.string(), "why a value is null, or empty")


#: What evidence says, beside its grade.
_REASONS = (
    _field("statement", pa.string(), "what may be said"),
    _field("reasons_for", pa.string(), "one sentence a line"),
    _field("reasons_against", pa.string(), "one sentence a line"),
    _field("reasons_open", pa.string(), "what is undecided or was not tested, one sentence a line"),
)


def _with_intervals(further: tuple[str, str], over: str) -> list[pa.Field]:
    """The exponents, their relation and one ``further`` quantity (name, meaning), each with the ends of its interval."""
    meanings = (
        ("tau_s", "exponent of sizes"),
        ("tau_d", "exponent of durations"),
        ("gamma", "exponent of mean size by duration"),
        ("difference", "gamma − (tau_d − 1)/(tau_s − 1)"),
        further,
    )
    ends = (("", ""), ("_low", f", lower end of its 95 % interval ({over})"), ("_high", ", upper end"))
    return [
        _field(f"{name}{end}", pa.float64(), f"{meaning}{word}", nullable=True)
        for name, meaning in meanings
        for end, word in ends
    ]


def _schema(*fields: pa.Field) -> pa.Schema:
    return pa.schema(list(fields))


#: One schema per table; the columns' units and meanings are in the field metadata.
SCHEMAS: dict[str, pa.Schema] = {
    "points": _schema(
        *_SOURCE,
        _field("grid", _TEXT, "name of the grid in the configuration"),
        _field("architecture", _TEXT, "mlp, or the process that stands in for one"),
        _field("activation", _TEXT, "activation function, or none for a process"),
        _field("init", _TEXT, "gaussian or orthogonal weights, or none"),
        _field("width", pa.int32(), "N", "units"),
        _field("depth", pa.int32(), "L", "layers"),
        _field("sigma_w_rule", _TEXT, "sigma_w as declared: a number or a named point of the theory"),
        _field("sigma_w", pa.float64(), "scale of the weights, sigma_w", nullable=True),
        _field("sigma_b", pa.float64(), "scale of the biases, sigma_b", nullable=True),
        _field("memory", pa.float64(), "correlation length of a process", "layers", nullable=True),
        _field("step_sd", pa.float64(), "standard deviation of one step of ln m, sigma_1", nullable=True),
        _field("nets", pa.int32(), "number of networks"),
        _field("inputs", pa.int32(), "number of inputs per network"),
    ),
    "activity": _schema(
        *_SOURCE,
        *_TRAJECTORY,
        _field("layer", pa.int32(), "layer, 1 … L (layer = time)", "layers"),
        _field("log_m", pa.float32(), "ln m, m = mean over units of x²"),
        _field(
            "mean_abs", pa.float32(), "mean over units of |x|; null for tabulated, which has ln m alone", nullable=True
        ),
        _field(
            "active_fraction",
            pa.float32(),
            "share of units with |x| > rms/10 (relu: x > 0); null for tabulated",
            nullable=True,
        ),
    ),
    "events": _schema(
        *_SOURCE,
        *_TRAJECTORY,
        _field("start", pa.int32(), "first layer above threshold", "layers"),
        _field("duration", pa.int32(), "d, number of layers above threshold", "layers"),
        _field("size", pa.float64(), "size_raw + 0.5826 sigma_1 d (discretely watched barrier)"),
        _field("size_raw", pa.float64(), "sum over the event of ln m − threshold"),
        _field("censored", _TEXT, "none, start or end: only none is fitted"),
    ),
    "shapes": _schema(
        *_SOURCE,
        _field("fold", pa.int32(), "group of networks (one random stream), left out in turn by the jackknife"),
        _field("duration_low", pa.int32(), "smallest duration of the bin", "layers"),
        _field("duration_high", pa.int32(), "largest duration of the bin", "layers"),
        _field("phase", pa.float64(), "t/T at the centre of the phase bin"),
        _field("n", pa.int64(), "events in the bin"),
        _field("mean_duration", pa.float64(), "mean duration of those events", "layers", nullable=True),
        _field("mean_activity", pa.float64(), "mean of ln m − threshold + 0.5826 sigma_1 at that phase", nullable=True),
    ),
    "exponents": _schema(
        *_SOURCE,
        _field("quantity", _TEXT, "tau_d, tau_s, gamma, gamma_predicted or difference"),
        _field("primary", pa.bool_(), "the window that the configuration declares as the main one"),
        _field("window_low", pa.int32(), "smallest duration of the window", "layers"),
        _field("window_high", pa.int32(), "largest duration of the window", "layers"),
        _field("exponent", pa.float64(), "maximum-likelihood or regression estimate", nullable=True),
        _field("ci_low", pa.float64(), "lower end of the 95 % interval (nets resampled)", nullable=True),
        _field("ci_high", pa.float64(), "upper end of the 95 % interval (nets resampled)", nullable=True),
        _field("xmin", pa.float64(), "lower end of the fitted range", nullable=True),
        _field("xmax", pa.float64(), "upper end of the fitted range", nullable=True),
        _field("offset", pa.float64(), "offset in (d + offset)^−tau", nullable=True),
        _field("n_events", pa.int64(), "events in the range"),
        _field("n_nets", pa.int64(), "networks with events in the range"),
        _field("decades", pa.float64(), "log10 of the range that the data reach", nullable=True),
        _field("ks", pa.float64(), "Kolmogorov–Smirnov distance to the fit", nullable=True),
        _field("p_value", pa.float64(), "of that distance, by a bootstrap over nets with refit", nullable=True),
        _TRUTH,
    ),
    "comparisons": _schema(
        *_SOURCE,
        _field("quantity", _TEXT, "tau_d"),
        _field("alternative", _TEXT, "the distribution compared with the power law"),
        _field("log_likelihood_ratio", pa.float64(), "positive favours the power law", nullable=True),
        _field(
            "p_value",
            pa.float64(),
            "of no difference, variance over nets (Vuong; nested for the cut-off)",
            nullable=True,
        ),
        _field("favours", _TEXT, "power_law, the alternative, or neither"),
        _TRUTH,
    ),
    "calibration": _schema(
        _field("section", _TEXT, "independent, dependent, p_value, false verdict or power"),
        _field("cell", _TEXT, "the process, in words"),
        _field("kind", _TEXT, "discrete or continuous"),
        _field("alpha", pa.float64(), "the true exponent", nullable=True),
        _field("xmax", pa.float64(), "upper end of the range, infinite for an open one"),
        _field("n", pa.int64(), "events of a data set (their mean, for nets with random effects)"),
        _field("search", _TEXT, "how the range was found: none, xmin or range"),
        _field("replicates", pa.int64(), "data sets"),
        _field("measure", _TEXT, "bias, coverage, uniform (p of a KS test), a share of p-values, or a verdict"),
        _field("value", pa.float64(), "measured"),
        _field("ci_low", pa.float64(), "lower end of its 95 % interval"),
        _field("ci_high", pa.float64(), "upper end of its 95 % interval"),
        _field("required_low", pa.float64(), "least value that is accepted", nullable=True),
        _field("required_high", pa.float64(), "largest value that is accepted", nullable=True),
        _field("holds", pa.bool_(), "whether it is; null where nothing is required", nullable=True),
    ),
    "distributions": _schema(
        *_SOURCE,
        _field("quantity", _TEXT, "duration, size, size_given_duration or survival"),
        _field("depth", pa.int32(), "number of layers looked at", "layers"),
        _field("x", pa.float64(), "centre of the bin (geometric)"),
        _field("x_low", pa.float64(), "lower edge"),
        _field("x_high", pa.float64(), "upper edge"),
        _field("value", pa.float64(), "density, mean size, or share of events that last as long"),
        _field("error", pa.float64(), "standard error over nets", nullable=True),
        _field("n", pa.int64(), "events in the bin"),
    ),
    "moments": _schema(
        *_SOURCE,
        _field("depth", pa.int32(), "number of layers looked at", "layers"),
        _field("net", pa.int32(), "index of the network"),
        _field("n", pa.int64(), "uncensored events"),
        _field("n_censored", pa.int64(), "events under way at the last layer looked at"),
        _field("d1", pa.float64(), "sum of durations", "layers"),
        _field("d2", pa.float64(), "sum of squared durations", "layers²"),
        _field("s1", pa.float64(), "sum of sizes in units of sigma_1"),
        _field("s2", pa.float64(), "sum of squared sizes in units of sigma_1²"),
    ),
    "cutoffs": _schema(
        *_SOURCE,
        _field(
            "quantity",
            _TEXT,
            "mean_duration, d_c, s_c (units of sigma_1), or the slope in ln L of d_c, s_c, n_events",
        ),
        _field("depth", pa.int32(), "number of layers looked at", "layers"),
        *_ESTIMATE,
        _field("error", pa.float64(), "standard error over nets", nullable=True),
        _field("n_events", pa.int64(), "uncensored events"),
        _field("n_censored", pa.int64(), "events cut off by the first or the last layer"),
        _field("n_nets", pa.int64(), "networks"),
        _TRUTH,
    ),
    "survival": _schema(
        _field("activation", _TEXT, "activation function"),
        _field("width", pa.int32(), "N", "units"),
        _field("depth", pa.int32(), "L", "layers"),
        _field("x", pa.float64(), "scaled distance ln(sigma_w²/sigma_c²) √(NL/2)"),
        _field("sigma_w", pa.float64(), "scale of the weights"),
        _field("n_seeds", pa.int64(), "weak seeds"),
        _field("survivors", pa.int64(), "seeds above their start through all L layers"),
        _field("value", pa.float64(), "√L P(N, L)"),
        _field("error", pa.float64(), "its binomial standard error"),
        _field("theory", pa.float64(), "π^−½ with the skewness correction, at x = 0", nullable=True),
    ),
    "susceptibility": _schema(
        _field("order", _TEXT, "m, rms or abs"),
        _field("width", pa.int32(), "N", "units"),
        _field("sigma_b", pa.float64(), "scale of the biases"),
        _field("sigma_w", pa.float64(), "scale of the weights"),
        _field("fold", pa.int32(), "fold of nets (for the jackknife)"),
        _field("chi", pa.float64(), "∂ order/∂ sigma_w, pathwise derivative, mean over nets and layers"),
    ),
    "phase_diagram": _schema(
        _field("sigma_w", pa.float64(), "scale of the weights"),
        _field("sigma_b", pa.float64(), "scale of the biases"),
        _field("m_star", pa.float64(), "fixed point of m"),
        _field("chi_1", pa.float64(), "slope of the correlation map at c = 1"),
        _field("chi_m", pa.float64(), "∂m/∂sigma_w at the fixed point", nullable=True),
        _field("chi_rms", pa.float64(), "∂rms/∂sigma_w at the fixed point", nullable=True),
        _field("chi_abs", pa.float64(), "∂E|x|/∂sigma_w at the fixed point", nullable=True),
    ),
    "lines": _schema(
        _field("line", _TEXT, "edge_of_chaos, ridge_m, ridge_rms, ridge_abs or j0"),
        _field("sigma_b", pa.float64(), "scale of the biases"),
        _field("depth", pa.int32(), "L for finite-depth lines, 0 for stationary ones", "layers"),
        _field("sigma_w", pa.float64(), "where the line runs"),
        _field("height", pa.float64(), "susceptibility on a ridge", nullable=True),
    ),
    "scaling": _schema(
        _field("analysis", _TEXT, "which scaling"),
        _field("quantity", _TEXT, "exponent or criterion"),
        *_ESTIMATE,
        _field("quality", pa.float64(), "chi² per degree of freedom of the collapse or fit", nullable=True),
        _field("sizes", pa.string(), "sizes used"),
        _TRUTH,
    ),
    "controls": _schema(
        _field("control", _TEXT, "name"),
        _field("point_id", _TEXT, "point"),
        _field("protocol", _TEXT, "protocol"),
        _field("tau_d", pa.float64(), "apparent exponent in the window", nullable=True),
        _field("tau_s", pa.float64(), "apparent exponent in the window", nullable=True),
        _field("gamma", pa.float64(), "apparent exponent in the window", nullable=True),
        _field("d_c", pa.float64(), "cut-off duration at the largest depth", "layers", nullable=True),
        _field("slope", pa.float64(), "d ln d_c/d ln L over the last doubling", nullable=True),
        _field("slope_low", pa.float64(), "lower end of its 95 % interval", nullable=True),
        _field("slope_high", pa.float64(), "upper end of its 95 % interval", nullable=True),
        _field(
            "events_slope",
            pa.float64(),
            "d ln(number of events)/d ln L over the last doubling",
            nullable=True,
        ),
        _field("events_slope_high", pa.float64(), "upper end of its 95 % interval", nullable=True),
        _field("likelihood_ratio", pa.float64(), "power law over exponential; > 0: power law", nullable=True),
        _field("likelihood_ratio_p", pa.float64(), "its p-value", nullable=True),
        _field(
            "expected",
            _TEXT,
            "what theory says of this control (docs/physics.md): rejected, indistinguishable, critical",
        ),
        _field("outcome", _TEXT, "rejected, critical-like or undecided, by the declared criterion"),
        _field("reason", pa.string(), "the numbers behind the outcome"),
    ),
    "covariances": _schema(
        *_SOURCE,
        *_COVARIANCE,
        _field("drift", pa.float64(), "change of the exponent of durations over the window"),
        _field("drift_error", pa.float64(), "its standard error, over nets"),
    ),
    "class_bias": _schema(
        _field("process", _TEXT, "reference process"),
        _field("universality", _TEXT, "its class"),
        _field("window_low", pa.int32(), "smallest duration of the window", "layers"),
        _field("window_high", pa.int32(), "largest duration of the window", "layers"),
        _field("n_events", pa.int64(), "events simulated"),
        _field("shift_tau_s", pa.float64(), "tau_s on the window less its exact value", nullable=True),
        _field("shift_tau_d", pa.float64(), "tau_d on the window less its exact value", nullable=True),
        _field("shift_gamma", pa.float64(), "gamma on the window less its exact value", nullable=True),
        *_COVARIANCE,
        _TRUTH,
    ),
    "confusion": _schema(
        _field("process", _TEXT, "reference process or impostor"),
        _field("universality", _TEXT, "its class; null for an impostor", nullable=True),
        _field("replicate", pa.int32(), "index of the realisation"),
        _field("tau_s", pa.float64(), "measured", nullable=True),
        _field("tau_d", pa.float64(), "measured", nullable=True),
        _field("gamma", pa.float64(), "measured", nullable=True),
        *(
            _field(
                f"covers_{name}",
                pa.bool_(),
                "whether its calibrated 95 % interval holds the exact value",
                nullable=True,
            )
            for name in ("tau_s", "tau_d", "gamma")
        ),
        _field("verdict", _TEXT, "most probable class, or none"),
        _field("probability", pa.float64(), "its probability", nullable=True),
        _field("grade", _TEXT, "grade of the evidence of one table of events"),
        _field("statement", pa.string(), "what may be said"),
        _TRUTH,
    ),
    "classes": _schema(
        *_SOURCE,
        _field("universality", _TEXT, "class, or none"),
        _field("label", _TEXT, "its name for people"),
        _field("probability", pa.float64(), "posterior probability"),
        _field("distance", pa.float64(), "of the exponents from the class, in standard errors", nullable=True),
        _field("parameter", pa.float64(), "of a class that is a curve, most likely value", nullable=True),
        _field("calibrated", pa.bool_(), "whether its bias on the window was measured"),
    ),
    "definitions": _schema(
        *_SOURCE,
        _field("signal", _TEXT, "own, or a surrogate of it: phase_randomised, shuffled_increments"),
        _field("threshold", pa.float64(), "shift of the protocol's threshold, in s.d. of each trajectory"),
        _field("size", _TEXT, "definition of size, by its name in stages.definitions.SIZES"),
        _field("window_low", pa.int32(), "smallest duration of the window", "layers"),
        _field("window_high", pa.int32(), "largest duration of the window", "layers"),
        _field("primary", pa.bool_(), "the definition that the run uses everywhere else"),
        _field("n_events", pa.int64(), "events in the window"),
        _field("tau_s", pa.float64(), "exponent of sizes", nullable=True),
        _field("tau_d", pa.float64(), "exponent of durations", nullable=True),
        _field("gamma", pa.float64(), "exponent of mean size by duration", nullable=True),
        _field("difference", pa.float64(), "gamma − (tau_d − 1)/(tau_s − 1)", nullable=True),
        _field("relation", _TEXT, "the crackling relation: holds, broken, undecided"),
        _field("verdict", _TEXT, "most probable class, or none"),
        _field("probability", pa.float64(), "its probability", nullable=True),
        _field("moved", pa.float64(), "of a surrogate: distance to the signal, in standard errors", nullable=True),
        _TRUTH,
    ),
    "point_verdicts": _schema(
        *_SOURCE,
        _field("verdict", _TEXT, "most probable class, or none"),
        _field("probability", pa.float64(), "its probability; null without exponents", nullable=True),
        _field("grade", _TEXT, "grade of the evidence: none, undecided, consistent with, supported, strong"),
        *_REASONS,
    ),
    "learning": _schema(
        _field("point_id", _TEXT, "point"),
        _field("net", pa.int32(), "index of the network in its point (the seed)"),
        _field("width", pa.int32(), "N", "units"),
        _field("depth", pa.int32(), "L", "layers"),
        _field("sigma_w", pa.float64(), "scale of the weights at initialisation"),
        _field("sigma_b", pa.float64(), "scale of the biases at initialisation"),
        _field("optimiser", _TEXT, "sgd or adam"),
        _field("learning_rate", pa.float64(), "learning rate"),
        _field("step", pa.int32(), "optimiser steps done"),
        _field(
            "train_loss",
            pa.float64(),
            "mini-batch cross entropy (nats); null at the end, and from where a network diverged or died",
            "nats",
            nullable=True,
        ),
        _field("test_accuracy", pa.float64(), "share of test images classified rightly", nullable=True),
        _field("diverged", pa.bool_(), "the loss became infinite or undefined"),
    ),
    "learned": _schema(
        *_RUN,
        *_SIGMAS,
        _field("seed", pa.int32(), "index of the network in its point"),
        _field("accuracy", pa.float64(), "share of test samples classified rightly at the end"),
        _field(
            "speed", pa.float64(), "mean over the steps of max(0, 1 − loss/ln classes), 0 from where a network left"
        ),
        _field("fate", _TEXT, "trained, diverged or dead"),
    ),
    "predictors": _schema(
        *_RUN,
        *_SIGMAS,
        _field("predictor", _TEXT, "quantity known before training"),
        _field("value", pa.float64(), "its value; more is said to be better", nullable=True),
        _TRUTH,
    ),
    "ranking": _schema(
        *_REGIME,
        _field("predictor", _TEXT, "quantity known before training"),
        _field("spearman", pa.float64(), "rank correlation with the outcome", nullable=True),
        _field("spearman_low", pa.float64(), "lower end of its 95 % interval (points and seeds)", nullable=True),
        _field("spearman_high", pa.float64(), "upper end", nullable=True),
        _field("kendall", pa.float64(), "Kendall's tau-b", nullable=True),
        _field("kendall_low", pa.float64(), "lower end of its 95 % interval", nullable=True),
        _field("kendall_high", pa.float64(), "upper end", nullable=True),
        _field("regret", pa.float64(), "best outcome less that of the first choice, on held-out seeds", nullable=True),
        _field("regret_error", pa.float64(), "standard error of the regret over seeds", nullable=True),
        _TRUTH,
    ),
    "contests": _schema(
        *_REGIME,
        _field("predictor", _TEXT, "one predictor"),
        _field("rival", _TEXT, "the other"),
        _field("difference", pa.float64(), "Spearman's rho of the one less that of the other", nullable=True),
        _field("ci_low", pa.float64(), "lower end of the 95 % interval, paired draws", nullable=True),
        _field("ci_high", pa.float64(), "upper end", nullable=True),
        _field("outcome_of_contest", _TEXT, "wins, ties, loses, or none"),
    ),
    "followed": _schema(
        _field("task", _TEXT, "data set that is learnt"),
        _field("width", pa.int32(), "N", "units"),
        _field("depth", pa.int32(), "L", "layers"),
        *_SIGMAS,
        _field("net", pa.int32(), "index of the network in its point"),
        _field("step", pa.int32(), "optimiser steps done"),
        _field("quantity", _TEXT, "what was measured on the network as it is then"),
        _field("value", pa.float64(), "its value", nullable=True),
    ),
    "initialisations": _schema(
        *_RUN,
        _field("method", _TEXT, "name of the initialisation"),
        _field("stage", _TEXT, "tuning (validation samples, learning rate to be chosen) or final (test samples)"),
        _field("seed", pa.int32(), "seed; those of the two stages differ"),
        _field("accuracy", pa.float64(), "share of the samples classified rightly"),
        _field("loss", pa.float64(), "cross entropy of the last mini-batch", "nats", nullable=True),
        _field("fate", _TEXT, "trained, diverged or dead"),
    ),
    "advice": _schema(
        *_RUN,
        _field("method", _TEXT, "name of the initialisation"),
        _field("init", _TEXT, "distribution of the weights"),
        *_SIGMAS,
        _field("rate_at_edge", pa.bool_(), "the best learning rate is the first or last of those tried"),
        _field("seeds", pa.int32(), "fresh seeds"),
        _field("accuracy", pa.float64(), "mean test accuracy"),
        _field("ci_low", pa.float64(), "lower end of its 95 % interval (seeds and test samples)"),
        _field("ci_high", pa.float64(), "upper end"),
        _field("difference", pa.float64(), "accuracy of the advised initialisation less this one's", nullable=True),
        _field("difference_low", pa.float64(), "lower end of its 95 % interval, same test samples", nullable=True),
        _field("difference_high", pa.float64(), "upper end", nullable=True),
        _field("verdict", _TEXT, "advised: better, worse, or no difference; reference for the advised one itself"),
    ),
    "recorded": _schema(
        *_TRAJECTORY,
        _field("layer", pa.int32(), "number of the call in the forward pass, 1 … L (layer = time)", "layers"),
        _field("log_m", pa.float32(), "ln m, m = mean over units of x²; −inf where all units are 0"),
        _field("mean_abs", pa.float32(), "mean over units of |x|"),
        _field("active_fraction", pa.float32(), "share of units with |x| > rms/10 (after a ReLU: x > 0)"),
    ),
    "unit_moments": _schema(
        _field("layer", pa.int32(), "number of the call in the forward pass, 1 … L", "layers"),
        _field("unit", pa.int32(), "index of the unit in its layer, last dimension fastest"),
        _field("n", pa.int64(), "number of inputs"),
        _field("mean", pa.float64(), "mean over inputs of x"),
        _field("variance", pa.float64(), "variance over inputs of x, divisor n − 1"),
    ),
    "recorded_units": _schema(
        *_TRAJECTORY,
        _field("layer", pa.int32(), "number of the call in the forward pass, 1 … L", "layers"),
        _field("units", pa.binary(), "activations x of the layer's units, little-endian float32"),
    ),
    "layer_activity": _schema(
        *_MEMBER,
        _field("net", pa.int32(), "index of the network (the cluster of the bootstrap)"),
        _field("input", pa.int32(), "index of the test sample"),
        _field("layer", pa.int32(), "number of the layer in the order of execution, 1 … L", "layers"),
        _field("mean_abs", pa.float32(), "mean over units of |x|"),
    ),
    "unit_stream": _schema(
        *_MEMBER,
        _field("net", pa.int32(), "index of the network (the cluster of the bootstrap)"),
        _field("input", pa.int32(), "index of the test sample"),
        _field("layer", pa.int32(), "number of the layer in the stream, 1 … L", "layers"),
        _field("units", pa.binary(), "activations x of the layer's units, little-endian float32"),
    ),
    "cascades": _schema(
        *_MEMBER,
        _field("signal", _TEXT, "own, or a null: input shuffle, layer shuffle, Gaussian surrogate, i.i.d. weights"),
        _field("variant", _TEXT, "threshold, measure of size or clock of the definition"),
        _field("net", pa.int32(), "index of the network (the cluster of the bootstrap)"),
        _field("duration", pa.int32(), "layers, or generations of a lineage", "layers"),
        _field("size", pa.float64(), "Σ(z − k) (+ .5826 s d), or descendants of a unit, itself included"),
        _field("censored", _TEXT, "none, or end: under way at the last layer; only none is fitted"),
    ),
    "architecture_learning": _schema(
        _field("member", _TEXT, "network of the configuration, with what varies"),
        _field("net", pa.int32(), "index of the network (its seed)"),
        _field("step", pa.int32(), "optimiser steps done"),
        _field("train_loss", pa.float64(), "mini-batch cross entropy (nats); null at the end", "nats", nullable=True),
        _field("test_accuracy", pa.float64(), "share of test samples classified rightly", nullable=True),
        _field("diverged", pa.bool_(), "the loss became infinite or undefined"),
    ),
    "cascade_distributions": _schema(
        _field("network", _TEXT, "name in the configuration"),
        *_MEMBER,
        _field("definition", _TEXT, "of avalanches: A relevance walk, B unit stream, C layer activity"),
        _field("signal", _TEXT, "own, a null, or an exact process at the same depth"),
        _field("x", pa.float64(), "geometric centre of a bin of durations", "layers"),
        _field("value", pa.float64(), "share of events per unit of duration"),
        _field("error", pa.float64(), "its standard error over networks", nullable=True),
    ),
    "architectures": _schema(
        _field("network", _TEXT, "name in the configuration"),
        _field("family", _TEXT, "kind of network, by its name in quasicrit.families"),
        *_MEMBER,
        _field("size", pa.int32(), "what varies: blocks, depth, channels or width; 0 where nothing does"),
        _field("definition", _TEXT, "of avalanches: A relevance walk, B unit stream, C layer activity"),
        _field("signal", _TEXT, "own, a null, or an exact process at the same depth: critical branching, random walk"),
        _field("variant", _TEXT, "threshold, measure of size or clock of the definition"),
        _field("primary", pa.bool_(), "the variant that the run declares as the main one"),
        _field("layers", pa.int32(), "L, layers that the definition looks at", "layers"),
        _field("window_low", pa.int32(), "smallest duration of the window", "layers"),
        _field("window_high", pa.int32(), "largest duration of the window", "layers"),
        _field("n_nets", pa.int32(), "networks; of an exact process groups of realisations"),
        _field("n_events", pa.int64(), "complete events in the window"),
        _field(
            "cut",
            pa.float64(),
            "share of the events in the window's upper octave that the last layer may have cut",
            nullable=True,
        ),
        _field("accuracy", pa.float64(), "mean test accuracy of the networks, after training", nullable=True),
        *_with_intervals(("d_c", "cut-off duration ⟨d²⟩/⟨d⟩ of all complete events"), over="Student, over networks"),
        _field(
            "verdict",
            _TEXT,
            "most probable class, or none; of an exact process: as it reads if classes are not calibrated at its depth",
        ),
        _field("probability", pa.float64(), "its probability", nullable=True),
        _field("mean_field_dp", pa.float64(), "probability of mean-field directed percolation", nullable=True),
        _field("brownian_excursion", pa.float64(), "probability of the Brownian excursion", nullable=True),
        _field(
            "moved",
            pa.float64(),
            "of a null: distance to the own signal, in standard errors (networks paired)",
            nullable=True,
        ),
        _field(
            "p_same",
            pa.float64(),
            "of a null: p of that distance if the exponents were the same (Hotelling)",
            nullable=True,
        ),
        _field("grade", _TEXT, "grade of the evidence, of the own signal by the main variant; none elsewhere"),
        *_REASONS,
        _TRUTH,
    ),
    "populations": _schema(
        _field("population", _TEXT, "name in the configuration"),
        _field("kind", _TEXT, "branching, independent, leaky: simulated, with a known answer; recording: a file"),
        _field("sigma", pa.float64(), "of branching: signals that a spike sends, in the mean", nullable=True),
        _field("fraction", pa.float64(), "share of the units that was seen"),
        _field("n_units", pa.int64(), "units that were seen", nullable=True),
        _field("duration", pa.float64(), "of the recording", "s"),
        _field("bin", pa.float64(), "width of the bins", "s"),
        _field("window_low", pa.int32(), "smallest duration of the window", "bins"),
        _field("window_high", pa.int32(), "largest duration of the window", "bins"),
        _field("n_events", pa.int64(), "complete avalanches"),
        *_with_intervals(
            ("m", "branching ratio in steps of 4 ms, by multistep regression"), over="over blocks or segments"
        ),
        _field(
            "naive_m",
            pa.float64(),
            "slope of the next step on this one, which a part of the units biases",
            nullable=True,
        ),
        _field("branching", _TEXT, "what m says: near 1, below 1, undecided, no memory"),
        _field("verdict", _TEXT, "most probable class, or none", nullable=True),
        _field("probability", pa.float64(), "its probability", nullable=True),
        _field("controls", pa.int32(), "shuffled recordings that went through the same code"),
        _field("controls_rejected", pa.int32(), "of them rejected"),
        _field("grade", _TEXT, "grade of the evidence"),
        *_REASONS,
        _TRUTH,
    ),
    "population_curves": _schema(
        _field("population", _TEXT, "name in the configuration"),
        _field("kind", _TEXT, "as in populations"),
        _field("fraction", pa.float64(), "share of the units that was seen"),
        _field(
            "curve",
            _TEXT,
            "durations: density of complete avalanches; slopes: r_k of A(t + k) on A(t), in steps of 4 ms; fitted: b m^k",
        ),
        _field("signal", _TEXT, "own, or a control"),
        _field("x", pa.float64(), "centre of a bin of durations, in bins; lag k, in s"),
        _field("value", pa.float64(), "share of avalanches per bin of duration; slope"),
        _field("error", pa.float64(), "of own durations: standard error over blocks or segments", nullable=True),
    ),
    "verdicts": _schema(
        _field("claim", _TEXT, "P1 … P8 of the paper"),
        _field("quantity", pa.string(), "what was measured, and where"),
        _field("ours", pa.float64(), "our value", nullable=True),
        _field("ci_low", pa.float64(), "lower end of its 95 % interval", nullable=True),
        _field("ci_high", pa.float64(), "upper end of its 95 % interval", nullable=True),
        _field("paper", pa.float64(), "the paper's value, where it gives one", nullable=True),
        _field("controls", pa.string(), "what the controls gave"),
        _field(
            "verdict",
            _TEXT,
            "most probable class of the events behind the number, or none; null where none was asked for",
            nullable=True,
        ),
        _field("probability", pa.float64(), "its probability", nullable=True),
        _field("grade", _TEXT, "grade of their evidence", nullable=True),
        _field("sentence", pa.string(), "the finding in words"),
    ),
}


def activations_schema(width: int) -> pa.Schema:
    """Schema of unit activations: one row is (net, layer, input), ``units`` holds N float32 values.

    ``units`` is a fixed-size binary of 4 N bytes (little-endian float32); a row group is one (net, layer).
    """
    return _schema(
        *_SOURCE,
        _field("net", pa.int32(), "index of the network"),
        _field("layer", pa.int32(), "layer, 1 … L", "layers"),
        _field("input", pa.int32(), "index of the input"),
        _field("units", pa.binary(4 * width), "activations x of the N units, little-endian float32"),
    )


def recorded_schema(reductions: Sequence[str]) -> pa.Schema:
    """Schema of recorded activity with the columns of ``reductions``: those of "recorded", or quantile_p for 0 ≤ p ≤ 1."""
    known = SCHEMAS["recorded"]
    chosen = [
        known.field(name)
        if name in known.names
        else _field(name, pa.float32(), f"{name.removeprefix('quantile_')} quantile of x over the units")
        for name in reductions
    ]
    return _schema(*(known.field(name) for name in ("net", "input", "layer")), *chosen)


def provenance(**details: Any) -> dict[str, Any]:
    """What made a file: package and library versions, python, and the caller's ``details``."""
    versions = {name: metadata.version(name) for name in ("numpy", "scipy", "torch", "pyarrow", "numba")}
    return {"quasicrit": __version__, "python": platform.python_version(), "versions": versions, **details}


def device_of(details: Mapping[str, Any], of: str = "device") -> str:
    """The device in a file's provenance: cpu or cuda. ``of``: device, that of its rule, or signals_device, of the signals behind it."""
    return str(details.get(of, "cpu"))


@contextlib.contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it to ``path`` on success, remove it on failure.

    Its name holds this host and process, so that two jobs that write one file (an orphan of a killed run and its
    successor) each complete their own. What dead processes of this host left of ``path`` is removed.

    Raises TableError if the file cannot be written (a full or read-only disk, a folder that is none).
    """
    path = Path(path)
    begins = f".{path.name}.{platform.node()}."
    temporary = path.with_name(f"{begins}{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(path.parent, begins)
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        if error.filename is not None and Path(str(error.filename)) not in (temporary, path, *path.parents):
            raise  # of another file, that is read meanwhile
        why = os.strerror(error.errno) if error.errno else str(error)
        raise TableError(
            f"{path} cannot be written ({why}): make room, or see that its folder is writable, and run again"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _remove_leftovers(folder: Path, begins: str) -> None:
    """Remove temporary files whose names begin so and end in the number of a process that no longer runs."""
    for entry in os.listdir(folder):
        pid = entry.removeprefix(begins).removesuffix(".tmp")
        if entry == f"{begins}{pid}.tmp" and pid.isdecimal():
            try:
                os.kill(int(pid), 0)
            except ProcessLookupError:
                (folder / entry).unlink(missing_ok=True)
            except OSError:
                continue  # it runs as another user


#: In the footer, before the SHA-256 of the file; the quotes cannot occur so within the provenance, which is text in JSON.
_SEAL = b'"sha256": "'
_UNSEALED = "0" * 64


def _sha256(file: BinaryIO) -> tuple[str, int]:
    """SHA-256 of a Parquet file of ours with 64 zeros in place of the one that it carries, and where it carries it.

    Raises ValueError if it carries none.
    """
    file.seek(-8, os.SEEK_END)
    footer_length = int.from_bytes(file.read(4), "little")
    start = file.seek(-8 - footer_length, os.SEEK_END)
    footer = file.read()
    at = footer.find(_SEAL) + len(_SEAL)
    if at < len(_SEAL):
        raise ValueError("it carries no SHA-256")
    digest = hashlib.sha256()
    file.seek(0)
    left = start
    while left:
        piece = file.read(min(left, 1 << 20))
        digest.update(piece)
        left -= len(piece)
    digest.update(footer[:at] + _UNSEALED.encode() + footer[at + len(_UNSEALED) :])
    return digest.hexdigest(), start + at


class TableWriter:
    """Stream batches of rows into one Parquet file (a context manager; the file appears on success).

    Each ``write`` makes one row group. Integer columns are delta-encoded, text is dictionary-encoded and
    floats are plain: activations are noise that no codec compresses.
    """

    def __init__(self, path: Path | str, schema: pa.Schema, details: Mapping[str, Any]) -> None:
        self._path = Path(path)
        self._schema = schema
        #: What the file's provenance will say: it may grow until the file is complete.
        self.details = dict(details)
        self._rows = 0

    def __enter__(self) -> TableWriter:
        # A full disk may refuse the first bytes already, which the writer writes when it is made.
        with contextlib.ExitStack() as stack:
            temporary = stack.enter_context(atomic_path(self._path))
            stack.push(lambda kind, *_: None if kind else _seal(temporary))
            text = [field.name for field in self._schema if pa.types.is_dictionary(field.type)]
            delta = [field.name for field in self._schema if pa.types.is_integer(field.type)]
            self._writer = stack.enter_context(
                pq.ParquetWriter(
                    temporary,
                    self._schema,
                    write_page_checksum=True,
                    write_statistics=False,
                    compression="none",
                    use_dictionary=text,
                    column_encoding=dict.fromkeys(delta, "DELTA_BINARY_PACKED"),
                    store_schema=True,
                )
            )
            self._stack = stack.pop_all()
        return self

    def write(self, rows: pa.Table | pd.DataFrame | Mapping[str, Any]) -> None:
        """Append ``rows`` as one row group; columns are cast to the schema, none may be missing.

        A single text or number in a mapping stands in every row.
        """
        if not isinstance(rows, pa.Table):
            columns = {name: rows[name] for name in self._schema.names}
            count = max(len(values) for values in columns.values() if not isinstance(values, str | int | float))
            arrays = [_column(columns[field.name], field, count) for field in self._schema]
            rows = pa.Table.from_arrays(arrays, schema=self._schema)
        if rows.num_rows:
            self._writer.write_table(rows, row_group_size=rows.num_rows)
            self._rows += rows.num_rows

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if kind is None:
            entry = {"provenance": json.dumps(self.details, sort_keys=True), "sha256": _UNSEALED}
            self._writer.add_key_value_metadata({_KEY.decode(): json.dumps(entry)})
        self._stack.__exit__(kind, error, trace)


def _seal(path: Path) -> None:
    """Put the SHA-256 of a complete file into its footer."""
    with open(path, "r+b") as file:
        digest, at = _sha256(file)
        file.seek(at)
        file.write(digest.encode())


def _column(values: Any, field: pa.Field, rows: int) -> pa.Array:
    if isinstance(values, pa.Array):
        return values
    if isinstance(values, str) and pa.types.is_dictionary(field.type):
        return constant_text(values, rows)
    if isinstance(values, str | int | float):
        values = [values] * rows
    if hasattr(values, "to_numpy"):
        values = values.to_numpy()
    if pa.types.is_floating(field.type) and field.nullable:
        return pa.array(values, type=field.type, from_pandas=True)
    return pa.array(values, type=field.type)


def constant_text(value: str, rows: int) -> pa.DictionaryArray:
    """A dictionary column that holds ``value`` in every row."""
    return pa.DictionaryArray.from_arrays(np.zeros(rows, np.int32), pa.array([value], pa.string()))


def write_table(
    path: Path | str,
    schema: pa.Schema,
    rows: pa.Table | pd.DataFrame | Mapping[str, Any] | Sequence[Mapping[str, Any]],
    details: Mapping[str, Any],
) -> None:
    """Write one table atomically. ``rows`` may be a frame, a mapping of columns or a list of row mappings."""
    if isinstance(rows, Sequence):
        rows = {name: [row[name] for row in rows] for name in schema.names}
    with TableWriter(path, schema, details) as writer:
        writer.write(rows)


def _damaged(path: Path | str, error: object) -> TableError:
    text = str(error).strip().splitlines()
    detail = f" ({text[0][:160]})" if text else ""
    return TableError(f"{path}: the file is truncated or altered{detail}; delete it and run again to remake it")


def _open(path: Path | str) -> pq.ParquetFile:
    if not Path(path).is_file():
        raise TableError(f"{path}: there is no such file; check the path, or run the rule that makes it")
    return _parquet(path, path)


def _parquet(name: Path | str, source: Any) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(source, page_checksum_verification=True)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _damaged(name, error) from None


def _verify(path: Path | str, file: pq.ParquetFile, content: bytes | None = None) -> dict[str, Any] | None:
    """The provenance of a file of ours, its digest checked; None for a table of somebody else's.

    ``content``: the bytes of the file, where ``path`` only names it.
    """
    stored = (file.metadata.metadata or {}).get(_KEY)
    if stored is None:
        return None
    try:
        entry = json.loads(stored)
        with open(path, "rb") if content is None else io.BytesIO(content) as handle:
            good = entry["sha256"] == _sha256(handle)[0]
        details: dict[str, Any] = json.loads(entry["provenance"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(path, error) from None
    if not good:
        raise _damaged(path, "its content does not match its checksum")
    return details


def _check_schema(path: Path | str, file: pq.ParquetFile, schema: pa.Schema, columns: Sequence[str]) -> None:
    found = file.schema_arrow
    for name in columns:
        if name not in found.names:
            raise TableError(f"{path}: the column {name!r} is missing; it has {', '.join(found.names)}")
        if found.field(name).type != schema.field(name).type:
            raise TableError(
                f"{path}: the column {name!r} is {found.field(name).type}, but must be {schema.field(name).type}"
            )


def _read(path: Path | str, file: pq.ParquetFile, columns: Sequence[str], group: int | None) -> pa.Table:
    try:
        if group is None:
            return file.read(columns=list(columns))
        return file.read_row_group(group, columns=list(columns))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _damaged(path, error) from None


def read_table(
    path: Path | str | Sequence[Path | str], schema: pa.Schema, columns: Sequence[str] | None = None
) -> pd.DataFrame:
    """Read one table of ours, or several with the same schema, as one frame; verified.

    Raises TableError, naming the file, when it is missing, truncated, altered, not one of ours, lacks a
    column, or comes from another device than the first. Text columns come back as pandas categoricals.
    """
    return _read_all(path, schema, columns if columns is not None else schema.names).to_pandas()


def _read_all(path: Path | str | Sequence[Path | str], schema: pa.Schema, columns: Sequence[str]) -> pa.Table:
    paths = [path] if isinstance(path, str | Path) else list(path)
    names = list(columns)
    parts = []
    first: dict[str, Any] | None = None
    for one in paths:
        with _open(one) as file:
            details = _verify(one, file)
            if details is None:
                raise _damaged(one, "it carries no digest of this package")
            first = first or details
            _check_device(one, details, paths[0], first)
            _check_schema(one, file, schema, names)
            parts.append(_read(one, file, names, None))
    return pa.concat_tables(parts).unify_dictionaries() if parts else schema.empty_table().select(names)


def _check_device(path: Path | str, details: Mapping[str, Any], other: Path | str, wanted: Mapping[str, Any]) -> None:
    """Raise TableError for two files of one stage from different devices."""
    for of in ("device", "signals_device"):
        mine, theirs = device_of(details, of), device_of(wanted, of)
        if mine != theirs:
            raise TableError(
                f"{path} comes from {mine} and {other} from {theirs}; the files of one stage must come from one device: "
                "set device to cpu or cuda, delete the files of the other, and run again"
            )


@dataclass(frozen=True)
class Text:
    """A text column: row i holds ``names[codes[i]]``."""

    codes: np.ndarray
    names: tuple[str, ...]


def read_arrays(path: Path | str | Sequence[Path | str], schema: pa.Schema, columns: Sequence[str]) -> dict[str, Any]:
    """Read columns of one or several of our tables as arrays (text as Text); verified like read_table."""
    table = _read_all(path, schema, columns)
    arrays: dict[str, Any] = {}
    for name in columns:
        column = table[name].combine_chunks()
        if pa.types.is_dictionary(column.type):
            if isinstance(column, pa.ChunkedArray):
                column = column.chunk(0) if column.num_chunks else pa.array([], column.type)
            arrays[name] = Text(column.indices.to_numpy(), tuple(column.dictionary.to_pylist()))
        else:
            arrays[name] = column.to_numpy(zero_copy_only=False)
    return arrays


def row_groups(path: Path | str, schema: pa.Schema, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Yield the row groups of one of our tables in order; verified like read_table."""
    with _open(path) as file:
        if _verify(path, file) is None:
            raise _damaged(path, "it carries no digest of this package")
        _check_schema(path, file, schema, columns)
        for group in range(file.num_row_groups):
            yield _read(path, file, columns, group)


def read_provenance(path: Path | str) -> dict[str, Any]:
    """What made the file: the details given to its writer."""
    with _open(path) as file:
        details = _verify(path, file)
    if details is None:
        raise _damaged(path, "it carries no provenance of this package")
    return details


def read_columns(
    path: str, columns: Sequence[str] | None, optional: Sequence[str] = (), stream: BinaryIO | None = None
) -> pd.DataFrame:
    """Read ``columns`` (None: all) of a user's table, and those of ``optional`` that it has (``-``: binary ``stream``).

    Parquet is known by its first bytes. Other text is CSV when the first line has a comma, else white-space
    separated; lines that start with # are comments. The first line names the columns; if it holds numbers,
    the last comment before it does (as numpy.savetxt writes it), or else the table is one unnamed column
    that answers to any single name.

    Raises TableError for a file that is missing, unreadable, truncated or neither Parquet nor text, a missing
    or repeated column, ragged rows and an empty table. Whether the values are numbers is not checked here.
    """
    name = "standard input" if path == "-" else path
    try:
        if path != "-":
            with open(path, "rb") as handle:
                content = handle.read(4)
                if content != b"PAR1":
                    content += handle.read()
        else:
            content = stream.read() if stream is not None else b""
    except FileNotFoundError:
        raise TableError(f"{name}: there is no such file") from None
    except OSError as error:
        raise TableError(f"{name}: the file cannot be read ({error.strerror})") from None
    wanted = None if columns is None else list(dict.fromkeys(columns))
    extra = list(dict.fromkeys(optional))
    if content[:4] == b"PAR1":
        with _parquet(name, pa.BufferReader(content) if path == "-" else path) as file:
            _verify(name, file, content if path == "-" else None)
            table = _read(name, file, _present(name, file.schema_arrow.names, wanted, extra), None)
    else:
        table = _text_table(name, _decoded(name, content), wanted, extra)
    if not table.num_rows:
        raise TableError(f"{name}: the table is empty; at least one row is needed")
    return table.to_pandas()


def read_rows(path: str, rows: int) -> Iterator[np.ndarray]:
    """Yield all columns of a user's table, which must be numbers, as float64 arrays (about ``rows``, columns).

    Parquet is read piece by piece, so that memory does not grow with the file; text (as ``read_columns`` takes it, but a first
    line of numbers needs no header) is read at once. Empty cells become NaN.

    Raises TableError for a file that is missing, unreadable, truncated or neither Parquet nor text, ragged rows, an empty
    table and a column that is not numbers.
    """
    try:
        with open(path, "rb") as handle:
            content = handle.read(4)
            if content != b"PAR1":
                content += handle.read()
    except FileNotFoundError:
        raise TableError(f"{path}: there is no such file") from None
    except OSError as error:
        raise TableError(f"{path}: the file cannot be read ({error.strerror})") from None
    if content != b"PAR1":
        yield _numbers(path, _unnamed_text(path, _decoded(path, content)))
        return
    with _parquet(path, path) as file:
        _verify(path, file)
        if not file.metadata.num_rows:
            raise TableError(f"{path}: the table is empty; at least one row is needed")
        # A piece of some megabytes: many columns take as long to start on as to read.
        pieces = file.iter_batches(max(rows, (1 << 22) // max(1, file.metadata.num_columns)))
        while True:
            try:
                piece = next(pieces, None)
            except (pa.ArrowException, OSError, ValueError) as error:
                raise _damaged(path, error) from None
            if piece is None:
                return
            yield _numbers(path, pa.Table.from_batches([piece]))


def _numbers(path: str, table: pa.Table) -> np.ndarray:
    for field in table.schema:
        if not (pa.types.is_integer(field.type) or pa.types.is_floating(field.type)):
            raise TableError(f"{path}: the column {field.name!r} is {field.type}; every column must hold numbers")
    return np.column_stack([column.to_numpy().astype(np.float64) for column in table.columns])


def _unnamed_text(name: str, content: str) -> pa.Table:
    lines = [line for line in content.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    comma = bool(lines) and "," in lines[0]
    if lines and not all(_is_number(cell) for cell in _cells(lines[0], comma)):
        lines = lines[1:]
    if not lines:
        raise TableError(f"{name}: the table is empty; at least one row is needed")
    return _parsed(name, lines, comma, [f"{index + 1}" for index in range(len(_cells(lines[0], comma)))], None)


def _present(name: str, found: Sequence[str], wanted: Sequence[str] | None, extra: Sequence[str]) -> list[str]:
    """The columns to read (``wanted`` None: all); every wanted one must be there, and once."""
    wanted = found if wanted is None else wanted
    for column in wanted:
        if column not in found:
            raise TableError(f"{name}: the column {column!r} is missing; it has {', '.join(found)}")
    chosen = list(dict.fromkeys([*wanted, *(column for column in extra if column in found)]))
    for column in chosen:
        if list(found).count(column) > 1:
            raise TableError(f"{name}: the column {column!r} occurs {list(found).count(column)} times; name each once")
    return chosen


def _decoded(name: str, content: bytes) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise TableError(f"{name}: the file is neither Parquet nor text; give Parquet, CSV or columns of numbers")
    return text


def _text_table(name: str, content: str, wanted: Sequence[str] | None, extra: Sequence[str]) -> pa.Table:
    lines = [line for line in content.splitlines() if line.strip()]
    first = next((index for index, line in enumerate(lines) if not line.lstrip().startswith("#")), None)
    if first is None:
        raise TableError(f"{name}: the table is empty; at least one row is needed")
    comma = "," in lines[first]
    header = _cells(lines[first], comma)
    comment = _cells(lines[first - 1].lstrip().lstrip("#"), comma) if first else []
    rows = [line for line in lines[first:] if not line.lstrip().startswith("#")]
    if not all(_is_number(cell) for cell in header):
        names, rows = header, rows[1:]
    elif len(comment) == len(header) and set(wanted or ()) <= set(comment):
        names = comment
    elif wanted is not None and len(header) == 1 and len(wanted) == 1:
        names = list(wanted)
    else:
        among = f", among them {', '.join(wanted)}" if wanted else ""
        raise TableError(f"{name}: the first line must name the columns{among}")
    chosen = _present(name, names, wanted, extra)
    if not rows:
        raise TableError(f"{name}: the table has a header and no rows; at least one row is needed")
    return _parsed(name, rows, comma, names, chosen)


def _parsed(
    name: str, rows: Sequence[str], comma: bool, names: Sequence[str], chosen: Sequence[str] | None
) -> pa.Table:
    """The columns ``chosen`` (None: all) of lines of text."""
    import pyarrow.csv as pa_csv

    text = "\n".join(rows if comma else (",".join(line.split()) for line in rows)).encode()
    try:
        return pa_csv.read_csv(
            pa.BufferReader(text),
            # One block: the type of a column is inferred from all of it. One thread: errors name the row.
            read_options=pa_csv.ReadOptions(
                column_names=names, use_threads=False, block_size=min(len(text) + 1, (1 << 31) - 1)
            ),
            convert_options=pa_csv.ConvertOptions(include_columns=chosen, strings_can_be_null=True),
        )
    except (pa.ArrowException, OSError) as error:
        raise TableError(f"{name}: the rows cannot be read ({str(error).splitlines()[0][:160]})") from None


def _cells(line: str, comma: bool) -> list[str]:
    parts = next(csv.reader([line], skipinitialspace=True), []) if comma else line.split()
    return [part.strip().strip('"') for part in parts]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
