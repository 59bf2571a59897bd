"""Real images that every network of the pipeline can be trained on without a download."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quasicrit.errors import ConfigError
from quasicrit.rng import generator

__all__ = ["ImageData", "load_digits_split"]


@dataclass(frozen=True)
class ImageData:
    """Labelled images, split once into a training and a test part.

    ``train_x`` [n_train, dim] and ``test_x`` [n_test, dim] are float64 with |x|² = dim for every
    sample, so that the signal strength of the input is m_0 = 1; ``train_y`` and ``test_y`` are
    int64 classes 0 … ``n_classes`` − 1.
    """

    train_x: NDArray[np.float64]
    train_y: NDArray[np.int64]
    test_x: NDArray[np.float64]
    test_y: NDArray[np.int64]
    n_classes: int
    name: str


def load_digits_split(root_seed: int, n_test: int = 360) -> ImageData:
    """Return the 1797 scikit-learn digits (8 × 8 pixels) as a random training and test split.

    The mean image of the training part is subtracted from all samples, then each is scaled to
    |x|² = 64. The split depends on ``root_seed`` alone (key "digits-split").

    Raises ConfigError if ``n_test`` leaves no sample to test on or none to train on.

    Source: Alpaydin and Kaynak 1998, Optical Recognition of Handwritten Digits (UCI), as shipped
    with scikit-learn.
    """
    # scikit-learn takes a second to import: only who reads the images pays for it.
    images, labels = _digits()
    n_samples, dim = images.shape
    if not 1 <= n_test < n_samples:
        raise ConfigError(
            f"n_test = {n_test} is not possible for the digits: choose a number from 1 to {n_samples - 1}."
        )
    order = generator(root_seed, "digits-split").permutation(n_samples)
    test, train = order[:n_test], order[n_test:]
    centred = images - images[train].mean(axis=0)
    scaled = centred * np.sqrt(dim / np.sum(centred**2, axis=1, keepdims=True))
    labels = labels.astype(np.int64)
    return ImageData(
        train_x=scaled[train],
        train_y=labels[train],
        test_x=scaled[test],
        test_y=labels[test],
        n_classes=int(labels.max()) + 1,
        name="digits",
    )


def _digits() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Images [1797, 64] and labels of scikit-learn's digits, read from the file that the library ships.

    Importing scikit-learn to read it takes longer than many a job trains; where the file is not found, the library is asked.
    """
    package = importlib.util.find_spec("sklearn")
    folders = list(package.submodule_search_locations or []) if package else []
    file = Path(folders[0]) / "datasets" / "data" / "digits.csv.gz" if folders else Path("missing")
    if file.is_file():
        table = np.loadtxt(file, delimiter=",")
        return table[:, :-1], table[:, -1].astype(np.int64)
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    return images, labels
