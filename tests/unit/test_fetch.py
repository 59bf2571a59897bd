from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from quasicrit.errors import TableError
from quasicrit.stages.fetch import SOURCES, fetch_data, fetched_files


def archive(path: Path, names: list[str]) -> None:
    with tarfile.open(path, "w:gz") as made:
        for name in names:
            content = name.encode()
            info = tarfile.TarInfo(name)
            info.size = len(content)
            made.addfile(info, io.BytesIO(content))


def pinned(task: str, paths: list[Path]) -> dict[str, str]:
    return {url: hashlib.sha256(path.read_bytes()).hexdigest() for url, path in zip(SOURCES[task], paths)}


def test_every_source_is_pinned() -> None:
    for task, files in SOURCES.items():
        assert all(len(digest) == 64 and set(digest) <= set("0123456789abcdef") for digest in files.values())
        assert fetched_files(task)


def test_verified_files_get_their_names(tmp_path: Path) -> None:
    downloads = [tmp_path / f"d{index}" for index in range(4)]
    for path in downloads:
        path.write_text(path.name)
    files = [tmp_path / "out" / name for name in fetched_files("mnist")]
    fetch_data(downloads, "mnist", pinned("mnist", downloads), files)
    assert [path.read_text() for path in files] == ["d0", "d1", "d2", "d3"]


def test_a_file_that_is_not_the_published_one_is_refused(tmp_path: Path) -> None:
    downloads = [tmp_path / f"d{index}" for index in range(4)]
    for path in downloads:
        path.write_text("another")
    files = [tmp_path / "out" / name for name in fetched_files("mnist")]
    with pytest.raises(
        TableError, match=r"train-images-idx3-ubyte\.gz gave a file with the SHA-256 .* not the published one"
    ):
        fetch_data(downloads, "mnist", SOURCES["mnist"], files)
    assert not (tmp_path / "out").exists()


def test_an_archive_gives_its_files_and_nothing_else(tmp_path: Path) -> None:
    packed = tmp_path / "packed.tar.gz"
    wanted = list(fetched_files("cifar10"))
    archive(packed, [*(f"cifar-10-batches-bin/{name}" for name in wanted), "../escaped.bin", "readme.html"])
    files = [tmp_path / "out" / name for name in wanted]
    fetch_data([packed], "cifar10", pinned("cifar10", [packed]), files)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(wanted)
    assert not (tmp_path / "escaped.bin").exists()
    archive(packed, [f"cifar-10-batches-bin/{name}" for name in wanted[1:]])
    with pytest.raises(TableError, match=r"lacks data_batch_1\.bin"):
        fetch_data([packed], "cifar10", pinned("cifar10", [packed]), [tmp_path / "other" / name for name in wanted])
