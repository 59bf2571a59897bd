"""Processes whose answer is known: references of the universality classes, and impostors that must be rejected."""

from quasicrit.reference.finite_depth import branching_at_depth, population_at_depth, walk_at_depth
from quasicrit.reference.process import Avalanches, Process, Signal
from quasicrit.reference.registry import IMPOSTORS, PROCESSES
from quasicrit.reference.signals import (
    autoregressive,
    branching_activity,
    fractional_noise,
    independent,
    poisson_counts,
    random_walk,
    subsampled,
)
from quasicrit.reference.spiking import LeakyNetwork, branching_spikes, leaky_network, poisson_spikes, sampled_units

__all__ = [
    "IMPOSTORS",
    "PROCESSES",
    "Avalanches",
    "LeakyNetwork",
    "Process",
    "Signal",
    "autoregressive",
    "branching_activity",
    "branching_at_depth",
    "branching_spikes",
    "fractional_noise",
    "independent",
    "leaky_network",
    "poisson_counts",
    "poisson_spikes",
    "population_at_depth",
    "random_walk",
    "sampled_units",
    "subsampled",
    "walk_at_depth",
]
