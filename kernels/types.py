"""Type names shared by every backend."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
"""An array of the backend: numpy.ndarray, or cupy.ndarray with the same methods."""

Shape: TypeAlias = tuple[int, ...]
Pair: TypeAlias = tuple[int, int]
Pads: TypeAlias = tuple[int, int, int, int]
"""(top, bottom, left, right)."""

Padding: TypeAlias = str | int | Sequence[int]
"""What a user writes: "same", "valid", one number for all sides, or (top, bottom, left, right)."""
