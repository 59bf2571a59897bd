"""Where torch computes: a device by its name, float32 products in full, and loops that take less at once where memory is short."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from quasicrit.errors import DeviceError

__all__ = [
    "Chunker",
    "device_details",
    "enough_memory",
    "full_float32",
    "model_device",
    "resolve_device",
    "short_of_memory",
]

Made = TypeVar("Made")


def resolve_device(name: str) -> torch.device:
    """The device that ``name`` means: cpu, cuda (the first one), cuda:K, or auto (cuda if torch can use one, else cpu).

    Raises DeviceError for another name, and where there is no such device.
    """
    kind, colon, number = name.partition(":")
    if name not in ("auto", "cpu", "cuda") and not (kind == "cuda" and colon and number.isdecimal()):
        raise DeviceError(f"device = {name!r} is not known; give auto, cpu, cuda, or cuda:K for the GPU of number K")
    there = torch.cuda.is_available()
    if name == "cpu" or (name == "auto" and not there):
        return torch.device("cpu")
    if not there:
        raise DeviceError(
            f"device = {name}: there is no CUDA device that this build of torch can use; give cpu or auto"
        )
    index, count = int(number or 0), torch.cuda.device_count()
    if index >= count:
        raise DeviceError(
            f"device = {name}: torch sees {count} CUDA devices, from cuda:0 to cuda:{count - 1}; give one of them"
        )
    return torch.device("cuda", index)


def device_details(device: torch.device) -> dict[str, str]:
    """What the provenance of a file says of the device that made it: its kind; of a GPU also its name, and the version of CUDA."""
    if device.type != "cuda":
        return {"device": device.type}
    return {
        "device": device.type,
        "device_name": torch.cuda.get_device_name(device),
        "cuda": str(torch.version.cuda),
    }


def model_device(model: nn.Module) -> torch.device:
    """Where inputs to ``model`` go: the device of its first parameter or buffer, or the CPU."""
    first = next((tensor for part in (model.parameters(), model.buffers()) for tensor in part), None)
    return torch.device("cpu") if first is None else first.device


@contextmanager
def full_float32(device: torch.device) -> Iterator[None]:
    """Within, CUDA multiplies float32 as float32, and convolutions sum in one order.

    Otherwise its convolutions round their factors to the 10 bits of TensorFloat-32, and agree with a CPU to 1e-3 only.
    """
    if device.type != "cuda":
        yield
        return
    cudnn: Any = torch.backends.cudnn
    kinds = (cudnn.conv, cudnn.rnn, torch.backends.cuda.matmul)
    before, deterministic = [kind.fp32_precision for kind in kinds], cudnn.deterministic
    try:
        for kind in kinds:
            kind.fp32_precision = "ieee"
        cudnn.deterministic = True
        yield
    finally:
        for kind, precision in zip(kinds, before):
            kind.fp32_precision = precision
        cudnn.deterministic = deterministic


def short_of_memory(error: BaseException) -> bool:
    """Whether an error says that a device has too little memory: torch's own, or that of a library that torch calls."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "_STATUS_ALLOC_FAILED" in str(error)


def _too_little(what: str) -> DeviceError:
    return DeviceError(
        f"the GPU has too little memory for one {what}; free it from other work, take a larger one, or give device: cpu"
    )


@contextmanager
def enough_memory(what: str) -> Iterator[None]:
    """Within, work that cannot be cut: DeviceError that names it where a device's memory is short."""
    try:
        yield
    except RuntimeError as error:
        if short_of_memory(error):
            raise _too_little(what) from error
        raise


class Chunker:
    """Work on runs of items, at most ``size`` at once; where a device's memory is short, halved, and never longer again.

    ``what``: one item, for the error. The work must be safe to repeat until it returns.
    """

    def __init__(self, size: int, what: str) -> None:
        self.size, self._what = size, what

    def run(self, items: Sequence[Any] | Tensor, work: Callable[[Any], Made]) -> Iterator[Made]:
        """Yield ``work(items[a:b])`` of runs that follow each other, from the first item to the last.

        Raises DeviceError where the memory is short for one item.
        """
        at = 0
        while at < len(items):
            part = items[at : at + self.size]
            try:
                made = work(part)
            except RuntimeError as error:
                if not short_of_memory(error):
                    raise
                if len(part) == 1:
                    raise _too_little(self._what) from error
                self.size = (len(part) + 1) // 2
            else:
                yield made
                at += len(part)
                continue
            # Behind the except clause: while it runs, the traceback holds what the work had made.
            torch.cuda.empty_cache()
