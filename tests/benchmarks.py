"""Speed as ratios in one run (``make benchmarks``); each line is the median of paired repetitions.

``python -m tests.benchmarks cuda`` measures the stages that run on a GPU alone.
"""

from __future__ import annotations

import copy
import itertools
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import quasicrit.stages  # one thread, before numpy starts  # noqa: F401  isort: skip
import numpy as np
import torch

from quasicrit.avalanches import detect
from quasicrit.networks import (
    NetSpec,
    Recorder,
    Replicas,
    initialise,
    load_digits_split,
    propagate,
    resnet56,
    train,
)
from quasicrit.networks.device import device_details, full_float32, resolve_device
from quasicrit.networks.training import batch_order
from quasicrit.rng import generator
from quasicrit.scaling import collapse_curves
from quasicrit.tails import Distribution, Support, fit_power_law, p_value, search_xmin
from quasicrit.theory import sigma_c

torch.set_num_threads(1)


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def ratio(
    name: str, one: Callable[[], object], two: Callable[[], object], weight: float, goal: str, repetitions: int = 7
) -> None:
    """weight × time(one)/time(two), in turn."""
    one(), two()
    found = sorted(weight * seconds(one) / seconds(two) for _ in range(repetitions))
    print(f"{name:<68} {statistics.median(found):8.2f}   ({found[0]:.2f} to {found[-1]:.2f}; {goal})", flush=True)


def signals(
    source: str, width: int, depth: int, groups: int, size: int = 64, sigma_b: float = 0.0
) -> Callable[[], None]:
    replicas = [Replicas(("benchmark", g), size, sigma_c("tanh", width), sigma_b) for g in range(groups)]

    def work() -> None:
        for _ in propagate(source, "tanh", "gaussian", width, depth, 1, 1.0, replicas, 1):
            pass

    return work


def tabulated() -> None:
    """The chain from a table against the exact chain and real weights; then its own speed, which no width changes."""
    for width, chain_layers, nets in ((64, 256, 64), (512, 64, 16), (4096, 32, 1)):
        table = signals("tabulated", width, 4096, 16)
        for name, layers, size, other in (
            ("one-input chain", chain_layers, 64, signals("gaussian", width, chain_layers, 1)),
            ("real weights", 4, nets, signals("weights", width, 4, 1, nets)),
        ):
            # The table's 16 × 64 × 4096 (net, layer) steps against the other's.
            weight = 16 * 64 * 4096 / (layers * size)
            ratio(f"(net, layer) per second, tabulated / {name}, N = {width}", other, table, weight, "grows with N", 5)
    for sigma_b in (0.0, 0.1):
        work = signals("tabulated", 4096, 4096, 64, 16, sigma_b)
        work()
        speed = 64 * 16 * 4096 / statistics.median(seconds(work) for _ in range(7))
        print(f"tabulated, sigma_b = {sigma_b:g}: {speed:.1e} (net, layer) per second (at least 2e7)", flush=True)


def discrete_law(n: int, alpha: float) -> np.ndarray:
    return Distribution("power_law", Support("discrete", 1), {"alpha": alpha}).sample(n, generator(1, "benchmark", n))


#: In a process of its own, with nothing loaded but the tail fits. The peak is that of its own memory (VmHWM): what getrusage
#: says contains the process that started it.
PEAK_OF_SEARCH = """
from quasicrit.rng import generator
from quasicrit.tails import Distribution, Support, search_xmin

def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))

x = Distribution("power_law", Support("discrete", 1), {"alpha": 2.0}).sample(1_000_000, generator(1, "benchmark"))
before = peak()
search_xmin(x)
print(before / 1024, peak() / 1024)
"""


