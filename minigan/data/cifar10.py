"""CIFAR-10 in its binary version: records of a label byte and 3 x 1024 pixel bytes, the red, green and blue planes.

Source: Krizhevsky, "Learning multiple layers of features from tiny images", 2009.
"""

import tarfile
import zlib
from pathlib import Path

import numpy as np

from ..errors import UserError
from .dataset import ArrayDataset, ByteArray
from .download import fetch
from .files import find, read, search_folders

URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
TARBALL = "cifar-10-binary.tar.gz"
TARBALL_SHA256 = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
FOLDER = "cifar-10-batches-bin"
FILES = {"train": tuple(f"data_batch_{k}.bin" for k in range(1, 6)), "test": ("test_batch.bin",)}
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
RECORDS_PER_FILE = 10_000
RECORD_BYTES = 1 + 3 * 32 * 32


def cifar10(data_dir: str | Path | None, split: str, progress: bool) -> ArrayDataset:
    """Return CIFAR-10, 32x32x3: 50,000 images to train, 10,000 to test; from .bin files, the tarball, or a download."""
    folders = search_folders("cifar10", data_dir)
    names = FILES[split]
    first = find(folders, (names[0], f"{FOLDER}/{names[0]}"))
    if first is not None:
        contents = {first.parent / name: read(first.parent / name) for name in names}
    else:
        tarball = find(folders, [TARBALL]) or fetch([URL], folders[0] / TARBALL, TARBALL_SHA256, progress=progress)
        contents = _read_members(tarball, names)
    parts = [parse_cifar10(content, source) for source, content in contents.items()]
    images, labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return ArrayDataset("cifar10", images, labels, CLASSES)


def parse_cifar10(content: bytes, source: Path) -> tuple[ByteArray, ByteArray]:
    """Return images (N, 32, 32, 3) and labels (N,) of one file's `content`, which was read from `source`."""
    expected = RECORDS_PER_FILE * RECORD_BYTES
    if len(content) != expected:
        raise UserError(f"{source}: expected {expected} bytes ({RECORDS_PER_FILE} records), got {len(content)}")
    records = np.frombuffer(content, dtype=np.uint8).reshape(-1, RECORD_BYTES)
    labels = records[:, 0]
    if labels.max() >= len(CLASSES):
        raise UserError(f"{source}: expected labels 0 to {len(CLASSES) - 1}, got {labels.max()}")
    return records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), labels


def _read_members(tarball: Path, names: tuple[str, ...]) -> dict[Path, bytes]:
    """Return the content of the files `names`; nothing is unpacked to disk, so the tarball cannot write anywhere."""
    wanted = [f"{FOLDER}/{name}" for name in names]
    found = {}
    try:
        with tarfile.open(tarball) as tar:
            for member in tar:
                stream = tar.extractfile(member) if member.name in wanted else None
                if stream is not None:
                    found[member.name] = stream.read()
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise UserError(f"{tarball}: cannot be read as a tarball: {error}") from error
    missing = [name for name in wanted if name not in found]
    if missing:
        raise UserError(f"{tarball}: expected the file {missing[0]} in it, got {sorted(found) or 'none of its kind'}")
    return {tarball / name: found[name] for name in wanted}
