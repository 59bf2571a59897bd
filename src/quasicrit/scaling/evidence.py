"""How strong is the evidence? Rules that are written down and applied by code.

Exponents in a window prove little: a process with a finite memory satisfies the crackling relation inside it, and
a walk without drift has the exponents of a Brownian excursion. Each ``Finding`` is one test that speaks for
criticality, against it, or was not made. The grade follows from them:

| grade | what it takes |
|---|---|
| none | something speaks against: the class is "none", the cut-off does not grow with size, the law is rejected, the relation is broken, a control passes as well, or the branching ratio (of spikes) is below 1 |
| consistent with | nothing speaks against; exponents of a class over 1.5 decades; growth with size or controls not tested, or p in doubt |
| supported | besides, alternatives were tried, the cut-off is known to grow with size, and all controls are rejected |
| strong | besides, two decades, profiles collapse, the answer is stable over thresholds and windows, and surrogates with the same spectrum differ |
| undecided | no class reaches a probability of ½, or less than 1.5 decades, or the relation or the branching ratio (of spikes) is undecided |

The excursions of a Gaussian walk have no more to them than its increments: unless phase-randomised or increment-shuffled
surrogates are known to give other exponents, the statement about a Brownian class of probability ½ or more is "Brownian
excursion, indistinguishable from a Gaussian walk", whatever the grade.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from quasicrit.scaling.classes import CLASSES, NONE, ClassPosterior, ClassProbability
from quasicrit.scaling.crackling import Estimate, relation_holds

__all__ = ["GRADES", "Evidence", "Finding", "Grade", "grade_evidence"]

Grade = Literal["none", "undecided", "consistent with", "supported", "strong"]
GRADES: tuple[Grade, ...] = ("none", "undecided", "consistent with", "supported", "strong")
"""From the least to the most."""

Topic = Literal[
    "law",
    "decades",
    "alternatives",
    "relation",
    "class",
    "shape",
    "growth",
    "controls",
    "stability",
    "surrogates",
    "branching",
]
_ESSENTIAL: tuple[Topic, ...] = ("law", "alternatives", "relation", "class", "growth", "controls", "branching")
#: What the avalanches of a part of the units cannot refute of the whole.
_BIASED: tuple[Topic, ...] = ("law", "alternatives", "relation", "class", "shape", "stability")
_MIN_DECADES, _MANY_DECADES = 1.5, 2.0
#: A law passes above the first, is in doubt below, and is rejected below the second.
_MIN_P_VALUE, _REJECTED_P_VALUE = 0.1, 0.01
_LIKELY = 0.5
#: The most that an exponent may change over a window, and the 95 % quantile of the normal law.
_MAX_DRIFT, _ONE_SIDED = 0.4, 1.645


@dataclass(frozen=True)
class Finding:
    """One test: ``speaks`` True for criticality, False against, None undecided or not made; with its sentence."""

    topic: Topic
    speaks: bool | None
    sentence: str


@dataclass(frozen=True)
class Evidence:
    """The grade, the statement that it allows, and every finding."""

    grade: Grade
    statement: str
    findings: tuple[Finding, ...]

    def reasons(self, speaks: bool | None) -> tuple[str, ...]:
        """The sentences for (True), against (False), or open (None)."""
        return tuple(finding.sentence for finding in self.findings if finding.speaks is speaks)


def grade_evidence(
    posterior: ClassPosterior,
    *,
    decades: float,
    p_value: float | None = None,
    drift: tuple[float, float] | None = None,
    favoured: Iterable[str] | None = None,
    difference: Estimate | None = None,
    tolerance: float = 0.1,
    shape_collapses: bool | None = None,
    shape: str = "",
    cutoff_grows: bool | None = None,
    growth: str = "",
    controls_rejected: tuple[int, int] | None = None,
    controls_undecided: int = 0,
    same_class: tuple[int, int] | None = None,
    varied: str = "thresholds, size definitions and windows",
    surrogates_differ: bool | None = None,
    branching: Finding | None = None,
    subsampled: float | None = None,
) -> Evidence:
    """Grade a claim of criticality; None means that a test was undecided or not made.

    ``decades``: of duration that the fit spans. ``p_value``: of the power law of durations, corrected for a search;
    ``drift``: change of its exponent over the window, with standard error. Many events reject every law on a finite
    window, so that a small p alone does not speak against where the drift is known to be below .4 (exact processes read up to
    .25 on their windows, signals of a short memory .7 and more). ``favoured``: alternatives without a cut-off to spare
    (not nested) that beat it. ``difference``: gamma − (tau_d − 1)/(tau_s − 1), judged with ``relation_holds`` after the
    difference that the most probable class itself has on the window is taken off, where that was measured: so
    the relation and the class are one test with two limits, and the sentence gives the difference as it was measured.
    ``shape_collapses``: profiles of different durations fall on one curve (``shape`` says how closely). ``cutoff_grows``: with size (``growth`` says how it was measured and
    what the class demands). ``controls_rejected``: how many of how many, of which ``controls_undecided``
    were neither rejected nor passed. ``same_class``: under how many of how many other thresholds, size definitions and
    windows (``varied``) the class is the same (all: stable). ``surrogates_differ``: from surrogates with the same spectrum or increments.
    ``branching``: of spikes, what the branching ratio says. ``subsampled``: the share of the units that was seen, below 1:
    avalanches then read other exponents than those of the whole, so that they cannot speak against it.
    """
    best = posterior.classes[0]
    findings = [
        _law(p_value, drift),
        Finding(
            "decades",
            decades >= _MIN_DECADES or None,
            f"Durations span {decades:.2f} decades, {'at least' if decades >= _MIN_DECADES else 'below'} the "
            f"{_MIN_DECADES:g} required.",
        ),
        _alternatives(None if favoured is None else tuple(favoured)),
        _relation(difference, best, tolerance),
        _class(posterior),
        _tested("shape", shape_collapses, "Mean profiles of different durations", "collapse", "do not collapse", shape),
        _growth(cutoff_grows, growth),
        _controls(controls_rejected, controls_undecided),
        _stability(same_class, varied),
        _tested(
            "surrogates",
            surrogates_differ,
            "Surrogates of the signal",
            "give other exponents",
            "give the same exponents",
        ),
    ]
    if branching is not None:
        findings.append(branching)
    if subsampled is not None and subsampled < 1.0:
        findings = [_of_a_part(finding, subsampled) for finding in findings]
    by_topic = {finding.topic: finding.speaks for finding in findings}
    walk = best.name in ("brownian_excursion", "gaussian_signal")
    if any(by_topic.get(topic) is False for topic in _ESSENTIAL):
        grade: Grade = "none"
    elif any(by_topic.get(topic, True) is None for topic in ("class", "decades", "relation", "branching")):
        grade = "undecided"
    elif any(by_topic[topic] is None for topic in ("law", "alternatives", "growth", "controls")):
        grade = "consistent with"
    elif decades >= _MANY_DECADES and by_topic["shape"] and by_topic["stability"] and by_topic["surrogates"]:
        grade = "strong"
    else:
        grade = "supported"
    plain_walk = walk and best.probability >= _LIKELY and surrogates_differ is not True
    return Evidence(grade, _statement(grade, best.label, best.name, plain_walk), tuple(findings))


def _statement(grade: Grade, label: str, name: str, plain_walk: bool) -> str:
    if plain_walk and grade != "none":
        return f"{label}, indistinguishable from a Gaussian walk"
    if grade == "none":
        return "no evidence of criticality" if name == NONE else f"no evidence of criticality (nearest class: {label})"
    if grade == "undecided":
        return "undecided"
    if grade == "consistent with":
        return f"consistent with: {label}"
    return f"{label}: {'supported' if grade == 'supported' else 'strong evidence'}"


def _law(p: float | None, drift: tuple[float, float] | None) -> Finding:
    if p is None:
        return Finding("law", None, "The goodness of fit of the power law was not tested.")
    if p > _MIN_P_VALUE:
        return Finding("law", True, f"The power law of durations passes (p = {p:.2g}).")
    if drift is not None and abs(drift[0]) + _ONE_SIDED * drift[1] < _MAX_DRIFT:
        return Finding(
            "law",
            True,
            f"The power law of durations is rejected (p = {p:.2g}), but its exponent changes by only {drift[0]:.2f} ± "
            f"{drift[1]:.2f} over the window, as that of exact processes does.",
        )
    by = "" if drift is None else f"; its exponent changes by {drift[0]:.2f} ± {drift[1]:.2f}"
    if p > _REJECTED_P_VALUE:
        return Finding(
            "law", None, f"The power law of durations is in doubt (p = {p:.2g}{by}): one true law in ten has such a p."
        )
    return Finding("law", False, f"The power law of durations is rejected (p = {p:.2g}{by}).")


def _alternatives(favoured: tuple[str, ...] | None) -> Finding:
    if favoured is None:
        return Finding("alternatives", None, "No alternative to the power law was tried.")
    if favoured:
        names = ", ".join(name.replace("_", " ") for name in favoured)
        return Finding("alternatives", False, f"Favoured over the power law: {names}.")
    return Finding("alternatives", True, "No alternative is favoured over the power law.")


def _relation(difference: Estimate | None, best: ClassProbability, tolerance: float) -> Finding:
    if difference is None:
        return Finding("relation", None, "The crackling relation was not tested.")
    expected = 0.0
    note = ""
    if best.values is not None and best.calibrated:
        tau_s, tau_d, gamma = best.values
        if tau_s <= 1.0:
            return Finding(
                "relation",
                None,
                f"The crackling relation cannot be tested: on this window the class reads tau_s = {tau_s:.2f}, and the prediction "
                "(tau_d − 1)/(tau_s − 1) has a pole at 1.",
            )
        expected = gamma - (tau_d - 1.0) / (tau_s - 1.0)
        note = f", {expected:.3f} of it what the most probable class reads on this window"
    rest = Estimate(*(value - expected for value in (difference.value, difference.ci_low, difference.ci_high)))
    holds = relation_holds(rest, tolerance)
    word = {True: "holds within its tolerance", False: "is broken", None: "is undecided"}[holds]
    return Finding(
        "relation",
        holds,
        f"The crackling relation {word} (gamma − prediction = {difference.value:.3f} [{difference.ci_low:.3f}, "
        f"{difference.ci_high:.3f}]{note}).",
    )


def _class(posterior: ClassPosterior) -> Finding:
    best = posterior.classes[0]
    if best.name == NONE:
        nearest = min((entry for entry in posterior.classes if entry.name in CLASSES), key=lambda e: e.distance or 0.0)
        return Finding(
            "class",
            False,
            f"No class has these exponents (probability of none {best.probability:.2g}; nearest {nearest.label}, "
            f"{nearest.distance:.1f} standard errors away).",
        )
    marked = "" if best.calibrated else ", not calibrated on this window"
    likely = best.probability >= _LIKELY
    return Finding(
        "class", likely or None, f"Most probable class: {best.label} (probability {best.probability:.2g}{marked})."
    )


def _growth(grows: bool | None, how: str) -> Finding:
    text = f" ({how})" if how else ""
    if grows is None:
        return Finding(
            "growth",
            None,
            f"Growth of the cut-off with size is undecided{text}."
            if how
            else "Growth of the cut-off with size was not tested.",
        )
    verb = "grows with size" if grows else "does not grow with size"
    return Finding("growth", grows, f"The cut-off {verb}{text}.")


def _controls(rejected: tuple[int, int] | None, undecided: int) -> Finding:
    if rejected is None:
        return Finding("controls", None, "No controls were run through the same code.")
    count, of = rejected
    passed = of - count - undecided
    rest = ", ".join(
        f"{number} {word}" for number, word in ((undecided, "undecided"), (passed, "pass as well")) if number
    )
    return Finding(
        "controls",
        False if passed else None if undecided else True,
        f"{count} of {of} controls are rejected by the same code{f' ({rest})' if rest else ''}.",
    )


def _of_a_part(finding: Finding, share: float) -> Finding:
    """What speaks against, where the avalanches of a part of the units cannot."""
    if finding.speaks is not False or finding.topic not in _BIASED:
        return finding
    return Finding(
        finding.topic, None, f"{finding.sentence} With {100 * share:.3g} % of the units seen this may be bias."
    )


def _stability(same: tuple[int, int] | None, varied: str) -> Finding:
    if same is None:
        return Finding("stability", None, f"Other {varied} were not tried.")
    count, of = same
    return Finding(
        "stability",
        count == of,
        f"{count} of {of} other {varied} give the same class.",
    )


def _tested(topic: Topic, answer: bool | None, subject: str, yes: str, no: str, how: str = "") -> Finding:
    text = f" ({how})" if how else ""
    if answer is None:
        return Finding(topic, None, f"{subject}: {'undecided' if how else 'not tested'}{text}.")
    return Finding(topic, answer, f"{subject} {yes if answer else no}{text}.")
