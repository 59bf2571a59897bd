"""``make calibrate``: do the errors cover, are the p-values uniform, which verdicts are false?

Declared cells, each a process whose answer is known, run through ``quasicrit.tails`` as a user would run it.
One job measures one group of cells; every group has generators of its own, so that the numbers do not depend
on what runs when. ``share`` scales the number of replicates (1 for the published table, less for a test).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import ndtr
from scipy.stats import beta, kstest

from quasicrit.avalanches import detect
from quasicrit.reference import autoregressive
from quasicrit.rng import generator
from quasicrit.stages.parts import Parts
from quasicrit.tables import SCHEMAS, atomic_path, read_table, write_table
from quasicrit.tails import (
    Distribution,
    Kind,
    Search,
    Support,
    analyse_tail,
    fit_power_law,
    p_value,
    power_law_cdf,
    search_range,
    search_xmin,
)

__all__ = ["GROUPS", "calibrate_group", "tabulate_calibration", "trust_table"]

Sample = tuple[np.ndarray, np.ndarray | None]
Draw = Callable[[np.random.Generator], Sample]

_MIN_REPLICATES = 10
_RESAMPLES = 500
_REFITS = 199
_INDEPENDENT = (0.93, 0.97)
_DEPENDENT = (0.92, 0.98)
_LARGEST_BIAS = 0.01
_UNIFORM = 0.001
_FALSE, _POWER = 0.05, 0.9


@dataclass(frozen=True)
class Cell:
    """One process and what is measured on it. ``draw`` gives values and, for dependent ones, their clusters."""

    section: str
    label: str
    kind: Kind
    n: int
    replicates: int
    draw: Draw
    alpha: float = math.nan
    xmin: float | None = 1.0
    xmax: float = math.inf
    offset: float = 0.0
    search: Search = "none"
    required: bool = True


# The processes ----------------------------------------------------------------------------------------------


def _law(kind: Kind, alpha: float, xmin: float, xmax: float, n: int) -> Draw:
    law = Distribution("power_law", Support(kind, xmin, xmax), {"alpha": alpha})
    return lambda rng: (law.sample(n, rng), None)


def _repeats(kind: Kind, alpha: float, xmax: float, n: int, chance: float) -> Draw:
    """Each value again with probability ``chance``, until there are n; the draw is the cluster."""
    law = Distribution("power_law", Support(kind, 1.0, xmax), {"alpha": alpha})

    def draw(rng: np.random.Generator) -> Sample:
        times = rng.geometric(1.0 - chance, n)
        count = int(np.searchsorted(np.cumsum(times), n)) + 1
        values = np.repeat(law.sample(count, rng), times[:count])[:n]
        return values, np.repeat(np.arange(count), times[:count])[:n]

    return draw


def _random_effects(kind: Kind, alpha: float, xmax: float, nets: int, correlation: float) -> Draw:
    """Nets of unequal numbers of events, whose sizes share a Gaussian effect; the law of one event is exact.

    x = F^{-1}(Phi(√rho Z_net + √(1 − rho) e)): a Gaussian copula of correlation rho within a net. The numbers
    of events are Poisson about lognormal means (sigma = ½), 40 on average.
    """
    grid = np.arange(1.0, xmax + 1.0) if kind == "discrete" else np.geomspace(1.0, xmax, 4001)
    running = power_law_cdf(grid, alpha, 1.0, xmax, kind=kind)

    def draw(rng: np.random.Generator) -> Sample:
        count = np.maximum(1, rng.poisson(40.0 * rng.lognormal(-0.125, 0.5, nets)))
        net = np.repeat(np.arange(nets), count)
        effect = rng.standard_normal(nets)[net]
        noise = rng.standard_normal(net.size)
        uniform = ndtr(math.sqrt(correlation) * effect + math.sqrt(1.0 - correlation) * noise)
        if kind == "discrete":
            return grid[np.minimum(np.searchsorted(running, uniform), grid.size - 1)], net
        low = xmax ** (1.0 - alpha)
        return (1.0 - uniform * (1.0 - low)) ** (1.0 / (1.0 - alpha)), net

    return draw


def _broken(kind: Kind, n: int) -> Draw:
    """Half of the events uniform on [1, 10), half from a law of exponent 2 above 10."""
    law = Distribution("power_law", Support(kind, 10.0), {"alpha": 2.0})

    def draw(rng: np.random.Generator) -> Sample:
        body = rng.uniform(1.0, 10.0, rng.binomial(n, 0.5))
        return np.concatenate([np.floor(body) if kind == "discrete" else body, law.sample(n - body.size, rng)]), None

    return draw


def _excursions(memory: float, n: int) -> Draw:
    """Durations above the median of an AR(1) process, the first n that are complete."""

    def draw(rng: np.random.Generator) -> Sample:
        found: list[np.ndarray] = []
        while sum(map(len, found)) < n:
            signal = autoregressive(memory, 40, 4000, rng)
            events = detect(signal, 0.0, "drop")
            found.append(events.duration[events.censored == 0])
        return np.concatenate(found)[:n].astype(np.float64), None

    return draw


_N_VERDICT = 5000
_IMPOSTORS: Mapping[str, tuple[Kind, float, Draw]] = {
    "lognormal, sigma 1": ("continuous", 0.0, lambda rng: (rng.lognormal(0.0, 1.0, _N_VERDICT), None)),
    "lognormal, sigma 2": ("continuous", 0.0, lambda rng: (rng.lognormal(0.0, 2.0, _N_VERDICT), None)),
    "exponential, mean 10": ("continuous", 0.0, lambda rng: (rng.exponential(10.0, _N_VERDICT), None)),
    "stretched exponential, beta .5": ("continuous", 0.0, lambda rng: (rng.weibull(0.5, _N_VERDICT), None)),
    "Weibull, shape .7": ("continuous", 0.0, lambda rng: (rng.weibull(0.7, _N_VERDICT), None)),
    "gamma, shape .5": ("continuous", 0.0, lambda rng: (rng.gamma(0.5, 1.0, _N_VERDICT), None)),
    "two exponentials, 1 : 10": (
        "continuous",
        0.0,
        lambda rng: (rng.exponential(1.0, _N_VERDICT) * np.where(rng.random(_N_VERDICT) < 0.5, 1.0, 10.0), None),
    ),
    "AR(1) excursions, memory 10": ("discrete", 0.5, _excursions(10.0, _N_VERDICT)),
    "AR(1) excursions, memory 30": ("discrete", 0.5, _excursions(30.0, _N_VERDICT)),
}
_ROUTES: Mapping[Search, str] = {"none": "all events", "xmin": "xmin searched", "range": "range searched"}
_KINDS: tuple[Kind, ...] = ("discrete", "continuous")


def _independent(kind: Kind, alpha: float) -> tuple[Cell, ...]:
    return tuple(
        Cell(
            "independent", f"{kind}, alpha {alpha:g}", kind, n, 2000, _law(kind, alpha, 1.0, xmax, n), alpha, 1.0, xmax
        )
        for xmax in (100.0, 1000.0, math.inf)
        for n in (500, 2000, 20_000)
        if not (kind == "discrete" and alpha == 1.2 and math.isinf(xmax))
    )


def _dependent(kind: Kind) -> tuple[Cell, ...]:
    cells = [
        Cell(
            "dependent",
            f"{kind}, alpha {alpha:g}, repeated with probability {chance:g}",
            kind,
            2000,
            2000,
            _repeats(kind, alpha, xmax, 2000, chance),
            alpha,
            1.0,
            xmax,
        )
        for alpha, xmax in ((1.5, 1000.0), (2.5, math.inf))
        for chance in (0.5, 0.9)
    ]
    cells += [
        Cell(
            "dependent",
            f"{kind}, alpha 1.5, {nets} nets with random effects, correlation {correlation:g}",
            kind,
            40 * nets,
            2000,
            _random_effects(kind, 1.5, 1000.0, nets, correlation),
            1.5,
            1.0,
            1000.0,
        )
        for nets in (50, 200)
        for correlation in (0.3,)
    ]
    return tuple(cells)


def _p_cell(label: str, kind: Kind, draw: Draw, xmax: float = math.inf, search: Search = "none", **more: Any) -> Cell:
    return Cell("p_value", label, kind, 1000, 500, draw, xmax=xmax, search=search, **more)


_P_CELLS: Mapping[str, Cell] = {
    "p-continuous": _p_cell(
        "continuous, alpha 1.5, [1, 100]", "continuous", _law("continuous", 1.5, 1.0, 100.0, 1000), 100.0
    ),
    "p-discrete": _p_cell("discrete, alpha 2, open", "discrete", _law("discrete", 2.0, 1.0, math.inf, 1000)),
    "p-clusters": _p_cell(
        "continuous, alpha 1.5, [1, 1000], repeated with probability .5, by clusters",
        "continuous",
        _repeats("continuous", 1.5, 1000.0, 1000, 0.5),
        1000.0,
    ),
    "p-xmin-continuous": _p_cell(
        "continuous, exponent 2 above 10, xmin searched", "continuous", _broken("continuous", 1000), search="xmin"
    ),
    "p-xmin-discrete": _p_cell(
        "discrete, exponent 2 above 10, xmin searched", "discrete", _broken("discrete", 1000), search="xmin"
    ),
    "p-range": _p_cell(
        "continuous, alpha 1.5 on [1, 100], range searched",
        "continuous",
        _law("continuous", 1.5, 1.0, 100.0, 1000),
        search="range",
    ),
}


def _verdict_cells(section: str, search: Search) -> tuple[Cell, ...]:
    replicates = 400 if search == "none" else 200
    if section == "false verdict":
        return tuple(
            Cell(section, name, kind, _N_VERDICT, replicates, draw, xmin=None, offset=offset, search=search)
            for name, (kind, offset, draw) in _IMPOSTORS.items()
        )
    # Required of the fixed range; a search may stop short of it, and what that costs is reported.
    return tuple(
        Cell(
            section,
            f"{kind}, alpha {alpha:g} on [1, 100]",
            kind,
            _N_VERDICT,
            1000 if search == "none" else 200,
            _law(kind, alpha, 1.0, 100.0, _N_VERDICT),
            alpha,
            None if search == "xmin" else 1.0,
            100.0,
            search=search,
            required=search == "none",
        )
        for kind in _KINDS
        for alpha in (1.5, 2.0, 2.5)
    )


GROUPS: Mapping[str, tuple[Cell, ...]] = {
    **{f"{kind}-{alpha:g}": _independent(kind, alpha) for kind in _KINDS for alpha in (1.2, 1.5, 2.0, 2.5, 3.5)},
    **{f"dependent-{kind}": _dependent(kind) for kind in _KINDS},
    **{name: (cell,) for name, cell in _P_CELLS.items()},
    **{f"false-{search}": _verdict_cells("false verdict", search) for search in _ROUTES},
    **{f"power-{search}": _verdict_cells("power", search) for search in _ROUTES},
}
"""The declared cells, by the job that measures them."""


# The measurements -------------------------------------------------------------------------------------------


def calibrate_group(group: str, share: float, seed: int, out: Path | str, details: Mapping[str, Any]) -> None:
    """Measure the cells of one group and write them as a table ``calibration``."""
    measure = {
        "independent": _coverage,
        "dependent": _coverage,
        "p_value": _uniformity,
        "false verdict": _verdicts,
        "power": _verdicts,
    }

    def measured(cell: Cell) -> dict[str, Any]:
        replicates = max(_MIN_REPLICATES, round(share * cell.replicates))
        rng = generator(seed, "calibration", group, cell.label, f"{cell.xmax:g}", cell.n)
        common = {
            "section": cell.section,
            "cell": cell.label,
            "kind": cell.kind,
            "alpha": None if math.isnan(cell.alpha) else cell.alpha,
            "xmax": cell.xmax,
            "n": cell.n,
            "search": cell.search,
            "replicates": replicates,
        }
        return {"rows": [common | row for row in measure[cell.section](cell, replicates, rng)]}

    with Parts(out, group, share, seed, details) as parts:
        made = [parts.keep(str(index), partial(measured, cell)) for index, cell in enumerate(GROUPS[group])]
        write_table(out, SCHEMAS["calibration"], [row for piece in made for row in piece["rows"]], details)


def _row(measure: str, value: float, low: float, high: float, bounds: tuple[float | None, float | None]) -> dict:
    """``bounds`` are what is required; a value with its 95 % interval (low, high)."""
    least, most = bounds
    holds = (least is None or value >= least) and (most is None or value <= most)
    return {
        "measure": measure,
        "value": value,
        "ci_low": low,
        "ci_high": high,
        "required_low": least,
        "required_high": most,
        "holds": holds if (least is not None or most is not None) else None,
    }


def _share(measure: str, count: int, of: int, bounds: tuple[float | None, float | None] = (None, None)) -> dict:
    """A share with its Clopper–Pearson interval."""
    low = float(beta.ppf(0.025, count, of - count + 1)) if count else 0.0
    high = float(beta.ppf(0.975, count + 1, of - count)) if count < of else 1.0
    return _row(measure, count / of, low, high, bounds)


def _coverage(cell: Cell, replicates: int, rng: np.random.Generator) -> Iterator[dict]:
    dependent = cell.section == "dependent"
    made = []
    covered: Counter[str] = Counter()
    for _ in range(replicates):
        values, clusters = cell.draw(rng)
        seed = int(rng.integers(1 << 62))
        for interval in ("student", "percentile", "bca") if dependent else ("student",):
            fit = fit_power_law(
                values,
                kind=cell.kind,
                xmin=cell.xmin,
                xmax=cell.xmax,
                clusters=clusters,
                n_resamples=_RESAMPLES,
                interval=interval,
                # The same resamples for each kind of interval.
                rng=generator(seed, "resamples"),
            )
            covered[interval] += fit.ci_low <= cell.alpha <= fit.ci_high
        made.append(fit.exponent)
    error = float(np.std(made, ddof=1)) / math.sqrt(replicates)
    bias = float(np.mean(made)) - cell.alpha
    limit = _LARGEST_BIAS if cell.n >= 2000 and not dependent else None
    yield _row("bias", bias, bias - 1.96 * error, bias + 1.96 * error, (limit and -limit, limit))
    yield _share("coverage", covered["student"], replicates, _DEPENDENT if dependent else _INDEPENDENT)
    if dependent:
        yield _share("coverage, percentile", covered["percentile"], replicates)
        yield _share("coverage, BCa", covered["bca"], replicates)


def _uniformity(cell: Cell, replicates: int, rng: np.random.Generator) -> Iterator[dict]:
    found = np.empty(replicates)
    for index in range(replicates):
        values, clusters = cell.draw(rng)
        xmin, xmax = cell.xmin, cell.xmax
        if cell.search == "xmin":
            xmin = search_xmin(values, kind=cell.kind).xmin
        elif cell.search == "range":
            chosen = search_range(values, kind=cell.kind)
            xmin, xmax = chosen.xmin, chosen.xmax
        fit = fit_power_law(values, kind=cell.kind, xmin=xmin, xmax=xmax)
        found[index] = p_value(values, fit, clusters=clusters, search=cell.search, n_resamples=_REFITS, rng=rng)
    uniform = float(kstest(found, "uniform").pvalue)
    yield _row("uniform", uniform, uniform, uniform, (_UNIFORM, None))
    for level in (0.05, 0.1, 0.5):
        yield _share(f"p at most {level:g}", int(np.count_nonzero(found <= level + 1e-9)), replicates)


def _verdicts(cell: Cell, replicates: int, rng: np.random.Generator) -> Iterator[dict]:
    found: Counter[str] = Counter()
    for _ in range(replicates):
        values, _clusters = cell.draw(rng)
        analysis = analyse_tail(
            values,
            kind=cell.kind,
            xmin=cell.xmin,
            xmax=cell.xmax,
            offset=cell.offset,
            search=cell.search,
            n_resamples=_REFITS,
            rng=rng,
        )
        found[analysis.verdict.verdict] += 1
    bounds = (None, _FALSE) if cell.section == "false verdict" else (_POWER if cell.required else None, None)
    for verdict in ("power_law", "cutoff", "undecided", "rejected"):
        yield _share(verdict, found[verdict], replicates, bounds if verdict == "power_law" else (None, None))


# The tables -------------------------------------------------------------------------------------------------


def tabulate_calibration(
    groups: Sequence[Path | str], table: Path | str, text: Path | str, details: Mapping[str, Any]
) -> None:
    """Join the groups to one table, and to one page for people."""
    columns = [field.name for field in SCHEMAS["calibration"]]
    frames = [read_table(path, SCHEMAS["calibration"]) for path in groups]
    rows = [row for frame in frames for row in frame[columns].to_dict("records")]
    write_table(table, SCHEMAS["calibration"], [_without_nan(row) for row in rows], details)
    with atomic_path(text) as path:
        path.write_text(_page(rows), encoding="utf-8")


def _without_nan(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: None if value is None or (isinstance(value, float) and math.isnan(value)) else value
        for name, value in row.items()
    }


def _page(rows: Sequence[Mapping[str, Any]]) -> str:
    parts = ["# Calibration of quasicrit.tails", "", trust_table(rows), ""]
    for section, title in (
        ("independent", "Independent events, fixed range: every cell"),
        ("dependent", "Dependent events"),
        ("p_value", "p-values under the null"),
        ("false verdict", "Verdicts on what is no power law"),
        ("power", "Verdicts on power laws"),
    ):
        chosen = [row for row in rows if row["section"] == section]
        parts += [
            f"## {title}",
            "",
            "| cell | xmax | n | search | measure | value | 95 % interval | required | holds |",
        ]
        parts += ["|---|---|---|---|---|---|---|---|---|"]
        for row in chosen:
            least, most = (_number(row[name]) for name in ("required_low", "required_high"))
            required = "" if not (least or most) else f"{least or '−∞'} to {most or '∞'}"
            holds = "" if row["holds"] is None else ("yes" if row["holds"] else "**no**")
            interval = f"{row['ci_low']:.4f} to {row['ci_high']:.4f}"
            parts.append(
                f"| {row['cell']} | {row['xmax']:g} | {row['n']} | {row['search']} | {row['measure']} | {row['value']:.4f} | "
                f"{interval} | {required} | {holds} |"
            )
        parts.append("")
    return "\n".join(parts)


def _number(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:g}"


def trust_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The table of docs/trust.md: the worst of each kind of cell, with what is required."""

    def chosen(section: str, measure: str, **where: Any) -> list[Mapping[str, Any]]:
        return [
            row
            for row in rows
            if row["section"] == section
            and row["measure"] == measure
            and all(row[name] == value for name, value in where.items())
        ]

    lines = ["| what | cells | measured | required |", "|---|---|---|---|"]

    def add(what: str, found: Sequence[Mapping[str, Any]], required: str) -> None:
        values = [f"{100 * value:.1f}" for value in sorted(row["value"] for row in found)]
        if values:
            span = values[0] if values[0] == values[-1] else f"{values[0]} to {values[-1]}"
            lines.append(f"| {what} | {len(values)} | {span} % | {required} |")

    bias = [abs(row["value"]) for row in chosen("independent", "bias") if row["n"] >= 2000]
    if bias:
        lines.append(f"| largest bias of alpha, n ≥ 2000 | {len(bias)} | {max(bias):.4f} | below {_LARGEST_BIAS:g} |")
    for kind in _KINDS:
        found = chosen("independent", "coverage", kind=kind)
        add(f"coverage of 95 % intervals, independent, {kind}", found, "93 to 97 %")
    for measure, name, required in (
        ("coverage", "exponent ± t · s.d. (default)", "92 to 98 %"),
        ("coverage, percentile", "percentile", ""),
        ("coverage, BCa", "BCa", ""),
    ):
        add(f"coverage over clusters, {name}", chosen("dependent", measure), required)
    for row in chosen("p_value", "uniform"):
        tenth = chosen("p_value", "p at most 0.1", cell=row["cell"])[0]["value"]
        lines.append(
            f"| p under the null: {row['cell']} | 1 | Kolmogorov–Smirnov p {row['value']:.3f}; {100 * tenth:.1f} % at "
            f"most .1 | above {_UNIFORM:g}; 10 % |"
        )
    for search, route in _ROUTES.items():
        add(
            f"false verdict “power_law”, {route}",
            chosen("false verdict", "power_law", search=search),
            f"at most {100 * _FALSE:.0f} %",
        )
    for search, route in _ROUTES.items():
        add(
            f"verdict “power_law” on true laws over two decades, {route}",
            chosen("power", "power_law", search=search),
            f"at least {100 * _POWER:.0f} %" if search == "none" else "",
        )
    return "\n".join(lines)
