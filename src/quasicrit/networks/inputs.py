"""Inputs to a model, batch by batch: from arrays, files, or whatever gives batches of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from quasicrit.errors import RecordingError
from quasicrit.tables import read_rows

__all__ = ["Inputs", "input_batches"]

#: An array or tensor (inputs, …), the path of a table or .npy file, or batches: tensors, or tuples that begin with one.
Inputs = np.ndarray | Tensor | str | Path | Iterable[Any]


def input_batches(
    inputs: Inputs, *, shape: Sequence[int] | None, batch_size: int, dtype: torch.dtype
) -> Iterator[Tensor]:
    """Yield batches (≤ ``batch_size``, …) as fresh tensors, which share no memory with what was given.

    ``inputs``: a numpy array or tensor (inputs, …); the path of a .npy file, of Parquet, or of text whose columns are all
    numbers; or an iterable of batches (a DataLoader, say), each a tensor or a tuple or list that begins with one, taken as
    they are. ``shape``: that of one input, to which its numbers are rearranged. Floating numbers of arrays and files become
    ``dtype``, and so do the whole numbers of tables; whole numbers of arrays stay so (they may be tokens).

    Raises RecordingError for no inputs, NaN or infinity, a ``shape`` that does not fit, and batches that are no tensors;
    TableError for tables as ``read_rows`` does.
    """
    if batch_size < 1:
        raise RecordingError(f"batch_size = {batch_size} is impossible; it must be at least 1")
    seen = 0
    for batch in _pieces(inputs, batch_size, dtype):
        if batch.dim() == 0:
            raise RecordingError("the inputs are a single number; their first dimension must count the inputs")
        if not len(batch):
            continue
        if shape is not None:
            wanted, found = int(np.prod(shape)), batch[0].numel()
            if wanted != found:
                raise RecordingError(
                    f"an input has {found} numbers and cannot take the shape {','.join(map(str, shape))}, which has {wanted}"
                )
            batch = batch.reshape(len(batch), *shape)
        if batch.is_floating_point():
            finite = batch.flatten(1).isfinite().all(1) if batch.dim() > 1 else batch.isfinite()
            if not finite.all():
                which = seen + int((~finite).nonzero()[0])
                raise RecordingError(
                    f"input {which} (counted from 0) holds NaN, infinity or an empty cell; every number must be finite"
                )
        seen += len(batch)
        yield batch
    if not seen:
        raise RecordingError("there are no inputs; give at least one")


def _pieces(inputs: Inputs, size: int, dtype: torch.dtype) -> Iterator[Tensor]:
    if isinstance(inputs, str | Path):
        if Path(inputs).suffix == ".npy":
            yield from _cut(_stored_array(inputs), size, dtype)
            return
        for piece in read_rows(str(inputs), size):
            yield from _cut(piece, size, dtype)
    elif isinstance(inputs, np.ndarray):
        yield from _cut(inputs, size, dtype)
    elif isinstance(inputs, Tensor):
        if inputs.layout != torch.strided:
            raise RecordingError(f"the inputs are a {inputs.layout} tensor; give a dense one")
        if inputs.dim() == 0:
            yield inputs
            return
        for begin in range(0, len(inputs), size):
            yield inputs[begin : begin + size].detach().clone()
    elif isinstance(inputs, Dataset) or not isinstance(inputs, Iterable):
        raise RecordingError(
            f"inputs of type {type(inputs).__name__} give no batches; give an array, a tensor, a path or a DataLoader"
        )
    else:
        for number, entry in enumerate(inputs):
            first = entry[0] if isinstance(entry, tuple | list) and entry else entry
            if isinstance(first, np.ndarray):
                yield from _cut(first, max(1, len(first)), dtype)
            elif isinstance(first, Tensor) and first.layout == torch.strided:
                yield first.detach().clone()
            else:
                raise RecordingError(
                    f"batch {number} of the inputs is {type(entry).__name__}; it must be a dense tensor, or a tuple that begins with one"
                )


def _stored_array(path: str | Path) -> np.ndarray:
    try:
        return np.asanyarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except FileNotFoundError:
        raise RecordingError(f"{path}: there is no such file") from None
    except (ValueError, EOFError, OSError):
        raise RecordingError(f"{path}: the file is no .npy array of numbers, or it is truncated") from None


def _cut(array: np.ndarray, size: int, dtype: torch.dtype) -> Iterator[Tensor]:
    if array.dtype.kind not in "fiu":
        raise RecordingError(f"the inputs are of type {array.dtype}; they must be real or whole numbers")
    if array.ndim == 0:
        raise RecordingError("the inputs are a single number; their first dimension must count the inputs")
    for begin in range(0, len(array), size):
        # A copy in the machine's byte order: torch takes no other.
        batch = torch.from_numpy(np.array(array[begin : begin + size], dtype=array.dtype.newbyteorder("="), order="C"))
        yield batch.to(dtype) if batch.is_floating_point() else batch
