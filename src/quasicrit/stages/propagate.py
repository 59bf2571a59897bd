"""Rule propagate_signals: one block of points → activity by layer, streamed to Parquet."""

from __future__ import annotations

import math
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa

from quasicrit.networks.propagation import REDUCED, Layers, Replicas, propagate
from quasicrit.points import Block, Point
from quasicrit.rng import generator
from quasicrit.stages.parts import Parts
from quasicrit.tables import SCHEMAS, TableWriter, activations_schema, constant_text

__all__ = ["propagate_block", "record_units", "write_layers"]


def propagate_block(
    params: Mapping[str, Any],
    output: Path | str,
    seed: int,
    group_size: int,
    details: Mapping[str, Any],
    device: str = "cpu",
) -> None:
    """Propagate every network of a block and write its activity table.

    A row group is one block of layers of all networks; its rows run over (point, network, input, layer).
    ``device``: of sources gram and weights. Raises PropagationError for a signal that dies or overflows.
    """
    networks = Block.parts_from(params)
    if networks[0][0].source == "process":  # in one piece
        write_layers(output, networks, group_size, [_process_signals(networks, seed, group_size)], details)
        return
    with Parts(output, params, seed, group_size, device, details) as parts:
        signals = _Signals(networks, seed, group_size, False, device)
        _write_on(parts, output, networks, group_size, signals, details)


def _write_on(
    parts: Parts,
    output: Path | str,
    networks: tuple[tuple[Point, int, int], ...],
    group_size: int,
    signals: _Signals,
    details: Mapping[str, Any],
) -> None:
    """Write ``signals`` as ``write_layers`` does, so that a killed job goes on.

    When a part is due for the first time, a record of the layers begins beside the table, which a kill takes away; from then on it is
    saved with the state of the signals. A run that goes on makes the layers before the record again, and takes the others from it.
    """
    schema = SCHEMAS["activity"]
    columns = _RowColumns(networks, group_size)
    depth = networks[0][0].depth
    record = _Record(parts, ("log_m",) if networks[0][0].source == "tabulated" else REDUCED)
    kept = record.saved()
    # Among the parts, which go with it: what a kill leaves of a table would lie beside the output for good.
    table = parts.file("activity.part")
    with TableWriter(table, schema, details) as writer, record:
        for layers in signals:
            writer.write(columns.table(schema, layers))
            if kept is not None and signals.done == kept["begin"]:
                for again in record.layers(kept, layers):
                    writer.write(columns.table(schema, again))
                signals.restore(kept)
                kept = None
            elif kept is None and record.begin is not None:
                record.write(layers)
                if parts.due():
                    record.save(signals.state(), f"layer {signals.done} of {depth}")
            elif kept is None and parts.due():
                record.begin = signals.done
                parts.restart()
    os.replace(table, output)


class _Record:
    """The layers of a block from ``begin`` + 1 on as plain float32, a file for every time that they are saved (a context manager)."""

    def __init__(self, parts: Parts, names: Sequence[str]) -> None:
        self._parts, self._names = parts, names
        #: Layers before the record; None while there is none.
        self.begin: int | None = None
        self._chunks: list[dict[str, Any]] = []
        self._file: BinaryIO | None = None
        self._crc, self._counts = 0, list[int]()

    def __enter__(self) -> _Record:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def _path(self, index: int) -> Path:
        return self._parts.file(f"layers-{index:05d}.part")

    def write(self, layers: Layers) -> None:
        """Append a block of layers."""
        if self._file is None:
            path = self._path(len(self._chunks))
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("wb")
        for name in self._names:
            data = np.ascontiguousarray(getattr(layers, name), np.float32).data.cast("B")
            self._crc = zlib.crc32(data, self._crc)
            self._file.write(data)
        self._counts.append(layers.log_m.shape[2])

    def save(self, state: Mapping[str, Any], progress: str) -> None:
        """Close the file and save ``state``, that of the signals after its last layer, with what the files must hold."""
        if self._file is not None:
            self._file.close()
            self._chunks.append({"crc": self._crc, "counts": self._counts})
            self._file, self._crc, self._counts = None, 0, []
        self._parts.save("state", {**state, "begin": self.begin, "chunks": self._chunks}, progress)

    def saved(self) -> dict[str, Any] | None:
        """What ``save`` wrote in a run that was stopped, whose record this one continues; None if there is none, or a file is damaged."""
        state = self._parts.load("state")
        if state is None or any(_crc(self._path(i)) != chunk["crc"] for i, chunk in enumerate(state["chunks"])):
            return None
        self.begin, self._chunks = state["begin"], state["chunks"]
        return state

    def layers(self, state: Mapping[str, Any], before: Layers) -> Iterator[Layers]:
        """The blocks of layers that follow ``before``, as they were written."""
        first = before.first + before.log_m.shape[2]
        for index, chunk in enumerate(state["chunks"]):
            with self._path(index).open("rb") as file:
                for count in chunk["counts"]:
                    shape = (*before.log_m.shape[:2], count)
                    read = {n: np.fromfile(file, np.float32, math.prod(shape)).reshape(shape) for n in self._names}
                    unknown = {n: np.full(shape, np.nan, np.float32) for n in REDUCED if n not in read}
                    yield Layers(first, **read, **unknown, units=None, jitter=before.jitter)
                    first += count


