"""What the machine can do at best: multiply-adds a second, and bytes a second by the size of what is touched.

No kernel gets past these numbers, so they say how much there is left to gain. They are measured before everything else
and kept with every result; the best of several tries counts, since a ceiling is a maximum.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import burn
from .machine import cores

TRIES = 20
SLOWEST = 1e10
"""FLOPs or bytes a second that any machine manages: a first guess that no hiccup can spoil."""

SIZES = tuple(1 << power for power in range(13, 29))
"""Bytes in both arrays of a copy together: from 8 KiB, which an L1 cache holds, to 256 MiB, which no cache does."""

QUICK_SIZES = (1 << 14, 1 << 18, 1 << 22, 1 << 27)


def measure(sizes: Sequence[int] = SIZES, seconds: float = 0.005) -> dict[str, Any]:
    """GFLOP/s of multiply-adds and GB/s of a copy (read and written), on one thread and on all.

    Args:
        sizes: bytes touched, by all threads together.
        seconds: of each try.
    """
    threads = cores()
    gflops = {
        dtype: {"one": fma_gflops(1, dtype, seconds), "all": fma_gflops(threads, dtype, seconds)}
        for dtype in ("float32", "float64")
    }
    copy = [
        {"bytes": size, "one": copy_gbs(1, size, seconds), "all": copy_gbs(threads, size, seconds)} for size in sizes
    ]
    return {"threads": threads, "fma_gflops": gflops, "copy_gbs": copy}


def fma_gflops(threads: int, dtype: str, seconds: float) -> float:
    """Multiply-adds on `threads` threads, two FLOPs each."""
    x = burn.operands(threads, dtype)
    return best_rate(lambda times: burn.multiply_add(x, times), 2 * x.size, seconds)


def copy_gbs(threads: int, size: int, seconds: float) -> float:
    """Bytes read and written between two arrays that hold `size` bytes together."""
    x, y = np.ones((2, threads, max(size // (8 * threads), 1)), np.float32)
    return best_rate(lambda times: burn.copy(x, y, np.float32(1), times), 4 * x.nbytes, seconds)


def best_rate(work: Callable[[int], object], amount: int, seconds: float) -> float:
    """Billions of `amount` per second of work(times), which does `amount` `times` times, in about `seconds`."""
    times = max(1, int(seconds * SLOWEST / amount))
    while _best(work, times, tries=3) < seconds:
        times *= 2
    return amount * times / _best(work, times, TRIES) / 1e9


def _best(work: Callable[[int], object], times: int, tries: int) -> float:
    readings = []
    for _ in range(tries):
        start = time.perf_counter()
        work(times)
        readings.append(time.perf_counter() - start)
    return min(readings)
