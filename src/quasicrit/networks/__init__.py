"""Networks: exact propagation of signals, measurements on the way, in any torch model too, data sets and batched training.

Names are loaded on first use: a job that propagates signals does not wait for what training needs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from quasicrit.networks.activations import torch_activation
    from quasicrit.networks.architectures import (
        calibrate_norms,
        initialise_network,
        load_states,
        save_states,
        shuffle_weights,
        to_images,
    )
    from quasicrit.networks.convolutional import ConvNet
    from quasicrit.networks.datasets import TASKS, ImageData, load_digits_split, load_task, tuning_split
    from quasicrit.networks.gaussian import SurvivalCount, count_survivors, pathwise_susceptibility
    from quasicrit.networks.lineages import descent_of, draw_parents, trees
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
    from quasicrit.networks.plain_training import PlainHistory, accuracy, train_plainly
    from quasicrit.networks.propagation import Layers, Replicas, propagate
    from quasicrit.networks.recording import LayerCall, Recorder, Recording, UnseenOperation, record
    from quasicrit.networks.resnet import (
        ResNet,
        resnet18,
        resnet20,
        resnet34,
        resnet50,
        resnet56,
        resnet110,
    )
    from quasicrit.networks.sequences import LSTM, RNN, Transformer
    from quasicrit.networks.training import Optimiser, TrainingHistory, train

_HOMES = {
    "activations": ("torch_activation",),
    "architectures": (
        "calibrate_norms",
        "initialise_network",
        "load_states",
        "save_states",
        "shuffle_weights",
        "to_images",
    ),
    "convolutional": ("ConvNet",),
    "lineages": ("descent_of", "draw_parents", "trees"),
    "plain_training": ("PlainHistory", "accuracy", "train_plainly"),
    "resnet": ("ResNet", "resnet18", "resnet20", "resnet34", "resnet50", "resnet56", "resnet110"),
    "sequences": ("LSTM", "RNN", "Transformer"),
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
    "LSTM",
    "RNN",
    "TASKS",
    "ConvNet",
    "ImageData",
    "LayerCall",
    "Layers",
    "NetSpec",
    "Optimiser",
    "PlainHistory",
    "Recorder",
    "Recording",
    "Replicas",
    "ResNet",
    "StackedMLP",
    "SurvivalCount",
    "TrainingHistory",
    "Transformer",
    "UnseenOperation",
    "accuracy",
    "calibrate_norms",
    "count_survivors",
    "descent_of",
    "draw_parents",
    "forward_layers",
    "haar_orthogonal",
    "initialise",
    "initialise_network",
    "join",
    "load_digits_split",
    "load_networks",
    "load_states",
    "load_task",
    "pathwise_susceptibility",
    "predict",
    "propagate",
    "record",
    "resnet18",
    "resnet20",
    "resnet34",
    "resnet50",
    "resnet56",
    "resnet110",
    "save_networks",
    "save_states",
    "shuffle_weights",
    "to_images",
    "torch_activation",
    "torch_generator",
    "train",
    "train_plainly",
    "trees",
    "tuning_split",
]


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
