"""Rules learn_plane, predict_learning, follow_training: which initialisations learn, what was known before, what learning moves."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from quasicrit.avalanches import detect, trajectory_medians
from quasicrit.errors import TheoryError
from quasicrit.learning import PREDICTORS, Candidate, Predictor
from quasicrit.networks import (
    ImageData,
    NetSpec,
    Optimiser,
    StackedMLP,
    TrainingHistory,
    forward_layers,
    initialise,
    load_task,
    train,
)
from quasicrit.networks.device import Chunker, resolve_device
from quasicrit.networks.mlp import part_of
from quasicrit.rng import generator
from quasicrit.stages.parts import Parts
from quasicrit.tables import SCHEMAS, write_table
from quasicrit.theory import xi_c

__all__ = ["follow_training", "learn_plane", "predict_learning"]


def _load(params: Mapping[str, Any], seed: int) -> ImageData:
    return load_task(params["task"], seed, params["folder"], params["sha256"])


def _networks(
    data: ImageData, points: Sequence[Sequence[float]], width: int, depth: int, seeds: int, seed: int
) -> StackedMLP:
    """Tanh networks with Gaussian weights, by point and then seed; a name says the point, so that runs share their networks."""
    nets = [
        NetSpec(f"{sigma_w}|{sigma_b}|{width}|{depth}", sigma_w, sigma_b, index)
        for sigma_w, sigma_b in points
        for index in range(seeds)
    ]
    return initialise(
        nets,
        input_dim=data.train_x.shape[1],
        width=width,
        depth=depth,
        n_classes=data.n_classes,
        activation="tanh",
        init="gaussian",
        root_seed=seed,
    )


def _speed(history: TrainingHistory, n_classes: int) -> np.ndarray:
    """Mean over the steps of max(0, 1 − loss/ln classes): 0 for a network that never beats guessing, or has left."""
    return np.maximum(0.0, 1.0 - np.nan_to_num(history.losses, nan=np.inf) / math.log(n_classes)).mean(1)


def _run_cells(params: Mapping[str, Any], learning_rate: float) -> dict[str, Any]:
    names = ("task", "width", "depth", "optimiser", "steps")
    return {name: params[name] for name in names} | {"learning_rate": learning_rate}


def learn_plane(
    params: Mapping[str, Any],
    data: Mapping[str, Any],
    learned: Path | str,
    seed: int,
    details: Mapping[str, Any],
    device: str = "cpu",
) -> None:
    """Train the points of one block at each learning rate; the same initial networks and batches at every rate.

    ``params``: task, width, depth, optimiser, steps, seeds, learning_rate (list), batch_size, points [[sigma_w, sigma_b], …];
    ``data``: folder and sha256 of a task that is read from files.
    """
    task = _load({**params, **data}, seed)

    def cells(rate: float) -> dict[str, Any]:
        mlp = _networks(task, params["points"], params["width"], params["depth"], params["seeds"], seed)
        history = train(
            mlp,
            task,
            steps=params["steps"],
            learning_rate=rate,
            batch_size=min(params["batch_size"], len(task.train_y)),
            root_seed=seed,
            optimiser=Optimiser(params["optimiser"]),
            checkpoint=parts.file(f"{rate:g}.checkpoint"),
            device=device,
        )
        return {
            "rows": [
                {
                    **_run_cells(params, rate),
                    "sigma_w": net.sigma_w,
                    "sigma_b": net.sigma_b,
                    "seed": net.seed,
                    "accuracy": accuracy,
                    "speed": speed,
                    "fate": fate,
                }
                for net, accuracy, speed, fate in zip(
                    mlp.nets, history.accuracy[:, -1], _speed(history, task.n_classes), history.fate, strict=True
                )
            ]
        }

    with Parts(learned, params, data, seed, device, details) as parts:
        rows = [
            row for rate in params["learning_rate"] for row in parts.keep(f"{rate!r}", partial(cells, rate))["rows"]
        ]
        write_table(learned, SCHEMAS["learned"], rows, details)


def predict_learning(
    params: Mapping[str, Any], data: Mapping[str, Any], predictors: Path | str, seed: int, details: Mapping[str, Any]
) -> None:
    """Every predictor at every point of one run, before training: theory, the infinite width, and the networks that will be trained.

    ``params`` as for ``learn_plane``, with fluctuation_nets and kernel_samples.
    """
    task = _load({**params, **data}, seed)
    width, depth = params["width"], params["depth"]

    def cells(sigma_w: float, sigma_b: float) -> dict[str, Any]:
        point = f"{sigma_w}|{sigma_b}|{width}|{depth}"
        candidate = Candidate(
            activation="tanh",
            sigma_w=sigma_w,
            sigma_b=sigma_b,
            width=width,
            depth=depth,
            networks=_networks(task, [(sigma_w, sigma_b)], width, depth, params["seeds"], seed),
            data=task,
            learning_rates=tuple(params["learning_rate"]),
            steps=params["steps"],
            fluctuation_nets=params["fluctuation_nets"],
            kernel_samples=params["kernel_samples"],
            rng=lambda name: generator(seed, name, point),
        )
        found = {predictor.name: _values(predictor, candidate) for predictor in PREDICTORS.values()}
        rows = []
        for index, rate in enumerate(params["learning_rate"]):
            for name, (values, absent) in found.items():
                value = float(values[index])
                rows.append(
                    {
                        **_run_cells(params, rate),
                        "sigma_w": sigma_w,
                        "sigma_b": sigma_b,
                        "predictor": name,
                        "value": None if math.isnan(value) else value,
                        "reason": absent if math.isnan(value) else "",
                    }
                )
        return {"rows": rows}

    with Parts(predictors, params, data, seed, details) as parts:
        made = [parts.keep(f"{w!r}, {b!r}", partial(cells, w, b))["rows"] for w, b in params["points"]]
        write_table(predictors, SCHEMAS["predictors"], [row for rows in made for row in rows], details)


def _values(predictor: Predictor, candidate: Candidate) -> tuple[np.ndarray, str]:
    """The value at each learning rate, and why those that are NaN are none."""
    rates = len(candidate.learning_rates)
    try:
        return np.broadcast_to(np.asarray(predictor.value(candidate), np.float64), rates), predictor.absent
    except TheoryError as error:
        return np.full(rates, np.nan), str(error)


def follow_training(
    params: Mapping[str, Any],
    data: Mapping[str, Any],
    followed: Path | str,
    seed: int,
    details: Mapping[str, Any],
    device: str = "cpu",
) -> None:
    """Where networks stand at some steps of their training: effective scales, susceptibility, Jacobian, xi_c, excursions.

    ``params``: task, width, depth, sigma_w (list), sigma_b, seeds, learning_rate, marks (steps), images, batch_size.
    """
    task = _load({**params, **data}, seed)
    points = [(sigma_w, params["sigma_b"]) for sigma_w in params["sigma_w"]]
    mlp = _networks(task, points, params["width"], params["depth"], params["seeds"], seed)
    images = task.test_x[: params["images"]]
    rows: list[dict[str, Any]] = []
    place = resolve_device(device)
    states = Chunker(len(mlp.nets), "network")

    def keep(step: int, quantity: str, values: np.ndarray) -> None:
        rows.extend(
            {
                "task": params["task"],
                "width": params["width"],
                "depth": params["depth"],
                "sigma_w": net.sigma_w,
                "sigma_b": net.sigma_b,
                "net": net.seed,
                "step": step,
                "quantity": quantity,
                "value": float(value) if math.isfinite(value) else None,
            }
            for net, value in zip(mlp.nets, values, strict=True)
        )

    def observe() -> dict[str, np.ndarray]:
        found = list(states.run(range(len(mlp.nets)), lambda nets: dict(_state(part_of(mlp, nets, place), images))))
        return {quantity: np.concatenate([part[quantity] for part in found]) for quantity in found[0]}

    with Parts(followed, params, data, seed, device, details) as parts:
        history = train(
            mlp,
            task,
            steps=params["marks"][-1],
            learning_rate=params["learning_rate"],
            batch_size=min(params["batch_size"], len(task.train_y)),
            root_seed=seed,
            evaluate=params["marks"],
            checkpoint=parts.file("training.checkpoint"),
            observe=observe,
            device=device,
        )
        for step, seen in history.observed.items():
            for quantity, values in seen.items():
                keep(step, quantity, values)
        for column, step in enumerate(history.accuracy_steps):
            keep(step, "test accuracy", history.accuracy[:, column])
        write_table(followed, SCHEMAS["followed"], rows, details)


def _scaled(mlp: StackedMLP, factor: float, dtype: torch.dtype = torch.float64) -> StackedMLP:
    """The same networks in double precision with every weight matrix multiplied by ``factor``."""
    return StackedMLP(
        [w.to(dtype) * factor for w in mlp.weights], [b.to(dtype) for b in mlp.biases], mlp.activation, mlp.nets
    )


def _state(mlp: StackedMLP, images: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Quantities of networks as they are now, [n_nets] each.

    susceptibility: ∂m_L/∂ ln g over sigma_w at the start, all weights multiplied by g. log_jacobian: ln|δh|² gained per layer by a
    small change of the input, in the mean over images and layers 1 … L. xi_c: of theory at the effective scales √(N Var W), √⟨b²⟩.
    """
    nets = len(mlp.nets)
    hidden = torch.stack(mlp.weights[1:-1]).double()
    sigma_w = (hidden.var(dim=(0, 2, 3), correction=0) * hidden.shape[3]).sqrt().cpu().numpy()
    sigma_b = torch.stack(mlp.biases[:-1]).double().square().mean(dim=(0, 2)).sqrt().cpu().numpy()
    layers = np.stack([x.cpu().numpy() for x in forward_layers(_scaled(mlp, 1.0), images)])
    m = (layers**2).mean(3)
    step = 5e-3
    up, down = (list(forward_layers(_scaled(mlp, 1.0 + s), images))[-1].cpu().numpy() for s in (step, -step))
    start = np.array([net.sigma_w for net in mlp.nets])
    chi = ((up**2).mean((1, 2)) - (down**2).mean((1, 2))) / (2.0 * step) / start
    small = 1e-5 * generator(0, "perturbation").standard_normal(images.shape)
    apart = np.stack([x.cpu().numpy() for x in forward_layers(_scaled(mlp, 1.0), images + small)]) - layers
    with np.errstate(divide="ignore", invalid="ignore"):
        growth = np.log((apart**2).sum(3))
        log_jacobian = ((growth[-1] - growth[0]) / (len(layers) - 1)).mean(1)
        y = np.log(m)
    durations = []
    for net in range(nets):
        activity = np.ascontiguousarray(y[:, net].T)
        if not np.isfinite(activity).all():
            durations.append(math.nan)
            continue
        events = detect(activity, trajectory_medians(activity), first="include")
        durations.append(float(events.duration.mean()) if len(events) else math.nan)
    lengths = []
    for w, b in zip(sigma_w, sigma_b):
        try:
            lengths.append(xi_c(mlp.activation, float(w), float(b)))
        except TheoryError:
            lengths.append(math.nan)
    yield "effective sigma_w", sigma_w
    yield "effective sigma_b", sigma_b
    yield "m at the last layer", m[-1].mean(1)
    yield "susceptibility", chi
    yield "log_jacobian per layer", log_jacobian
    yield "xi_c at the effective scales", np.array(lengths)
    yield "mean duration", np.array(durations)
