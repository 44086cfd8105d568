"""Memory for one training step, handed out in call order and taken back all at once.

A step asks for the same buffers in the same order every time. A bump allocator therefore gives each request the same
address step after step and, once warm, allocates nothing: the two things that make a step fast on a CPU and
capturable as a CUDA graph.

    workspace.reset()                    start of a step: everything handed out before is void
    a = workspace.empty((64, 128), f4)   valid until the next reset
    with workspace.scratch():            temporaries: given back when the block ends
        t = workspace.empty(...)
"""

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from .types import Array, Shape

ALIGNMENT = 64
"""Bytes: one cache line, and the widest vector register there is (AVX-512)."""

SMALLEST_CHUNK = 1 << 20
"""Bytes. Chunks double up to the size of a request, so a step is served by a handful of them."""

MOST_SERVED = 4096
"""Requests whose arrays are kept, for when the same is asked for at the same place: to make three new arrays for a
slice of bytes with a type and a shape takes a microsecond, a view of a kept one a tenth. A step makes a few hundred."""

NAN_BYTE = 0xFF
"""Filled with it, every float is NaN and every signed integer -1."""


class WorkspaceFrozenError(RuntimeError):
    """A step asked a frozen workspace for more memory than the steps before it."""


def aligned_bytes(size: int) -> Array:
    """`size` bytes of host memory whose first lies on a multiple of ALIGNMENT."""
    raw = np.empty(size + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + size]


def aligned_copy(array: Array) -> Array:
    """The same numbers in host memory as a step has them, aligned: NumPy's own begins at any multiple of 16 bytes."""
    copy = aligned_bytes(array.nbytes).view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


class Workspace:
    """A bump allocator over a few large chunks of bytes.

    Args:
        allocate: makes an aligned array of n bytes; a GPU backend passes its own.
    """

    def __init__(self, allocate: Callable[[int], Array] = aligned_bytes) -> None:
        self._allocate = allocate
        self._chunks: list[Array] = []
        self._position = (0, 0)  # chunk, offset
        self._frozen = False
        self._served: dict[tuple[tuple[int, int], Shape, np.dtype], tuple[Array, tuple[int, int]]] = {}
        self._scratch = _Scratch(self)

    def __getstate__(self) -> dict[str, Any]:
        """For copies: without the arrays that are kept, whose copies would be no views of the copied chunks."""
        return self.__dict__ | {"_served": {}}

    @property
    def nbytes(self) -> int:
        """Bytes held, whether handed out or not."""
        return sum(chunk.size for chunk in self._chunks)

    @property
    def position(self) -> tuple[int, int]:
        """Where the next buffer will lie."""
        return self._position

    def reset(self) -> None:
        """Take every buffer back; their contents stay until they are handed out again."""
        self._position = (0, 0)

    def freeze(self) -> None:
        """From now on a request that needs new memory raises WorkspaceFrozenError."""
        self._frozen = True

    def poison(self) -> None:
        """Fill all memory with NaN, so that reading a buffer before writing it shows in the result."""
        for chunk in self._chunks:
            chunk.fill(NAN_BYTE)

    def empty(self, shape: Shape, dtype: np.dtype) -> Array:
        """A C-contiguous buffer with undefined contents, valid until `reset` (or the end of its scratch block)."""
        shape = tuple(shape)
        request = self._position, shape, dtype
        if request not in self._served:
            if len(self._served) >= MOST_SERVED:
                self._served.clear()
            self._served[request] = self._serve(shape, dtype)
        buffer, self._position = self._served[request]
        return buffer.view()  # a caller may change shape and flags of an array in place: of his, not of the kept one

    def _serve(self, shape: Shape, dtype: np.dtype) -> tuple[Array, tuple[int, int]]:
        """The buffer, and the position behind it."""
        count = math.prod(shape)
        need = -(-count * dtype.itemsize // ALIGNMENT) * ALIGNMENT
        index, offset = self._position
        while index < len(self._chunks) and offset + need > self._chunks[index].size:
            index, offset = index + 1, 0
        if index == len(self._chunks):
            if self._frozen:
                raise WorkspaceFrozenError(
                    f"the workspace is frozen at {self.nbytes} bytes and cannot serve {dtype} {shape}"
                )
            self._chunks.append(self._allocate(max(need, SMALLEST_CHUNK, self.nbytes)))
        buffer = self._chunks[index][offset : offset + count * dtype.itemsize].view(dtype).reshape(shape)
        return buffer, (index, offset + need)

    def scratch(self) -> AbstractContextManager[None]:
        """Give back, at the end of the block, all that was handed out inside it."""
        return self._scratch


class _Scratch(AbstractContextManager[None]):
    """Remembers where the workspace stood, of blocks inside blocks one mark each.

    One object for all blocks: a new one would cost every operation half a microsecond, a generator two.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._marks: list[tuple[int, int]] = []

    def __enter__(self) -> None:
        self._marks.append(self._workspace._position)

    def __exit__(self, *_: object) -> None:
        self._workspace._position = self._marks.pop()
