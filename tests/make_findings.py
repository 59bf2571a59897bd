"""Put what the last run says of each claim between the marks of docs/findings.md (``make findings``)."""

from __future__ import annotations

from quasicrit.stages.report_pages import claim_sections
from tests.readme import ROOT, put

BEGIN, END = "<!-- findings: written by make findings -->", "<!-- end of findings -->"


def findings(summary: str) -> str:
    """One paragraph for every claim, from a run's summary: its title and its first paragraph."""
    sections = sorted(claim_sections(summary).values())
    return "\n".join(f"- **{title}.** {body.split(chr(10) * 2)[0]}" for title, body in sections)


if __name__ == "__main__":
    put("docs/findings.md", BEGIN, END, findings((ROOT / "results/summary.md").read_text(encoding="utf-8")))