def tails() -> None:
    """Against powerlaw 2.0, once each: theirs takes up to half a minute; ours is the median of five."""
    import powerlaw

    warnings.simplefilter("ignore")
    print("\ntail fits (powerlaw: estimate_discrete=False, parameter_ranges alpha 1.01 to 6)")
    for n, alpha in ((100_000, 1.5), (100_000, 2.0), (1_000_000, 2.0)):
        x = discrete_law(n, alpha)
        start = time.perf_counter()
        theirs = powerlaw.Fit(
            x, discrete=True, estimate_discrete=False, parameter_ranges={"alpha": [1.01, 6]}, verbose=0
        )
        slow = time.perf_counter() - start
        found = search_xmin(x)
        fast = statistics.median(seconds(lambda x=x: search_xmin(x)) for _ in range(5))
        print(
            f"xmin search, {n:.0e} discrete events, alpha = {alpha:g}: powerlaw {slow:.2f} s, ours {fast:.3f} s: "
            f"{slow / fast:.0f} times (at least 50); xmin {theirs.xmin:g}, {found.xmin:g}; "
            f"alpha {theirs.alpha:.4f}, {found.exponent:.4f}",
            flush=True,
        )
    made = subprocess.run([sys.executable, "-c", PEAK_OF_SEARCH], capture_output=True, text=True, check=True)
    before, peak = (float(value) for value in made.stdout.split())
    print(
        f"its memory, 1e6 events: the process peaks at {peak:.0f} MB (at most 500), {before:.0f} MB before the search"
    )
    x = discrete_law(100_000, 2.0)
    fit = fit_power_law(x, xmin=search_xmin(x).xmin)
    rng = generator(1, "p")
    took = seconds(lambda: p_value(x, fit, search="xmin", n_resamples=1000, rng=rng))
    print(f"p-value, 1000 refits with the xmin search, 1e5 events, alpha = 2: {took:.1f} s (at most 30)")


def training() -> None:
    """Batched training against networks one by one in torch.nn and torch.optim, one core, L = 30, batch 64, denormals flushed.

    Both classify the test images before and after. The floor is the three products of every layer, in the same chunks.
    """
    data = load_digits_split(1)
    x, y, test = (
        torch.tensor(a) for a in (data.train_x.astype(np.float32), data.train_y, data.test_x.astype(np.float32))
    )
    steps = 60
    for width, goal in ((32, 8.0), (64, 2.5), (128, 2.0)):
        nets = [NetSpec("benchmark", 1.1, 0.05, seed) for seed in range(16)]
        shape = {"input_dim": 64, "width": width, "depth": 30, "n_classes": 10}
        mlp = initialise(nets, **shape, activation="tanh", init="gaussian", root_seed=1)  # type: ignore[arg-type]
        order = torch.from_numpy(batch_order(nets[0], n_samples=len(y), batch_size=64, steps=steps, root_seed=1))
        dims = [64, *[width] * 30, 10]
        layers = [m for k, n in itertools.pairwise(dims) for m in (torch.nn.Linear(k, n), torch.nn.Tanh())][:-1]
        model = torch.nn.Sequential(*layers)
        descent = torch.optim.SGD(model.parameters(), 0.03)

        def one_by_one(model: Any = model, descent: Any = descent, order: Any = order) -> None:
            torch.set_flush_denormal(True)
            with torch.no_grad():
                model(test), model(test)
            for samples in order:
                descent.zero_grad()
                torch.nn.functional.cross_entropy(model(x[samples]), y[samples]).backward()
                descent.step()
            torch.set_flush_denormal(False)

        def batched(mlp: Any = mlp) -> None:
            train(mlp, data, steps=steps, learning_rate=0.03, batch_size=64, root_seed=1)

        inputs, weights = torch.randn(8, 64, width), torch.randn(8, width, width)
        out, gradient = torch.empty(8, 64, width), torch.empty(8, width, width)

        def products(
            x: Any = inputs, w: Any = weights, out: Any = out, gradient: Any = gradient, n: int = 60 * steps
        ) -> None:
            for _ in range(n):
                torch.bmm(x, w, out=out)
                torch.bmm(x, w.mT, out=out)
                torch.bmm(x.mT, x, out=gradient)

        ratio(
            f"training, L = 30, one by one / batched, N = {width}", one_by_one, batched, 16.0, f"at least {goal:g}", 5
        )
        ratio(f"training, L = 30, batched / its matrix products, N = {width}", batched, products, 1.0, "1", 5)


