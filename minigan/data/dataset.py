"""What a data set is: something with a length that turns indices into a batch of floats; `ArrayDataset` is one."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError

ByteArray = NDArray[np.uint8]
FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]


class Dataset(Protocol):
    """Samples by index: images (H, W, C) in [-1, 1], points (2,), or sequences (T, F)."""

    name: str
    shape: tuple[int, ...]
    """Shape of one sample: (H, W, C) for images, (2,) for points, (T, F) for sequences."""
    num_classes: int | None
    class_names: tuple[str, ...] | None

    def __len__(self) -> int: ...

    def batch(self, indices: IntArray) -> tuple[FloatArray, IntArray | None]:
        """Return x (N, *shape), C-contiguous float32, and the labels (N,), or None for a set without labels."""
        ...


def to_float(images: ByteArray) -> FloatArray:
    """x = u / 127.5 - 1, which takes 0 to -1 and 255 to 1 exactly; the result is C-contiguous."""
    x: FloatArray = np.divide(images, 127.5, dtype=np.float32, order="C")
    x -= 1
    return x


class ArrayDataset:
    """Samples held in memory: uint8 images `x` (N, H, W, C), scaled batch by batch, or float32 points
    `x` (N, 2) or sequences `x` (N, T, F).

    Args:
        name: in messages.
        x: the samples.
        labels: (N,) whole numbers from 0, each the place of its class in `class_names`.
        class_names: of all classes. None where they have none: how many classes there are is then not known, labels are
            refused only below 0 and above int64, and a preset learns from them if its `Trainer` is told `classes`,
            which then checks those that it is given.

    Raises:
        UserError: an array of another kind or shape, or a label of no class.
    """

    def __init__(
        self,
        name: str,
        x: NDArray[Any],
        labels: NDArray[Any] | None = None,
        class_names: tuple[str, ...] | None = None,
    ) -> None:
        if (x.dtype, x.ndim) not in ((np.uint8, 4), (np.float32, 2), (np.float32, 3)):
            expected = "uint8 (N, H, W, C), float32 (N, 2) or float32 (N, T, F)"
            raise UserError(f"{name}: expected {expected}, got {x.dtype} {x.shape}")
        if labels is not None:
            _check_labels(name, labels, len(x), class_names)
        self.name = name
        self.x = x
        self.labels: IntArray | None = None if labels is None else labels.astype(np.int64)
        self.shape: tuple[int, ...] = x.shape[1:]
        self.class_names = class_names
        self.num_classes = None if class_names is None else len(class_names)

    def __len__(self) -> int:
        return len(self.x)

    def batch(self, indices: IntArray) -> tuple[FloatArray, IntArray | None]:
        """Return x (N, *shape) float32 and labels (N,) int64, or None."""
        x = self.x[indices]
        labels = None if self.labels is None else self.labels[indices]
        return (to_float(x) if x.dtype == np.uint8 else x), labels


def _check_labels(name: str, labels: NDArray[Any], count: int, class_names: tuple[str, ...] | None) -> None:
    """Raise UserError unless there is a whole number for each sample, and a class for each number."""
    if labels.shape != (count,):
        raise UserError(f"{name}: expected labels ({count},), one for each sample, got {labels.shape}")
    if not np.issubdtype(labels.dtype, np.integer):
        raise UserError(f"{name}: expected labels that are whole numbers, got {labels.dtype}")
    limit, written = (2**63, "2^63") if class_names is None else (len(class_names), str(len(class_names)))
    if count and not 0 <= int(labels.min()) <= int(labels.max()) < limit:
        raise UserError(f"{name}: expected labels in [0, {written}), got {labels.min()} to {labels.max()}")
