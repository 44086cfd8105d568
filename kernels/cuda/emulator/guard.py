"""Arrays that end, or begin, at a page of memory which nobody may touch: a kernel that oversteps them is stopped.

The checked build knows the ends of the arrays that a kernel is given, too. But it takes an access beyond one array for
one to its neighbour if that was given as well; between guarded arrays there is a gap.
"""

import ctypes
import math
import mmap
import os

import numpy as np

from ...types import Array, Shape
from ...workspace import NAN_BYTE, Workspace, WorkspaceFrozenError

SIDES = ("end", "front")

ALIGNMENT = 16
"""Bytes: what the widest vector load of CUDA asks for. An array whose size is no multiple of it ends up to 15 bytes
before the page."""


def guarded(array: Array, side: str = "end") -> Array:
    """A copy of `array` whose last (or first) byte touches an inaccessible page, the bytes between filled with NaN."""
    copy = guarded_bytes(array.nbytes, side).view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def guarded_bytes(nbytes: int, side: str = "end") -> Array:
    """`nbytes` of memory between two inaccessible pages, touching the one on `side`; 16-byte aligned.

    Raises:
        MemoryError: there are not so many, or not so many pieces.
    """
    if side not in SIDES:
        raise ValueError(f"side {side!r}: expected one of {', '.join(map(repr, SIDES))}")
    page = mmap.PAGESIZE
    inside = max(-(-nbytes // page), 1) * page
    try:
        memory = mmap.mmap(-1, inside + 2 * page)
    except OSError as error:
        raise MemoryError(f"no {nbytes:,} bytes between guard pages: {error.strerror}") from None
    base = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    for offset in (0, page + inside):
        if libc.mprotect(base + offset, page, 0):
            raise MemoryError(f"no guard pages for {nbytes:,} bytes: {os.strerror(ctypes.get_errno())}")
    whole = np.frombuffer(memory, np.uint8, inside, page)
    whole.fill(NAN_BYTE)
    start = 0 if side == "front" else (inside - nbytes) // ALIGNMENT * ALIGNMENT
    return whole[start : start + nbytes]


class GuardedWorkspace(Workspace):
    """A workspace whose buffers are guarded, each by itself.

    The n-th request of a step gets the memory of the n-th request of that size in the steps before, so addresses are as
    steady as those of any workspace.
    """

    def __init__(self, side: str = "end") -> None:
        super().__init__(lambda nbytes: guarded_bytes(nbytes, side))
        self._buffers: dict[tuple[int, int], Array] = {}

    def empty(self, shape: Shape, dtype: np.dtype) -> Array:
        """A C-contiguous buffer with undefined contents, between two inaccessible pages."""
        request = self._position[0]
        self._position = (request + 1, 0)
        key = (request, math.prod(shape) * dtype.itemsize)
        if key not in self._buffers:
            if self._frozen:
                raise WorkspaceFrozenError(f"the workspace is frozen and cannot serve {dtype} {tuple(shape)}")
            self._buffers[key] = self._allocate(key[1])
            self._chunks.append(self._buffers[key])
        return self._buffers[key].view(dtype).reshape(shape)
