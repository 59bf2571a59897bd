from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from quasicrit.errors import ConfigError, TableError
from quasicrit.networks.datasets import _digits, load_digits_split, load_task, read_cifar10, read_idx


def test_shapes_and_scale() -> None:
    data = load_digits_split(7)
    assert data.train_x.shape == (1437, 64)
    assert data.test_x.shape == (360, 64)
    assert data.train_x.dtype == np.float64
    assert data.n_classes == 10
    assert set(data.train_y.tolist()) == set(range(10))
    for x in (data.train_x, data.test_x):
        # m_0 = 1; a sum of 64 float64 terms, each rounded to 1.1e-16 relative.
        np.testing.assert_allclose(np.mean(x**2, axis=1), 1.0, rtol=64 * 2.3e-16)


def directions(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_split_is_a_partition_of_the_digits_with_the_training_mean_removed() -> None:
    """Every sample of the library's table is found once, in one part, under its own label."""
    data = load_digits_split(7)
    images, labels = load_digits(return_X_y=True)
    # Which row each sample came from: the mean of all rows differs little from the training mean,
    # so that the nearest direction is the right one.
    table = directions(images - images.mean(axis=0))
    rows = {}
    for part, x in (("train", data.train_x), ("test", data.test_x)):
        rows[part] = np.argmax(directions(x) @ table.T, axis=1)
    assert sorted([*rows["train"], *rows["test"]]) == list(range(1797))
    np.testing.assert_array_equal(labels[rows["train"]], data.train_y)
    np.testing.assert_array_equal(labels[rows["test"]], data.test_y)
    # Centred by the mean of those training rows, the table gives back the very directions.
    mean = images[rows["train"]].mean(axis=0)
    for part, x in (("train", data.train_x), ("test", data.test_x)):
        np.testing.assert_allclose(directions(x), directions(images[rows[part]] - mean), atol=1e-12)


def test_split_follows_the_seed() -> None:
    first, again, other = load_digits_split(7), load_digits_split(7), load_digits_split(8)
    np.testing.assert_array_equal(first.train_x, again.train_x)
    np.testing.assert_array_equal(first.test_y, again.test_y)
    assert not np.array_equal(first.test_y, other.test_y)


@pytest.mark.parametrize("n_test", [0, -1, 1797])
def test_impossible_split_is_refused(n_test: int) -> None:
    with pytest.raises(ConfigError, match=rf"n_test = {n_test} .* from 1 to 1796"):
        load_digits_split(7, n_test=n_test)


def test_the_file_read_is_what_scikit_learn_loads() -> None:
    images, labels = _digits()
    wanted_images, wanted_labels = load_digits(return_X_y=True)
    np.testing.assert_array_equal(images, wanted_images)
    np.testing.assert_array_equal(labels, wanted_labels)


@pytest.mark.parametrize(("name", "shape", "classes"), [("breast_cancer", (456, 30), 2), ("wine", (143, 13), 3)])
def test_tables_of_scikit_learn(name: str, shape: tuple[int, int], classes: int) -> None:
    data = load_task(name, 7)
    assert data.train_x.shape == shape
    assert data.n_classes == classes
    for x in (data.train_x, data.test_x):
        np.testing.assert_allclose(np.mean(x**2, axis=1), 1.0, rtol=1e-12)
    # Features of very different units count alike: none carries more than its share times the heaviest tail.
    assert (data.train_x**2).mean(axis=0).max() < 3.0
    assert not np.array_equal(load_task(name, 8).test_y, data.test_y)


def test_the_teacher_can_be_learned_and_its_classes_are_alike() -> None:
    data = load_task("teacher", 7)
    assert data.train_x.shape == (1440, 64)
    share = np.bincount(np.concatenate([data.train_y, data.test_y]), minlength=10) / 1800
    assert share.min() > 0.04
    assert share.max() < 0.2
    # A linear readout by least squares does far better than the commonest class, and far from perfectly.
    design = np.column_stack([data.train_x, np.ones(len(data.train_x))])
    weights = np.linalg.lstsq(design, np.eye(10)[data.train_y], rcond=None)[0]
    found = np.argmax(np.column_stack([data.test_x, np.ones(360)]) @ weights, axis=1)
    assert 0.3 < (found == data.test_y).mean() < 0.9


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.astype(np.uint8).tobytes()


@pytest.fixture
def mnist(tmp_path: Path) -> Path:
    """Four small IDX files, two of them packed."""
    rng = np.random.default_rng(1)
    for name, n in (("train", 50), ("t10k", 20)):
        (tmp_path / f"{name}-images-idx3-ubyte").write_bytes(idx(rng.integers(0, 256, (n, 28, 28))))
        labels = idx(np.arange(n) % 10)
        (tmp_path / f"{name}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels))
    return tmp_path


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_idx_files_become_a_task(name: str, mnist: Path) -> None:
    data = load_task(name, 1, mnist)
    assert data.train_x.shape == (50, 784)
    assert data.test_x.shape == (20, 784)
    np.testing.assert_array_equal(data.test_y, np.arange(20) % 10)
    pixels = read_idx(mnist / "train-images-idx3-ubyte").reshape(50, -1).astype(np.float64)
    np.testing.assert_allclose(directions(data.train_x), directions(pixels - pixels.mean(axis=0)), atol=1e-12)


def test_cifar10_files_become_a_task(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    for file in (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"):
        records = rng.integers(0, 256, (10, 3073)).astype(np.uint8)
        records[:, 0] = np.arange(10)
        (tmp_path / file).write_bytes(records.tobytes())
    data = load_task("cifar10", 1, tmp_path)
    assert data.train_x.shape == (50, 3072)
    assert data.n_classes == 10
    images, labels = read_cifar10(tmp_path / "test_batch.bin")
    assert images.shape == (10, 3, 32, 32)
    # The first byte is the label, then red, green, blue, row by row.
    raw = (tmp_path / "test_batch.bin").read_bytes()
    assert images[1, 2, 0, 5] == raw[3073 + 1 + 2 * 1024 + 5]
    np.testing.assert_array_equal(labels, np.arange(10))
    for content, message in (
        (raw[:-1], "no whole number of records"),
        (b"\x0b" + raw[1:], "a label 11"),
        (b"", "0 bytes"),
    ):
        (tmp_path / "test_batch.bin").write_bytes(content)
        with pytest.raises(TableError, match=message):
            load_task("cifar10", 1, tmp_path)


def test_digests_are_held_to(mnist: Path) -> None:
    file = "t10k-labels-idx1-ubyte.gz"
    right = hashlib.sha256((mnist / file).read_bytes()).hexdigest()
    assert load_task("mnist", 1, mnist, {file: right.upper()}).n_classes == 10
    with pytest.raises(TableError, match=f"{file} has the SHA-256 {right}, not 00"):
        load_task("mnist", 1, mnist, {file: "00" * 32})


def test_wrong_files_and_names_are_named(mnist: Path) -> None:
    images, labels = mnist / "train-images-idx3-ubyte", mnist / "train-labels-idx1-ubyte.gz"
    good, packed = images.read_bytes(), labels.read_bytes()
    for path, content, message in (
        (images, good[:-1], "is truncated or longer than it says: 39199 bytes of data for the shape 50 × 28 × 28"),
        (images, good[:9], "is truncated"),
        (images, b"\x00\x00\x0d\x03" + good[4:], "no IDX file of bytes: its first bytes are 00000d03"),
        (images, b"", "its first bytes are missing"),
        (labels, packed[:-5], "is truncated or no gzip file"),
        (labels, gzip.compress(idx(np.arange(49))), "49 labels do not fit 50 images"),
    ):
        path.write_bytes(content)
        with pytest.raises(TableError, match=message) as error:
            load_task("mnist", 1, mnist)
        assert path.name.removesuffix(".gz") in str(error.value)
        images.write_bytes(good)
        labels.write_bytes(packed)
    labels.unlink()
    with pytest.raises(TableError, match=r"train-labels-idx1-ubyte\.gz cannot be read"):
        load_task("mnist", 1, mnist)
    for name, folder, message in (
        ("imagenet", None, "'imagenet' is not known: choose one of digits, breast_cancer"),
        ("mnist", None, "holds mnist/ with the files \\(train-images-idx3-ubyte"),
        ("cifar10", mnist / "absent", "is not a folder"),
        ("wine", mnist, "needs no files"),
    ):
        with pytest.raises(ConfigError, match=message):
            load_task(name, 1, folder)


def test_a_sample_like_the_mean_is_refused(mnist: Path) -> None:
    same = np.full((50, 28, 28), 7)
    (mnist / "train-images-idx3-ubyte").write_bytes(idx(same))
    with pytest.raises(TableError, match="equals the mean of the training part"):
        load_task("mnist", 1, mnist)
