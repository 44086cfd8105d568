"""Tiles that fit the registers: by the rule, in the machine code, and in use where the target is another one."""

import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import numba
import pytest
import rerun

from kernels.cpu.target import TARGET, Target, choose

INTEL = platform.machine().lower() in ("x86_64", "amd64")
WIDEST = "+avx512f,+avx512bw,+avx512dq,+avx512vl,+avx2,+avx,+fma"
TARGETS = {
    "AVX-512": {"NUMBA_CPU_NAME": "skylake-avx512", "NUMBA_CPU_FEATURES": WIDEST},
    "AVX2": {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx2,+avx,+fma"},
    "AVX": {"NUMBA_CPU_NAME": "sandybridge", "NUMBA_CPU_FEATURES": "+avx"},
    "SSE2": {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""},
}
"""For LLVM on x86; code for any of them can be compiled on any other."""

LOOPS = """
import json
import numba
from numba import types
from kernels.cpu import direct_tile
from kernels.cpu.block_tile import multiply_block
from kernels.cpu.dot_tile import DOT_COLUMNS, DOT_ROWS, multiply_dots
from kernels.cpu.microkernel import THIN_ROWS, multiply_thin_rows, multiply_tile
from kernels.cpu.packing_tile import multiply_and_pack
from kernels.cpu.target import TARGET
from kernels.cpu.unpacked_tile import UNPACKED_ROWS, UNPACKED_VECTORS, multiply_unpacked
from kernels.cpu.winograd_plan import MOST_TAPS
from kernels.cpu.winograd_tile import multiply_and_transform

@numba.njit(fastmath={"nsz"})
def unpacked(rows, columns, k, rest, a, row_stride, step, b, ldb, edge, c, ldc, add):
    multiply_unpacked(rows, columns, k, rest, a, 0, row_stride, step, b, 0, ldb, edge, c, 0, ldc, add)

@numba.njit(fastmath={"nsz"})
def dots(rows, columns, k, a, lda, b, ldb, c, ldc, add):
    multiply_dots(rows, columns, k, a, 0, lda, b, 0, ldb, c, 0, ldc, add)

@numba.njit(fastmath={"nsz"})
def transform(taps, factors, source, stride, panel, runs, a, c, add):
    multiply_and_transform(taps, factors, 0, source, 0, stride, panel, 0, runs, a, 0, c, 0, add)

@numba.njit(fastmath={"nsz"})
def block(runs, a, panel, c, add):
    multiply_block(runs, a, 0, panel, 0, c, 0, add)

@numba.njit(fastmath={"nsz"})
def pack(k, a, b, ldb, panel, c, ldc, add):
    multiply_and_pack(k, a, 0, b, 0, ldb, panel, 0, c, 0, ldc, add)

@numba.njit(fastmath={"nsz"})
def thin(length, a, rows, b, c, ldc, add):
    multiply_thin_rows(1, length, a, 0, rows, 0, 0, b, 0, c, 0, ldc, add)

@numba.njit(fastmath={"nsz"})
def taps(k, x, x_at, table, w, bias, slope, y, y_at, columns):
    direct_tile.multiply_taps(k, x, x_at, 0, table, w, 0, bias, 0, slope, y, y_at, 0, columns, 0)

def outer(product):
    @numba.njit(fastmath={"nsz"})
    def outer(pixels, x, x_at, table, dy, step, c, ldc, add):
        product(pixels, x, x_at, table, 0, dy, 0, step, c, 0, ldc, add)

    return outer

OUTER = {
    direct_tile.DIRECT_ROWS: outer(direct_tile.add_outer_products),
    direct_tile.DIRECT_ROWS - 1: outer(direct_tile.add_fewer_outer_products),
    direct_tile.SHORT_TAPS: outer(direct_tile.add_short_outer_products),
}

codes, tile = [], TARGET.tile_rows * TARGET.tile_vectors
for number in types.float32, types.float64:
    array, i = types.Array(number, 1, "C"), types.intp
    signature = types.void(i, array, i, i, array, i, i, array, i, i, types.boolean)
    multiply_tile.compile(signature)
    codes.append(([tile], multiply_tile.inspect_asm(signature.args)))
    signature = types.void(i, array, array, i, array, array, i, types.boolean)
    pack.compile(signature)
    codes.append(([tile], pack.inspect_asm(signature.args)))
    rows = types.Array(types.int64, 1, "C")
    signature = types.void(i, array, rows, array, array, i, types.boolean)
    thin.compile(signature)
    codes.append(([THIN_ROWS], thin.inspect_asm(signature.args)))
    signature = types.void(i, array, array, array, types.boolean)
    block.compile(signature)
    codes.append(([tile], block.inspect_asm(signature.args)))
    signature = types.void(i, array, array, i, array, i, array, array, types.boolean)
    transform.compile(signature)
    code = transform.inspect_asm(signature.args)
    if "vfmadd" in code:  # else a product needs a register more, and one accumulator is spilled
        codes.append(([tile + taps * TARGET.tile_vectors for taps in range(1, MOST_TAPS + 1)], code))
        signature = types.void(i, array, rows, rows, array, array, types.float64, array, rows, i)
        taps.compile(signature)
        codes.append(([direct_tile.DIRECT_ROWS * TARGET.tile_vectors], taps.inspect_asm(signature.args)))
        signature = types.void(i, i, i, i, array, i, i, array, i, array, array, i, types.boolean)
        unpacked.compile(signature)
        tiles = [UNPACKED_ROWS * vectors for vectors in range(1, UNPACKED_VECTORS + 1)]
        codes.append((tiles, unpacked.inspect_asm(signature.args)))
        signature = types.void(i, i, i, array, i, array, i, array, i, types.boolean)
        dots.compile(signature)
        codes.append(([DOT_ROWS * columns for columns in range(1, DOT_COLUMNS + 1)], dots.inspect_asm(signature.args)))
        for count, product in OUTER.items():
            signature = types.void(i, array, rows, rows, array, i, array, i, types.boolean)
            product.compile(signature)
            codes.append(([count * TARGET.tile_vectors], product.inspect_asm(signature.args)))
print(json.dumps(codes))
"""


@pytest.mark.parametrize(
    ("features", "machine", "vector_bytes", "registers"),
    [
        ({"sse2", "avx", "avx2", "fma", "avx512f"}, "x86_64", 64, 32),
        ({"sse2", "avx", "avx2", "fma"}, "AMD64", 32, 16),
        ({"sse2", "avx"}, "x86_64", 32, 16),
        ({"sse2"}, "x86_64", 16, 16),
        ({"neon", "fp-armv8"}, "aarch64", 16, 32),
        ({"neon"}, "arm64", 16, 32),
        (set(), "riscv64", 16, 16),
    ],
)
def test_the_tile_fits_the_registers(features: set[str], machine: str, vector_bytes: int, registers: int):
    """R V accumulators, V vectors of B, one number of A, and one product where it is not fused with the sum."""
    target = choose("some cpu", frozenset(features), machine)
    assert (target.vector_bytes, target.registers) == (vector_bytes, registers)
    assert target.tile_rows * target.tile_vectors + target.tile_vectors + 2 <= registers
    assert target.tile_bytes == target.tile_vectors * vector_bytes


@pytest.mark.parametrize(("name", "asks"), [("znver3", True), ("znver4", True), ("cascadelake", False), ("", False)])
def test_only_zen_asks_for_long_runs(name: str, asks: bool):
    assert choose(name, frozenset({"avx", "avx512f"}), "x86_64").asks_ahead == asks


def test_this_target_is_one_of_those():
    assert isinstance(TARGET, Target)
    assert TARGET.vector_bytes in (16, 32, 64)


@pytest.mark.skipif(not INTEL or numba.config.DISABLE_JIT, reason="reads the machine code of x86")
@pytest.mark.parametrize("environment", TARGETS.values(), ids=TARGETS)
def test_the_loop_of_the_micro_kernel_touches_no_stack(environment: dict[str, str], tmp_path: Path):
    """A tile that does not fit is spilled there, silently. (Code from the disk cannot be inspected: an empty cache.)"""
    ours = {**os.environ, "PYTHONPATH": str(rerun.ROOT), "NUMBA_CACHE_DIR": str(tmp_path), **environment}
    done = subprocess.run([sys.executable, "-c", LOOPS], env=ours, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    for steps, code in json.loads(done.stdout):
        _, *parts = re.split(r"^(\S+):.*$", code, flags=re.MULTILINE)
        blocks = zip(parts[::2], parts[1::2], strict=True)
        turns = [block for label, block in blocks if re.search(rf"\tj\w+\t{re.escape(label)}\b", block)]
        products = [len(re.findall(r"vfmadd|mulp[sd]", block)) for block in turns]
        loops = [(count, block) for count, block in zip(products, turns, strict=True) if count >= min(steps)]
        for step in steps:
            assert {step, 2 * step, 4 * step, 8 * step} & {count for count, _ in loops}  # LLVM may unroll it
        for _, loop in loops:
            assert [line.strip() for line in loop.splitlines() if "(%rsp" in line and "mm" in line] == []


@pytest.mark.slow
@pytest.mark.skipif(not INTEL or numba.config.DISABLE_JIT, reason="compiles for x86 without AVX")
def test_products_are_exact_on_a_target_of_other_vectors():
    """The same tests with the smallest tile, which every x86 can run: nothing may depend on this machine's."""
    assert choose("generic", frozenset(), "x86_64") != TARGET
    files = (
        "vector",
        "microkernel",
        "packing",
        "gemm",
        "unpacked",
        "implicit_gemm",
        "weight_grad",
        "narrow",
        "kn2row",
        "winograd",
    )
    rerun.assert_passes(*(f"test_{name}.py" for name in files), **TARGETS["SSE2"])
