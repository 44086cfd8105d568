"""Rows of numbers that wait in device memory for the launches which need them."""

import numpy as np

from ...types import Array
from ..instances.operations import THREADS
from ..runtime import Runtime


class Tape:
    """Rows of one width, numbers of 8 bytes; `next` copies the next one to where kernels read it.

    A captured launch has the same arguments every time. With `next` in the graph it finds other numbers in the same
    place, and the host writes those of many launches at once.

    Args:
        row: where kernels read a row.
        most: rows that there is room for.
    """

    def __init__(self, runtime: Runtime, row: Array, most: int) -> None:
        self._runtime, self._most = runtime, most
        self._row = row.view(np.uint64)
        self._memory = runtime.allocate(8 * (1 + most * self._row.size)).view(np.uint64)

    def write(self, rows: np.ndarray) -> None:
        """The rows to come (T, width), in place of all earlier ones.

        Raises:
            ValueError: they are more than there is room for, or of another width.
        """
        if rows.ndim != 2 or rows.shape[1] != self._row.size or len(rows) > self._most:
            raise ValueError(f"tape: expected at most {self._most} rows of {self._row.size}, got {rows.shape}")
        words = np.concatenate([np.zeros(1, np.uint64), np.ascontiguousarray(rows).view(np.uint64).reshape(-1)])
        self._memory[: words.size] = self._runtime.to_device(words)

    def next(self) -> None:
        """Launch the copy of the next row; there must be one by the time it runs."""
        arguments = self._memory, self._row, np.int32(self._row.size)
        self._runtime.function("tape.cu", "next_row")((1,), (THREADS,), arguments)
