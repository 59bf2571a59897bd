"""A recorded forward pass of ResNet-56 (3 × 32 × 32, batch 64) against the bare one; then memory against the number of inputs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator

import torch

from quasicrit.networks import Recorder, resnet56

from .measure import Row, ratio

TITLE = "Recorder"

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


def rows() -> Iterator[Row]:
    torch.set_num_threads(1)
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
    yield ratio("ResNet-56, log_m of every block / bare forward pass", recorded(ends), bare, at_most=1.15)
    yield ratio("ResNet-56, all layers, moments of units / bare", recorded(all_layers), bare, at_most=1.6)
    few, many = (
        float(subprocess.run([sys.executable, "-c", PEAK_OF_RECORDING, n], capture_output=True, check=True).stdout)
        for n in ("1000", "100000")
    )
    name = f"ResNet-20, 8 × 8: memory for 1e5 inputs beyond that for 1e3 ({few:.0f} MB)"
    yield Row(name, many - few, unit="MB", at_most=100)
