from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits

from quasicrit.errors import ConfigError
from quasicrit.networks.datasets import _digits, load_digits_split


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
