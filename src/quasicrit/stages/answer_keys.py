"""What every key that ``quasicrit SUBCOMMAND --json`` prints means: the table that docs/command.md is made of."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Literal

from quasicrit.scaling import CLASSES, GRADES, NONE
from quasicrit.tails import ALTERNATIVES
from quasicrit.theory import ACTIVATIONS

__all__ = ["ANSWERS", "Key"]

JsonType = Literal["number", "integer", "string", "boolean", "object"]


@dataclass(frozen=True)
class Key:
    """One key of an answer, or several that differ in one name, {a,b}.

    ``path``: names joined by dots; ``[]`` after a name stands for every entry of its list, ``*`` for any name (of a stage, say).
    ``choices``: all that a string may be, empty for any. ``when``: the forms of the subcommand that print it, empty for all of them.
    ``null``: where it is null, empty for nowhere; of a list (``window[]``) it is the list that is null. An "object" is a row of
    its own only where all of it may be null.
    """

    path: str
    type: JsonType
    meaning: str
    unit: str = ""
    choices: tuple[str, ...] = ()
    when: str = ""
    null: str = ""

    @property
    def paths(self) -> tuple[str, ...]:
        """The path of each key."""
        parts = re.split(r"\{(.*?)\}", self.path)
        return tuple("".join(made) for made in product(*(part.split(",") for part in parts)))


_VALUE = "{value,ci_low,ci_high}"
_INTERVAL = "with the ends of its 95 % interval"
_REASONS = Key(
    "reasons.*", "string", "Why a value is null, under its key; in lists the key has the entry's number, from 0: `classes.2.values`"
)  # fmt: skip
_NOTES = Key("notes[]", "string", "What a reader of the numbers must know")
_SEED = Key("seed", "integer", "Seed of every random choice")
_RESAMPLES = Key("resamples", "integer", "Bootstrap resamples")
_N_TOTAL = Key("n_total", "integer", "Complete events of the table", "events")
_N_CENSORED = Key("n_censored", "integer", "Censored events, which are left out", "events")
_INDEPENDENT = "events are taken as independent"
_CLUSTER = Key(
    "cluster", "string", "Column of the independent units that the bootstrap draws (several: a,b)", null=_INDEPENDENT
)
_OFFSET = Key("offset", "number", "Durations enter as (d + offset)", "steps")


# One's own network, from theory -------------------------------------------------------------------------------

_POINT, _LINE, _RIDGE = "at a point", "of a line", "of a ridge"
_DEPTH, _WIDTH, _BLOCKS = "with `--depth`", "with `--width`", "with `--residual-blocks`"
_GROWS = "the signal grows without bound"
_TOO_LARGE = "too large for a double; the reason has its logarithm"

_THEORY = (
    Key("activation", "string", "phi", choices=tuple(ACTIVATIONS)),
    Key("sigma_w", "number", "Scale of the weights, W_ij ~ N(0, sigma_w²/fan-in); of a line, where it crosses sigma_b",
        null="the line does not exist there"),
    Key("sigma_b", "number", "Scale of the biases, b_i ~ N(0, sigma_b²)"),
    Key("m0", "number", "Mean square of the input, m_0; of a residual stream q_0", when="at a point or with `--depth`"),
    Key("depth", "integer", "L", "layers", when=_DEPTH),
    Key("width", "integer", "N", "units", when=_WIDTH),
    Key("q_star", "number", "Stationary variance of the pre-activations, q* = sigma_w² M(q*) + sigma_b², M(q) = E phi(√q z)²",
        when=_POINT, null=f"infinite: {_GROWS}"),
    Key("m_star", "number", "Stationary mean square activation, m* = M(q*)", when=_POINT, null=f"infinite: {_GROWS}"),
    Key("mean_abs", "number", "E |phi(√q* z)|", when=_POINT, null=f"infinite: {_GROWS}"),
    Key("chi_1", "number", "Mean squared singular value of a layer's Jacobian, sigma_w² E phi'(√q* z)²", when=_POINT, null=_GROWS),
    Key("xi_q", "number", "Correlation length of the variance, −1/ln of the slope of its map at q*", "layers",
        when=_POINT, null="infinite at criticality; the signal grows without bound"),
    Key("xi_c", "number", "Correlation length of the correlation of two inputs, −1/ln of the slope of its map at its fixed point",
        "layers", when=_POINT, null="infinite at criticality; the signal grows without bound"),
    Key("phase", "string", "chi_1 < 1, |chi_1 − 1| < 1e-9, chi_1 > 1", choices=("ordered", "critical", "chaotic"), when=_POINT,
        null=_GROWS),
    Key("susceptibility.{m,rms,abs}", "number", "∂/∂sigma_w of m*, of √m* and of mean_abs", when=_POINT,
        null="infinite, or without a derivative, at the critical point; the signal grows without bound"),
    Key("m_depth", "number", "m_L, the mean square activation of layer L", when="at a point with `--depth`",
        null="infinite: above 1e200"),
    Key("susceptibility_depth.{m,rms,abs}", "number", "∂/∂sigma_w of m_L, of √m_L and of E |x_L|", when="at a point with `--depth`",
        null="infinite: above 1e200"),
    Key("log_jacobian", "number", "ln J²(L) = Σ_l ln chi_1(q_l)", when="at a point with `--depth`"),
    Key("sigma_c", "number", "sigma_c(N), the zero of the drift E ln(m'/m) of a weak signal", when=_WIDTH),
    Key("log_m_step_variance", "number", "Var ln(m'/m) of a weak signal, 2/N + …", when=_WIDTH),
    Key("residual_blocks", "integer", "B", "blocks", when=_BLOCKS),
    Key("residual_scale", "number", "alpha, x_b = x_{b−1} + alpha F(x_{b−1})", when=_BLOCKS),
    Key("branch_layers", "integer", "Layers of a branch F", "layers", when=_BLOCKS),
    Key("residual_norm", "string", "The norm in front of every phi of a branch", choices=("layer", "batch", "none"), when=_BLOCKS),
    Key("stream_variance", "number", "q_B, the mean square of the stream at its end", when=_BLOCKS, null=_TOO_LARGE),
    Key("stream_growth", "number", "q_B/q_0", when=_BLOCKS, null=_TOO_LARGE),
    Key("log_jacobian_residual", "number", "ln J² of the stream, Σ_b ln(1 + alpha² chi_b)", when=_BLOCKS),
    Key("susceptibility_residual", "number", "∂M(q_B)/∂sigma_w", when=_BLOCKS, null=_TOO_LARGE),
    Key("correlation_residual", "number", "c_B of two inputs with c_0 = 0", when=_BLOCKS),
    Key("correlation_slope_residual", "number", "dc_B/dc_{B−1} at c = 1, J²_B q_{B−1}/q_B: below 1 near inputs draw together",
        when=_BLOCKS),
    Key("line", "string", "Where chi_1 = 1; where a susceptibility peaks; J0(L), where ln J²(L) = 0",
        choices=("edge_of_chaos", "ridge", "j0"), when=_LINE),
    Key("order", "string", "The order parameter whose susceptibility peaks", choices=("m", "rms", "abs"), when=_RIDGE),
    Key("susceptibility", "number", "Height of the peak", when=_RIDGE, null="infinite; the ridge does not exist"),
    _REASONS,
)  # fmt: skip

_ADVISE = (
    Key("activation", "string", "phi", choices=tuple(ACTIVATIONS)),
    Key("depth", "integer", "L, hidden layers", "layers"),
    Key("width", "integer", "N, units of a hidden layer", "units"),
    Key("init", "string", "Distribution of the weights", choices=("gaussian", "orthogonal")),
    Key("gain", "number", "Weights are gain times an orthogonal matrix", when="with `--init orthogonal`"),
    Key("sigma_w", "number", "Weights are N(0, sigma_w²/fan-in)", when="with `--init gaussian`"),
    Key("sigma_b", "number", "Biases are N(0, sigma_b²)"),
    Key("residual_blocks", "integer", "B", "blocks", when=_BLOCKS),
    Key("branch_layers", "integer", "Layers of a branch", "layers", when=_BLOCKS),
    Key("residual_scale", "number", "Factor of the last layer of every branch, 1/√B", when=_BLOCKS),
    Key("path_depth", "integer", "Layers that a typical path takes, for which gain or sigma_w is chosen", "layers", when=_BLOCKS),
    Key("predicted.m_depth", "number", "Mean square activation of the last layer of the path, from 1 at the input"),
    Key("predicted.log_jacobian", "number", "ln J² of the path, Σ_l ln chi_1(q_l)"),
    Key("predicted.susceptibility_depth", "number", "∂m_L/∂sigma_w of the path's last layer"),
    Key("predicted.chi_1", "number", "Mean squared singular value of a layer's Jacobian at the fixed point"),
    Key("predicted.xi_c", "number", "Correlation length at the fixed point", "layers", null="infinite: at criticality"),
    Key("predicted.window", "number", "1/√(2 N L), the ± of sigma_w that the layers of the path cannot resolve"),
    Key("predicted.stream_growth", "number", "q_B/q_0 of the stream's mean square", when=_BLOCKS),
    Key("predicted.log_jacobian_residual", "number", "ln J² of the stream", when=_BLOCKS),
    Key("predicted.susceptibility_residual", "number", "∂m_B/∂sigma_w of the stream", when=_BLOCKS),
    Key("explanation", "string", "Why this choice, and what is not known of it"),
    _REASONS,
)  # fmt: skip

# Activity and events ------------------------------------------------------------------------------------------

_RECORD = (
    Key("n_layers", "integer", "Layers recorded, as many as `layers` has entries", "layers"),
    Key("n_inputs", "integer", "Inputs recorded", "inputs"),
    Key("bytes", "integer", "Size of all files written", "bytes"),
    Key("layers[].layer", "integer", "Number in the forward pass, from 1"),
    Key("layers[].name", "string", "Name of the module"),
    Key("layers[].call", "integer", "1 for the module's first call in a forward pass, 2 for its second"),
    Key("layers[].type", "string", "Class of the module"),
    Key("layers[].shape[]", "integer", "Shape of its output for one input of the first batch"),
    Key("layers[].active", "string", "Which units active_fraction counts", choices=("x > 0", "|x| > rms/10")),
    Key("not_seen[].where", "string", "Module in which an operation is that no hook sees"),
    Key("not_seen[].operation", "string", "The operation"),
    Key("not_seen[].count", "integer", "How often it is there"),
    Key("not_called[]", "string", "Chosen modules that the forward pass never called"),
    Key("device", "string", "Where it was computed: cpu, cuda or cuda:K"),
    Key("out", "string", "The file of the activity"),
    _NOTES,
    _REASONS,
)  # fmt: skip

_DETECT = (
    Key("n_trajectories", "integer", "Trajectories of two times or more"),
    Key("n_events", "integer", "Complete avalanches written", "events"),
    Key("n_censored", "integer", "Censored avalanches written, under way at the first or last time", "events"),
    Key("threshold", "number", "The threshold of all trajectories", "unit of the activity", null="each trajectory has its own"),
    Key("threshold_rule", "string", "`--threshold` as given"),
    Key("threshold_low", "number", "Lowest threshold of a trajectory", "unit of the activity"),
    Key("threshold_high", "number", "Highest threshold of a trajectory", "unit of the activity"),
    Key("out", "string", "The file of the events"),
    _NOTES,
    _REASONS,
)  # fmt: skip

_FIT = (
    Key("column", "string", "Column that was fitted"),
    Key("kind", "string", "Whether the law is of whole numbers", choices=("discrete", "continuous")),
    Key("exponent", "number", "alpha of p(x) ~ (x + offset)^−alpha, maximum likelihood on [xmin, xmax]"),
    Key("{ci_low,ci_high}", "number", "Ends of the 95 % interval of the exponent"),
    Key("xmin", "number", "Lower end of the window", "unit of the column"),
    Key("xmax", "number", "Upper end of the window", "unit of the column", null="infinite: the window is open"),
    Key("offset", "number", "Values enter as (x + offset)", "unit of the column"),
    Key("n", "integer", "Events in the window", "events"),
    _N_TOTAL,
    _N_CENSORED,
    _CLUSTER,
    Key("n_clusters", "integer", "Clusters of the table", "clusters", null=_INDEPENDENT),
    Key("decades", "number", "log10(min(xmax, largest)/xmin)", "decades"),
    Key("populated_decades", "number", "The same up to the fifth largest event (of clusters: to the fifth largest maximum)", "decades"),
    Key("ks", "number", "Kolmogorov–Smirnov distance to the fitted law"),
    Key("p_value", "number", "Probability of such a distance or more under the law; the resampling stops when p > 0.1 is certain"),
    Key(f"comparisons.{{{','.join(ALTERNATIVES)}}}.log_likelihood_ratio", "number",
        "ln likelihood of the power law less that of the other; positive favours the power law"),
    Key(f"comparisons.{{{','.join(ALTERNATIVES)}}}.p_value", "number", "Of no difference: Vuong's test, of the nested cut-off a likelihood ratio test"),
    Key(f"comparisons.{{{','.join(ALTERNATIVES)}}}.favours", "string", "The side with p < 0.05 and |ratio| ≥ 1",
        choices=("power_law", *ALTERNATIVES, "neither")),
    Key("drift.{value,error}", "number", "Change of the local exponent from xmin to the largest event, and its standard error",
        null="the window has too few distinct values"),
    Key("verdict", "string", "What the window, the p-value and the comparisons allow to say",
        choices=("power_law", "cutoff", "rejected", "undecided")),
    Key("verdict_reasons[]", "string", "Why, a sentence each"),
    Key("limited_by[]", "string", "What stands between the data and power_law",
        choices=("p_value", "alternatives", "cutoff", "decades", "drift", "upper_end")),
    Key("search", "string", "How the window was found", choices=("none", "xmin", "range")),
    Key("xmin_searched", "boolean", "Whether xmin was chosen by a search"),
    Key("n_beyond", "integer", "Events above an xmax that was searched", "events"),
    _RESAMPLES,
    _SEED,
    _NOTES,
    _REASONS,
)  # fmt: skip

_CRACKLING = (
    Key(f"tau_s.{_VALUE}", "number", f"P(s) ~ s^−tau_s, {_INTERVAL}"),
    Key(f"tau_d.{_VALUE}", "number", f"P(d) ~ (d + offset)^−tau_d, {_INTERVAL}"),
    Key(f"gamma.{_VALUE}", "number", f"⟨s⟩(d) ~ (d + offset)^gamma, {_INTERVAL}"),
    Key("gamma_predicted", "number", "(tau_d − 1)/(tau_s − 1)"),
    Key("relation.difference", "number", "gamma − gamma_predicted"),
    Key("relation.{ci_low,ci_high}", "number", "Ends of its 95 % interval, with the covariance of the three exponents"),
    Key("relation.holds", "boolean", "true: the interval lies within ± 0.1; false: it excludes 0, and |difference| > 0.1",
        null="undecided"),
    Key("shape.{exponent,asymmetry,misfit}", "number", "Of a shape collapse", null="always: events hold no profiles"),
    Key("window[]", "integer", "First and last duration that is fitted", "steps"),
    Key("size_window[]", "number", "Sizes that are fitted: those on the line ⟨s⟩(d) at the ends of the window", "unit of the sizes"),
    _OFFSET,
    Key("n", "integer", "Events whose duration lies in the window", "events"),
    Key("n_sizes", "integer", "Events whose size lies in size_window", "events"),
    _N_TOTAL,
    _N_CENSORED,
    _CLUSTER,
    Key("n_clusters", "integer", "Clusters with an event in the window", "clusters", null=_INDEPENDENT),
    _RESAMPLES,
    _SEED,
    _NOTES,
    _REASONS,
)  # fmt: skip

_CURVES, _EVENTS = "of curves", "with `--events`"
_ERROR = "{value,error,ci_low,ci_high}"
_WITH_ERROR = "with its standard error and the ends of its 95 % interval"
_COLLAPSE = (
    Key(f"critical_point.{_ERROR}", "number", f"t_c of value = L^(zeta/nu) F((control − t_c) L^(1/nu)), {_WITH_ERROR}", "unit of the control", when=_CURVES),
    Key(f"nu.{_ERROR}", "number", f"nu, {_WITH_ERROR}", when=_CURVES),
    Key(f"zeta.{_ERROR}", "number", f"zeta, {_WITH_ERROR}", when=_CURVES),
    Key(f"inverse_nu.{_ERROR}", "number", f"1/nu, {_WITH_ERROR}", when=_CURVES),
    Key(f"zeta_over_nu.{_ERROR}", "number", f"zeta/nu, {_WITH_ERROR}", when=_CURVES),
    Key(f"tau.{_ERROR}", "number", f"tau of P(x; L) = x^−tau G(x/L^D), {_WITH_ERROR}", when=_EVENTS),
    Key(f"cutoff_exponent.{_ERROR}", "number", f"D, {_WITH_ERROR}", when=_EVENTS),
    Key(f"tau_moments.{_ERROR}", "number", f"tau from the moments ⟨x^q⟩ ~ L^(D (q + 1 − tau)), q = 2 to 3, {_WITH_ERROR}", when=_EVENTS),
    Key(f"cutoff_moments.{_ERROR}", "number", f"D from these moments, {_WITH_ERROR}", when=_EVENTS),
    Key("quality", "number", "S, the mean squared distance to the master curve of the other sizes in errors: near 1 where the curves agree"),
    Key("stable", "boolean", "Whether the answer without the smallest size agrees within errors", null="there are 3 sizes"),
    Key("without_smallest", "object", "The answer without the smallest size", null="there are 3 sizes, or without it no answer"),
    Key("without_smallest.{critical_point,nu,zeta}", "number", "t_c, nu and zeta without the smallest size", when=_CURVES),
    Key("without_smallest.{tau,cutoff_exponent}", "number", "tau and D without the smallest size", when=_EVENTS),
    Key("omega", "number", "Of the corrections to scaling, F(x) + L^−omega G(x)", when=_CURVES, null="without `--corrections`"),
    Key("xmin", "number", "Smallest event that counts", "unit of the column", when=_EVENTS),
    Key("sizes[]", "number", "System sizes L, ascending"),
    Key("n", "integer", "Points of the curves, or events from xmin on"),
    *(
        Key(key.path, key.type, key.meaning, key.unit, when=_EVENTS, null=key.null)
        for key in (_N_CENSORED, _CLUSTER, _RESAMPLES, _SEED)
    ),
    _NOTES,
    _REASONS,
)  # fmt: skip

# Classes and evidence -----------------------------------------------------------------------------------------

_NAMES = (*CLASSES, NONE)
_EVIDENCE = (
    Key("statement", "string", "The most that the evidence allows to say"),
    Key("evidence.grade", "string", "Strength of the evidence of criticality", choices=GRADES),
    Key("evidence.reasons.{for,against,open}[]", "string", "Tests that speak for criticality, against it, or are undecided or not made"),
)  # fmt: skip
_CLASSES = (
    Key("classes[].name", "string", "A universality class, or none of them; the most probable first", choices=_NAMES),
    Key("classes[].probability", "number", "Its probability; over all they sum to 1"),
    Key("classes[].values", "object", "Exponents that the class reads on the window", null="of none, which has no exponents"),
    Key("classes[].values.{tau_s,tau_d,gamma}", "number", "Each of them; of a class that is a curve at the best parameter"),
    Key("classes[].distance", "number", "From the estimate to them, Mahalanobis", "standard errors", null="of none, which has no exponents"),
    Key("classes[].calibrated", "boolean", "Whether its process was run on the window; if not, its values are asymptotic, ± 0.05"),
)  # fmt: skip

_TABLE, _GIVEN = "of a table", "of given exponents"
_CLASSIFY = (
    Key("verdict", "string", "The most probable class", choices=_NAMES),
    *_EVIDENCE,
    *_CLASSES,
    Key("{tau_s,tau_d,gamma}.value", "number", "P(s) ~ s^−tau_s, P(d) ~ d^−tau_d, ⟨s⟩(d) ~ d^gamma; fitted or given"),
    Key("{tau_s,tau_d,gamma}.error", "number", "Standard error as given", when=_GIVEN),
    Key("{tau_s,tau_d,gamma}.{ci_low,ci_high}", "number", "Ends of the 95 % interval", when=_TABLE),
    Key(f"difference.{_VALUE}", "number", f"gamma − (tau_d − 1)/(tau_s − 1), {_INTERVAL}", when=_TABLE),
    Key("window[]", "integer", "First and last duration that is fitted", "steps", when=_TABLE),
    Key("offset", "number", _OFFSET.meaning, _OFFSET.unit, when=_TABLE),
    Key("p_value", "number", "Of the power law of durations", when=_TABLE),
    Key("drift.{value,error}", "number", "Change of the local tau_d over the window, and its standard error", when=_TABLE),
    Key("n", "integer", "Events whose duration lies in the window", "events", when=_TABLE),
    *(
        Key(key.path, key.type, key.meaning, key.unit, when=_TABLE, null=key.null)
        for key in (_N_TOTAL, _N_CENSORED, _CLUSTER, _RESAMPLES, _SEED)
    ),
    _NOTES,
    _REASONS,
)  # fmt: skip

_NO_EXPONENTS = "the avalanches allow no exponents"
_NO_RATIO = "the slopes do not determine m"
_NO_WINDOW = "no complete avalanche, or none long enough for a default window"
_NO_SPIKES = "the recording is of an activity"
_SPIKES = (
    Key("verdict", "string", "The most probable class of the avalanches", choices=_NAMES, null=_NO_EXPONENTS),
    *_EVIDENCE,
    Key("branching.state", "string", "Whether the interval of m lies above 0.99 or below, or the slopes not above those of noise",
        choices=("near 1", "below 1", "undecided", "no memory")),
    Key(f"branching.m.{_VALUE}", "number", f"Branching ratio per step, by multistep regression, {_INTERVAL}", null=_NO_RATIO),
    Key(f"branching.memory.{_VALUE}", "number", f"−step/ln m, {_INTERVAL}", "s", null=f"{_NO_RATIO}; its upper end is infinite where that of m is 1 or more"),
    Key("branching.amplitude", "number", "b of the slopes r_k = b m^k: 1 where all units are seen", null=_NO_RATIO),
    Key("branching.naive", "number", "r_1, the slope of A(t + 1) on A(t)", null="no slopes can be had"),
    Key("branching.step", "number", "Step of the regression", "s"),
    *_CLASSES,
    Key(f"tau_s.{_VALUE}", "number", f"P(s) ~ s^−tau_s, {_INTERVAL}", null=_NO_EXPONENTS),
    Key(f"tau_d.{_VALUE}", "number", f"P(d) ~ d^−tau_d, {_INTERVAL}", null=_NO_EXPONENTS),
    Key(f"gamma.{_VALUE}", "number", f"⟨s⟩(d) ~ d^gamma, {_INTERVAL}", null=_NO_EXPONENTS),
    Key(f"difference.{_VALUE}", "number", f"gamma − (tau_d − 1)/(tau_s − 1), {_INTERVAL}", null=_NO_EXPONENTS),
    Key("p_value", "number", "Of the power law of durations", null=_NO_EXPONENTS),
    Key("decades", "number", "That durations span in the window, up to the fifth largest", "decades", null=_NO_EXPONENTS),
    Key("drift.{value,error}", "number", "Change of the local tau_d over the window, and its standard error", null=_NO_EXPONENTS),
    Key("window[]", "integer", "First and last duration that is fitted", "bins", null=_NO_WINDOW),
    Key(f"shape.growth.{_VALUE}", "number", f"Of mean profiles ~ d^growth f(t/d), {_INTERVAL}; gamma − 1 where they collapse",
        null="no collapse can be made"),
    Key(f"shape.power.{_VALUE}", "number", f"a of f ~ [x (1 − x)]^a, {_INTERVAL}", null="no collapse can be made"),
    Key(f"shape.asymmetry.{_VALUE}", "number", f"First moment of f about 1/2 in units of its width, {_INTERVAL}",
        null="no collapse can be made"),
    Key("shape.spread", "number", "Root mean square distance of the profiles to f, over the mean of f", null="no collapse can be made"),
    Key("shape.misfit", "number", "Mean squared distance in errors, near 1 where noise alone keeps them apart",
        null="no collapse can be made"),
    Key("bins[].bin", "number", "Width of the bins; `bin` and those of its multiples that were tried, ascending", "s"),
    Key("bins[].{n_events,n_censored}", "integer", "Complete and censored avalanches at that width", "events"),
    Key("bins[].window[]", "integer", "First and last duration that is fitted there", "bins", null=_NO_WINDOW),
    Key("bins[].{tau_s,tau_d,gamma}", "number", "Exponents there", null=_NO_EXPONENTS),
    Key("bins[].verdict", "string", "The most probable class there", choices=_NAMES, null=_NO_EXPONENTS),
    Key("bins[].m", "number", "Branching ratio per bin", null=_NO_RATIO),
    Key("bins[].memory", "number", "−bin/ln m", "s", null=_NO_RATIO),
    Key("bins[].reason", "string", "Why the avalanches allow no exponents", null="they do"),
    Key("controls[].name", "string", "How the recording was shuffled",
        choices=("each unit shifted in time", "intervals of each unit shuffled", "bins shuffled")),
    Key("controls[].outcome", "string", "What the same code says of it; it should be rejected", choices=("rejected", "undecided", "passes")),
    Key("controls[].reason", "string", "Why"),
    Key("form", "string", "What the recording holds", choices=("spikes", "raster", "activity")),
    Key("n_units", "integer", "Units recorded", "units", null=_NO_SPIKES),
    Key("n_segments", "integer", "Segments (trials)", "segments"),
    Key("n_spikes", "integer", "Spikes of all units", "spikes", null=_NO_SPIKES),
    Key("rate", "number", "Spikes of the population over the time recorded", "1/s", null=_NO_SPIKES),
    Key("fraction", "number", "Share of the units that was recorded", null="not given"),
    Key("bin", "number", "Width of the bins of the avalanches", "s"),
    Key("bin_rule", "string", "Where it is from", choices=("given", "mean interval between spikes", "step of the recording")),
    Key("threshold", "number", "Avalanches are runs of bins with more than this", "spikes, or unit of the activity"),
    Key("n_events", "integer", "Complete avalanches", "events"),
    Key("n_censored", "integer", "Avalanches under way at an end of a segment, which are left out", "events"),
    Key("error_unit", "string", "What the bootstrap draws", choices=("segments", "blocks")),
    Key("n_error_units", "integer", "How many of them there are"),
    Key("block", "number", "Length of a block", "s", null="segments are drawn"),
    _RESAMPLES,
    _SEED,
    _NOTES,
    _REASONS,
)  # fmt: skip

# The cost of a run --------------------------------------------------------------------------------------------


def _costs(above: str, of: str) -> tuple[Key, ...]:
    return (
        Key(f"{above}jobs", "integer", f"Jobs of {of}", "jobs"),
        Key(f"{above}cpu_hours", "number", "Hours of one core that they take", "h"),
        Key(f"{above}gpu_hours", "number", "Hours of one core for that of their work that goes to a GPU", "h"),
        Key(f"{above}memory", "number", "Memory of the largest job", "MB"),
        Key(f"{above}disk", "number", "What they write", "MB"),
        Key(f"{above}longest_minutes", "number", "Length of the longest job", "min"),
    )


def _outside(above: str, of: str, when: str) -> tuple[Key, ...]:
    return (
        Key(f"{above}jobs", "integer", f"Jobs of {of} whose log holds CPU times", "jobs", when=when),
        Key(f"{above}start_seconds", "number", "CPU time that they take before their work begins", "s", when=when),
        Key(f"{above}cpu_seconds", "number", "CPU time that they take in all", "s", when=when),
        Key(f"{above}share", "number", "start_seconds/cpu_seconds", when=when, null="no CPU time was measured"),
    )


_FROM, _LOGS, _TARGET = "with `--from`", "with `--from`, where logs hold CPU times", "with `--target-minutes`"
_PLAN = (
    *_costs("stages.*.", "a stage, by its rule"),
    *_costs("", "all stages"),
    Key("cores", "integer", "Cores at once", "cores"),
    Key("wall_hours", "number", "The least that so many cores take: cpu_hours/cores, or the longest job", "h"),
    Key("used.*.jobs", "integer", "Jobs of a stage of the finished run that have a benchmark file", "jobs", when=_FROM),
    Key("used.*.{predicted_hours,used_hours}", "number", "Time that they were predicted to take, and took", "h", when=_FROM),
    Key("used.*.ratio", "number", "used_hours/predicted_hours, by which the plan is corrected", when=_FROM),
    Key("used.*.{predicted_memory,used_memory}", "number", "Memory of the largest job, predicted and used", "MB", when=_FROM),
    Key("used.*.memory_ratio", "number", "used_memory/predicted_memory; where above 1 the plan is corrected by it", when=_FROM),
    *_outside("outside.stages.*.", "a stage of the finished run (`snakemake`: its main process)", _LOGS),
    *_outside("outside.", "the finished run", _LOGS),
    Key("target.minutes", "number", "Length of a job that was asked for", "min", when=_TARGET),
    Key("target.block_size", "number", "The `block_size` of such jobs", "unit updates", when=_TARGET),
    Key("target.learning_block_size", "number", "The `learning.block_size` of such jobs", "multiplications", when=_TARGET),
    Key("target.jobs", "integer", "Jobs of the run with these sizes", "jobs", when=_TARGET),
    Key("target.memory", "number", "Memory of the largest block", "MB", when=_TARGET),
    Key("target.longest_minutes", "number", "Length of the longest block", "min", when=_TARGET),
    Key("target.start_share", "number", "Share of the blocks' time that passes before their work begins", when=_TARGET),
    _NOTES,
    _REASONS,
)  # fmt: skip

ANSWERS: Mapping[str, tuple[Key, ...]] = {
    "theory": _THEORY,
    "advise": _ADVISE,
    "record": _RECORD,
    "detect": _DETECT,
    "fit": _FIT,
    "crackling": _CRACKLING,
    "collapse": _COLLAPSE,
    "classify": _CLASSIFY,
    "spikes": _SPIKES,
    "plan": _PLAN,
}
"""The keys of every subcommand's answer."""
