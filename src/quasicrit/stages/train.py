"""Rules train_networks and record_networks: networks learn a task, and are recorded before and after."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from quasicrit.errors import ConfigError
from quasicrit.networks import (
    ImageData,
    Layers,
    NetSpec,
    Optimiser,
    StackedMLP,
    forward_layers,
    initialise,
    load_networks,
    load_task,
    save_networks,
    train,
)
from quasicrit.networks.device import full_float32, resolve_device
from quasicrit.networks.mlp import chunker, part_of
from quasicrit.networks.reductions import torch_reductions
from quasicrit.points import Block, Point
from quasicrit.stages.parts import Parts
from quasicrit.stages.propagate import write_layers
from quasicrit.tables import SCHEMAS, write_table

__all__ = ["record_networks", "train_networks"]


def _nets(parts: tuple[tuple[Point, int, int], ...]) -> list[NetSpec]:
    """One network per point and seed; a network before and after training is the same, so has the same name."""
    return [
        NetSpec(f"{point.sigma_w}|{point.sigma_b}|{point.width}|{point.depth}", point.sigma_w, point.sigma_b, seed)
        for point, _, _ in parts
        for seed in range(point.nets)
    ]


def _data(params: Mapping[str, Any], seed: int) -> ImageData:
    return load_task(params["task"], seed, params["folder"], params["sha256"])


def train_networks(
    params: Mapping[str, Any],
    initial: Path | str,
    trained: Path | str,
    learning: Path | str,
    seed: int,
    details: Mapping[str, Any],
    device: str = "cpu",
) -> None:
    """Train the tanh networks of one width and depth on a task; save them before and after.

    ``params``: the block, ``task`` with its ``folder`` and ``sha256``, ``steps``, ``learning_rate``, ``batch_size``, ``optimiser`` (sgd, adam), ``momentum``.
    """
    parts = Block.parts_from(params)
    point = parts[0][0]
    place = resolve_device(device).type
    data = _data(params, seed)
    nets = _nets(parts)
    mlp = initialise(
        nets,
        input_dim=data.train_x.shape[1],
        width=point.width,
        depth=point.depth,
        n_classes=data.n_classes,
        activation=point.activation,
        init=point.init,
        root_seed=seed,
    )
    save_networks(Path(initial), mlp, {"state": "initial", "device": place})
    with Parts(trained, params, seed, device, details) as kept:
        history = train(
            mlp,
            data,
            steps=params["steps"],
            learning_rate=params["learning_rate"],
            batch_size=params["batch_size"],
            root_seed=seed,
            optimiser=Optimiser(params["optimiser"], params["momentum"]),
            checkpoint=kept.file("training.checkpoint"),
            device=device,
        )
        save_networks(Path(trained), mlp, {"state": "trained", "device": place})
        owners = [p for p, _, _ in parts for _ in range(p.nets)]
        last = params["steps"]
        shown = sorted({0, *np.unique(np.round(np.geomspace(1, last, 20)).astype(int)).tolist()})
        rows = []
        for index, (net, owner) in enumerate(zip(nets, owners, strict=True)):
            for step in shown:
                loss = history.losses[index, step] if step < history.stopped[index] else None
                accuracy = {0: history.accuracy[index, 0], last: history.accuracy[index, -1]}.get(step)
                rows.append(
                    {
                        "point_id": owner.point_id,
                        "net": net.seed,
                        "width": owner.width,
                        "depth": owner.depth,
                        "sigma_w": net.sigma_w,
                        "sigma_b": net.sigma_b,
                        "optimiser": params["optimiser"],
                        "learning_rate": params["learning_rate"],
                        "step": step,
                        "train_loss": loss,
                        "test_accuracy": accuracy,
                        "diverged": bool(history.diverged[index]),
                    }
                )
        write_table(learning, SCHEMAS["learning"], rows, details)


def record_networks(
    params: Mapping[str, Any],
    task: Mapping[str, Any],
    networks: Path | str,
    activity: Path | str,
    seed: int,
    group_size: int,
    details: Mapping[str, Any],
    device: str = "cpu",
) -> None:
    """Record the activity of saved networks on the first test samples of ``task``: the same before and after training."""
    parts = Block.parts_from(params)
    mlp, _ = load_networks(Path(networks))
    wanted = parts[0][0].inputs
    images = _data(task, seed).test_x[:wanted]
    if len(images) < wanted:
        raise ConfigError(f"training.images = {wanted} is more than the {len(images)} test samples of {task['task']}.")
    place = resolve_device(device)
    layers: Iterator[Layers]
    if place.type == "cpu":
        layers = (_reduce(layer, x.numpy()) for layer, x in enumerate(forward_layers(mlp, images), start=1))
    else:
        layers = _reduced_on(place, mlp, images)
    write_layers(activity, parts, group_size, layers, details)


def _reduce(layer: int, x: np.ndarray) -> Layers:
    """Activity of one layer from x (networks, inputs, N)."""
    square = np.mean(x.astype(np.float64) ** 2, axis=2)
    active = (np.abs(x) > 0.1 * np.sqrt(square)[..., None]).mean(2)
    return _layers(layer, square, np.abs(x).mean(2), active)


def _reduced_on(place: torch.device, mlp: StackedMLP, images: np.ndarray) -> Iterator[Layers]:
    """The same of every layer from a GPU, as many networks at once as it holds; only what is written comes back."""

    def reduced(nets: range) -> np.ndarray:
        own = part_of(mlp, nets, place)
        found = [torch_reductions(x.flatten(0, 1), "tenth", None) for x in forward_layers(own, images)]
        return np.asarray(torch.stack(found).unflatten(2, (len(nets), -1)).cpu().numpy())

    with full_float32(place):
        # (layers, three reductions, networks, inputs)
        whole = np.concatenate(list(chunker(place).run(range(len(mlp.nets)), reduced)), axis=2)
    for layer, (square, mean_abs, active) in enumerate(whole, start=1):
        yield _layers(layer, square, mean_abs, active)


def _layers(layer: int, square: np.ndarray, mean_abs: np.ndarray, active: np.ndarray) -> Layers:
    with np.errstate(divide="ignore"):
        log_m = np.log(square)
    return Layers(layer, log_m[..., None], mean_abs[..., None], active[..., None], None, 0.0)