#: In a process of its own: the peak of memory after recording so many inputs.
PEAK_OF_RECORDING = """
import sys, tempfile
import torch
from quasicrit.networks import record, resnet20

torch.set_num_threads(1)
inputs = (torch.randn(500, 3, 8, 8) for _ in range(int(sys.argv[1]) // 500))
with tempfile.TemporaryDirectory() as folder:
    record(resnet20(), inputs, f"{folder}/activity.parquet", moments=f"{folder}/moments.parquet")
with open("/proc/self/status") as status:
    print(next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024)
"""


def recording() -> None:
    """A recorded forward pass of ResNet-56 (3 × 32 × 32, batch 64) against the bare one, one thread; then memory."""
    torch.manual_seed(0)
    model = resnet56().eval()
    x = torch.randn(64, 3, 32, 32)

    def bare() -> None:
        with torch.no_grad():
            model(x.clone())

    def recorded(recorder: Recorder) -> Callable[[], object]:
        def work() -> None:
            with recorder:
                recorder.measure(x.clone())

        return work

    ends = Recorder(model, layers="stages.*.*.relu2", reduce=["log_m"])
    all_layers = Recorder(
        model, types="Conv2d,BatchNorm2d,ReLU,Add", reduce=["mean_abs", "active_fraction"], moments=True
    )
    ratio("ResNet-56, log_m of every block / bare forward pass", recorded(ends), bare, 1, "at most 1.15")
    ratio("ResNet-56, all layers, moments of units / bare", recorded(all_layers), bare, 1, "at most 1.6")
    few, many = (
        float(subprocess.run([sys.executable, "-c", PEAK_OF_RECORDING, n], capture_output=True, check=True).stdout)
        for n in ("1000", "100000")
    )
    print(
        f"memory of recording ResNet-20, 8 × 8: {few:.0f} MB for 1e3 inputs, {many:.0f} MB for 1e5 (at most 100 more)"
    )


def collapses() -> None:
    """A collapse of 100 points with errors and the fit without the smallest size."""
    size = np.repeat([16.0, 24.0, 32.0, 48.0, 64.0], 20)
    t = np.tile(np.linspace(0.85, 1.15, 20), 5)
    value = size**-0.3 * (1.5 - np.tanh((t - 1.0) * size / 4))
    value = value * (1 + 0.01 * generator(1, "collapse").standard_normal(100))
    for name, corrections in (("without", False), ("with", True)):
        took = statistics.median(
            seconds(lambda c=corrections: collapse_curves(size, t, value, 0.01 * value, corrections=c))
            for _ in range(3)
        )
        print(f"finite-size collapse of 100 points, {name} corrections to scaling: {took:.2f} s (at most 3)")


