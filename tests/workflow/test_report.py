"""The report: one file that needs no other, with every figure and claim, and no fault in a browser where there is one."""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from .conftest import run
from .test_smoke import FIGURES

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def report(smoke: Path) -> Path:
    for arguments in (("report", "--cores", "2"), ("report", "--report", str(smoke / "report.html"))):
        done = run(smoke, *arguments)
        assert done.returncode == 0, done.stderr[-3000:]
    return smoke / "report.html"


def test_report_holds_every_figure_and_needs_no_network(report: Path) -> None:
    text = report.read_text(encoding="utf-8")
    held = {base64.b64decode(data) for data in re.findall(r"data:image/png;[^,\"]*base64,([A-Za-z0-9+/=]+)", text)}
    results = report.parent / "results"
    for figure in FIGURES:
        assert (results / "figures" / f"{figure}.png").read_bytes() in held, figure
    assert not re.findall(r"""<(?:script|link|img)[^>]+(?:src|href)=["']https?:""", text)


def test_claims_page_says_what_the_summary_says(report: Path) -> None:
    page = (report.parent / "results/report/claims.html").read_text(encoding="utf-8")
    summary = (report.parent / "results/summary.md").read_text(encoding="utf-8")
    titles = re.findall(r"^## (.+)$", summary, flags=re.MULTILINE)
    assert len(titles) > 8
    for title in titles:
        assert f"<summary>{title}</summary>" in page, title
    for claim in ("P1", "P2", "P3", "P4", "P5", "P6", "P7", "P8"):
        assert f"<b>{claim}</b>" in page
    assert "nan" not in re.sub(r"<[^>]+>", " ", page).lower().split()


def test_run_page_shows_the_tables_of_this_version_where_none_were_made(report: Path) -> None:
    page = (report.parent / "results/report/run.html").read_text(encoding="utf-8")
    assert page.count("Not made in this folder") == 3
    for row in ("largest bias of alpha, n ≥ 2000", "right class on top", "real weights"):
        assert row in page, row
    for stage in ("propagate_signals", "draw_figure", "train_architecture"):
        assert f"<td>{stage}</td>" in page
    assert "confusion_events: 2000" in page


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
@pytest.mark.parametrize("name", ["report.html", "results/report/claims.html", "results/report/run.html"])
def test_a_browser_has_nothing_to_complain_about(report: Path, name: str) -> None:
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--virtual-time-budget=5000")
    shown = subprocess.run(
        [str(CHROMIUM), *options, "--dump-dom", f"file://{report.parent / name}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert shown.returncode == 0
    # Snakemake's own page says which version of its style sheets it has: an INFO, and no fault.
    complaints = [line for line in shown.stderr.splitlines() if ":CONSOLE" in line and "tailwindcss" not in line]
    assert not complaints
    assert len(shown.stdout) > 5000
