"""``quasicrit spikes``: every form of a recording gives the same avalanches; one line and exit code 2 for bad input."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from quasicrit.avalanches import SpikeTrains, bin_spikes, neuronal_avalanches
from quasicrit.cli import main
from quasicrit.reference import branching_spikes
from quasicrit.rng import generator
from quasicrit.scaling import branching_ratio
from quasicrit.tables import read_columns

STEP = 0.01
BINS = 2000
EVENTS = ["segment", "start", "duration", "size", "censored"]


@pytest.fixture(scope="module")
def trains() -> SpikeTrains:
    """A raster: twelve units, three trials of 2000 bins of 10 ms."""
    made = branching_spikes(0.8, 0.1, 12, BINS, generator(1, "command"), segments=3, step=STEP)
    on_grid = (np.floor(made.time / STEP) + 0.5) * STEP
    return SpikeTrains(on_grid, made.unit, made.segment, 12, made.bounds, STEP)


def _spikes(trains: SpikeTrains) -> pd.DataFrame:
    return pd.DataFrame({"time": trains.time, "unit": trains.unit, "trial": trains.segment})


def _matrix(trains: SpikeTrains) -> np.ndarray:
    """Counts (trials, bins, units)."""
    made = np.zeros((3, BINS, 12), np.int64)
    np.add.at(made, (trains.segment, np.floor(trains.time / STEP).astype(np.int64), trains.unit), 1)
    return made


def _wide(trains: SpikeTrains) -> pd.DataFrame:
    counts = _matrix(trains)
    frame = pd.DataFrame(counts.reshape(-1, 12), columns=[f"n{unit}" for unit in range(12)])
    frame.insert(0, "trial", np.repeat(np.arange(3), BINS))
    frame.insert(0, "time", np.tile(np.arange(BINS) * STEP, 3))
    return frame


def _long(trains: SpikeTrains) -> pd.DataFrame:
    counts = _matrix(trains)
    trial, at, unit = np.nonzero(counts)
    frame = pd.DataFrame({"t": at * 10, "cell": [f"c{u}" for u in unit], "n": counts[trial, at, unit], "trial": trial})
    # The ends of the trials, without spikes.
    ends = pd.DataFrame({"t": [0, 19990] * 3, "cell": "c99", "n": 0, "trial": [0, 0, 1, 1, 2, 2]})
    return pd.concat([frame, ends]).sample(frac=1.0, random_state=1)


def _activity(trains: SpikeTrains) -> pd.DataFrame:
    total = _matrix(trains).sum(axis=2)
    return pd.DataFrame({"total": total.ravel(), "trial": np.repeat(np.arange(3), BINS)})


FORMS: dict[str, Any] = {
    "spikes.parquet": (_spikes, ("--start", 0, "--stop", BINS * STEP)),
    "spikes.csv": (_spikes, ("--start", 0, "--stop", BINS * STEP)),
    "wide.csv": (_wide, ("--form", "raster")),
    "wide.parquet": (_wide, ("--form", "raster")),
    "long.csv": (
        _long,
        (
            "--form",
            "raster",
            "--count-column",
            "n",
            "--unit-column",
            "cell",
            "--time-column",
            "t",
            "--time-unit",
            0.001,
        ),
    ),
    "activity.parquet": (
        _activity,
        ("--form", "activity", "--activity-column", "total", "--time-column", "", "--raster-step", STEP),
    ),
}


def _write(frame: pd.DataFrame, path: Path) -> Path:
    if path.suffix == ".parquet":
        frame.to_parquet(path, index=False)
    else:
        frame.to_csv(path, index=False)
    return path


def _run(capsys: pytest.CaptureFixture[str], *args: object) -> dict[str, Any]:
    assert main(["spikes", *map(str, args), "--json"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    made = json.loads(out)
    for key in made["reasons"]:
        value = made
        for part in key.split("."):
            value = value[int(part)] if isinstance(value, list) else value[part]
        assert value is None, key
    return dict(made)


#: Too few long avalanches for exponents, so that no class needs to be calibrated: the reading is what is looked at.
QUICK = ("--bin", STEP, "--bins", "", "--window", "500,1000", "--step", STEP)


@pytest.fixture
def uncalibrated(monkeypatch: pytest.MonkeyPatch) -> None:
    """No reference process is run: where there are no exponents, they have no class."""
    monkeypatch.setattr(
        "quasicrit.scaling.neuronal.biases_on", lambda windows, seed: {window: {} for window in windows}
    )


@pytest.mark.usefixtures("uncalibrated")
@pytest.mark.parametrize("name", FORMS)
def test_every_form_gives_the_same(
    name: str, trains: SpikeTrains, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make, options = FORMS[name]
    path = _write(make(trains), tmp_path / name)
    out = tmp_path / "events.parquet"
    made = _run(capsys, path, *options, "--segment-column", "trial", *QUICK, "--block", 2, "--out", out)
    counts = bin_spikes(trains, STEP)
    expected = neuronal_avalanches(counts)
    events = read_columns(str(out), [*EVENTS, "block"])
    assert events["segment"].tolist() == expected.trajectory.tolist()
    assert events["start"].tolist() == expected.start.tolist()
    assert events["duration"].tolist() == expected.duration.tolist()
    assert events["size"].tolist() == expected.size_raw.tolist()
    assert events["block"].tolist() == (expected.trajectory * 10 + expected.start // 200).tolist()
    assert made["n_events"] == int((expected.censored == 0).sum())
    assert made["n_censored"] == int((expected.censored > 0).sum())
    assert (made["n_segments"], made["n_error_units"], made["block"]) == (3, 30, 2)
    assert made["bin"] == pytest.approx(STEP)
    blocks = [row[low : low + 200] for row in counts.rows for low in range(0, BINS, 200)]
    m = branching_ratio(blocks, rng=generator(0, "branching")).ratio
    assert made["branching"]["m"] == pytest.approx({"value": m.value, "ci_low": m.ci_low, "ci_high": m.ci_high})
    if make is _activity:
        assert made["reasons"]["n_spikes"] == "the recording is of an activity, not of spikes"
    else:
        assert (made["n_spikes"], made["rate"]) == (len(trains), pytest.approx(len(trains) / 60))
        assert made["n_units"] == (13 if make is _long else 12)
    assert made["verdict"] is None
    assert "last 500 to 1000" in made["reasons"]["verdict"]
    assert [control["outcome"] for control in made["controls"]] == ["rejected"] * len(made["controls"])


@pytest.mark.usefixtures("uncalibrated")
def test_the_whole_chain_in_words_and_figures(
    trains: SpikeTrains, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = _write(_spikes(trains), tmp_path / "spikes.parquet")
    options = (
        "--segment-column",
        "trial",
        "--start",
        0,
        "--stop",
        20,
        "--bin",
        STEP,
        "--step",
        STEP,
        "--window",
        "2,12",
    )
    plot = tmp_path / "spikes.svg"
    made = _run(capsys, path, *options, "--bins", "1,2", "--fraction", 0.1, "--plot", plot)
    assert plot.read_text(encoding="utf-8").startswith("<?xml")
    assert [entry["bin"] for entry in made["bins"]] == pytest.approx([STEP, 2 * STEP])
    assert made["bins"][0]["tau_d"] == made["tau_d"]["value"]
    assert made["tau_s"]["ci_low"] < made["tau_s"]["value"] < made["tau_s"]["ci_high"]
    assert made["branching"]["state"] == "below 1"
    assert made["evidence"]["grade"] == "none"
    assert any("cannot speak against" in note for note in made["notes"])
    assert sum(entry["probability"] for entry in made["classes"]) == pytest.approx(1.0)
    again = _run(capsys, path, *options, "--bins", "1,2", "--fraction", 0.1)
    assert again == made
    assert main(["spikes", str(path), *map(str, options), "--bins", ""]) == 0
    text = capsys.readouterr().out
    assert "branching.m" in text
    assert "Against: The branching ratio is below 1" in text
    assert "Note: the share of the units that was recorded is not known (--fraction)" in text


@pytest.mark.usefixtures("uncalibrated")
def test_defaults_of_the_bin(trains: SpikeTrains, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spikes = _write(_spikes(trains).query("time < 1"), tmp_path / "spikes.csv")
    made = _run(capsys, spikes, "--segment-column", "trial", "--window", "500,1000", "--bins", "1")
    frame = _spikes(trains).query("time < 1")
    spans = frame.groupby("trial")["time"].agg(lambda t: t.max() - t.min()).sum()
    assert made["bin"] == pytest.approx(spans / (len(frame) - 3))
    assert made["bin_rule"] == "mean interval between spikes"
    assert any("first to their last spike" in note for note in made["notes"])
    wide = _write(_wide(trains), tmp_path / "wide.csv")
    raster = _run(
        capsys, wide, "--form", "raster", "--segment-column", "trial", "--window", "500,1000", "--bins", "0.5,1"
    )
    # Nearest multiple of the raster's step, of which half a bin is none.
    assert raster["bin"] / STEP == pytest.approx(round(raster["bin"] / STEP))
    assert raster["branching"]["step"] == pytest.approx(STEP)


@pytest.mark.usefixtures("uncalibrated")
def test_what_is_null_in_a_bin_has_its_reason(
    trains: SpikeTrains, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Bins of an activity without a memory, and with too few avalanches for exponents."""
    activity = generator(4, "command").random(20_000)
    noise = _write(pd.DataFrame({"activity": activity}), tmp_path / "noise.parquet")
    options = ("--form", "activity", "--time-column", "", "--raster-step", STEP, "--bins", "2", "--threshold", "median")
    made = _run(capsys, noise, *options, "--window", "500,1000")
    for index, entry in enumerate(made["bins"]):
        for key in ("tau_s", "tau_d", "gamma", "verdict"):
            assert entry[key] is None
            assert made["reasons"][f"bins.{index}.{key}"] == entry["reason"]
        for key in ("m", "memory"):
            assert entry[key] is None
            assert "no memory" in made["reasons"][f"bins.{index}.{key}"]
    assert len(made["bins"]) == 2


