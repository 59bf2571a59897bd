"""Rules report_claims and report_run: the pages of the report, each one HTML file that needs no other."""

from __future__ import annotations

import html
import platform
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from markdown_it import MarkdownIt

from quasicrit.tables import SCHEMAS, atomic_path, read_table

__all__ = ["CLAIMS", "claim_sections", "claims_page", "run_page"]

#: What the paper says (arXiv:2509.22649, in our words), and the command that makes the numbers again.
CLAIMS: Mapping[str, tuple[str, str]] = {
    "P1": ("Avalanche durations and sizes follow power laws, tau_d = 1.53 and tau_s = 1.34.", "make figures"),
    "P2": ("The exponents obey the crackling-noise relation.", "make figures"),
    "P3": ("Under inputs networks are quasi-critical: a ridge of susceptibility, and cut-offs that stay finite.", "make figures"),
    "P4": ("Maximal susceptibility predicts learning better than closeness to the critical point.", "make figures"),
    "P5": ("Finite-size scaling finds universality classes: Barkhausen noise, directed percolation.", "make figures"),
    "P6": ("Residual networks show avalanches with gamma near 2.", "make figures"),
    "P7": ("Networks can be engineered: initialisations by theory learn better.", "make figures"),
    "P8": ("The same equations hold for avalanches in living brains.", "make figures"),
}  # fmt: skip
_LIBRARIES = (
    "quasicrit",
    "snakemake",
    "numpy",
    "scipy",
    "numba",
    "pandas",
    "pyarrow",
    "torch",
    "scikit-learn",
    "matplotlib",
    "seaborn",
)
_STYLE = """
body { font: 14px/1.5 system-ui, sans-serif; color: #1a1a1a; max-width: 1400px; margin: 1.5em auto; padding: 0 1.2em; }
h1 { font-size: 1.5em; } h2 { font-size: 1.15em; margin-top: 1.4em; }
table { border-collapse: collapse; font-size: 12.5px; margin: .6em 0; }
th, td { text-align: left; vertical-align: top; padding: .25em .7em .25em 0; border-bottom: 1px solid #e2e2e2; }
th { border-bottom: 1.5px solid #777; } td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; } td.n { white-space: nowrap; }
td p { margin: 0; }
details { border-top: 1px solid #ccc; padding: .4em 0; } summary { cursor: pointer; font-weight: 600; padding: .2em 0; }
code, pre { font: 12.5px/1.4 ui-monospace, monospace; } pre { background: #f6f6f6; padding: .8em; overflow-x: auto; }
.wide { overflow-x: auto; }
"""


def claims_page(summary: Path | str, verdicts: Path | str, out: Path | str) -> None:
    """Write the claims as a page: one line for each, every number below it, then the rest of ``summary`` (Markdown).

    The difference from the paper is (ours − paper)/error with error = (ci_high − ci_low)/3.92, the normal width of a 95 %
    interval. Raises TableError for a verdicts table that is missing or damaged.
    """
    frame = read_table(verdicts, SCHEMAS["verdicts"])
    text = Path(summary).read_text(encoding="utf-8")
    sections, own = _sections(text), claim_sections(text)
    shown = [claim for claim in CLAIMS if claim in own]
    lines = [
        "<h1>Claims of arXiv:2509.22649 against this run</h1>",
        "<p>Intervals are 95 %. Exponents inside a short window, and a crackling relation, are no evidence of criticality by themselves: "
        "read them beside the controls, which go through the same code, and beside the grades of evidence.</p>",
        _html_table(
            [
                "",
                "what&nbsp;the&nbsp;paper&nbsp;says&nbsp;(in&nbsp;our&nbsp;words)",
                "what this run says",
                "numbers",
                "made by",
            ],
            [
                [
                    f"<b>{claim}</b>",
                    html.escape(CLAIMS[claim][0]),
                    _paragraph(own[claim][1]),
                    str(int((frame["claim"].astype(str) == claim).sum())),
                    f"<code>{CLAIMS[claim][1]}</code>",
                ]
                for claim in shown
            ],
            numbers={3},
        ),
        "<h2>Every number</h2>",
    ]
    for claim in shown:
        rows = frame[frame["claim"].astype(str) == claim]
        lines.append(_details(own[claim][0], _numbers(rows)))
    lines.append("<h2>Classes, controls, and how the answers move</h2>")
    lines += [_details(title, _markdown(body)) for title, body in sections if title.split(".")[0] not in own]
    _write(out, "Claims", lines)


def run_page(
    configuration: Mapping[str, Any],
    benchmarks: Path | str,
    tables: Mapping[str, tuple[str, str, str, str]],
    out: Path | str,
) -> None:
    """Write how the numbers were made: time and memory by stage, versions, configuration, calibration and speed.

    ``tables``: heading → a Markdown file; the command that makes it; a page and the name of the mark in it (written by the same command)
    that holds what is shown where the file is missing.
    """
    lines = ["<h1>How the numbers were made</h1>", "<h2>Time and memory by stage</h2>", _stages(Path(benchmarks))]
    lines += ["<h2>Versions</h2>", _html_table(["", ""], [["Python", platform.python_version()], *_versions()])]
    for heading, (name, command, page, mark) in tables.items():
        path = Path(name)
        lines.append(f"<h2>{html.escape(heading)}</h2>")
        if path.is_file():
            lines.append(_details(path.name, _markdown(path.read_text(encoding="utf-8"))))
        else:
            lines.append(
                f"<p>Not made in this folder (<code>{html.escape(command)}</code> makes it); as it came with this version:</p>"
            )
            lines.append(_details(f"docs/{Path(page).name}", _markdown(_marked(Path(page), mark))))
    text = yaml.safe_dump(dict(configuration), sort_keys=False, allow_unicode=True, default_flow_style=None, width=120)
    lines.append("<h2>Configuration</h2>" + _details("every key with its value", f"<pre>{html.escape(text)}</pre>"))
    _write(out, "The run", lines)