def _crc(path: Path) -> int | None:
    """Checksum of a file; None if there is none."""
    crc = 0
    try:
        with path.open("rb") as file:
            while data := file.read(1 << 24):
                crc = zlib.crc32(data, crc)
    except FileNotFoundError:
        return None
    return crc


def write_layers(
    output: Path | str,
    parts: tuple[tuple[Point, int, int], ...],
    group_size: int,
    signals: Iterable[Layers],
    details: Mapping[str, Any],
) -> None:
    """Write blocks of layers of the networks of ``parts`` as an activity table, one row group a block."""
    schema = SCHEMAS["activity"]
    columns = _RowColumns(parts, group_size)
    with TableWriter(output, schema, details) as writer:
        for layers in signals:
            writer.write(columns.table(schema, layers))


def record_units(
    params: Mapping[str, Any],
    output: Path | str,
    seed: int,
    group_size: int,
    details: Mapping[str, Any],
    device: str = "cpu",
) -> None:
    """Propagate a block again, from the same generators, and write the activations of every unit.

    Row group = one (network, layer); its rows are the inputs. Networks beyond the declared number are left out.
    """
    parts = Block.parts_from(params)
    schema = activations_schema(parts[0][0].width)
    with TableWriter(output, schema, details) as writer:
        for layers in _Signals(parts, seed, group_size, True, device):
            if layers.units is None:
                raise ValueError("the sampler gave no units")
            for row, (point, net) in enumerate(_networks(parts, group_size)):
                for depth, units in enumerate(layers.units[:, row]):
                    count = len(units)
                    values = np.ascontiguousarray(units, dtype="<f4")
                    data = pa.Array.from_buffers(
                        pa.binary(values.shape[1] * 4), count, [None, pa.py_buffer(values.tobytes())]
                    )
                    writer.write(
                        pa.Table.from_arrays(
                            [
                                constant_text(point.source, count),
                                constant_text(point.protocol, count),
                                constant_text(point.point_id, count),
                                pa.array(np.full(count, net, np.int32)),
                                pa.array(np.full(count, layers.first + depth, np.int32)),
                                pa.array(np.arange(count, dtype=np.int32)),
                                data,
                            ],
                            schema=schema,
                        )
                    )


def _networks(parts: tuple[tuple[Point, int, int], ...], group_size: int) -> list[tuple[Point, int]]:
    """(point, network index) of every network that is kept, in the order of the activity."""
    return [
        (point, net)
        for point, first, count in parts
        for net in range(first * group_size, min((first + count) * group_size, point.nets))
    ]


class _RowColumns:
    """The identifying columns of a row group, built once per number of layers."""

    def __init__(self, parts: tuple[tuple[Point, int, int], ...], group_size: int) -> None:
        self.networks = _networks(parts, group_size)
        self.source, self.protocol = parts[0][0].source, parts[0][0].protocol
        self.inputs = parts[0][0].inputs
        self.ids = list(dict.fromkeys(point.point_id for point, _ in self.networks))
        code = {name: index for index, name in enumerate(self.ids)}
        self.codes = np.array([code[point.point_id] for point, _ in self.networks], np.int32)
        self.nets = np.array([net for _, net in self.networks], np.int32)

    def table(self, schema: pa.Schema, layers: Layers) -> pa.Table:
        count = layers.log_m.shape[2]
        per_net = self.inputs * count
        rows = len(self.networks) * per_net
        numbers = np.arange(layers.first, layers.first + count, dtype=np.int32)
        point_ids = pa.DictionaryArray.from_arrays(np.repeat(self.codes, per_net), pa.array(self.ids))
        return pa.Table.from_arrays(
            [
                constant_text(self.source, rows),
                constant_text(self.protocol, rows),
                point_ids,
                pa.array(np.repeat(self.nets, per_net)),
                pa.array(np.tile(np.repeat(np.arange(self.inputs, dtype=np.int32), count), len(self.networks))),
                pa.array(np.tile(numbers, len(self.networks) * self.inputs)),
                pa.array(np.asarray(layers.log_m, np.float32).reshape(-1)),
                # NaN, what a sampler does not know, becomes null.
                *(
                    pa.array(np.asarray(getattr(layers, n), np.float32).reshape(-1), from_pandas=True)
                    for n in ("mean_abs", "active_fraction")
                ),
            ],
            schema=schema,
        )


