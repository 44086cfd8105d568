"""What the kernels must know of the CPU: the width of its vectors and how many registers it has.

The answers come from the target that Numba compiles for (which NUMBA_CPU_NAME and NUMBA_CPU_FEATURES can change), not
from the machine, so that they always fit the code and the key under which Numba keeps it on disk.

    instruction set     vector     registers     micro-tile of a product (rows x vectors)
    AVX-512             64 bytes   32            12 x 2
    AVX, AVX2           32 bytes   16             6 x 2
    NEON                16 bytes   32             8 x 3
    SSE2, others        16 bytes   16             6 x 2

A micro-tile of R x V vectors lives in R V registers; V more hold a row of B, one an element of A and, where multiply
and add are not fused, one their product: R V + V + 2 must not exceed the registers. Per step it loads R + V values for
R V multiply-adds: the squarer, the better. (Goto and van de Geijn 2008, section 6; Van Zee and van de Geijn 2015,
section 2.)

Whether to ask for what later tiles will read differs, too. A Zen core waits for runs that nobody asked for; a core of
Intel's follows them by itself, and requests take places among the dozen lines that can be on their way to it.
"""

import platform
from typing import Any, NamedTuple

import numba
from numba.core.registry import cpu_target


class Target(NamedTuple):
    """A CPU as the kernels see it."""

    name: str
    vector_bytes: int
    registers: int
    tile_rows: int
    tile_vectors: int
    asks_ahead: bool  # for runs of memory that later tiles read

    @property
    def tile_bytes(self) -> int:
        """Width of a micro-tile, and of a packed panel of B, in bytes."""
        return self.vector_bytes * self.tile_vectors


def choose(name: str, features: frozenset[str], machine: str) -> Target:
    """The target for a CPU that has these LLVM features; `machine` as from platform.machine()."""
    asks_ahead = name.startswith("znver")
    if "avx512f" in features:
        return Target(name, 64, 32, 12, 2, asks_ahead)
    if "avx" in features:
        return Target(name, 32, 16, 6, 2, asks_ahead)
    if machine.lower() in ("aarch64", "arm64"):
        return Target(name, 16, 32, 8, 3, asks_ahead)
    return Target(name, 16, 16, 6, 2, asks_ahead)


def _compiled_for() -> Target:
    _, name, features = cpu_target.target_context.codegen().magic_tuple()
    present = frozenset(feature[1:] for feature in features.split(",") if feature.startswith("+"))
    return choose(name, present, platform.machine())


TARGET = _compiled_for()


def describe() -> dict[str, Any]:
    """CPU, vectors, tile and threads in words, for `minigan info` and the benchmarks."""
    return {
        "cpu": TARGET.name,
        "vector_bits": 8 * TARGET.vector_bytes,
        "registers": TARGET.registers,
        "tile": f"{TARGET.tile_rows} x {TARGET.tile_bytes // 4} float32",
        "threads": numba.get_num_threads(),
        "numba": numba.__version__,
    }