def cuda() -> None:
    """Every heavy stage on the CPU, one thread, and on the GPU: seconds, their ratio, and how far apart the numbers are."""
    if not torch.cuda.is_available():
        print("\ncuda: no CUDA device: not measured")
        return
    details = device_details(resolve_device("cuda"))
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        cpu = next((line.split(": ")[1].strip() for line in lines if line.startswith("model name")), "unknown CPU")
    print(f"\ncuda: {details['device_name']}, CUDA {details['cuda']}, torch {torch.__version__}; one thread of {cpu}")
    print(f"{'stage':<62} {'CPU s':>9} {'GPU s':>9} {'ratio':>7}   largest relative difference of losses or E|x|")
    stages: list[tuple[str, Callable[[str], np.ndarray | None]]] = []
    for source, width, depth, nets, inputs in (
        ("weights", 64, 32, 512, 2),
        ("weights", 256, 32, 128, 2),
        ("weights", 1024, 8, 64, 2),
        ("gram", 64, 32, 256, 8),
        ("gram", 1024, 32, 64, 8),
    ):
        name = f"{source}, N = {width}, L = {depth}, {nets} networks, {inputs} inputs"
        stages.append((name, drawn(source, width, depth, nets, inputs)))
    for width, nets in ((32, 512), (64, 512), (128, 256), (512, 16)):
        stages.append((f"training, N = {width}, L = 30, batch 64, 60 steps, {nets} networks", trained(width, nets)))
    for batch in (64, 256):
        stages.append((f"recording, ResNet-56, 3 × 32 × 32, batches of {batch}", recorded_on(batch)))
    for name, work in stages:
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
            apart = f"{np.nanmax(np.abs(one - two) / (np.abs(one) + 1e-12)):.1e}"
        print(
            f"{name:<62} {took['cpu']:9.3f} {took['cuda']:9.3f} {took['cpu'] / took['cuda']:7.1f}   {apart}", flush=True
        )


def drawn(source: str, width: int, depth: int, nets: int, inputs: int) -> Callable[[str], None]:
    """A sampler on either device: random numbers differ."""
    replicas = [Replicas(("cuda", g), 64, sigma_c("tanh", width), 0.0) for g in range(nets // 64)]

    def work(place: str) -> None:
        for _ in propagate(source, "tanh", "gaussian", width, depth, inputs, 1.0, replicas, 1, device=place):
            pass

    return work


def trained(width: int, count: int) -> Callable[[str], np.ndarray]:
    """Losses of a stack of networks from the same parameters and batches."""
    data = load_digits_split(1)
    nets = [NetSpec("cuda", 1.1, 0.05, seed) for seed in range(count)]
    shape: dict[str, Any] = {"input_dim": 64, "width": width, "depth": 30, "n_classes": 10}
    start = initialise(nets, **shape, activation="tanh", init="gaussian", root_seed=1)

    def work(place: str) -> np.ndarray:
        mlp = copy.deepcopy(start)
        return train(mlp, data, steps=60, learning_rate=0.003, batch_size=64, root_seed=1, device=place).losses

    return work


def recorded_on(batch: int) -> Callable[[str], np.ndarray]:
    """E|x| of every layer of a residual network."""
    torch.manual_seed(0)
    model, x = resnet56().eval(), torch.randn(batch, 3, 32, 32)

    def work(place: str) -> np.ndarray:
        with full_float32(torch.device(place)), Recorder(model.to(place), reduce=["mean_abs"]) as recorder:
            return recorder.measure(x.to(place, copy=True))

    return work


def main() -> None:
    if sys.argv[1:] == ["cuda"]:
        cuda()
        return
    print("ratio, median of 7 (range; goal)")
    for width, layers in ((64, 64), (128, 32), (256, 16)):
        chain, weights = signals("gaussian", width, 320, 8), signals("weights", width, layers, 1)
        goal = "at least 100" if width == 256 else "grows with N"
        ratio(
            f"(net, layer) per second, one-input chain / real weights, N = {width}",
            weights,
            chain,
            8 * 320 / layers,
            goal,
        )
    tabulated()
    rng = np.random.default_rng(1)
    noise = rng.standard_normal((2000, 3000))
    walk = np.cumsum(noise, axis=1)
    out = np.empty_like(noise)
    for name, y, goal in (("critical walks", walk, "at most 1.5"), ("i.i.d. noise", noise, "at most 4")):
        ratio(
            f"time, detection / one numpy.cumsum, {name}",
            lambda y=y: detect(y, 0.0),
            lambda y=y: np.cumsum(y, 1, out=out),
            1,
            goal,
        )
    tails()
    collapses()
    training()
    recording()
    cuda()


if __name__ == "__main__":
    main()
