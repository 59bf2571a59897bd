"""docs/physics.md against the code: its examples, its table of classes, its predictors, its formulas."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import numpy as np
import pytest

from quasicrit.avalanches import corrected_size
from quasicrit.learning import PREDICTORS
from quasicrit.scaling import CLASSES

from .test_pages import anchors

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "physics.md"
TEXT = PAGE.read_text(encoding="utf-8")
_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def _failures(text: str) -> tuple[int, int, str]:
    """Failed and tried examples of the fenced Python blocks, one namespace for all, and what the runner says."""
    runner = doctest.DocTestRunner(verbose=False)
    parser = doctest.DocTestParser()
    names: dict[str, object] = {}
    said: list[str] = []
    failed = tried = 0
    for found in _BLOCK.finditer(text):
        line = text.count("\n", 0, found.start(1))
        test = parser.get_doctest(found.group(1), names, PAGE.name, str(PAGE), line)
        result = runner.run(test, out=said.append, clear_globs=False)
        names = test.globs
        failed, tried = failed + result.failed, tried + result.attempted
    return failed, tried, "".join(said)


def _prose(text: str) -> str:
    """The page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)


def test_every_example_is_true() -> None:
    failed, tried, said = _failures(TEXT)
    assert tried > 60
    assert not failed, said


def test_wrong_numbers_are_found() -> None:
    text = TEXT[: TEXT.index("## 4.")]
    for right, wrong in (
        ("(1.007884, 1.007884, 1.0078)", "(1.007885, 1.007884, 1.0078)"),
        ("(0.5826, 0.5826)", "(0.5826, 0.5827)"),
    ):
        assert text.count(right) == 1
        text = text.replace(right, wrong)
    assert _failures(text)[0] == 2


def _rows() -> dict[str, list[str]]:
    """The rows of the table of classes by name: its cells after the first."""
    found = re.findall(r"^\| `(\w+)`[^|]*\|(.*)\|$", TEXT, re.MULTILINE)
    return {name: [cell.strip() for cell in rest.split("|")] for name, rest in found}


def test_the_table_of_classes_is_the_code_s() -> None:
    rows = _rows()
    assert list(rows) == list(CLASSES)
    for name, universality in CLASSES.items():
        *values, spread, source = rows[name]
        for shown, value in zip(values, universality.values, strict=True):
            places = len(shown.partition(".")[2])
            # To the digits that are shown.
            assert float(shown) == pytest.approx(value, abs=0.5 * 10.0**-places * 1.001), name
        assert float(spread) == universality.spread
        papers = set(re.findall(r"(?:arXiv:|cond-mat/)[\d.]+", universality.source))
        assert papers == set(re.findall(r"\[((?:arXiv:|cond-mat/)[\d.]+)\]", source)), name
        assert (universality.curve is not None) == ("a curve" in source)


def test_the_predictors_are_the_code_s() -> None:
    section = TEXT.partition("## 10.")[2].partition("## 11.")[0]
    shown = re.findall(r"`([^`]+)`", section)
    assert shown == list(PREDICTORS)


def test_named_files_and_listed_sections_exist() -> None:
    prose = _prose(TEXT)
    named = [name for name in re.findall(r"`([\w./-]+)`", prose) if re.search(r"\.(py|md|yaml)$", name)]
    assert named
    for name in named:
        assert (ROOT / name).is_file(), name
    # Every section is in the list at the top.
    top = prose[: prose.index("\n## ")]
    listed = set(re.findall(r"\(#([\w-]+)\)", top))
    assert listed == anchors(PAGE) - {"physics-notes"}


def test_formulas_show_on_github() -> None:
    """Markdown takes a backslash off punctuation and a bar for a cell, before formulas are read; dollars come in pairs."""
    prose = re.sub(r"`[^`\n]*`", "", _prose(TEXT))
    assert prose.count("$$") % 2 == 0
    displays = re.findall(r"\$\$(.+?)\$\$", prose, re.DOTALL)
    inline = re.sub(r"\$\$.+?\$\$", "", prose, flags=re.DOTALL)
    assert inline.count("$") % 2 == 0
    formulas = [*displays, *re.findall(r"\$([^$]+)\$", inline)]
    assert len(formulas) > 200
    for formula in formulas:
        assert not re.search(r"\\[^A-Za-z]", formula), formula
        assert "|" not in formula, formula
        for left, right in ("{}", "()", "[]"):
            # Half-open intervals are not used on this page.
            assert formula.count(left) == formula.count(right), formula
    for before, formula, after in re.findall(r"(.?)\$([^$]+)\$(.?)", inline):
        assert not before.isalnum(), formula
        assert not after.isalnum(), formula
        assert "\n" not in formula, formula
        assert formula == formula.strip(), formula


def test_runs_of_a_free_walk_have_the_law_and_the_area_of_the_page() -> None:
    """P(d ≥ n) = n^−1/2, and the mean size with the correction that of a Brownian excursion: starts with the density of the overshoot."""
    rng = np.random.default_rng(77)
    count, longest = 400_000, 128
    # Lebesgue below the threshold, one step above it: x ~ P(step > x), which is a uniform share of a Rayleigh number.
    y = rng.random(count) * rng.rayleigh(size=count)
    area = y.copy()
    alive, size, duration = [count], [], []
    for layer in range(1, longest):
        y = y + rng.standard_normal(len(y))
        above = y > 0.0
        size.append(area[~above])
        duration.append(np.full(len(size[-1]), layer))
        y, area = y[above], area[above] + y[above]
        alive.append(len(y))
    n = np.array([2, 4, 16, 64, 128])
    seen, expected = np.array(alive)[n - 1] / count, n**-0.5
    assert (np.abs(seen - expected) < 3.5 * np.sqrt(expected * (1 - expected) / count)).all()
    raw, d = np.concatenate(size), np.concatenate(duration)
    for low, high, most in ((4, 8, 0.025), (8, 128, 0.01)):
        inside = (d >= low) & (d < high)
        brownian = np.sqrt(np.pi / 8) * (d[inside] + 0.5) ** 1.5
        assert corrected_size(raw[inside], d[inside], 1.0).mean() == pytest.approx(brownian.mean(), rel=most)
    octave = (d >= 8) & (d < 16)
    assert raw[octave].mean() / (np.sqrt(np.pi / 8) * (d[octave] + 0.5) ** 1.5).mean() == pytest.approx(0.74, abs=0.02)
