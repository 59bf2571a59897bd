"""Activity in, avalanches out: detection, mean profiles, surrogates."""

from quasicrit.avalanches.excursions import (
    CENSORED,
    CONTINUITY,
    Events,
    corrected_size,
    detect,
    layer_medians,
    trajectory_medians,
)
from quasicrit.avalanches.profiles import PHASES, Profiles, duration_bins, mean_profiles
from quasicrit.avalanches.spikes import (
    Counts,
    SpikeTrains,
    bin_spikes,
    error_units,
    mean_interval,
    merge_bins,
    neuronal_avalanches,
    neuronal_profiles,
    shift_units,
    shuffle_bins,
    shuffle_intervals,
)
from quasicrit.avalanches.standard import size_by_layer, standardise
from quasicrit.avalanches.surrogates import (
    gaussian_surrogate,
    phase_randomised,
    shuffle_increments,
    shuffle_layers,
    shuffle_trajectories,
)

__all__ = [
    "CENSORED",
    "CONTINUITY",
    "PHASES",
    "Counts",
    "Events",
    "Profiles",
    "SpikeTrains",
    "bin_spikes",
    "corrected_size",
    "detect",
    "duration_bins",
    "error_units",
    "gaussian_surrogate",
    "layer_medians",
    "mean_interval",
    "mean_profiles",
    "merge_bins",
    "neuronal_avalanches",
    "neuronal_profiles",
    "phase_randomised",
    "shift_units",
    "shuffle_bins",
    "shuffle_increments",
    "shuffle_intervals",
    "shuffle_layers",
    "shuffle_trajectories",
    "size_by_layer",
    "standardise",
    "trajectory_medians",
]
