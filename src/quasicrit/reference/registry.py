"""Every process with a known answer, by name: references of the classes, and impostors that have none.

The samplers are loaded when they are first used: a program that only asks for names and windows needs no compiler.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np

from quasicrit.reference.process import Avalanches, Process, Signal
from quasicrit.reference.signals import (
    autoregressive,
    fractional_noise,
    independent,
    poisson_counts,
    random_walk,
)

__all__ = ["IMPOSTORS", "PROCESSES"]

#: Steps of a signal, and the longest excursions that are sampled without bias.
_STEPS, _LONGEST = 16_384, 1000
_FRACTIONAL_STEPS = 4096


def _seeds(mean: float, n: int, rng: np.random.Generator) -> Avalanches:
    from quasicrit.reference.seeds import galton_watson

    return galton_watson(mean, n, rng)


def _abbm(drive: float, n: int, rng: np.random.Generator) -> Avalanches:
    from quasicrit.reference.abbm import abbm

    return abbm(drive, n, rng)


def _percolation(dimension: int, n: int, rng: np.random.Generator) -> Avalanches:
    from quasicrit.reference.directed_percolation import directed_percolation

    return directed_percolation(dimension, n, rng)


def _interface(dimension: int, side: int, stiffness: float, n: int, rng: np.random.Generator) -> Avalanches:
    from quasicrit.reference.interfaces import linear_interface

    return linear_interface(dimension, side, stiffness, n, rng)


def _superposed(n: int, rng: np.random.Generator) -> Avalanches:
    from quasicrit.reference.mixtures import superposed_exponentials

    return superposed_exponentials(2.0, 200.0, 1.6, n, rng)


def _excursions(spec: Signal, longest: int, surrogate: str | None, n: int, rng: np.random.Generator) -> Avalanches:
    from quasicrit.reference.excursions import sample_excursions

    return sample_excursions(spec, longest, n, rng, surrogate)


def _walk(trials: int, rng: np.random.Generator) -> np.ndarray:
    return random_walk(trials, _STEPS, rng)


def _fractional(hurst: float, trials: int, rng: np.random.Generator) -> np.ndarray:
    return np.cumsum(fractional_noise(hurst, trials, _FRACTIONAL_STEPS, rng), axis=1)


def _noise(trials: int, rng: np.random.Generator) -> np.ndarray:
    return independent(trials, _STEPS, rng)


def _shuffled_walk(trials: int, rng: np.random.Generator) -> np.ndarray:
    return rng.permuted(_walk(trials, rng), axis=1)


def _relaxing(memory: float, trials: int, rng: np.random.Generator) -> np.ndarray:
    # Time is the second axis, but every step is a pass over all trials: many of them at once cost little more.
    return autoregressive(memory, trials, _STEPS, rng)


def _poisson(trials: int, rng: np.random.Generator) -> np.ndarray:
    return poisson_counts(np.full((trials, _STEPS), 10.0), rng)


def _modulated(trials: int, rng: np.random.Generator) -> np.ndarray:
    memory = 20.0
    spread = 0.5 * np.sqrt(1.0 - np.exp(-2.0 / memory))
    return poisson_counts(20.0 * np.exp(spread * autoregressive(memory, trials, _STEPS, rng)), rng)


def _lognormal(trials: int, rng: np.random.Generator) -> np.ndarray:
    memory = 20.0
    return np.sqrt(1.0 - np.exp(-2.0 / memory)) * autoregressive(memory, trials, _STEPS, rng)


def _from_signal(
    name: str,
    label: str,
    signal: Signal,
    source: str,
    window: tuple[int, int],
    memory: float,
    *,
    universality: str | None = None,
    exponents: tuple[float, float, float] | None = None,
    curve: tuple[str, float] | None = None,
    surrogate: str | None = None,
    longest: int = _LONGEST,
) -> Process:
    return Process(
        name,
        label,
        universality,
        exponents,
        source,
        window,
        longest,
        memory,
        partial(_excursions, signal, longest, surrogate),
        curve,
        None if surrogate else signal,
    )


def _of_hurst(hurst: float) -> Process:
    return _from_signal(
        f"fractional_{hurst:g}",
        f"fractional Brownian motion, H = {hurst:g}",
        Signal(partial(_fractional, hurst), "zero"),
        "Davies and Harte 1987; zero crossings: P(d) ~ d^(H − 2), s ~ d^(1 + H)",
        (8, 200),
        np.inf,
        universality="gaussian_signal",
        exponents=(2.0 / (1.0 + hurst), 2.0 - hurst, 1.0 + hurst),
        curve=("gaussian_signal", hurst),
        longest=500,
    )


def _of_drive(drive: float) -> Process:
    return Process(
        f"abbm_{drive:g}",
        f"ABBM, drive c = {drive:g}",
        "abbm" if drive else "mean_field_dp",
        ((3.0 - drive) / 2.0, 2.0 - drive, 2.0),
        "Alessandro et al. 1990; Colaiori 2008, arXiv:0902.3173",
        (8, 200),
        2000,
        np.inf,
        partial(_abbm, drive),
        ("abbm", drive),
    )


def _of_memory(memory: float, window: tuple[int, int]) -> Process:
    return _from_signal(
        f"ar1_{memory:g}",
        f"AR(1), memory {memory:g}",
        Signal(partial(_relaxing, memory), "median", 1.0),
        "Priesemann and Shriki 2018; Destexhe and Touboul 2021",
        window,
        memory,
    )


_WALK = Signal(_walk, "zero", 1.0)

PROCESSES: Mapping[str, Process] = {
    made.name: made
    for made in (
        Process(
            "galton_watson",
            "critical branching",
            "mean_field_dp",
            (1.5, 2.0, 2.0),
            "Otter 1949; Harris 1963",
            (8, 200),
            5000,
            np.inf,
            partial(_seeds, 1.0),
        ),
        _of_drive(0.0),
        _of_drive(0.3),
        _of_drive(0.6),
        _from_signal(
            "walk",
            "random walk",
            _WALK,
            "Baldassarri, Colaiori and Castellano 2003, cond-mat/0301068",
            (8, 500),
            np.inf,
            universality="brownian_excursion",
            exponents=(4.0 / 3.0, 1.5, 1.5),
            curve=("gaussian_signal", 0.5),
        ),
        _of_hurst(0.3),
        _of_hurst(0.7),
        Process(
            "percolation_1d",
            "directed percolation, 1 + 1",
            "dp_1d",
            (1.108, 1.159464, 1.473150),
            "Jensen 1999, J. Phys. A 32, 5233",
            (8, 128),
            399,
            np.inf,
            partial(_percolation, 1),
        ),
        Process(
            "percolation_2d",
            "directed percolation, 2 + 1",
            "dp_2d",
            (1.268, 1.4505, 1.6812),
            "Wang et al. 2013, arXiv:1201.3006",
            (8, 128),
            399,
            np.inf,
            partial(_percolation, 2),
        ),
        Process(
            "interface_1d",
            "linear interface, d = 1",
            "interface_1d",
            (1.111, 1.175, 1.573),
            "Rosso, Le Doussal and Wiese 2009, arXiv:0904.1123",
            (8, 128),
            500,
            np.inf,
            partial(_interface, 1, 1024, 1e-3),
        ),
        Process(
            "interface_2d",
            "linear interface, d = 2",
            "interface_2d",
            (1.274, 1.483, 1.765),
            "Narayan and Fisher 1993; Huynh and Pruessner 2012, arXiv:1201.3234",
            (8, 128),
            500,
            np.inf,
            partial(_interface, 2, 128, 2e-3),
        ),
    )
}
"""Critical processes with exact or accepted exponents, by name."""

IMPOSTORS: Mapping[str, Process] = {
    made.name: made
    for made in (
        _from_signal("iid", "independent noise", Signal(_noise, "median"), "P(d) = 2^−d", (4, 32), 0.0),
        _from_signal("shuffled", "walk, values shuffled", Signal(_shuffled_walk, "median"), "no memory", (4, 32), 0.0),
        _of_memory(10.0, (4, 64)),
        _of_memory(30.0, (4, 128)),
        _of_memory(100.0, (8, 500)),
        _from_signal(
            "poisson", "Poisson counts", Signal(_poisson, "median"), "Destexhe and Touboul 2021", (4, 32), 0.0
        ),
        _from_signal(
            "poisson_modulated",
            "Poisson counts, slow rate",
            Signal(_modulated, "median"),
            "Priesemann and Shriki 2018",
            (4, 128),
            20.0,
        ),
        _from_signal(
            "lognormal",
            "lognormal activity",
            Signal(_lognormal, "median", 0.0, "exponential"),
            "exponential of an AR(1)",
            (4, 128),
            20.0,
        ),
        Process(
            "superposed",
            "superposed exponentials",
            None,
            None,
            "Priesemann and Shriki 2018, PLoS Comput. Biol. 14, e1006081",
            (8, 128),
            100_000,
            0.0,
            _superposed,
        ),
        Process(
            "subcritical",
            "subcritical branching, m = .9",
            None,
            None,
            "Otter 1949",
            (4, 64),
            5000,
            -1.0 / np.log(0.9),
            partial(_seeds, 0.9),
        ),
        _of_memory(300.0, (4, 64)),
        _of_memory(1000.0, (8, 200)),
        _from_signal(
            "walk_phase_randomised",
            "random walk, random phases",
            _WALK,
            "Theiler et al. 1992",
            (8, 200),
            np.inf,
            surrogate="phase_randomised",
        ),
        _from_signal(
            "walk_shuffled_increments",
            "random walk, increments shuffled",
            _WALK,
            "a walk again",
            (8, 200),
            np.inf,
            surrogate="shuffled_increments",
        ),
    )
}
"""Processes that are not critical, by name; those with a memory beyond their window are walks inside it."""
