"""Networks: exact propagation of signals, measurements on the way, in any torch model too, data sets and batched training.

Names are loaded on first use: a job that propagates signals does not wait for what training needs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from quasicrit.networks.activations import torch_activation
    from quasicrit.networks.datasets import TASKS, ImageData, load_digits_split, load_task, tuning_split
    from quasicrit.networks.gaussian import SurvivalCount, count_survivors, pathwise_susceptibility
    from quasicrit.networks.matrices import torch_generator
    from quasicrit.networks.mlp import (
        NetSpec,
        StackedMLP,
        forward_layers,
        haar_orthogonal,
        initialise,
        join,
        load_networks,
        predict,
        save_networks,
    )
    from quasicrit.networks.propagation import Layers, Replicas, propagate
    from quasicrit.networks.recording import LayerCall, Recorder, Recording, UnseenOperation, record
    from quasicrit.networks.training import Optimiser, TrainingHistory, train

_HOMES = {
    "activations": ("torch_activation",),
    "datasets": ("TASKS", "ImageData", "load_digits_split", "load_task", "tuning_split"),
    "gaussian": ("SurvivalCount", "count_survivors", "pathwise_susceptibility"),
    "matrices": ("torch_generator",),
    "propagation": ("Layers", "Replicas", "propagate"),
    "mlp": (
        "NetSpec",
        "StackedMLP",
        "forward_layers",
        "haar_orthogonal",
        "initialise",
        "join",
        "load_networks",
        "predict",
        "save_networks",
    ),
    "recording": ("LayerCall", "Recorder", "Recording", "UnseenOperation", "record"),
    "training": ("Optimiser", "TrainingHistory", "train"),
}

__all__ = [
    "TASKS",
    "ImageData",
    "LayerCall",
    "Layers",
    "NetSpec",
    "Optimiser",
    "Recorder",
    "Recording",
    "Replicas",
    "StackedMLP",
    "SurvivalCount",
    "TrainingHistory",
    "UnseenOperation",
    "count_survivors",
    "forward_layers",
    "haar_orthogonal",
    "initialise",
    "join",
    "load_digits_split",
    "load_networks",
    "load_task",
    "pathwise_susceptibility",
    "predict",
    "propagate",
    "record",
    "save_networks",
    "torch_activation",
    "torch_generator",
    "train",
    "tuning_split",
]


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
