"""Our tables (checksums on every page, digest, temporary name, integers delta-encoded) against plain pyarrow and plain copies.

Files lie in the page cache: what is timed is the CPU of encoding, checksums and copies, not a disk.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from quasicrit.tables import SCHEMAS, TableWriter, activations_schema, constant_text, read_arrays, row_groups

from .measure import Row, ratio

TITLE = "Parquet"
NETS, LAYERS, SPAN = 512, 3200, 32
WIDTH, UNIT_ROWS = 1024, 16


def rows() -> Iterator[Row]:
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    with tempfile.TemporaryDirectory() as folder:
        yield from activity_rows(Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        yield from activation_rows(Path(folder))


def activity_rows(folder: Path) -> Iterator[Row]:
    """The activity of 512 networks and 3200 layers, 1.6 million rows, a row group per 32 layers as propagation writes them."""
    schema = SCHEMAS["activity"]
    groups = [activity(first) for first in range(1, LAYERS, SPAN)]
    table = pa.concat_tables(groups).unify_dictionaries()
    ours, plain, copy = folder / "ours.parquet", folder / "plain.parquet", folder / "copy.parquet"
    columns = ["point_id", "net", "input", "layer", "log_m"]

    def write() -> None:
        with TableWriter(ours, schema, {}) as writer:
            for group in groups:
                writer.write(group)

    def write_plain() -> None:
        pq.write_table(table, plain)

    yield ratio("activity: write / pyarrow.parquet.write_table", write, write_plain, repetitions=5, expected="1")
    yield ratio("activity: write / copy of the file", write, lambda: shutil.copyfile(ours, copy), repetitions=5)
    size, size_plain = ours.stat().st_size, plain.stat().st_size
    yield Row("activity: size of the file / pyarrow's own encoding and codec", size / size_plain, expected="1")
    yield ratio(
        "activity: read as arrays, verified / pyarrow.parquet.read_table",
        lambda: read_arrays(ours, schema, columns),
        lambda: pq.read_table(plain, columns=columns),
        repetitions=5,
        expected="1",
    )
    buffer = np.frombuffer(ours.read_bytes(), np.uint8)
    yield ratio(
        "activity: read as arrays, verified / copy in memory of the file's bytes",
        lambda: read_arrays(ours, schema, columns),
        buffer.copy,
        repetitions=5,
    )


def activity(first: int) -> pa.Table:
    count, rng = NETS * SPAN, np.random.default_rng(first)
    return pa.Table.from_arrays(
        [
            constant_text("gaussian", count),
            constant_text("T", count),
            constant_text("0123456789ab", count),
            pa.array(np.repeat(np.arange(NETS, dtype=np.int32), SPAN)),
            pa.array(np.zeros(count, np.int32)),
            pa.array(np.tile(np.arange(first, first + SPAN, dtype=np.int32), NETS)),
            *(pa.array(rng.standard_normal(count).astype(np.float32)) for _ in range(3)),
        ],
        schema=SCHEMAS["activity"],
    )


def activation_rows(folder: Path) -> Iterator[Row]:
    """Unit activations: 1500 row groups, one (net, layer) of 16 inputs and 1024 units each, 98 MB."""
    schema = activations_schema(WIDTH)
    rng = np.random.default_rng(1)
    units = rng.standard_normal((UNIT_ROWS, WIDTH)).astype("<f4")
    data = pa.Array.from_buffers(pa.binary(4 * WIDTH), UNIT_ROWS, [None, pa.py_buffer(units.tobytes())])
    groups = [
        pa.Table.from_arrays(
            [
                *(constant_text(text, UNIT_ROWS) for text in ("weights", "T", "0123456789ab")),
                pa.array(np.zeros(UNIT_ROWS, np.int32)),
                pa.array(np.full(UNIT_ROWS, layer, np.int32)),
                pa.array(np.arange(UNIT_ROWS, dtype=np.int32)),
                data,
            ],
            schema=schema,
        )
        for layer in range(1500)
    ]
    ours, plain, copy = folder / "ours.parquet", folder / "plain.parquet", folder / "copy.parquet"

    def write() -> None:
        with TableWriter(ours, schema, {}) as writer:
            for group in groups:
                writer.write(group)

    def write_plain() -> None:
        with pq.ParquetWriter(plain, schema) as writer:
            for group in groups:
                writer.write_table(group)

    def read() -> None:
        for _ in row_groups(ours, schema, ["units"]):
            pass

    def read_plain() -> None:
        with pq.ParquetFile(plain) as file:
            for group in range(file.num_row_groups):
                file.read_row_group(group, columns=["units"])

    yield ratio("units: write / pyarrow.parquet.ParquetWriter", write, write_plain, repetitions=5, expected="1")
    yield ratio("units: write / copy of the file", write, lambda: shutil.copyfile(ours, copy), repetitions=5)
    yield ratio(
        "units: read by layer, verified / pyarrow.parquet.ParquetFile", read, read_plain, repetitions=5, expected="1"
    )
    buffer = np.frombuffer(ours.read_bytes(), np.uint8)
    yield ratio("units: read by layer, verified / copy in memory of the file's bytes", read, buffer.copy, repetitions=5)
