"""A folder of images, laid out as ImageNet is: ROOT/CLASS/*.png, .jpg or .jpeg; or unlabelled, in ROOT itself."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import UserError
from .dataset import ByteArray, FloatArray, IntArray, to_float

if TYPE_CHECKING:
    from PIL import Image

ENDINGS = (".png", ".jpg", ".jpeg")
DEFAULT_SIZE = (64, 64)
MODES = {1: "L", 3: "RGB"}
MAX_THREADS = 8


class ImageFolder:
    """Images decoded when a batch asks for them, scaled so that they cover (H, W), and cropped at the centre.

    `image_size` is H = W, or (H, W). By default it is the size of the images if they all have the same, else 64.
    `channels` is 3 (RGB) or 1 (grey); what is transparent becomes white.
    Classes and files are in the order of their names. Sub-folders without images are no classes.
    """

    def __init__(self, root: Path, image_size: int | tuple[int, int] | None = None, channels: int = 3) -> None:
        if channels not in MODES:
            raise UserError(f"channels: expected 1 (grey) or 3 (RGB), got {channels}")
        if not root.is_dir():
            found = "a file" if root.exists() else "no such folder"
            raise UserError(f"{root}: expected a folder of images, got {found}")
        self.name = str(root)
        self.files, self.labels, self.class_names = _list(root)
        self.num_classes = None if self.class_names is None else len(self.class_names)
        height, width = _common_size(self.files) if image_size is None else height_width(image_size)
        self.shape: tuple[int, ...] = (height, width, channels)
        self._pool = ThreadPoolExecutor(min(MAX_THREADS, os.cpu_count() or 1))

    def __len__(self) -> int:
        return len(self.files)

    def batch(self, indices: IntArray) -> tuple[FloatArray, IntArray | None]:
        """Return x (N, H, W, C) float32 and labels (N,) int64, or None."""
        images = np.stack(list(self._pool.map(self._decode, indices)))
        return to_float(images), None if self.labels is None else self.labels[indices]

    def _decode(self, index: int) -> ByteArray:
        """Return one image (H, W, C)."""
        from PIL import Image, ImageOps

        height, width, channels = self.shape
        with _open(self.files[index]) as image:
            upright = ImageOps.exif_transpose(image)
            if upright.has_transparency_data:
                white = Image.new("RGBA", upright.size, "white")
                upright = Image.alpha_composite(white, upright.convert("RGBA"))
            fitted = ImageOps.fit(upright.convert(MODES[channels]), (width, height), Image.Resampling.LANCZOS)
        return np.asarray(fitted).reshape(self.shape)


def _list(root: Path) -> tuple[list[Path], IntArray | None, tuple[str, ...] | None]:
    """Return the images, their labels and the class names; the last two are None for images in `root` itself."""
    loose = _images_in(root)
    folders = sorted((entry for entry in root.iterdir() if entry.is_dir()), key=lambda entry: entry.name)
    classes = {folder.name: images for folder in folders if (images := _images_in(folder))}
    if not (loose or classes):
        raise UserError(f"{root}: expected images ({', '.join(ENDINGS)}) in it or in its sub-folders, got none")
    if loose and classes:
        raise UserError(
            f"{root}: expected images either in the folder itself or in a sub-folder for each class, "
            f"got both ({loose[0].name}, {next(iter(classes))}/)"
        )
    if loose:
        return loose, None, None
    labels = np.repeat(np.arange(len(classes)), [len(images) for images in classes.values()])
    return [image for images in classes.values() for image in images], labels, tuple(classes)


def _images_in(folder: Path) -> list[Path]:
    """Return the images directly in `folder`, by name, without hidden files (macOS writes ._A.jpg beside A.jpg)."""
    files = (entry for entry in folder.iterdir() if entry.suffix.lower() in ENDINGS)
    return sorted((file for file in files if not file.name.startswith(".")), key=lambda file: file.name)


def height_width(image_size: int | tuple[int, int]) -> tuple[int, int]:
    """Return (H, W) of an `image_size` as a user gives it: H = W, or the two."""
    height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
    if height < 1 or width < 1:
        raise UserError(f"image_size: expected at least 1 pixel each way, got {height}x{width}")
    return height, width


def _common_size(files: list[Path]) -> tuple[int, int]:
    """Return the (H, W) of all images, or DEFAULT_SIZE; reads their headers, up to the first whose size differs."""

    def size(file: Path) -> tuple[int, int]:
        with _open(file) as image:
            return image.height, image.width

    first = size(files[0])
    return first if all(size(file) == first for file in files[1:]) else DEFAULT_SIZE


@contextmanager
def _open(path: Path) -> "Iterator[Image.Image]":
    """Open an image; whatever goes wrong with it, then or while it is decoded, becomes a UserError that names the file.

    Pillow reports broken files through many types of exception, so all are caught. Images of 16 or 32 bits are refused:
    Pillow would clip them to 8 bits.
    """
    from PIL import Image

    try:
        with Image.open(path) as image:
            if image.mode.startswith(("I", "F")):
                raise ValueError(f"expected 8 bits a channel, got mode {image.mode}")
            yield image
    except Exception as error:
        raise UserError(f"{path}: cannot be read as an image: {error}") from error