def claim_sections(text: str) -> dict[str, tuple[str, str]]:
    """Of a run's summary (Markdown) the title and the body of every claim; a body begins with a paragraph that says what was found."""
    return {title.split(".")[0]: (title, body) for title, body in _sections(text) if re.match(r"P\d+\.", title)}


def _marked(page: Path, mark: str) -> str:
    """What a page holds between the two marks of that name."""
    _, begins, rest = page.read_text(encoding="utf-8").partition(f"<!-- {mark}:")
    return rest.partition("-->")[2].partition(f"<!-- end of {mark} -->")[0] if begins else ""


def _sections(text: str) -> list[tuple[str, str]]:
    """(title, body) of every heading of the second level."""
    parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    return [(title.strip(), body.strip()) for title, body in zip(parts[1::2], parts[2::2])]


def _paragraph(body: str) -> str:
    """The first paragraph of a section as HTML."""
    return _markdown(body.split("\n\n")[0])


def _markdown(text: str) -> str:
    return f'<div class="wide">{MarkdownIt("commonmark", {"html": False}).enable("table").render(text)}</div>'


def _numbers(rows: pd.DataFrame) -> str:
    heads = [
        "quantity",
        "ours",
        "95 % interval",
        "paper",
        "difference in standard errors",
        "class (probability)",
        "grade of evidence",
        "controls",
        "finding",
    ]
    cells = []
    for row in rows.itertuples(index=False):
        known = pd.notna(row.ci_low) and pd.notna(row.ci_high)
        error = (row.ci_high - row.ci_low) / 3.92 if known else float("nan")
        away = (row.ours - row.paper) / error if pd.notna(row.paper) and error > 0 else float("nan")
        cells.append(
            [
                html.escape(str(row.quantity)),
                _number(row.ours),
                f"{_number(row.ci_low)} to {_number(row.ci_high)}" if known else "",
                _number(row.paper),
                f"{away:+.1f}".replace("-", "−") if pd.notna(away) else "",
                f"{html.escape(str(row.verdict))} ({row.probability:.2g})" if pd.notna(row.probability) else "",
                html.escape(str(row.grade)) if pd.notna(row.grade) else "",
                html.escape(str(row.controls)),
                html.escape(str(row.sentence)),
            ]
        )
    return f'<div class="wide">{_html_table(heads, cells, numbers={1, 2, 3, 4})}</div>'


def _number(value: Any) -> str:
    if pd.isna(value):
        return ""
    text = f"{value:.3f}" if 1e-3 <= abs(value) < 1e4 or value == 0 else f"{value:.3g}"
    return text.replace("-", "−")


def _stages(folder: Path) -> str:
    """Jobs, time on the clock and largest memory by stage, by the benchmark files."""
    found: dict[str, list[tuple[float, float]]] = {}
    for path in sorted(folder.rglob("*.tsv")):
        rows = pd.read_csv(path, sep="\t", na_values=["-", "NA"])
        if {"s", "max_rss"} <= set(rows) and len(rows):
            stage = path.relative_to(folder).parts[0].removesuffix(".tsv")
            found.setdefault(stage, []).append((float(rows["s"].iloc[-1]), float(rows["max_rss"].iloc[-1])))
    cells = []
    for stage, jobs in sorted(found.items(), key=lambda item: -sum(s for s, _ in item[1])):
        memory = max((m for _, m in jobs if pd.notna(m)), default=float("nan"))
        seconds = [s for s, _ in jobs]
        cells.append(
            [stage, str(len(jobs)), f"{sum(seconds):.1f}", f"{max(seconds):.1f}", f"{memory:.0f}" if memory > 0 else ""]
        )
    total = sum(s for jobs in found.values() for s, _ in jobs)
    cells.append(["<b>all</b>", str(sum(map(len, found.values()))), f"{total:.1f}", "", ""])
    return _html_table(["stage", "jobs", "seconds", "longest", "memory (MB)"], cells, numbers={1, 2, 3, 4})


def _versions() -> Iterator[list[str]]:
    for name in _LIBRARIES:
        yield [name, metadata.version(name)]


def _html_table(
    heads: Sequence[str], rows: Sequence[Sequence[str]], numbers: set[int] | frozenset[int] = frozenset()
) -> str:
    """Cells are HTML already; columns in ``numbers`` are set to the right."""

    def line(tag: str, cells: Sequence[str]) -> str:
        return "".join(
            f'<{tag} class="n">{cell}</{tag}>' if k in numbers else f"<{tag}>{cell}</{tag}>"
            for k, cell in enumerate(cells)
        )

    head = f"<thead><tr>{line('th', heads)}</tr></thead>" if any(heads) else ""
    body = "".join(f"<tr>{line('td', row)}</tr>" for row in rows)
    return f"<table>{head}<tbody>{body}</tbody></table>"


def _details(title: str, body: str) -> str:
    return f"<details><summary>{html.escape(title)}</summary>{body}</details>"


def _write(out: Path | str, title: str, lines: Sequence[str]) -> None:
    page = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{_STYLE}</style></head>\n<body>\n" + "\n".join(lines) + "\n</body></html>\n"
    )
    with atomic_path(out) as temporary:
        temporary.write_text(page, encoding="utf-8")