class _Signals(Iterator[Layers]):
    """Blocks of layers of the kept networks of all parts, in their order.

    Points of one block share width, depth and source; those that differ in activation, init, inputs or m0 are
    propagated side by side.
    """

    def __init__(
        self, parts: tuple[tuple[Point, int, int], ...], seed: int, group_size: int, units: bool, device: str
    ) -> None:
        streams = []
        for point, first, count in parts:
            replicas = [
                Replicas(("propagate", point.source, point.point_id, group), group_size, point.sigma_w, point.sigma_b)
                for group in range(first, first + count)
            ]
            kept = min((first + count) * group_size, point.nets) - first * group_size
            start: dict[str, Any] = {
                "source": point.source,
                "activation": point.activation,
                "init": point.init,
                "width": point.width,
                "depth": point.depth,
                "inputs": point.inputs,
                "m0": point.m0,
            }
            streams.append((start, replicas, kept))
        runs: list[tuple[dict[str, Any], list[Replicas], list[slice]]] = []
        for start, replicas, kept in streams:
            if not runs or runs[-1][0] != start:
                runs.append((start, [], []))
            begin = len(runs[-1][1]) * group_size
            runs[-1][1].extend(replicas)
            runs[-1][2].append(slice(begin, begin + kept))
        self._kept = [slices for _, _, slices in runs]
        self._made = [
            propagate(**start, replicas=groups, root_seed=seed, units=units, device=device) for start, groups, _ in runs
        ]

    def __next__(self) -> Layers:
        return _join([next(made) for made in self._made], self._kept)

    @property
    def done(self) -> int:
        """Layers that were propagated through."""
        return self._made[0].done

    def state(self) -> dict[str, np.ndarray]:
        """All that the layers to come depend on."""
        return {f"{index}.{n}": v for index, made in enumerate(self._made) for n, v in made.state().items()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from such a ``state``."""
        for index, made in enumerate(self._made):
            prefix = f"{index}."
            made.restore({n.removeprefix(prefix): v for n, v in state.items() if n.startswith(prefix)})


def _join(blocks: list[Layers], kept: list[list[slice]]) -> Layers:
    """Put the streams of one span of layers below each other, without the networks that only pad a group."""

    def joined(name: str) -> np.ndarray:
        return np.concatenate([getattr(block, name)[part] for block, slices in zip(blocks, kept) for part in slices])

    units = None
    if blocks[0].units is not None:
        units = np.concatenate(
            [b.units[:, part] for b, slices in zip(blocks, kept) for part in slices if b.units is not None], axis=1
        )
    return Layers(
        blocks[0].first,
        joined("log_m"),
        joined("mean_abs"),
        joined("active_fraction"),
        units,
        max(block.jitter for block in blocks),
    )


def _process_signals(parts: tuple[tuple[Point, int, int], ...], seed: int, group_size: int) -> Layers:
    """The controls: y stands for ln m; mean_abs and active_fraction have no meaning for them and are 0."""
    # Imported here: networks, the usual case, start without them.
    from quasicrit.avalanches import shuffle_layers
    from quasicrit.reference import autoregressive, independent
    from quasicrit.theory import sigma_c

    made = []
    for point, first, count in parts:
        critical = sigma_c("tanh", point.width)
        for group in range(first, first + count):
            rng = generator(seed, "process", point.point_id, group)
            kept = min(group_size, point.nets - group * group_size)
            if point.process == "iid":
                y = independent(group_size, point.depth, rng)
            elif point.process == "ar1":
                y = autoregressive(point.memory, group_size, point.depth, rng)
            else:
                # The critical network itself, with the layers of each trajectory shuffled.
                replicas = [Replicas(("shuffled", point.point_id, group), group_size, critical, 0.0)]
                signal = propagate("gaussian", "tanh", "gaussian", point.width, point.depth, 1, 1.0, replicas, seed)
                y = shuffle_layers(np.concatenate([b.log_m[:, 0] for b in signal], axis=1), rng)
            made.append(y[:kept])
    log_m = np.concatenate(made)[:, None, :].astype(np.float32)
    zero = np.zeros_like(log_m)
    return Layers(1, log_m, zero, zero, None, 0.0)