def _broken(column: str, row: int, value: object) -> pd.DataFrame:
    frame = pd.DataFrame({"time": [0.1, 0.2, 0.3, 0.4], "unit": [1, 2, 1, 2], "trial": [0, 0, 1, 1]}).astype(object)
    frame.loc[row, column] = value
    return frame


@pytest.mark.parametrize(
    ("frame", "options", "said"),
    [
        (
            _broken("time", 0, 0.1),
            ("--time-column", "seconds"),
            "the column 'seconds' is missing; it has time, unit, trial",
        ),
        (_broken("time", 1, "late"), (), "the column 'time' holds 'late' in row 2"),
        (_broken("time", 2, None), (), "the column 'time' is empty or NaN in row 3"),
        (_broken("unit", 2, None), (), "the column 'unit' is empty in row 3"),
        (_broken("trial", 1, None), ("--segment-column", "trial"), "the column 'trial' is empty in row 2"),
        (_broken("time", 0, 0.1), ("--unit-column", "time"), "the column 'time' is named twice"),
        (_broken("time", 0, 0.1), ("--time-column", ""), "name it with --time-column"),
        (_broken("time", 0, 0.1), ("--start", 5), "no spike lies between 5 and"),
        (_broken("time", 0, 0.1), ("--start", 5, "--stop", 1), "--start 5 must be before --stop 1"),
        (_broken("time", 0, 0.1), ("--start", "nan"), "--start nan is impossible"),
        (_broken("time", 0, 0.1), ("--time-unit", 0), "--time-unit 0 is impossible"),
        (_broken("time", 0, 0.1), ("--bin", -1), "bin = -1 s is impossible"),
        (_broken("time", 0, 0.1), ("--bin", 5), "no segment is as long as 2 bins of 5 s"),
        (_broken("time", 0, 0.1), ("--bins", "1,two"), "bins = '1,two' is not understood"),
        (_broken("time", 0, 0.1), ("--threshold", "high"), "threshold = 'high' is not understood"),
        (_broken("time", 0, 0.1), ("--window", "9"), "window = '9' is not understood"),
        (_broken("time", 0, 0.1), ("--fraction", 2), "fraction = 2 is impossible"),
        (_broken("time", 0, 0.1), ("--step", 0), "step = 0 s is impossible"),
        (_broken("time", 0, 0.1), ("--block", -2), "block = -2 s is impossible"),
        (_broken("time", 0, 0.1), ("--plot", "a.jpg"), "plot = 'a.jpg' cannot be drawn"),
        (_broken("time", 0, 0.1), ("--out", "a.csv"), "it must end in .parquet"),
        (_broken("time", 0, 0.1), ("--form", "matrix"), "'matrix'"),
        (_broken("time", 0, 0.1), ("--form", "raster", "--time-column", ""), "give --raster-step in seconds"),
        (
            _broken("time", 0, 0.1),
            ("--form", "raster", "--time-column", "", "--raster-step", 1, "--count-column", "unit"),
            "needs the column of times",
        ),
        (_broken("time", 0, 0.13), ("--form", "raster"), "off the grid of 0.1 s"),
        (_broken("time", 1, 0.1), ("--form", "raster"), "the bin at time 0.1 s is there more than once (row 2)"),
        (_broken("time", 3, 0.6), ("--form", "raster"), "2 bins of 0.1 s are missing"),
        (_broken("unit", 1, 1.5), ("--form", "raster"), "the column 'unit' is 1.5 in row 2"),
        (_broken("unit", 1, -1), ("--form", "raster"), "whole and not negative"),
        (_broken("time", 0, 0.1), ("--form", "raster", "--bin", 0.15), "no multiple of the recording's own step"),
        (_broken("time", 0, 0.1), ("--form", "activity"), "the column 'activity' is missing"),
        (
            _broken("time", 0, 0.1),
            ("--form", "activity", "--activity-column", "unit", "--start", 9),
            "no row lies between",
        ),
    ],
)
def test_refusals(
    frame: pd.DataFrame,
    options: tuple[object, ...],
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    frame.to_csv("spikes.csv", index=False)
    code = main(["spikes", "spikes.csv", *map(str, options)])
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert said in err, err
    assert [path.name for path in tmp_path.iterdir()] == ["spikes.csv"]


def test_one_spike_and_no_units_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = _write(pd.DataFrame({"time": [0.1], "unit": [3]}), tmp_path / "one.csv")
    assert main(["spikes", str(one)]) == 2
    assert "no segment has two spikes at different times" in capsys.readouterr().err
    bare = _write(pd.DataFrame({"time": [0.1, 0.2]}), tmp_path / "bare.parquet")
    assert main(["spikes", str(bare), "--form", "raster"]) == 2
    assert "no column of a unit besides time" in capsys.readouterr().err
    silent = _write(pd.DataFrame({"time": [0.1, 0.2], "a": [0, 0]}), tmp_path / "silent.parquet")
    assert main(["spikes", str(silent), "--form", "raster"]) == 2
    assert "holds no spike" in capsys.readouterr().err


# NWB -------------------------------------------------------------------------------------------------------


def test_without_pynwb_it_says_what_to_install(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pynwb", None)
    assert main(["spikes", str(tmp_path / "a.nwb")]) == 2
    assert "pip install pynwb" in capsys.readouterr().err


def _nwb(path: Path, trains: SpikeTrains) -> Path:
    pynwb = pytest.importorskip("pynwb", reason="pynwb is not installed (pip install pynwb)")
    from datetime import UTC, datetime

    file = pynwb.NWBFile("simulated spikes", "test", datetime(2024, 1, 1, tzinfo=UTC))
    for trial in range(3):
        file.add_trial(start_time=30.0 * trial, stop_time=30.0 * trial + BINS * STEP)
    at = trains.time + 30.0 * trains.segment
    for unit in range(trains.n_units):
        file.add_unit(spike_times=np.sort(at[trains.unit == unit]), obs_intervals=[[0.0, 90.0]])
    # Between the trials.
    file.add_unit(spike_times=[25.0, 55.5], obs_intervals=[[0.0, 90.0]])
    with pynwb.NWBHDF5IO(str(path), "w") as io:
        io.write(file)
    return path


@pytest.mark.usefixtures("uncalibrated")
def test_nwb(trains: SpikeTrains, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = _nwb(tmp_path / "recording.nwb", trains)
    made = _run(capsys, path, "--segment-column", "trials", *QUICK)
    table = _write(_spikes(trains), tmp_path / "spikes.parquet")
    same = _run(capsys, table, "--segment-column", "trial", "--start", 0, "--stop", BINS * STEP, *QUICK)
    for key in ("n_spikes", "n_segments", "n_events", "n_censored", "branching"):
        assert made[key] == same[key], key
    assert made["n_units"] == 13
    assert any("2 of" in note and "outside" in note for note in made["notes"])
    whole = _run(capsys, path, *QUICK)
    assert whole["n_segments"] == 1
    assert whole["n_spikes"] == len(trains) + 2
    assert whole["rate"] == pytest.approx((len(trains) + 2) / 90.0)
    for options, said in (
        (("--segment-column", "epochs"), "no intervals 'epochs'; it has trials"),
        (("--form", "raster"), "leave --form raster out"),
    ):
        assert main(["spikes", str(path), *options]) == 2
        assert said in capsys.readouterr().err


def test_what_is_no_nwb_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pynwb = pytest.importorskip("pynwb", reason="pynwb is not installed (pip install pynwb)")
    path = tmp_path / "a.nwb"
    assert main(["spikes", str(path)]) == 2
    assert "there is no such file" in capsys.readouterr().err
    path.write_text("time,unit\n1,2\n", encoding="utf-8")
    assert main(["spikes", str(path)]) == 2
    assert "cannot be read as NWB" in capsys.readouterr().err
    from datetime import UTC, datetime

    with pynwb.NWBHDF5IO(str(path), "w") as io:
        io.write(pynwb.NWBFile("nothing", "test", datetime(2024, 1, 1, tzinfo=UTC)))
    assert main(["spikes", str(path)]) == 2
    assert "no units with spike times" in capsys.readouterr().err
