"""Rule detect_cascades: avalanches of one definition in the networks of one entry, and in the definition's nulls."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from quasicrit.avalanches import (
    detect,
    gaussian_surrogate,
    shuffle_layers,
    shuffle_trajectories,
    size_by_layer,
    standardise,
)
from quasicrit.errors import ConfigError
from quasicrit.rng import generator
from quasicrit.tables import SCHEMAS, TableWriter, read_table, row_groups

__all__ = ["DEFINITIONS", "NULLS", "OWN", "detect_cascades", "diverged", "primary_variant", "roots_until"]

OWN = "own"
#: Nulls of z-scores (inputs, layers, units), by name; i.i.d. weights is a recording of its own.
NULLS: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "input shuffle": shuffle_trajectories,
    "layer shuffle": shuffle_layers,
    "Gaussian surrogate": gaussian_surrogate,
}
_IID = "i.i.d. weights"


@dataclass(frozen=True)
class Cascades:
    """Events of one network: ``duration`` in whole steps, ``size``, ``complete`` (n,); ``layers`` that were looked at."""

    signal: str
    variant: str
    duration: np.ndarray
    size: np.ndarray
    complete: np.ndarray


#: (member, state, net) and its events under every variant and null; the number of layers.
Found = tuple[str, str, int, int, Iterator[Cascades]]


def primary_variant(definition: str, threshold: float) -> str:
    """The variant of a definition that the run declares as the main one."""
    return "generation time" if definition == "A" else _variant(threshold)


def _variant(threshold: float) -> str:
    return f"k = {threshold:g}"


def roots_until(layers: int, share: float) -> int:
    """The last layer, from 0, in which a lineage may begin: within the declared share of the network, so that most have room to end."""
    return int(share * layers)


def diverged(learning: Path | str) -> set[tuple[str, int]]:
    """(member, net) of the networks whose training left the finite numbers, from the table of their learning."""
    table = read_table(learning, SCHEMAS["architecture_learning"], ["member", "net", "diverged"])
    left = table[table["diverged"]]
    return set(zip(left["member"].astype(str), left["net"].astype(int)))


def detect_cascades(
    definition: str,
    params: Mapping[str, Any],
    source: Mapping[str, Any],
    out: Path | str,
    seed: int,
    details: Mapping[str, Any],
) -> None:
    """Find the avalanches of ``definition`` (A, B or C) in every network of an entry (``config.architecture_params``).

    ``source``: ``states`` with the networks, their ``learning`` and the ``data`` of the task for A, ``units`` for B, ``activity`` for C. The
    provenance of the table holds the number of layers of every member.
    """
    depths: dict[str, int] = {}
    with TableWriter(out, SCHEMAS["cascades"], details) as writer:
        for member, state, net, layers, every in DEFINITIONS[definition](params, source, seed):
            depths[member] = min(layers, depths.get(member, layers))
            for found in every:
                if not len(found.size):
                    continue
                writer.write(
                    {
                        "member": member,
                        "state": state,
                        "signal": found.signal,
                        "variant": found.variant,
                        "net": np.full(len(found.size), net, np.int32),
                        "duration": found.duration.astype(np.int32),
                        "size": found.size,
                        "censored": _censored(found.complete),
                    }
                )
        writer.details["layers"] = depths


def _censored(complete: np.ndarray) -> Any:
    import pyarrow as pa

    return pa.DictionaryArray.from_arrays((~complete).astype(np.int32), pa.array(["none", "end"]))


def _relevance_walk(params: Mapping[str, Any], source: Mapping[str, Any], seed: int) -> Iterator[Found]:
    """A: an active unit's descendants, each child drawing its parent by the z+ rule (``networks.lineages``)."""
    from quasicrit.networks import lineages
    from quasicrit.networks.architectures import load_states
    from quasicrit.stages.architectures import networks_of, test_inputs

    inputs, classes = test_inputs(params, source["data"], seed, params["inputs"]["A"])
    nulls = lineages.NULLS if params["nulls"] else {}
    left = diverged(source["learning"])
    for state in ("initial", "trained") if params["trained"] else ("initial",):
        names = networks_of(params, classes)
        load_states(source["states"], state, [model for _, _, model in names])
        for label, net, model in names:
            if state == "trained" and (label, net) in left:
                continue
            descent = lineages.descent_of(model, inputs)
            last = len(descent.active) - 1

            def every(
                descent: Any = descent, key: tuple[Any, ...] = (label, state, net), last: int = last
            ) -> Iterator[Cascades]:
                for name in (OWN, *nulls):
                    made = descent
                    if name != OWN:
                        made = nulls[name](descent, generator(seed, "lineage-null", name, *key))
                    found = lineages.trees(made, lineages.draw_parents(made, generator(seed, "lineage", name, *key)))
                    early = found.layer <= roots_until(last, params["lineage_roots"])
                    size, complete = found.size[early].astype(np.float64), found.complete[early]
                    yield Cascades(name, "generation time", found.generations[early], size, complete)
                    if name == OWN:
                        yield Cascades(name, "layer time", found.layers[early], size, complete)

            yield label, state, net, last, every()


