"""Rule fetch_data: files of a task from their public address, verified against a pinned digest before they get their name."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from quasicrit.errors import TableError
from quasicrit.tables import atomic_path

__all__ = ["SOURCES", "fetch_data", "fetched_files"]

_MNIST = "https://storage.googleapis.com/cvdf-datasets/mnist"
_FASHION = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"
#: Address and SHA-256 of what each task is fetched from. Source of both: TensorFlow Datasets, tensorflow_datasets/url_checksums
#: (mnist.txt, fashion_mnist.txt, cifar10.txt). The rule was run by us on files of a local server only, never on these.
SOURCES: dict[str, dict[str, str]] = {
    "mnist": {
        f"{_MNIST}/train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        f"{_MNIST}/train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        f"{_MNIST}/t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        f"{_MNIST}/t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    },
    "fashion_mnist": {
        f"{_FASHION}/train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        f"{_FASHION}/train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        f"{_FASHION}/t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        f"{_FASHION}/t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    },
    "cifar10": {
        "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz": "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    },
}
_CIFAR_MEMBERS = (*(f"data_batch_{index}.bin" for index in range(1, 6)), "test_batch.bin")


def fetched_files(task: str) -> tuple[str, ...]:
    """Names of the files that a task has after it was fetched."""
    return _CIFAR_MEMBERS if task == "cifar10" else tuple(url.rsplit("/", 1)[1] for url in SOURCES[task])


def fetch_data(
    downloads: Sequence[Path | str], task: str, sources: Mapping[str, str], files: Sequence[Path | str]
) -> None:
    """Verify ``downloads`` by ``sources`` (address → SHA-256, in their order), and put them, or what an archive holds, at ``files``.

    Raises TableError for a download whose SHA-256 is not the pinned one, or an archive without the files that it should hold.
    """
    contents = []
    for path, (url, wanted) in zip(map(Path, downloads), sources.items(), strict=True):
        content = path.read_bytes()
        found = hashlib.sha256(content).hexdigest()
        if found != wanted:
            raise TableError(
                f"{url} gave a file with the SHA-256 {found}, not {wanted}: it is not the published one; fetch it elsewhere, "
                f"put it into data.folder/{task} and set data.fetch to false."
            )
        contents.append(content)
    if task != "cifar10":
        for file, content in zip(files, contents, strict=True):
            with atomic_path(file) as temporary:
                temporary.write_bytes(content)
        return
    wanted_names = {Path(file).name: file for file in files}
    with tarfile.open(downloads[0], "r:gz") as archive:
        for member in archive:
            # Only the content of regular files is read, so that no path of the archive is ever written to.
            name = Path(member.name).name
            stream = archive.extractfile(member) if member.isfile() and name in wanted_names else None
            if stream is not None:
                with atomic_path(wanted_names.pop(name)) as temporary:
                    temporary.write_bytes(stream.read())
    if wanted_names:
        raise TableError(f"the archive of {task} lacks {', '.join(wanted_names)}: it is not the binary version.")
