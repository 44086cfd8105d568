"""Two kernels that do nothing but keep the machine busy: multiply-adds in registers, and memory read and written."""

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import prange, types
from numba.core import cgutils
from numba.extending import intrinsic

from kernels.cpu.emitter import Emitter
from kernels.cpu.target import TARGET
from kernels.types import Array

CHAINS = TARGET.registers - 4
"""Vectors in flight. A multiply-add takes 4 cycles and a core starts 2 to 4 of them in each, so that 8 to 16 must not
wait for each other; they stay in registers beside the factor and the summand."""


@intrinsic
def _multiply_add_chains(_: Any, x: Any, _steps: Any) -> Any:
    """CHAINS vectors v at the start of x: `steps` times v = v a + b, with a and b that keep v = 1 where it is."""
    signature = types.void(x, types.intp)

    def codegen(context: Any, builder: ir.IRBuilder, _signature: Any, arguments: Any) -> Any:
        array, count = arguments
        emit = Emitter(context, builder, x.dtype)
        first = emit.pointer(x, array, ir.IntType(64)(0))
        places = [emit.offset(first, i * emit.lanes) for i in range(CHAINS)]
        chains = [cgutils.alloca_once_value(builder, emit.load(place)) for place in places]
        a, b = emit.constant(0.75), emit.constant(0.25)
        with cgutils.for_range(builder, count):
            for chain in chains:
                builder.store(emit.multiply_add(builder.load(chain), a, b), chain)
        for chain, place in zip(chains, places, strict=True):
            emit.store(builder.load(chain), place)
        return context.get_dummy_value()

    return signature, codegen


def operands(threads: int, dtype: np.typing.DTypeLike) -> Array:
    """What `multiply_add` works on: ones (threads, CHAINS * lanes)."""
    return np.ones((threads, CHAINS * TARGET.vector_bytes // np.dtype(dtype).itemsize), dtype)


@numba.njit(nogil=True, parallel=True, cache=True)
def multiply_add(x: Array, steps: int) -> None:
    """2 * x.size * steps FLOPs, a row of x on each thread."""
    for t in prange(x.shape[0]):
        _multiply_add_chains(x[t], steps)


@numba.njit(nogil=True, cache=True)
def _scale_to_and_fro(x: Array, y: Array, factor: float, times: int) -> None:
    for _ in range(times):
        for i in range(x.size):
            y[i] = factor * x[i]
        for i in range(x.size):
            x[i] = factor * y[i]


@numba.njit(nogil=True, parallel=True, cache=True)
def copy(x: Array, y: Array, factor: float, times: int) -> None:
    """y = factor x, x = factor y, `times` times: 4 * x.nbytes * times bytes read and written, a row on each thread.

    The factor, 1, keeps LLVM from calling memcpy, whose stores bypass the caches: kernels that compute cannot do that.
    """
    for t in prange(x.shape[0]):
        _scale_to_and_fro(x[t], y[t], factor, times)