def _unit_stream(params: Mapping[str, Any], source: Mapping[str, Any], seed: int) -> Iterator[Found]:
    """B: excursions of each unit of one stream, z-scored over inputs; units that are constant over inputs somewhere are left out."""

    def signal(values: list[np.ndarray]) -> np.ndarray:
        x = np.stack(values).astype(np.float64)  # (inputs, layers, units)
        spread = x.std(axis=0)
        x = x[:, :, (spread > 1e-6 * np.abs(x).mean(axis=0)).all(axis=0) & (spread > 0).all(axis=0)]
        return standardise(x.reshape(len(x), -1)).reshape(x.shape)

    def rows(table: Any) -> np.ndarray:
        layers = len(table["layer"].unique())
        flat = np.frombuffer(b"".join(table["units"].to_pylist()), "<f4")
        return flat.reshape(len(table) // layers, layers, -1)

    yield from _excursions("B", params, source["units"], "unit_stream", "units", rows, signal, seed)


def _layer_activity(params: Mapping[str, Any], source: Mapping[str, Any], seed: int) -> Iterator[Found]:
    """C: excursions of mean |x| of the layers in their order, z-scored per layer over inputs: a threshold for each layer.

    Layers that are the same for every input (a recurrence from a state of zeros) are left out.
    """

    def rows(table: Any) -> np.ndarray:
        layers = len(table["layer"].unique())
        return table["mean_abs"].to_numpy().reshape(-1, layers)

    def signal(values: list[np.ndarray]) -> np.ndarray:
        x = np.stack(values)
        return standardise(x[:, x.min(axis=0) < x.max(axis=0)])[:, :, np.newaxis]

    yield from _excursions("C", params, source["activity"], "layer_activity", "mean_abs", rows, signal, seed)


def _excursions(
    definition: str,
    params: Mapping[str, Any],
    path: Path | str,
    schema: str,
    column: str,
    rows: Callable[[Any], np.ndarray],
    signal: Callable[[list[np.ndarray]], np.ndarray],
    seed: int,
) -> Iterator[Found]:
    windows = {member["label"]: member["windows"][definition] for member in params["members"]}
    for (label, state, net), values in _networks(path, schema, column, rows):
        z = signal(values)
        layers = z.shape[1]
        low, high = windows[label]
        if high > layers // 2:
            raise ConfigError(
                f"architectures: the window [{low}, {high}] of definition {definition} is too long for the {layers} layers of {label}: "
                "give it a window that ends by half of them"
            )
        shuffled = state == "shuffled"
        names = (_IID,) if shuffled else (OWN, *(NULLS if params["nulls"] else ()))
        # The null of i.i.d. weights stands beside the trained network that it was made of.
        key = (label, "trained" if shuffled else state, net)

        def every(
            z: np.ndarray = z,
            names: tuple[str, ...] = names,
            last_start: int = layers - high,
            key: tuple[Any, ...] = key,
        ) -> Iterator[Cascades]:
            for name in names:
                made = z if name in (OWN, _IID) else NULLS[name](z, generator(seed, "null", definition, name, *key))
                thresholds = [params["threshold"], *(params["other_thresholds"] if name == OWN else ())]
                # One trajectory for every input and unit.
                paths = made.transpose(0, 2, 1).reshape(-1, made.shape[1])
                for threshold in thresholds:
                    yield from _cut(
                        name, paths, threshold, last_start, raw=name == OWN and threshold == params["threshold"]
                    )

        yield *key, layers, every()


def _cut(name: str, z: np.ndarray, threshold: float, last_start: int, *, raw: bool) -> Iterator[Cascades]:
    events = detect(z, threshold, "drop", last_start)
    whole = events.censored == 0
    yield Cascades(name, _variant(threshold), events.duration, size_by_layer(events, z), whole)
    if raw:
        yield Cascades(name, f"{_variant(threshold)}, raw size", events.duration, events.size_raw, whole)


def _networks(
    path: Path | str, schema: str, column: str, rows: Callable[[Any], np.ndarray]
) -> Iterator[tuple[tuple[str, str, int], list[np.ndarray]]]:
    """The values of each network (member, state, net), one entry per input, from row groups that follow each other."""
    held: tuple[str, str, int] | None = None
    values: list[np.ndarray] = []
    for group in row_groups(path, SCHEMAS[schema], ["member", "state", "net", "layer", column]):
        table = group.slice(0, 1).to_pylist()[0]
        key = (str(table["member"]), str(table["state"]), int(table["net"]))
        if held is not None and key != held:
            yield held, values
            values = []
        held = key
        values += list(rows(group))
    if held is not None:
        yield held, values


#: Definitions of avalanches by letter: what reads an entry's networks and yields their events.
DEFINITIONS: Mapping[str, Callable[[Mapping[str, Any], Mapping[str, Any], int], Iterator[Found]]] = {
    "A": _relevance_walk,
    "B": _unit_stream,
    "C": _layer_activity,
}
