"""Batched training against networks one by one in torch.nn and torch.optim: L = 30, batch 64, 60 steps, denormals flushed.

Both classify the test images before and after. The floor is the three products of every layer, in the same chunks.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import numpy as np
import torch

from quasicrit.networks import NetSpec, initialise, load_digits_split, train
from quasicrit.networks.training import batch_order

from .measure import Row, ratio

TITLE = "Batched training"
STEPS = 60


def rows() -> Iterator[Row]:
    torch.set_num_threads(1)
    for width, bound in ((32, 8.0), (64, 2.5), (128, 2.0)):
        one, sixteen, floor = workloads(width)
        yield ratio(f"one by one / batched, N = {width}", one, sixteen, 16.0, 5, at_least=bound)
        yield ratio(f"batched / its matrix products, N = {width}", sixteen, floor, 1.0, 5, expected="the floor is 1")


def workloads(width: int) -> tuple[Callable[[], None], Callable[[], None], Callable[[], None]]:
    """Train one network in torch.nn; train sixteen together; the matrix products of sixteen."""
    data = load_digits_split(1)
    x, y, test = (
        torch.tensor(a) for a in (data.train_x.astype(np.float32), data.train_y, data.test_x.astype(np.float32))
    )
    nets = [NetSpec("benchmark", 1.1, 0.05, seed) for seed in range(16)]
    shape = {"input_dim": 64, "width": width, "depth": 30, "n_classes": 10}
    mlp = initialise(nets, **shape, activation="tanh", init="gaussian", root_seed=1)  # type: ignore[arg-type]
    order = torch.from_numpy(batch_order(nets[0], n_samples=len(y), batch_size=64, steps=STEPS, root_seed=1))
    dims = [64, *[width] * 30, 10]
    layers = [m for k, n in itertools.pairwise(dims) for m in (torch.nn.Linear(k, n), torch.nn.Tanh())][:-1]
    model = torch.nn.Sequential(*layers)
    descent = torch.optim.SGD(model.parameters(), 0.03)

    def one_by_one() -> None:
        torch.set_flush_denormal(True)
        with torch.no_grad():
            model(test), model(test)
        for samples in order:
            descent.zero_grad()
            torch.nn.functional.cross_entropy(model(x[samples]), y[samples]).backward()
            descent.step()
        torch.set_flush_denormal(False)

    def batched() -> None:
        train(mlp, data, steps=STEPS, learning_rate=0.03, batch_size=64, root_seed=1)

    inputs, weights = torch.randn(8, 64, width), torch.randn(8, width, width)
    out, gradient = torch.empty(8, 64, width), torch.empty(8, width, width)

    def products() -> None:
        for _ in range(2 * 30 * STEPS):  # two chunks of eight networks
            torch.bmm(inputs, weights, out=out)
            torch.bmm(inputs, weights.mT, out=out)
            torch.bmm(inputs.mT, inputs, out=gradient)

    return one_by_one, batched, products
