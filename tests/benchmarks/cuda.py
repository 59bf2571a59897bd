"""Every heavy stage on the CPU, one thread, and on the GPU: the ratio of their times on the clock, and how far apart the numbers are."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from quasicrit.networks import NetSpec, Recorder, Replicas, initialise, load_digits_split, propagate, resnet56, train
from quasicrit.networks.device import device_details, full_float32, resolve_device
from quasicrit.theory import sigma_c

from .measure import Row

Stage = Callable[[str], np.ndarray | None]


def _title() -> str:
    if not torch.cuda.is_available():
        return "GPU (no CUDA device: not measured)"
    details = device_details(resolve_device("cuda"))
    return f"GPU: {details['device_name']}, CUDA {details['cuda']}; CPU, one thread / GPU, seconds on the clock"


TITLE = _title()


def rows() -> Iterator[Row]:
    if not torch.cuda.is_available():
        return
    torch.set_num_threads(1)
    for name, work in stages():
        found, took = {}, {}
        for place in ("cpu", "cuda"):
            work(place)  # the first call compiles and loads
            start = time.perf_counter()
            found[place] = work(place)
            if place == "cuda":
                torch.cuda.synchronize()
            took[place] = time.perf_counter() - start
        one, two = found["cpu"], found["cuda"]
        apart = "the same law (tests)"
        if one is not None and two is not None:
            apart = f"losses or E|x| differ by {np.nanmax(np.abs(one - two) / (np.abs(one) + 1e-12)):.1e} of themselves at most"
        yield Row(f"{name}: {took['cpu']:.3f} / {took['cuda']:.3f} s; {apart}", took["cpu"] / took["cuda"])


def stages() -> Iterator[tuple[str, Stage]]:
    """Name and work of every stage, by device."""
    for source, width, depth, nets, inputs in (
        ("weights", 64, 32, 512, 2),
        ("weights", 256, 32, 128, 2),
        ("weights", 1024, 8, 64, 2),
        ("gram", 64, 32, 256, 8),
        ("gram", 1024, 32, 64, 8),
    ):
        name = f"{source}, N = {width}, L = {depth}, {nets} networks, {inputs} inputs"
        yield name, drawn(source, width, depth, nets, inputs)
    for width, nets in ((32, 512), (64, 512), (128, 256), (512, 16)):
        yield f"training, N = {width}, L = 30, batch 64, 60 steps, {nets} networks", trained(width, nets)
    for batch in (64, 256):
        yield f"recording, ResNet-56, 3 × 32 × 32, batches of {batch}", recorded(batch)


def drawn(source: str, width: int, depth: int, nets: int, inputs: int) -> Stage:
    """A sampler on either device: random numbers differ."""
    replicas = [Replicas(("cuda", g), 64, sigma_c("tanh", width), 0.0) for g in range(nets // 64)]

    def work(place: str) -> None:
        for _ in propagate(source, "tanh", "gaussian", width, depth, inputs, 1.0, replicas, 1, device=place):
            pass

    return work


def trained(width: int, count: int) -> Stage:
    """Losses of a stack of networks from the same parameters and batches."""
    data = load_digits_split(1)
    nets = [NetSpec("cuda", 1.1, 0.05, seed) for seed in range(count)]
    shape: dict[str, Any] = {"input_dim": 64, "width": width, "depth": 30, "n_classes": 10}
    start = initialise(nets, **shape, activation="tanh", init="gaussian", root_seed=1)

    def work(place: str) -> np.ndarray:
        mlp = copy.deepcopy(start)
        return train(mlp, data, steps=60, learning_rate=0.003, batch_size=64, root_seed=1, device=place).losses

    return work


def recorded(batch: int) -> Stage:
    """E|x| of every layer of a residual network."""
    torch.manual_seed(0)
    model, x = resnet56().eval(), torch.randn(batch, 3, 32, 32)

    def work(place: str) -> np.ndarray:
        with full_float32(torch.device(place)), Recorder(model.to(place), reduce=["mean_abs"]) as recorder:
            return recorder.measure(x.to(place, copy=True))

    return work
