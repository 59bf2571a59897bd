"""Tasks that networks are trained on: those that scikit-learn ships, a generated one, and image files of the user's."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import math
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quasicrit.errors import ConfigError, TableError
from quasicrit.rng import generator

__all__ = ["TASKS", "ImageData", "load_digits_split", "load_task", "read_cifar10", "read_idx", "tuning_split"]


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
    images, labels = _digits()
    return _split("digits", images, labels, root_seed, n_test)


def load_task(
    name: str, root_seed: int, folder: Path | str | None = None, sha256: Mapping[str, str] | None = None
) -> ImageData:
    """The task of that name, one of ``TASKS``.

    digits, breast_cancer, wine (scikit-learn's; the last two with every feature in units of its training standard deviation) and
    teacher are split by ``root_seed``; mnist, fashion_mnist (IDX files, as they are or with .gz) and cifar10 (its binary
    version) are read from ``folder`` and keep their own test part. ``sha256``: digests that files must have, by file name.

    Raises ConfigError for a name that is not known, or a folder that is missing or given for nothing; TableError for a file
    that is missing, truncated, altered or of another kind.
    """
    if name not in TASKS:
        raise ConfigError(f"task = {name!r} is not known: choose one of {', '.join(TASKS)}.")
    if name in _FILED:
        if folder is None or not Path(folder).is_dir():
            raise ConfigError(
                f"data.folder: {str(folder)!r} is not a folder: give the one that holds {name}/ with the files "
                f"({', '.join(_files_of(name))})."
            )
        return _FILED[name](name, Path(folder), dict(sha256 or {}))
    if folder is not None or sha256:
        raise ConfigError(f"task = {name!r} needs no files: leave folder and sha256 out.")
    if name == "digits":
        return load_digits_split(root_seed)
    if name == "teacher":
        return _teacher(root_seed)
    from sklearn import datasets

    features, labels = getattr(datasets, f"load_{name}")(return_X_y=True)
    return _split(name, features, labels, root_seed, len(labels) // 5, unit_variance=True)


def tuning_split(data: ImageData) -> ImageData:
    """The training part alone, its last fifth as the test part: for choices that must not see the test images."""
    kept = len(data.train_y) - len(data.train_y) // 5
    return ImageData(
        data.train_x[:kept], data.train_y[:kept], data.train_x[kept:], data.train_y[kept:], data.n_classes, data.name
    )


def _split(
    name: str,
    samples: NDArray[np.float64],
    labels: NDArray[np.int64],
    root_seed: int,
    n_test: int,
    *,
    unit_variance: bool = False,
) -> ImageData:
    n_samples = len(samples)
    if not 1 <= n_test < n_samples:
        raise ConfigError(
            f"n_test = {n_test} is not possible for the {name}: choose a number from 1 to {n_samples - 1}."
        )
    order = generator(root_seed, f"{name}-split").permutation(n_samples)
    test, train = order[:n_test], order[n_test:]
    return _prepared(name, samples[train], labels[train], samples[test], labels[test], unit_variance=unit_variance)


def _prepared(
    name: str,
    train_x: NDArray[np.float64],
    train_y: NDArray[np.int64],
    test_x: NDArray[np.float64],
    test_y: NDArray[np.int64],
    *,
    unit_variance: bool = False,
) -> ImageData:
    """Without the training mean, and each sample scaled to |x|² = dim."""
    mean = train_x.mean(axis=0)
    spread = train_x.std(axis=0) if unit_variance else np.ones_like(mean)
    parts = []
    for x in (train_x, test_x):
        centred = (x - mean) / np.where(spread > 0.0, spread, 1.0)
        squares = np.sum(centred**2, axis=1, keepdims=True)
        if not squares.all():
            raise TableError(
                f"{name}: a sample equals the mean of the training part, and cannot be scaled; leave it out."
            )
        parts.append(centred * np.sqrt(x.shape[1] / squares))
    classes = int(max(train_y.max(), test_y.max())) + 1
    return ImageData(parts[0], train_y.astype(np.int64), parts[1], test_y.astype(np.int64), classes, name)


def _teacher(root_seed: int) -> ImageData:
    """1800 Gaussian inputs of 64 units, labelled by the largest of 10 outputs of a random tanh network of two hidden layers.

    The teacher has 64 units a layer, sigma_w = 1.5 and no bias. The outputs' means are taken off, so that classes are alike in size.
    """
    rng = generator(root_seed, "teacher-task")
    x = rng.standard_normal((1800, 64))
    signal = x * np.sqrt(64 / np.sum(x**2, axis=1, keepdims=True))
    for n_out in (64, 64, 10):
        h = signal @ (1.5 / math.sqrt(64) * rng.standard_normal((64, n_out)))
        signal = np.tanh(h)
    labels = np.argmax(h - h.mean(axis=0), axis=1)
    return _split("teacher", x, labels, root_seed, 360)


_IDX_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
_CIFAR_FILES = (*(f"data_batch_{index}.bin" for index in range(1, 6)), "test_batch.bin")
_CIFAR_RECORD = 1 + 3 * 32 * 32


def _files_of(name: str) -> tuple[str, ...]:
    return _CIFAR_FILES if name == "cifar10" else _IDX_FILES


def _bytes(path: Path, sha256: Mapping[str, str]) -> bytes:
    """The content of a file, checked against its digest if there is one, unpacked if it is packed."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise TableError(f"{path} cannot be read ({error.strerror}): put the file there.") from None
    wanted = sha256.get(path.name)
    found = hashlib.sha256(content).hexdigest()
    if wanted is not None and wanted.lower() != found:
        raise TableError(f"{path} has the SHA-256 {found}, not {wanted} as it must: fetch it again.")
    if path.suffix != ".gz":
        return content
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error):
        raise TableError(f"{path} is truncated or no gzip file: fetch it again.") from None


