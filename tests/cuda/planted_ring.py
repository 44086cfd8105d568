"""What can go wrong with mbarriers: in a ring of stages between a thread that copies by TMA and a warp group that
multiplies, and where one thread hands numbers to another.
"""

from collections.abc import Callable

import numpy as np
from planted import Bug, numbers

from kernels.cuda.emulator import EmulatorRuntime
from kernels.types import Array


def ring(runtime: EmulatorRuntime) -> tuple[Array, Array]:
    k = 152  # four panels and three quarters of one
    a, b = numbers(64, k), np.random.default_rng(2).integers(-9, 10, (128, k)).astype(np.float32)
    y = runtime.to_device(np.full((64, 128), np.nan, np.float32))
    maps = [runtime.tensor_map(runtime.to_device(x[None]), k, (32, len(x), 1)) for x in (a, b)]
    runtime.function("ring.cu", "ring")((1,), (160,), (*maps, y, np.int32(5)), shared_bytes=2 * 192 * 32 * 4 + 1024)
    return y, a @ b.T


def phases(runtime: EmulatorRuntime) -> tuple[Array, Array]:
    x, y = np.array([3, 5], np.float32), runtime.to_device(np.full(2, np.nan, np.float32))
    runtime.function("phases.cu", "phases")((1,), (96,), (runtime.to_device(x), y))
    return y, x


DRIVERS: dict[str, Callable[[EmulatorRuntime], tuple[Array, Array]]] = {"ring": ring, "phases": phases}

EARLY = Bug(
    "what is written before the second phase's arrival is read after the first phase",
    "phases",
    "    mbarrier_wait(&barrier, 1);\n",
    "",
    "phases.cu:{values[1] = x}: block (0, 0, 0), thread (0, 0, 0): race: writes byte 4 of static shared memory, which "
    "thread (64, 0, 0) has read at phases.cu:{y[1]}, and nothing orders the two",
)

BUGS = (
    Bug(
        "a stage is multiplied before its copies are there",
        "ring",
        "mbarrier_wait(&full[s], phase % 2)",
        "mbarrier_wait(&full[s], (phase + 1) % 2)",
        "ring.cu:{wgmma_tf32}: block (0, 0, 0), thread (31, 0, 0): reads byte 0 of dynamic shared memory, into which "
        "an asynchronous copy is under way",
    ),
    Bug(
        "waits for a stage to be emptied that nobody has filled",
        "ring",
        "mbarrier_wait(&empty[s], (phase + 1) % 2)",
        "mbarrier_wait(&empty[s], phase % 2)",
        "ring.cu:{wait(&full}: block (0, 0, 0), thread (0, 0, 0): waits for ever at mbarrier_wait for phase 0, which "
        "has had 0 of 1 arrivals and 0 of 0 bytes; thread (128, 0, 0) waits at mbarrier_wait of ring.cu:{wait(&empty}",
    ),
    Bug(
        "no wait for a stage to be emptied",
        "ring",
        "      mbarrier_wait(&empty[s], (phase + 1) % 2);\n",
        "",
        "ring.cu:{mbarrier_expect}: block (0, 0, 0), thread (128, 0, 0): mbarrier_expect: phase 0 has had all of its 1 "
        "arrivals, and waits for bytes",
    ),
    Bug(
        "a stage is handed back while it is multiplied",
        "ring",
        "    wgmma_wait<0>(sums);\n    if (threadIdx.x % 32 == 0) mbarrier_arrive(&empty[s]);",
        "    if (threadIdx.x % 32 == 0) mbarrier_arrive(&empty[s]);\n    wgmma_wait<0>(sums);",
        "ring.cu:{tma_load(stage, a}: block (0, 0, 0), thread (128, 0, 0): race: writes byte 0 of dynamic shared "
        "memory, which thread (31, 0, 0) has read at ring.cu:{wgmma_tf32}, and nothing orders the two",
    ),
    Bug(
        "a stage is handed back by one warp of four",
        "ring",
        "mbarrier_init(&empty[s], 4)",
        "mbarrier_init(&empty[s], 1)",
        "ring.cu:{tma_load(stage, a}: block (0, 0, 0), thread (128, 0, 0): race: writes byte 0 of dynamic shared "
        "memory, which thread (63, 0, 0) has read at ring.cu:{wgmma_tf32}, and nothing orders the two",
    ),
    Bug(
        "a wait that leaves one group of products too many under way",
        "ring",
        "wgmma_wait<0>",
        "wgmma_wait<1>",
        "ring.cu:{wgmma_tf32}: block (0, 0, 0), thread (63, 0, 0): reads byte 2048 of dynamic shared memory, into "
        "which an asynchronous copy is under way",
    ),
    Bug(
        "more bytes announced than are copied",
        "ring",
        "(A + B) * 4);\n      tma",
        "(A + B) * 8);\n      tma",
        "ring.cu:{wait(&full}: block (0, 0, 0), thread (0, 0, 0): waits for ever at mbarrier_wait for phase 0, which "
        "has had 1 of 1 arrivals and 24576 of 49152 bytes; thread (128, 0, 0) waits at mbarrier_wait of "
        "ring.cu:{wait(&empty}",
    ),
    Bug(
        "an mbarrier that TMA may not see yet",
        "ring",
        "    fence_async();\n",
        "",
        "ring.cu:{tma_load(stage, a}: block (0, 0, 0), thread (128, 0, 0): tma_load: no fence_async after the "
        "initialisation of its mbarrier",
    ),
    Bug(
        "products after other work on their sums, without a fence",
        "ring",
        "    wgmma_fence(sums);\n",
        "",
        "ring.cu:{wgmma_tf32}: block (0, 0, 0), thread (0, 0, 0): wgmma_tf32: no wgmma_fence since the warp has begun, "
        "or has waited for products",
    ),
    Bug(
        "a product that a thread of the warp group leaves out",
        "ring",
        "wgmma_tf32(sums",
        "if (threadIdx.x < 127) wgmma_tf32(sums",
        "ring.cu:{wgmma_tf32}: block (0, 0, 0), thread (0, 0, 0): waits for ever at wgmma_tf32 for thread (127, 0, 0), "
        "which waits at wgmma_commit of ring.cu:{wgmma_commit}",
    ),
    Bug(
        "a descriptor with another swizzle than the copies have",
        "ring",
        "1ull << 62",
        "2ull << 62",
        "ring.cu:{wgmma_tf32}: block (0, 0, 0), thread (31, 0, 0): wgmma_tf32: the descriptor of a says swizzle 2, "
        "expected 1 (128 bytes)",
    ),
    Bug(
        "a descriptor with another distance of groups of lines",
        "ring",
        "64ull << 32",
        "8ull << 32",
        "ring.cu:{wgmma_tf32}: block (0, 0, 0), thread (31, 0, 0): wgmma_tf32: groups of 8 lines of a lie 128 bytes "
        "apart, no multiple of a swizzle of 1024 bytes",
    ),
    EARLY,
)

CHECKED_ONLY = {
    "a stage is handed back while it is multiplied": "a copy lands when it is waited for; by then all have multiplied",
    "a stage is handed back by one warp of four": "as before",
}
