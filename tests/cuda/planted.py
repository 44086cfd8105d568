"""Small kernels that are right, and the bugs that are planted in them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from kernels.cuda.emulator import EmulatorRuntime
from kernels.types import Array

PROGRAMS = Path(__file__).parent / "programs"
f4, i4 = np.float32, np.int32


def numbers(*shape: int) -> Array:
    return np.random.default_rng(1).integers(-9, 10, shape).astype(f4)  # whose sums are exact


def block_sum(runtime: EmulatorRuntime) -> tuple[Array, Array]:
    x, sums = numbers(3, 128), np.full(3, np.nan, f4)
    device = runtime.to_device(x), runtime.to_device(sums)
    runtime.function("block_sum.cu", "block_sum")((3,), (128,), device)
    return device[1], x.sum(1)


def transpose(runtime: EmulatorRuntime) -> tuple[Array, Array]:
    x = numbers(19, 21)
    x_device, y = runtime.to_device(x), runtime.to_device(np.full((21, 19), np.nan, f4))
    runtime.function("transpose.cu", "transpose")((2, 2), (16, 16), (x_device, y, i4(19), i4(21)))
    return y, x.T


def neighbours(runtime: EmulatorRuntime) -> tuple[Array, Array]:
    x, y = numbers(5, 256), runtime.to_device(np.full(256, np.nan, f4))
    kernel = runtime.function("neighbours.cu", "neighbours")
    kernel((1,), (64,), (runtime.to_device(x), y, i4(5)), shared_bytes=2 * 256 * 4)
    return y, (x + np.roll(x, -4, 1)).sum(0)


def rotate(runtime: EmulatorRuntime) -> tuple[Array, Array]:
    x, y = numbers(2, 32), runtime.to_device(np.full((2, 32), np.nan, f4))
    runtime.function("rotate.cu", "rotate")((1,), (64,), (runtime.to_device(x), y))
    return y, np.roll(x, -1, 1)


def total(runtime: EmulatorRuntime) -> tuple[Array, Array]:
    x, result = numbers(6, 32), runtime.to_device(np.full(1, np.nan, f4))
    parts, counter = runtime.to_device(np.full(6, np.nan, f4)), runtime.to_device(np.zeros(1, i4))
    runtime.function("total.cu", "total")((6,), (32,), (runtime.to_device(x), parts, counter, result))
    return result, x.sum()[None]


def arithmetic(runtime: EmulatorRuntime) -> tuple[Array, Array]:
    x, y = np.arange(8, dtype=i4), np.zeros(8, i4)
    runtime.function("arithmetic.cu", "arithmetic")((1,), (8,), (x, y, i4(3)))
    return y, x + np.arange(8) % 4 + 8 + 100 // (x + 1)


DRIVERS: dict[str, Callable[[EmulatorRuntime], tuple[Array, Array]]] = {
    "block_sum": block_sum,
    "transpose": transpose,
    "neighbours": neighbours,
    "rotate": rotate,
    "total": total,
    "arithmetic": arithmetic,
}
"""Each runs its program and returns what came out and what should have."""
