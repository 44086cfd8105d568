"""Small kernels that are right, and the bugs that are planted in them."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

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


class Bug(NamedTuple):
    """A bug: in a program `right` is replaced by `wrong`, and the checked build has to say `message`.

    A line is written as {text}: the number of the first line that holds the text, after the replacement.
    """

    name: str
    program: str
    right: str
    wrong: str
    message: str


BUGS = (
    Bug(
        "no barrier between writer and reader",
        "block_sum",
        "  __syncthreads();\n",
        "\n",
        "block_sum.cu:{partial[lane]}: block (0, 0, 0), thread (1, 0, 0): reads byte 4 of static shared memory, "
        "which no thread has written",
    ),
    Bug(
        "no barrier between an asynchronous copy and its reader",
        "neighbours",
        "    cp_async_wait<1>();\n    __syncthreads();",
        "    cp_async_wait<1>();\n",
        "neighbours.cu:{sum[e] +=}: block (0, 0, 0), thread (0, 0, 0): reads byte 16 of dynamic shared memory, "
        "which no thread has written",
    ),
    Bug(
        "no barrier between reader and the next writer",
        "neighbours",
        "    __syncthreads();\n  }",
        "  }",
        "neighbours.cu:{cp_async16}: block (0, 0, 0), thread (1, 0, 0): race: writes byte 16 of dynamic shared memory, "
        "which thread (0, 0, 0) has read at neighbours.cu:{sum[e] +=}, and nothing orders the two",
    ),
    Bug(
        "two threads write the same",
        "block_sum",
        "if (lane == 0) partial",
        "if (lane < 2) partial",
        "block_sum.cu:{partial[warp]}: block (0, 0, 0), thread (1, 0, 0): race: writes byte 0 of static shared memory, "
        "which thread (0, 0, 0) has written at block_sum.cu:{partial[warp]}, and nothing orders the two",
    ),
    Bug(
        "two blocks write the same",
        "block_sum",
        "sums[blockIdx.x] = v",
        "sums[0] = v",
        "block_sum.cu:{sums[0]}: block (1, 0, 0), thread (0, 0, 0): race: writes byte 0 of argument 1, which thread "
        "(0, 0, 0) of block (0, 0, 0) has written at block_sum.cu:{sums[0]}, and nothing orders the two",
    ),
    Bug(
        "a block reads what another has written, without a fence",
        "total",
        "    __threadfence();\n    last",
        "    last",
        "total.cu:{all += parts}: block (5, 0, 0), thread (1, 0, 0): race: reads byte 0 of argument 1, which thread "
        "(0, 0, 0) of block (0, 0, 0) has written at total.cu:{parts[blockIdx.x] =}, and nothing orders the two",
    ),
    Bug(
        "a counter that is not atomic",
        "total",
        "atomicAdd(counter, 1)",
        "(*counter)++",
        "total.cu:{(*counter)++}: block (1, 0, 0), thread (0, 0, 0): race: reads byte 0 of argument 2, which thread "
        "(0, 0, 0) of block (0, 0, 0) has written at total.cu:{(*counter)++}, and nothing orders the two",
    ),
    Bug(
        "no __syncwarp between writer and reader",
        "rotate",
        "  line[threadIdx.x] = x[threadIdx.x];\n  __syncwarp();\n",
        "  line[threadIdx.x] = x[threadIdx.x];\n",
        "rotate.cu:{next =}: block (0, 0, 0), thread (0, 0, 0): reads byte 4 of static shared memory, which no thread "
        "has written",
    ),
    Bug(
        "no __syncwarp between reader and writer",
        "rotate",
        "% 32];\n  __syncwarp();\n",
        "% 32];\n",
        "rotate.cu:{= next}: block (0, 0, 0), thread (1, 0, 0): race: writes byte 4 of static shared memory, which "
        "thread (0, 0, 0) has read at rotate.cu:{next =}, and nothing orders the two",
    ),
    Bug(
        "a barrier that some do not reach",
        "block_sum",
        "sums[blockIdx.x] = v;\n  }",
        "sums[blockIdx.x] = v;\n  }\n  if (lane == 0) __syncthreads();",
        "block_sum.cu:{if (lane == 0) __syncthreads}: block (0, 0, 0), thread (33, 0, 0): ends, while "
        "thread (32, 0, 0) "
        "waits at __syncthreads: a barrier is for the whole block",
    ),
    Bug(
        "two barriers where there should be one",
        "block_sum",
        "  __syncthreads();",
        "  if (warp) { __syncthreads();\n  } else __syncthreads();",
        "block_sum.cu:{if (warp) }: block (0, 0, 0), thread (32, 0, 0): __syncthreads, while thread (0, 0, 0) waits at "
        "__syncthreads of block_sum.cu:{else __syncthreads}: a barrier is for the whole block",
    ),
    Bug(
        "a thread that has left before the barrier",
        "transpose",
        "  if (row < n &&",
        "  if (row >= n) return;\n  if (row < n &&",
        "transpose.cu:{__syncthreads}: block (0, 1, 0), thread (0, 3, 0): ends, while thread (0, 0, 0) waits at "
        "__syncthreads: a barrier is for the whole block",
    ),
    Bug(
        "a shuffle that some do not reach",
        "block_sum",
        "v = warp_sum(x[",
        "v = 0;\n  if (lane < 31) v = warp_sum(x[",
        "block_sum.cu:{__shfl_xor}: block (0, 0, 0), thread (0, 0, 0): waits for ever at __shfl_xor_sync with mask "
        "0xffffffff for thread (31, 0, 0), which waits at __syncthreads of block_sum.cu:{__syncthreads}",
    ),
    Bug(
        "a mask without the calling lane",
        "block_sum",
        "__shfl_xor_sync(0xffffffffu,",
        "__shfl_xor_sync(0x0fffffffu,",
        "block_sum.cu:{__shfl_xor}: block (0, 0, 0), thread (12, 0, 0): __shfl_xor_sync reads lane 28, which is not in "
        "the mask 0x0fffffff",
    ),
    Bug(
        "a mask of the lower lanes, named by all",
        "rotate",
        "  __syncwarp();\n  if",
        "  __syncwarp(0xffff);\n  if",
        "rotate.cu:{0xffff}: block (0, 0, 0), thread (16, 0, 0): __syncwarp with mask 0x0000ffff, which "
        "does not have the "
        "calling lane 16",
    ),
    Bug(
        "reads shared memory that nobody wrote",
        "block_sum",
        "lane < warps ? partial[lane] : 0.0f",
        "partial[lane]",
        "block_sum.cu:{partial[lane]}: block (0, 0, 0), thread (4, 0, 0): reads byte 16 of static shared memory, which "
        "no thread has written",
    ),
    Bug(
        "reads past the end of an array",
        "transpose",
        "if (row < n && column < m)",
        "if (column < m)",
        "transpose.cu:{if (column < m)}: block (0, 1, 0), thread (0, 3, 0): reads 4 bytes at byte 1596 of argument 0, "
        "which has 1596 bytes",
    ),
    Bug(
        "writes before the front of an array",
        "transpose",
        "y[row * n + column] =",
        "y[row * n + column - 1] =",
        "transpose.cu:{- 1]}: block (0, 0, 0), thread (0, 0, 0): writes 4 bytes at byte -4 of argument 1, "
        "which has 1596 "
        "bytes",
    ),
    Bug(
        "leaves a row of static shared memory",
        "transpose",
        "tile[threadIdx.y][threadIdx.x] = x",
        "tile[threadIdx.y][threadIdx.x * 2] = x",
        "transpose.cu:{* 2]}: block (0, 0, 0), thread (9, 0, 0): undefined behaviour: index 18 of 'float [17]'",
    ),
    Bug(
        "less dynamic shared memory than is used",
        "neighbours",
        "c % 2 * n + i]",
        "c % 3 * n + i]",
        "neighbours.cu:{cp_async16}: block (0, 0, 0), thread (0, 0, 0): writes 16 bytes at byte 2048 of dynamic shared "
        "memory, which has 2048 bytes",
    ),
    Bug(
        "no wait for an asynchronous copy",
        "neighbours",
        "    cp_async_wait<1>();\n",
        "",
        "neighbours.cu:{sum[e] +=}: block (0, 0, 0), thread (0, 0, 0): reads byte 0 of dynamic shared "
        "memory, into which "
        "an asynchronous copy is under way",
    ),
    Bug(
        "a wait that leaves one group too many under way",
        "neighbours",
        "cp_async_wait<1>",
        "cp_async_wait<2>",
        "neighbours.cu:{sum[e] +=}: block (0, 0, 0), thread (0, 0, 0): reads byte 0 of dynamic shared "
        "memory, into which "
        "an asynchronous copy is under way",
    ),
    Bug(
        "an asynchronous copy of misaligned data",
        "neighbours",
        "&x[c * n + i], 16",
        "&x[c * n + i - (c > 0)], 16",
        "neighbours.cu:{cp_async16}: block (0, 0, 0), thread (0, 0, 0): cp_async16: an address is not a multiple of 16",
    ),
    Bug(
        "a misaligned vector",
        "rotate",
        "line[first + lane * 4])",
        "line[first + lane * 4 + 2])",
        "rotate.cu:{+ 2])}: block (0, 0, 0), thread (0, 0, 0): undefined behaviour: misaligned access: "
        "'const struct float4' wants an address that is a multiple of 16",
    ),
    Bug(
        "an index outside of a local array",
        "arithmetic",
        "table[i % 4]",
        "table[i % 5]",
        "arithmetic.cu:{table[i % 5]}: block (0, 0, 0), thread (4, 0, 0): undefined behaviour: index 4 of 'int [4]'",
    ),
    Bug(
        "a shift by too many bits",
        "arithmetic",
        "1 << bits",
        "1 << (bits + 30)",
        "arithmetic.cu:{1 << (}: block (0, 0, 0), thread (0, 0, 0): undefined behaviour: a shift by a "
        "negative number, or "
        "by more bits than there are",
    ),
    Bug(
        "a division by zero",
        "arithmetic",
        "100 / (x[i] + 1)",
        "100 / x[i]",
        "arithmetic.cu:{/ x[i]}: block (0, 0, 0), thread (0, 0, 0): undefined behaviour: a division by "
        "zero, or one that "
        "overflows",
    ),
    Bug(
        "a product that does not fit an int",
        "arithmetic",
        "x[i] + e;",
        "(x[i] + e) * 1000000000;",
        "arithmetic.cu:{1000000000}: block (0, 0, 0), thread (0, 0, 0): undefined behaviour: a "
        "multiplication overflows",
    ),
)

CHECKED_ONLY = {
    "two threads write the same": "both write the same number",
    "no barrier between reader and the next writer": "a copy lands when it is waited for; by then everybody has read",
    "a block reads what another has written, without a fence": "blocks run one after another",
    "a counter that is not atomic": "blocks run one after another",
}
"""Bugs that the fast build lets pass in every order, and why."""