def read_idx(path: Path, sha256: Mapping[str, str] | None = None) -> NDArray[np.uint8]:
    """The array of an IDX file of bytes (.gz or not), of the shape that it states.

    Big-endian: two zero bytes, the type (8: unsigned byte), the number of dimensions, their sizes (4 bytes each), the data.
    Source: LeCun, Cortes and Burges, the MNIST database. Raises TableError for a file that is missing, altered or not such.
    """
    content = _bytes(path, sha256 or {})
    if len(content) < 4 or content[:3] != b"\x00\x00\x08" or not 1 <= content[3] <= 4:
        raise TableError(f"{path} is no IDX file of bytes: its first bytes are {content[:4].hex() or 'missing'}.")
    start = 4 + 4 * content[3]
    if len(content) < start:
        raise TableError(f"{path} is truncated: it ends within its header; fetch it again.")
    shape = tuple(int(size) for size in np.frombuffer(content[4:start], ">u4"))
    data = content[start:]
    if len(data) != math.prod(shape):
        raise TableError(
            f"{path} is truncated or longer than it says: {len(data)} bytes of data for the shape "
            f"{' × '.join(map(str, shape))}; fetch it again."
        )
    return np.frombuffer(data, np.uint8).reshape(shape)


def _idx_task(name: str, folder: Path, sha256: Mapping[str, str]) -> ImageData:
    arrays = []
    for file in _IDX_FILES:
        path = folder / file
        arrays.append(read_idx(path if path.exists() else path.with_name(f"{file}.gz"), sha256))
    for images, labels, file in zip(arrays[::2], arrays[1::2], _IDX_FILES[1::2]):
        if images.ndim != 3 or labels.shape != images.shape[:1]:
            raise TableError(f"{folder / file}: {labels.shape[0]} labels do not fit {images.shape[0]} images.")
    samples = [a.reshape(len(a), -1).astype(np.float64) for a in arrays[::2]]
    classes = [a.astype(np.int64) for a in arrays[1::2]]
    return _prepared(name, samples[0], classes[0], samples[1], classes[1])


def read_cifar10(path: Path, sha256: Mapping[str, str] | None = None) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Images (n, 3, 32, 32) and labels (n,) of one file of the binary version: records of a label and 3 × 1024 bytes.

    Source: Krizhevsky 2009, Learning multiple layers of features from tiny images. Raises TableError as ``read_idx``.
    """
    content = np.frombuffer(_bytes(path, sha256 or {}), np.uint8)
    if not len(content) or len(content) % _CIFAR_RECORD:
        raise TableError(
            f"{path} is truncated or no file of CIFAR-10's binary version: its {len(content)} bytes are no whole number of "
            f"records of {_CIFAR_RECORD}."
        )
    records = content.reshape(-1, _CIFAR_RECORD)
    if records[:, 0].max() > 9:
        raise TableError(
            f"{path} is no file of CIFAR-10's binary version: it has a label {records[:, 0].max()}, above 9."
        )
    return records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0]


def _cifar10_task(name: str, folder: Path, sha256: Mapping[str, str]) -> ImageData:
    parts = [read_cifar10(folder / file, sha256) for file in _CIFAR_FILES]
    images = [x.reshape(len(x), -1).astype(np.float64) for x, _ in parts]
    labels = [y.astype(np.int64) for _, y in parts]
    return _prepared(name, np.concatenate(images[:-1]), np.concatenate(labels[:-1]), images[-1], labels[-1])


_FILED: Mapping[str, Callable[[str, Path, Mapping[str, str]], ImageData]] = {
    "mnist": _idx_task,
    "fashion_mnist": _idx_task,
    "cifar10": _cifar10_task,
}
TASKS = ("digits", "breast_cancer", "wine", "teacher", *_FILED)
"""Names of tasks. Those read from files were tested by us on small files of their formats only."""


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
