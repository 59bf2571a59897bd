"""Rules train_architecture and record_architecture: residual, convolutional, attention and recurrent networks before and after training."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from quasicrit.families import FAMILIES, build_network, critical_sigma_w
from quasicrit.networks import (
    Recorder,
    accuracy,
    calibrate_norms,
    initialise_network,
    load_states,
    load_task,
    save_states,
    shuffle_weights,
    to_images,
    train_plainly,
)
from quasicrit.networks.device import Chunker, resolve_device
from quasicrit.networks.modules import activation_kinds
from quasicrit.rng import generator
from quasicrit.stages.diverged import diverged
from quasicrit.stages.parts import Parts
from quasicrit.tables import SCHEMAS, TableWriter, write_table

__all__ = ["networks_of", "record_architecture", "test_inputs", "train_architecture"]

#: Training samples whose batch statistics the norms of a network that was not trained are set to.
_CALIBRATION = 512
#: Inputs that pass through a network at once.
_BATCH = 64


def networks_of(params: Mapping[str, Any], classes: int) -> list[tuple[str, int, nn.Module]]:
    """The networks of an entry as torch makes them: (label, net, model), by member and then net."""
    channels = params["shape"][0]
    shape = (channels, params["image"], params["image"])
    return [
        (member["label"], net, build_network(params["family"], shape, classes, member["options"]))
        for member in params["members"]
        for net in range(params["nets"])
    ]


def _images(
    params: Mapping[str, Any], data: Mapping[str, Any], seed: int
) -> tuple[Tensor, Tensor, Tensor, Tensor, int]:
    """Training images and classes, test images and classes, number of classes."""
    task = load_task(params["task"], seed, data["folder"], data["sha256"])
    shape = tuple(params["shape"])
    return (
        to_images(task.train_x, shape, params["image"]),
        torch.from_numpy(task.train_y),
        to_images(task.test_x, shape, params["image"]),
        torch.from_numpy(task.test_y),
        task.n_classes,
    )


def test_inputs(params: Mapping[str, Any], data: Mapping[str, Any], seed: int, count: int) -> tuple[Tensor, int]:
    """The first ``count`` test images, and the number of classes."""
    _, _, x, _, classes = _images(params, data, seed)
    return x[:count], classes


def train_architecture(
    params: Mapping[str, Any],
    data: Mapping[str, Any],
    states: Path | str,
    learning: Path | str,
    seed: int,
    details: Mapping[str, Any],
    device: str = "cpu",
) -> None:
    """Initialise every network of an entry, set its norms to the training data, and train a copy of it if that is asked for.

    ``params``: an entry of ``config.architecture_params``; ``data``: folder and digests of the task's files.
    """
    x, y, test_x, test_y, classes = _images(params, data, seed)
    place = resolve_device(device)
    names = networks_of(params, classes)
    rows: list[dict[str, Any]] = []
    initial, trained = [], []
    options = {member["label"]: member["options"] for member in params["members"]}

    def learnt(index: int, label: str, net: int, model: nn.Module) -> dict[str, Any]:
        """A trained copy of ``model``: its parameters and buffers, its losses and test accuracy."""
        learner = copy.deepcopy(model).to(place)
        history = train_plainly(
            learner,
            x,
            y,
            rng=generator(seed, "architecture-order", label, net),
            checkpoint=parts.file(f"{index}.checkpoint"),
            **params["training"],
        )
        # Running means lag behind weights that have just moved; the initial network has its norms set in the same way.
        calibrate_norms(learner, x[:_CALIBRATION])
        reached = None if history.diverged else accuracy(learner, test_x, test_y)
        values = {f"state.{name}": value.cpu().numpy() for name, value in learner.state_dict().items()}
        return {**values, "losses": history.losses, "diverged": history.diverged, "accuracy": reached}

    with Parts(states, params, data, seed, device, details) as parts:
        for index, (label, net, model) in enumerate(names):
            sigma_w = params["sigma_w"]
            if sigma_w == "critical":
                sigma_w = critical_sigma_w(params["family"], options[label], params["sigma_b"])
            rng = generator(seed, "architecture", label, net)
            initialise_network(model, params["init"], sigma_w, params["sigma_b"], rng)
            calibrate_norms(model.to(place), x[:_CALIBRATION])
            initial.append(model.to("cpu"))
            if not params["trained"]:
                continue
            made = parts.keep(str(index), partial(learnt, index, label, net, model))
            learner = copy.deepcopy(model)
            learner.load_state_dict(
                {n.removeprefix("state."): torch.from_numpy(v) for n, v in made.items() if n.startswith("state.")}
            )
            trained.append(learner)
            row = {"member": label, "net": net, "test_accuracy": None, "diverged": made["diverged"]}
            rows += [{**row, "step": step, "train_loss": float(loss)} for step, loss in enumerate(made["losses"])]
            rows.append({**row, "step": len(made["losses"]), "train_loss": None, "test_accuracy": made["accuracy"]})
        save_states(states, {"initial": initial, "trained": trained})
        write_table(learning, SCHEMAS["architecture_learning"], rows, details)


def record_architecture(
    params: Mapping[str, Any],
    data: Mapping[str, Any],
    states: Path | str,
    learning: Path | str,
    activity: Path | str,
    units: Path | str,
    seed: int,
    details: Mapping[str, Any],
    device: str = "cpu",
) -> None:
    """Record the networks of an entry on the same test samples: layers for definition C, units of one stream for B.

    States: initial, trained (without networks that diverged, by ``learning``) and, for the null of i.i.d. weights, shuffled: trained weights
    permuted within each tensor, the norms set anew.
    """
    x, _, test_x, _, classes = _images(params, data, seed)
    place = resolve_device(device)
    family = FAMILIES[params["family"]]
    stream = family.stream.format(stage=params["stage"])
    kinds = family.recorded.format(activation=",".join(activation_kinds())).split(",")
    wanted = params["inputs"]
    with (
        TableWriter(activity, SCHEMAS["layer_activity"], details) as layer_writer,
        TableWriter(units, SCHEMAS["unit_stream"], details) as unit_writer,
    ):
        for state, label, net, model in _states(params, states, diverged(learning), x, classes, seed, place):
            names = {"member": label, "state": state, "net": net}
            if "C" in wanted:
                present = {type(module).__name__ for module in model.modules()}
                types = ",".join(kind for kind in kinds if kind in present)
                with Recorder(model, types=types, reduce=["mean_abs"]) as recorder:
                    for values in _measured(recorder, test_x[: wanted["C"]]):
                        rows = _rows(recorder.n_inputs - len(values), *values.shape[:2])
                        layer_writer.write(names | rows | {"mean_abs": values.ravel()})
            if "B" in wanted:
                for first, held in _stream(model, stream, test_x[: wanted["B"]]):
                    rows = _rows(first, len(held[0]), len(held))
                    written = [x[row].astype("<f4").tobytes() for row in range(len(held[0])) for x in held]
                    unit_writer.write(names | rows | {"units": written})


def _stream(model: nn.Module, layers: str, x: Tensor) -> Iterator[tuple[int, list[np.ndarray]]]:
    """First input and the activations (inputs, units) of each layer of the stream, batch by batch."""
    held: list[np.ndarray] = []
    with Recorder(model, layers=layers, on_units=lambda layer, first, units: held.append(units)) as recorder:
        for values in _measured(recorder, x):
            yield recorder.n_inputs - len(values), list(held)
            held.clear()


def _measured(recorder: Recorder, x: Tensor) -> Iterator[np.ndarray]:
    """What ``recorder`` measures of ``x``, batch by batch, in smaller ones where the memory of the model's device is short."""
    return Chunker(_BATCH, "input").run(x, lambda batch: recorder.measure(batch.to(recorder.device, copy=True)))


def _rows(first: int, inputs: int, layers: int) -> dict[str, Any]:
    """Columns of one row per (input, layer)."""
    return {
        "input": np.repeat(np.arange(first, first + inputs, dtype=np.int32), layers),
        "layer": np.tile(np.arange(1, layers + 1, dtype=np.int32), inputs),
    }


def _states(
    params: Mapping[str, Any],
    states: Path | str,
    left: set[tuple[str, int]],
    x: Tensor,
    classes: int,
    seed: int,
    place: torch.device,
) -> Iterator[tuple[str, str, int, nn.Module]]:
    """(state, label, net, model on ``place``) of every network in every state that is recorded."""
    for state in ("initial", "trained") if params["trained"] else ("initial",):
        names = networks_of(params, classes)
        load_states(states, state, [model for _, _, model in names])
        for label, net, model in names:
            if state == "trained" and (label, net) in left:
                continue
            model.to(place).eval()
            yield state, label, net, model
            if state == "trained" and params["nulls"]:
                shuffle_weights(model, generator(seed, "architecture-shuffle", label, net))
                calibrate_norms(model, x[:_CALIBRATION])
                yield "shuffled", label, net, model
            model.to("cpu")
