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
    "Events",
    "Profiles",
    "corrected_size",
    "detect",
    "duration_bins",
    "gaussian_surrogate",
    "layer_medians",
    "mean_profiles",
    "phase_randomised",
    "shuffle_increments",
    "shuffle_layers",
    "shuffle_trajectories",
    "size_by_layer",
    "standardise",
    "trajectory_medians",
]
