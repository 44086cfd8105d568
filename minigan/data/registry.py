"""Data sets by name."""

import os
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

from ..errors import UserError
from .cifar10 import cifar10
from .dataset import Dataset
from .folder import ImageFolder, height_width
from .mixtures import grid, ring, swiss_roll
from .mnist import mnist, mnist5k
from .sines import TIMES, sines
from .stacked import StackedMnist

Split = Literal["train", "test"]

SHAPES: dict[str, tuple[int, ...]] = {
    "mnist5k": (28, 28, 1),
    "mnist": (28, 28, 1),
    "fashion-mnist": (28, 28, 1),
    "cifar10": (32, 32, 3),
    "ring": (2,),
    "grid": (2,),
    "swiss-roll": (2,),
    "sines": (TIMES, 1),
    "stacked-mnist": (28, 28, 3),
    "stacked-mnist5k": (28, 28, 3),
}
NAMES = tuple(SHAPES)

CLASSES: dict[str, int] = {
    "mnist5k": 10,
    "mnist": 10,
    "fashion-mnist": 10,
    "cifar10": 10,
    "ring": 8,
    "grid": 25,
    "stacked-mnist": 1000,
    "stacked-mnist5k": 1000,
}
"""Of the sets that have labels."""


def load(
    name: str | Path,
    *,
    split: Split = "train",
    data_dir: str | Path | None = None,
    seed: int = 0,
    image_size: int | tuple[int, int] | None = None,
    channels: int | None = None,
    progress: bool = True,
) -> Dataset:
    """Return the data set `name`: one of NAMES, or the path of a folder of images (see `ImageFolder`).

    Files are sought in `data_dir`, then where MINIGAN_DATA says, then in the user's cache, and else downloaded, with a
    progress bar if `progress`; mnist5k and stacked-mnist5k come with minigan. `seed` draws the points of ring, grid and
    swiss-roll, the waves of sines and the stacks of stacked-mnist. `image_size`, H = W or (H, W), and `channels` shape
    the images of a folder; every other set has one shape only, and asking it for another is an error.
    """
    if split not in ("train", "test"):
        raise UserError(f"split: expected train or test, got {split}")
    if name in SHAPES:
        _check_shape(str(name), image_size, channels)
        return _named(str(name), split, data_dir, seed, progress)
    if not _is_path(name):
        raise _unknown(str(name))
    if split == "test":
        raise UserError(f"split: a folder of images ({name}) is one split, train; got test")
    return ImageFolder(Path(name).expanduser(), image_size, 3 if channels is None else channels)


def _named(name: str, split: Split, data_dir: str | Path | None, seed: int, progress: bool) -> Dataset:
    """Return the data set `name`, one of NAMES."""
    match name:
        case "mnist5k":
            return mnist5k(split)
        case "cifar10":
            return cifar10(data_dir, split, progress)
        case "ring":
            return ring(seed, split)
        case "grid":
            return grid(seed, split)
        case "swiss-roll":
            return swiss_roll(seed, split)
        case "sines":
            return sines(seed, split)
        case "stacked-mnist":
            return StackedMnist(name, mnist("mnist", data_dir, split, progress), seed)
        case "stacked-mnist5k":
            return StackedMnist(name, mnist5k(split), seed)
        case _:
            return mnist(name, data_dir, split, progress)


def _check_shape(name: str, image_size: int | tuple[int, int] | None, channels: int | None) -> None:
    """Raise UserError if another image size or number of channels is asked for than the set `name` has."""
    shape = SHAPES[name]
    size_differs = image_size is not None and height_width(image_size) != shape[:2]
    channels_differ = channels is not None and (channels,) != shape[2:]
    if size_differs or channels_differ:
        asked = f"image_size {image_size}" if size_differs else f"channels {channels}"
        raise UserError(f"{name}: expected its own shape {shape}, got {asked}; only a folder of images can be reshaped")


def _is_path(name: str | Path) -> bool:
    """Tell whether `name` is meant as a path: it has a separator, or such a folder exists."""
    separators = [separator for separator in (os.sep, os.altsep) if separator]
    return isinstance(name, Path) or any(separator in name for separator in separators) or Path(name).is_dir()


def _unknown(name: str) -> UserError:
    """Return the error for a name that is neither in NAMES nor a path."""
    close = get_close_matches(name, NAMES, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    return UserError(f"data set: expected {', '.join(NAMES)} or the path of an image folder, got {name}{hint}")
