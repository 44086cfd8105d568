"""MNIST and Fashion-MNIST from idx files, and the 5,000 MNIST digits that come with minigan.

Sources: LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document recognition", Proc. IEEE 1998;
Xiao, Rasul, Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking machine learning algorithms", 2017.
"""

from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..errors import UserError
from .dataset import ArrayDataset, ByteArray
from .download import fetch
from .files import find, read, search_folders
from .idx import parse_idx

DIGITS = tuple("0123456789")
GARMENTS = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")


class Source(NamedTuple):
    """Where a set in MNIST's format comes from; digests are of the uncompressed content, by file name."""

    class_names: tuple[str, ...]
    mirrors: tuple[str, ...]
    digests: dict[str, str]


SOURCES = {
    "mnist": Source(
        DIGITS,
        (
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
            "https://yann.lecun.com/exdb/mnist/",
        ),
        {
            "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        },
    ),
    "fashion-mnist": Source(
        GARMENTS,
        (
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        ),
        {
            "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        },
    ),
}
FILE_PREFIX = {"train": "train", "test": "t10k"}


def mnist5k(split: str) -> ArrayDataset:
    """Return the bundled digits: the first 500 of each class in MNIST's training split, in order of class."""
    if split == "test":
        raise UserError("split: mnist5k is one split, train; got test, which mnist has")
    with np.load(Path(__file__).parent / "mnist5k.npz") as arrays:
        return ArrayDataset("mnist5k", arrays["images"][..., None], arrays["labels"], DIGITS)


def mnist(name: str, data_dir: str | Path | None, split: str, progress: bool) -> ArrayDataset:
    """Return "mnist" or "fashion-mnist", 28x28x1: 60,000 images to train, 10,000 to test; downloaded if not found."""
    prefix = FILE_PREFIX[split]
    images = _load(name, f"{prefix}-images-idx3-ubyte", 3, data_dir, progress)
    labels = _load(name, f"{prefix}-labels-idx1-ubyte", 1, data_dir, progress)
    return ArrayDataset(name, images[..., None], labels, SOURCES[name].class_names)


def _load(name: str, file: str, ndim: int, data_dir: str | Path | None, progress: bool) -> ByteArray:
    """Find or download `file`, named with "-idx" or ".idx", plain or gzip; return its array if its digest is right."""
    source = SOURCES[name]
    folders = search_folders(name, data_dir)
    stems = (file, file.replace("-idx", ".idx"))
    path = find(folders, (stem + ending for stem in stems for ending in ("", ".gz")))
    if path is None:
        urls = [f"{mirror}{file}.gz" for mirror in source.mirrors]
        path = fetch(urls, folders[0] / file, source.digests[file], unpack=True, progress=progress)
    content = read(path)
    array = parse_idx(content, ndim, path)
    digest = sha256(content).hexdigest()
    if digest != source.digests[file]:
        raise UserError(
            f"{path}: not {name}'s file: expected SHA-256 {source.digests[file]} of the uncompressed content, "
            f"got {digest} (mnist and fashion-mnist name their files alike: keep each in a folder of its name)"
        )
    return array
