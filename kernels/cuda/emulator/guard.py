"""Arrays that end, or begin, at a page of memory which nobody may touch: a kernel that oversteps them is stopped."""

import ctypes
import mmap
from typing import Literal

import numpy as np

from ...types import Array
from ...workspace import NAN_BYTE

PAGE = mmap.PAGESIZE
ALIGNMENT = 16
"""Bytes: what the widest vector load of CUDA asks for. So an overrun by less may stay unseen, if the size is odd."""


def guarded(array: Array, side: Literal["end", "front"] = "end") -> Array:
    """A copy of `array` whose last (or first) byte touches an inaccessible page, the bytes between filled with NaN."""
    copy = guarded_bytes(array.nbytes, side).view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def guarded_bytes(nbytes: int, side: Literal["end", "front"] = "end") -> Array:
    """`nbytes` of memory between two inaccessible pages, touching the one on `side`; 16-byte aligned."""
    inside = max(-(-nbytes // PAGE), 1) * PAGE
    memory = mmap.mmap(-1, inside + 2 * PAGE)
    base = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    for offset in (0, PAGE + inside):
        if libc.mprotect(base + offset, PAGE, 0):
            raise OSError(ctypes.get_errno(), "mprotect refused a guard page")
    whole = np.frombuffer(memory, np.uint8, inside, PAGE)
    whole.fill(NAN_BYTE)
    start = 0 if side == "front" else (inside - nbytes) // ALIGNMENT * ALIGNMENT
    return whole[start : start + nbytes]
