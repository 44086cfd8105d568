"""The labels that a conditional preset is given: those of a batch, checked, and those of samples that are asked for."""

import numpy as np

from kernels.types import Array

from ..errors import UserError


def checked_labels(where: str, preset: str, labels: Array | None, count: int, classes: int) -> Array:
    """Labels (count,): whole numbers in [0, classes).

    Raises:
        ValueError: they are missing, of another shape or dtype, or out of range; it says `where`.
    """
    labels = None if labels is None else np.asarray(labels)
    if labels is None or labels.shape != (count,) or not np.issubdtype(labels.dtype, np.integer):
        got = None if labels is None else f"{labels.dtype} {labels.shape}"
        raise ValueError(f"{where}: {preset} expects whole-number labels ({count},), got {got}")
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"{where}: expected labels in [0, {classes}), got {labels.min()} to {labels.max()}")
    return labels


def wanted_labels(preset: str, count: int, label: int | None, classes: int | None) -> Array | None:
    """`count` times the label, or 0, 1, 2 ... in turn; None for a preset that takes none, whose `classes` is None.

    Raises:
        UserError: the label is out of range, or the preset takes none.
    """
    if classes is None:
        if label is not None:
            raise UserError(f"{preset} draws without labels, got label {label}")
        return None
    if label is None:
        return np.arange(count) % classes
    if not 0 <= label < classes:
        raise UserError(f"label: expected 0 to {classes - 1}, got {label}")
    return np.full(count, label)
