"""The figures as one family: widths, fonts, colours, letters, labels with units, captions, weights; nothing clipped, no text on text."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.collections import Collection
from matplotlib.colors import to_rgba_array
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text
from matplotlib.ticker import FixedLocator, NullFormatter

from quasicrit.figures import style
from quasicrit.figures.classes import _CLASSES
from quasicrit.figures.spikes import SpikePicture, draw_spikes
from quasicrit.figures.tail import TailPicture, draw_tail
from quasicrit.stages.figures import FIGURES, draw_figure
from tests.unit import test_figures as synthetic

REPORT = Path(__file__).parents[2] / "workflow" / "report"
#: What ``quasicrit fit --plot`` and ``quasicrit spikes --plot`` draw.
PICTURES = ("tail", "spikes")


@dataclasses.dataclass(frozen=True)
class Drawn:
    name: str
    figure: Figure
    #: Every text that was drawn, with its box in pixels.
    texts: list[tuple[Text, Any]]
    pdf: bytes
    svg: bytes
    csv: bytes


def draw_picture(name: str, outputs: list[Path]) -> None:
    """The two pictures of the command, of invented numbers."""
    u = np.geomspace(1, 1000, 25)
    if name == "tail":
        picture = TailPicture(
            label="duration + 0.5", title="durations", u=u, density=u**-1.5, error=0.1 * u**-1.5, inside=(u > 5) & (u < 300),
            curves={law: (u, u**-power) for law, power in (("power_law", 1.5), ("lognormal", 1.6), ("exponential", 1.7))},
            window=(5.0, 300.0), exponent=1.5, ci_low=1.45, ci_high=1.55, low_ends=u[:8], high_ends=u[12:],
            exponents=1.5 + 0.01 * np.arange(13)[:, None] * np.ones(8),
        )  # fmt: skip
        for output in outputs:
            draw_tail(output, picture)
        return
    rng = np.random.default_rng(4)
    values = {width: rng.zipf(1.6, 400).clip(max=5000) for width in (0.002, 0.004, 0.008)}
    rows = np.array([[width, 1.5, 1.4, 1.6] for width in values])
    shown = SpikePicture(
        bin=0.004, sizes=values, durations=values, controls={"each unit shifted in time": values[0.002][:50]}, window=(4, 60),
        lags=np.arange(1, 40) / 250, slopes=0.98 ** np.arange(39), fitted=0.98 ** np.arange(39), sentence="",
        exponents={"tau_s": rows, "tau_d": rows + np.array([0, 0.5, 0.5, 0.5]), "gamma": rows + np.array([0, 0.2, 0.2, 0.2])},
    )  # fmt: skip
    for output in outputs:
        draw_spikes(output, shown)


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> synthetic.Tables:
    return synthetic._tables(tmp_path_factory.mktemp("tables"), synthetic._points(), scaling=True)


@pytest.fixture(scope="module", params=[*FIGURES, *PICTURES])
def drawn(request: pytest.FixtureRequest, tables: synthetic.Tables, tmp_path_factory: pytest.TempPathFactory) -> Drawn:
    """One figure as it is drawn into its files; all of its tests follow each other."""
    outputs = [tmp_path_factory.mktemp("drawn") / f"figure.{kind}" for kind in ("kept", "pdf", "svg", "csv")]
    figures: list[Figure] = []

    def keep(figure: Figure, path: str) -> None:
        figures.append(figure)
        Path(path).write_bytes(b"")

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(style._WRITERS, "kept", keep)
        if request.param in FIGURES:
            draw_figure(request.param, tables, outputs)
        else:
            draw_picture(request.param, outputs)
    pdf, svg, csv = (output.read_bytes() for output in outputs[1:])
    return Drawn(request.param, figures[0], drawn_texts(figures[0]), pdf, svg, csv)


def drawn_texts(figure: Figure) -> list[tuple[Text, Any]]:
    """What the renderer is given: not the texts of ticks outside of the view."""
    seen: dict[Text, Any] = {}
    plain_draw = Text.draw

    def draw(self: Text, renderer: Any) -> None:
        if self.get_visible() and self.get_text().strip():
            seen[self] = self.get_window_extent(renderer)
        plain_draw(self, renderer)

    with style.journal_style(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(Text, "draw", draw)
        figure.dpi = 200
        FigureCanvasAgg(figure).draw()
    return list(seen.items())


def panels(figure: Figure) -> list[Axes]:
    """Axes with data: no colour bars, no empty ones."""
    return [ax for ax in figure.axes if ax.axison and ax.get_label() != "<colorbar>"]


def letters(figure: Figure) -> list[tuple[str, Axes]]:
    found = [(re.match(r"\$\\bf\{(\w+)\}\$$", ax.get_title(loc="left")), ax) for ax in figure.axes]
    return [(match[1], ax) for match, ax in found if match]


def test_one_of_two_widths(drawn: Drawn) -> None:
    assert drawn.figure.get_figwidth() in (style.ONE_COLUMN, style.TWO_COLUMNS)
    # A page of a journal is some 240 mm high, and the legend needs room.
    assert drawn.figure.get_figheight() * 25.4 <= 215


def test_one_font_in_few_sizes(drawn: Drawn) -> None:
    smallest, largest = style.FONT_SIZES
    sizes = {text.get_fontsize() for text, _ in drawn.texts}
    assert smallest >= 5
    assert min(sizes) >= smallest
    assert max(sizes) <= largest
    assert len(sizes) <= 5
    assert {tuple(text.get_fontfamily()) for text, _ in drawn.texts} == {("DejaVu Sans",)}
    # Of mathematical text too.
    fonts = set(re.findall(rb"/BaseFont /(?:[A-Z]{6}\+)?([\w-]+)", drawn.pdf))
    assert fonts
    assert fonts <= {b"DejaVuSans", b"DejaVuSans-Oblique", b"DejaVuSans-Bold", b"DejaVuSansDisplay"}


def test_panels_have_bold_letters_in_reading_order(drawn: Drawn) -> None:
    found = letters(drawn.figure)
    assert [name for name, _ in found] == [chr(ord("a") + index) for index in range(len(found))]
    assert bool(found) == (len(panels(drawn.figure)) > 1)
    assert (b"DejaVuSans-Bold" in drawn.pdf) == bool(found)
    for (_, one), (_, two) in itertools.pairwise(found):
        before, after = one.get_position(), two.get_position()
        below = before.y0 >= after.y1 - 0.01
        assert below or (abs(before.y1 - after.y1) < 0.02 and before.x1 <= after.x0), (one, two)


def words(ax: Axes, which: str) -> bool:
    """Whether an axis needs no label: its ticks are words, or it has no tick labels."""
    axis = ax.xaxis if which == "x" else ax.yaxis
    shown = [label.get_text() for label in axis.get_ticklabels() if label.get_text() and label.get_visible()]
    if isinstance(axis.get_major_formatter(), NullFormatter) or not shown:
        return True
    return isinstance(axis.get_major_locator(), FixedLocator) and any(
        re.search("[A-Za-zχξγ]{2}|\\$", text) for text in shown
    )


#: Quantities with a unit; of ratios and of axes that collapse them the label says what they are.
DIMENSIONAL = re.compile(
    r"duration|cut-off|\bsize\b|\blength\b|layer|\blag\b|\bbin\b|P\(d\)|P\(s\)|d\$?_c|xi_c|ξ|width N"
)
UNIT = re.compile(
    r"\((per )?(layers?|units|ms|bins?|spikes or activity|generations?|not to scale|time|mean 1)\b|/N\^|P\(N,L\)|3/2|per layer|x = t/d|shift of"
)


def test_axes_are_labelled_with_units(drawn: Drawn) -> None:
    for ax in panels(drawn.figure):
        for which, label in (("x", ax.get_xlabel()), ("y", ax.get_ylabel())):
            if label.startswith("duration + 0.5"):  # a user's column, of a unit that only the user knows
                continue
            assert label or words(ax, which), f"{ax.get_title(loc='left')}: no label of {which}"
            if DIMENSIONAL.search(label):
                assert UNIT.search(label), label
    for ax in drawn.figure.axes:
        if ax.get_label() == "<colorbar>":
            assert ax.get_ylabel()


def colours_of(artist: Any) -> Iterator[np.ndarray]:
    """Colours that an artist shows."""
    if isinstance(artist, Text):
        yield to_rgba_array(artist.get_color())
    elif isinstance(artist, Line2D):
        yield to_rgba_array(artist.get_color())
        if artist.get_marker() not in ("", "None", None):
            yield to_rgba_array(artist.get_markerfacecolor())
            yield to_rgba_array(artist.get_markeredgecolor())
    elif isinstance(artist, Patch) or (isinstance(artist, Collection) and artist.get_array() is None):
        yield to_rgba_array(artist.get_facecolor())
        yield to_rgba_array(artist.get_edgecolor())


def test_colours_come_from_the_palette(drawn: Drawn) -> None:
    named = to_rgba_array([*style.COLOURS.values(), *style.SHADES.values()])
    ordered = [style.matplotlib.colormaps[name](np.arange(256)) for name in ("viridis", "plasma")]
    known = np.concatenate([named, *ordered])[:, :3]
    bars = [ax for ax in drawn.figure.axes if ax.get_label() == "<colorbar>"]
    seen = 0
    for artist in drawn.figure.findobj():
        # The ends of a colour bar have the colours of its map.
        if getattr(artist, "axes", None) in bars:
            continue
        if isinstance(artist, ScalarMappable) and artist.get_array() is not None:
            assert artist.get_cmap().name in style.MAPS
        for colour in itertools.chain.from_iterable(colours_of(artist)):
            if colour[3] == 0 or np.ptp(colour[:3]) < 1e-9:  # not seen, or grey
                continue
            assert np.abs(known - colour[:3]).max(axis=1).min() < 1e-3, (artist, colour)
            seen += 1
    assert seen > 0


#: Linear light as dichromats see it (Machado et al. 2009, severity 1): without long, middle and short cones.
DICHROMATS = (
    [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
)


def cielab(light: np.ndarray) -> np.ndarray:
    """L*a*b* of linear sRGB, white of D65: distances of about 2 are just seen side by side."""
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = np.clip(light, 0, 1) @ to_xyz.T / to_xyz.sum(axis=1)
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)


def nearest_two(colours: Sequence[str], sight: np.ndarray) -> float:
    """Smallest distance between two of ``colours``."""
    values = to_rgba_array(colours)[:, :3]
    light = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    seen = cielab(light @ sight.T)
    return float(min(np.linalg.norm(one - two) for one, two in itertools.combinations(seen, 2)))


@pytest.mark.parametrize("sight", [np.eye(3), *map(np.array, DICHROMATS)])
def test_colours_are_told_apart_by_all_readers(sight: np.ndarray) -> None:
    assert nearest_two([*style.COLOURS.values(), style.GREY], sight) > 10
    assert nearest_two([colour for _, colour in _CLASSES.values()], sight) > 10


def test_red_and_green_of_one_lightness_are_not_told_apart() -> None:
    assert (
        nearest_two(["#C00000", "#606000"], np.array(DICHROMATS[1]))
        < 10
        < nearest_two(["#C00000", "#606000"], np.eye(3))
    )


def test_no_text_is_clipped(drawn: Drawn) -> None:
    page = drawn.figure.bbox
    for text, box in drawn.texts:
        inside = box.x0 >= -1 and box.y0 >= -1 and box.x1 <= page.x1 + 1 and box.y1 <= page.y1 + 1
        assert inside, f"{text.get_text()!r} reaches {box.extents} of a page of {page.extents}"


def test_no_text_lies_on_text(drawn: Drawn) -> None:
    upright = [(text, box) for text, box in drawn.texts if text.get_rotation() % 90 == 0]
    for (one, first), (two, second) in itertools.combinations(upright, 2):
        across = min(first.x1, second.x1) - max(first.x0, second.x0)
        up = min(first.y1, second.y1) - max(first.y0, second.y0)
        # At 200 dots an inch text of 5 points is some ten dots high; boxes hold the room above and below it.
        assert across <= 1 or up <= 3, f"{one.get_text()!r} and {two.get_text()!r} overlap by {across:.0f} × {up:.0f}"


def test_files_are_light(drawn: Drawn) -> None:
    for content in (drawn.pdf, drawn.svg, drawn.csv):
        assert 0 < len(content) < 1_000_000


COUNTED = re.compile(r"\b(networks|nets|seeds|events|avalanches|realisations)\b")
BARS = re.compile(r"95 %|standard errors?\b")


def test_figures_and_captions_state_n_and_error_bars(drawn: Drawn) -> None:
    foot = drawn.figure.get_supxlabel().replace("\xa0", " ").replace("\n", " ")
    assert BARS.search(foot), foot
    if drawn.name in PICTURES:
        return
    caption = " ".join((REPORT / f"{drawn.name}.rst").read_text(encoding="utf-8").split())
    for text in (foot, caption):
        assert COUNTED.search(text), text
        assert BARS.search(text), text
    # The foot has the numbers themselves.
    number = r"\d[\d,]* (fresh )?(networks|nets|seeds|events|avalanches|realisations|signals)|networks a point: \d"
    assert re.search(number, foot), foot
    # The caption says of every panel what it shows.
    named = set()
    for first, last in re.findall(r"\*\*([a-z])\*\*(?:–\*\*([a-z])\*\*)?", caption):
        named |= {chr(code) for code in range(ord(first), ord(last or first) + 1)}
    assert named == {letter for letter, _ in letters(drawn.figure)}
