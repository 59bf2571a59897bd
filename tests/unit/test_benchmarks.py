"""The page of benchmarks: what is required and missed, and exponents of processes of known cost. No timed tests."""

from __future__ import annotations

import pytest

from ..benchmarks import measure
from ..benchmarks.__main__ import main, page
from ..benchmarks.measure import Row, exponent


def test_requirements_are_judged_by_the_median() -> None:
    assert Row("a", 9.9, at_least=10).met is False
    assert Row("a", 10.0, at_least=10).met is True
    assert Row("a", 10.1, at_most=10).met is False
    assert Row("a", 1.0, expected="the floor is 1").met is None
    assert Row("a", 1.0, at_most=1.5).required == "at most 1.5"
    assert (Row("a", 5.1e7, unit="per second").shown, Row("a", 0.0, 0.0, 1234.0).range) == (
        "5.1e+07 per second",
        "0 to 1234",
    )


def test_the_page_marks_what_is_missed() -> None:
    text = page([("One", [Row("slow", 3.0, 2.9, 3.1, at_most=2), Row("fast", 1.0, at_most=2)]), ("None", [])], 61.0)
    assert "1 of 2 requirements are met" in text
    assert "| slow | 3 | 2.9 to 3.1 | at most 2 (**missed**) |" in text
    assert "| fast | 1 |  | at most 2 |" in text
    assert text.endswith("## None\n")


def test_an_exponent_is_read_from_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work of size n that takes n² ticks of the clock."""
    ticks = 0

    def make(size: int) -> measure.Work:
        def work() -> None:
            nonlocal ticks
            ticks += size**2

        return work

    monkeypatch.setattr(measure.time, "process_time", lambda: float(ticks))
    row = exponent("squares", make, (2, 4, 8), "2")
    assert (row.value, row.low, row.high) == pytest.approx((2, 2, 2))
    assert row.name == "squares: 2, 4, 8"


def test_an_unknown_section_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["speed"]) == 2
    assert "'speed' is no section: choose from samplers" in capsys.readouterr().err
