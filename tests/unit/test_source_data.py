"""Source data are what a figure shows: every kind of mark, against the numbers that were drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from quasicrit.figures.source_data import GUIDE, attach, source_data, write_source_data
from quasicrit.figures.style import journal_style, letter, new_figure


def drawn() -> pd.DataFrame:
    with journal_style():
        fig = new_figure(80)
        axes = fig.subplots(2, 3).ravel()
        for ax, name in zip(axes, "abcdef"):
            letter(ax, name)
        axes[0].errorbar([1, 2], [10, 20], yerr=[[1, 2], [3, 4]], xerr=[0.1, 0.2], fmt="o", color="red", label="both")
        axes[0].errorbar([3], [5], xerr=[[1], [2]], fmt="none")
        axes[1].plot([0, 1, 2], [3, 4, 5], color="blue", label="_hidden")
        axes[1].plot([0, 1], [7, 8], "--", color="green")
        axes[1].plot([0], [1], color="red")
        axes[1].plot([0, 1], [0, 1], label=GUIDE)
        axes[1].axhline(3)
        axes[1].axvline(3)
        axes[1].legend([axes[1].lines[1]], ["dashed"])
        axes[1].set_xlabel("time (layers)")
        axes[2].imshow(np.arange(6.0).reshape(2, 3), origin="upper", extent=(0, 3, 10, 20))
        axes[3].pcolormesh([0, 1, 3], [0, 2], [[5.0, np.nan]])
        axes[4].barh([0, 1], [0.25, 0.5], left=[0.0, 0.1], label="share")
        axes[4].set_yticks([0, 1], ["first", "second"])
        inset = axes[5].inset_axes((0.5, 0.5, 0.4, 0.4))
        inset.set_title("zoom")
        inset.plot([1], [2], "o", label="point")
        attach(axes[5], "cells", pd.DataFrame({"x_name": ["here"], "value": [0.5]}))
        bar = fig.colorbar(axes[2].images[0], ax=axes[2])
        assert bar.ax in fig.axes
        return source_data(fig)


@pytest.fixture(scope="module")
def made() -> pd.DataFrame:
    return drawn()


def rows(made: pd.DataFrame, panel: str, series: str, *columns: str) -> list[tuple[float, ...]]:
    found = made[(made["panel"] == panel) & (made["series"] == series)]
    return [tuple(row) for row in found[list(columns)].to_numpy()]


def test_error_bars(made: pd.DataFrame) -> None:
    columns = ("x", "y", "x_low", "x_high", "y_low", "y_high")
    np.testing.assert_allclose(
        rows(made, "a", "both", *columns), [(1, 10, 0.9, 1.1, 9, 13), (2, 20, 1.8, 2.2, 18, 24)], rtol=1e-12
    )
    # Without a marker the point is the middle of its bar.
    np.testing.assert_allclose(rows(made, "a", "line 1", "x", "y", "x_low", "x_high"), [(3.5, 5, 2, 5)], rtol=1e-12)


def test_error_bars_of_no_points() -> None:
    with journal_style():
        fig = new_figure(80)
        ax = fig.subplots()
        ax.errorbar([], [], yerr=[], fmt="o", label="nothing measured")
        ax.plot([0, 1], [2, 3], label="line")
        assert set(source_data(fig)["series"]) == {"line"}


def test_lines_by_label_or_legend_without_guides(made: pd.DataFrame) -> None:
    assert rows(made, "b", "hidden", "x", "y") == [(0, 3), (1, 4), (2, 5)]
    assert rows(made, "b", "dashed", "x", "y") == [(0, 7), (1, 8)]
    assert rows(made, "b", "line 1", "x", "y") == [(0, 1)]
    assert set(made[made["panel"] == "b"]["series"]) == {"hidden", "dashed", "line 1"}
    assert set(made[made["panel"] == "b"]["x_axis"]) == {"time (layers)"}


def test_pixels(made: pd.DataFrame) -> None:
    # The first row of an image of origin "upper" is at the top.
    found = {(x, y): v for x, y, v in rows(made, "c", "pixels", "x", "y", "value")}
    assert found[0.5, 17.5] == 0.0
    assert found[2.5, 12.5] == 5.0
    mesh = rows(made, "d", "pixels", "x", "y", "value")
    assert mesh[0] == (0.5, 1.0, 5.0)
    assert mesh[1][:2] == (2.0, 1.0)
    assert np.isnan(mesh[1][2])


def test_bars_insets_and_what_is_attached(made: pd.DataFrame) -> None:
    found = rows(made, "e", "share", "x", "y", "x_low", "x_high", "y_name")
    assert found[0] == (0.25, 0, 0, 0.25, "first")
    assert found[1][1:] == (1, 0.1, 0.6, "second")
    assert rows(made, "f, inset zoom", "point", "x", "y") == [(1, 2)]
    assert rows(made, "f", "cells", "x_name", "value") == [("here", 0.5)]


def test_the_file_is_read_back(tmp_path: Path) -> None:
    with journal_style():
        fig = new_figure(40)
        ax = fig.add_subplot()
        ax.plot([1.5], [1 / 3], "o", label="point")
        write_source_data(fig, tmp_path / "figure.csv")
        empty = new_figure(40)
        write_source_data(empty, tmp_path / "empty.csv")
    read = pd.read_csv(tmp_path / "figure.csv")
    assert read.loc[0, ["series", "x", "y"]].tolist() == ["point", 1.5, pytest.approx(1 / 3, rel=1e-6)]
    assert list(pd.read_csv(tmp_path / "empty.csv").columns) == list(read.columns)
