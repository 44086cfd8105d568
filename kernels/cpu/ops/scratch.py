"""Scratch memory that several operations need."""

import numba
import numpy as np

from ...contract.base import OpsBase
from ...types import Array, Pads
from ..implicit_gemm import pad_image
from .flat import flat

CACHE_LINE = 64

THREADS = numba.config.NUMBA_NUM_THREADS
"""Threads that there can be; numba.set_num_threads can only lower their number."""


def for_each_thread(ops: OpsBase, count: int, dtype: np.typing.DTypeLike | None = None) -> Array:
    """A row of `count` numbers or more for each thread, on cache lines of its own."""
    kind = ops.dtype if dtype is None else np.dtype(dtype)
    line = CACHE_LINE // kind.itemsize
    return ops.workspace.empty((THREADS, -(-count // line) * line), kind)


def padded(ops: OpsBase, x: Array, pads: Pads) -> Array:
    """x (N, H, W, C) with its border of zeros, flat; x itself where there is none."""
    if not any(pads):
        return flat(x)
    n, h, w, c = x.shape
    result = ops.empty((n * (pads[0] + h + pads[1]) * (pads[2] + w + pads[3]) * c,))
    pad_image(flat(x), h, w * c, pads[0], pads[1], pads[2] * c, pads[3] * c, result)
    return result
