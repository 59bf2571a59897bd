"""The pages of the repository: their links lead somewhere, their marks stand, their figures are those that a run draws."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from quasicrit.stages.figure_tables import FIGURE_TABLES
from quasicrit.stages.report_pages import CLAIMS
from tests.make_findings import BEGIN, END, findings

from ..readme import ROOT

PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "results/README.md", *(ROOT / "docs").rglob("*.md")])
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def broken_links(page: Path) -> list[str]:
    """Relative links of a page to files, folders or headings that are not there."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    broken = []
    for target in _LINK.findall(text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        if not path.exists() or (anchor and anchor not in anchors(path)):
            broken.append(target)
    return broken


def anchors(page: Path) -> set[str]:
    """Names by which the headings of a page are linked to: small letters, spaces as hyphens, no punctuation."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")
        for heading in re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    assert broken_links(page) == []


def test_a_broken_link_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A heading\n[a](#a-heading) [b](#no-heading) [c](missing.md) [d](page.md#a-heading)\n")
    assert broken_links(page) == ["#no-heading", "missing.md"]


def test_every_figure_has_a_caption_and_is_drawn_by_a_name_that_pages_use() -> None:
    captions = {path.stem for path in (ROOT / "workflow/report").glob("*-*-*.rst")}
    assert captions == set(FIGURE_TABLES)
    named = set()
    for page in PAGES:
        named |= set(re.findall(r"`((?:figure|extended)-\d-[a-z-]+)`", page.read_text(encoding="utf-8")))
    assert named <= set(FIGURE_TABLES)


def test_findings_are_the_claims_of_a_summary() -> None:
    summary = "# S\n\n" + "\n\n".join(f"## {claim}. Title\n\nFound {claim}.\n\n| a |" for claim in CLAIMS)
    lines = findings(summary + "\n\n## Controls\n\nNot a claim.").splitlines()
    assert lines == [f"- **{claim}. Title.** Found {claim}." for claim in CLAIMS]
    page = (ROOT / "docs/findings.md").read_text(encoding="utf-8")
    written = page.split(BEGIN)[1].split(END)[0]
    assert [line.split(".")[0] for line in written.strip().splitlines()] == [f"- **{claim}" for claim in CLAIMS]
