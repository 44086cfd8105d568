"""What is built of vector instructions alone: copies, fills, requests for memory, the transposition of a block.

Each intrinsic has a twin in plain Python, which runs with NUMBA_DISABLE_JIT=1. `transpose_of` makes what packing turns
rows into columns with.
"""

from typing import Any

import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..types import Array
from .emitter import Emitter
from .target import TARGET

CACHE_LINE = 64

_INT64 = ir.IntType(64)


@intrinsic
def copy_run(typing: Any, source: Any, start: Any, target: Any, at: Any, count: Any) -> Any:
    """target[at:at+count] = source[start:start+count] as one memory copy, which costs LLVM nothing to compile."""
    signature = types.void(source, types.intp, target, types.intp, types.intp)

    def codegen(context: Any, builder: ir.IRBuilder, _: Any, arguments: Any) -> Any:
        source_, start_, target_, at_, count_ = arguments
        emit = Emitter(context, builder, source.dtype)
        cgutils.raw_memcpy(
            builder, emit.pointer(target, target_, at_), emit.pointer(source, source_, start_), count_, emit.size
        )
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def copy_vectors(typing: Any, source: Any, start: Any, target: Any, at: Any, vectors: Any) -> Any:
    """As `copy_run` for that many whole vectors: a few are copied before a call of memcpy has begun."""
    signature = types.void(source, types.intp, target, types.intp, types.intp)

    def codegen(context: Any, builder: ir.IRBuilder, _: Any, arguments: Any) -> Any:
        source_, start_, target_, at_, vectors_ = arguments
        emit = Emitter(context, builder, source.dtype)
        first, to = emit.pointer(source, source_, start_), emit.pointer(target, target_, at_)
        with cgutils.for_range(builder, vectors_) as loop:
            offset = builder.mul(loop.index, _INT64(emit.lanes))
            emit.store(emit.load(emit.offset(first, offset)), emit.offset(to, offset))
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def clear_run(typing: Any, target: Any, at: Any, count: Any) -> Any:
    """target[at:at+count] = 0 as one memory fill."""
    signature = types.void(target, types.intp, types.intp)

    def codegen(context: Any, builder: ir.IRBuilder, _: Any, arguments: Any) -> Any:
        target_, at_, count_ = arguments
        emit = Emitter(context, builder, target.dtype)
        size = builder.mul(count_, _INT64(emit.size))
        cgutils.memset(builder, emit.pointer(target, target_, at_), size, 0)
        return context.get_dummy_value()

    return signature, codegen


def _prefetch(write: bool) -> Any:
    """Make the request for lines that will be written, or read."""

    @intrinsic
    def prefetch(typing: Any, array: Any, start: Any, count: Any) -> Any:
        signature = types.void(array, types.intp, types.intp)

        def codegen(context: Any, builder: ir.IRBuilder, _: Any, arguments: Any) -> Any:
            array_, start_, count_ = arguments
            emit = Emitter(context, builder, array.dtype)
            first, line = emit.pointer(array, array_, start_), _INT64(CACHE_LINE // emit.size)
            with cgutils.for_range_slice(builder, _INT64(0), count_, line, _INT64) as (at, _):
                emit.prefetch(emit.offset(first, at), write)
            with builder.if_then(builder.icmp_signed(">", count_, _INT64(0))):  # a run may begin within a line
                emit.prefetch(emit.offset(first, builder.sub(count_, _INT64(1))), write)
            return context.get_dummy_value()

        return signature, codegen

    def twin(array: Array, start: int, count: int) -> None:
        pass

    return twin if numba.config.DISABLE_JIT else prefetch


expect_read, expect_write = _prefetch(write=False), _prefetch(write=True)
"""expect_read(array, start, count): ask for the cache lines of array[start:start+count], which will be read soon."""


def _copy_run_twin(source: Array, start: int, target: Array, at: int, count: int) -> None:
    target[at : at + count] = source[start : start + count]


def _copy_vectors_twin(source: Array, start: int, target: Array, at: int, vectors: int) -> None:
    _copy_run_twin(source, start, target, at, vectors * TARGET.vector_bytes // source.itemsize)


def _clear_run_twin(target: Array, at: int, count: int) -> None:
    target[at : at + count] = 0


if numba.config.DISABLE_JIT:
    copy_run, copy_vectors, clear_run = _copy_run_twin, _copy_vectors_twin, _clear_run_twin


def transpose_of(most_rows: int) -> Any:
    """Make transpose(source, start, row_stride, target, target_start, column_stride) for min(most_rows, L) rows.

    L is the number of lanes. Reads L numbers of each row and writes L columns of L numbers: with fewer than L rows the
    last numbers of each column are 0, and a column_stride of that many rows lets the next column overwrite them.
    """

    @intrinsic
    def transpose(
        typing: Any, source: Any, start: Any, row_stride: Any, target: Any, target_start: Any, column_stride: Any
    ) -> Any:
        signature = types.void(source, types.intp, types.intp, target, types.intp, types.intp)

        def codegen(context: Any, builder: ir.IRBuilder, _: Any, arguments: Any) -> Any:
            source_, start_, row_stride_, target_, target_start_, column_stride_ = arguments
            emit = Emitter(context, builder, source.dtype)
            first = emit.pointer(source, source_, start_)
            rows = [
                emit.load(emit.offset(first, builder.mul(row_stride_, _INT64(i))))
                if i < most_rows
                else emit.constant(0)
                for i in range(emit.lanes)
            ]
            out = emit.pointer(target, target_, target_start_)
            for j, column in enumerate(emit.transpose(rows)):
                emit.store(column, emit.offset(out, builder.mul(column_stride_, _INT64(j))))
            return context.get_dummy_value()

        return signature, codegen

    def twin(source: Array, start: int, row_stride: int, target: Array, target_start: int, column_stride: int) -> None:
        lanes = TARGET.vector_bytes // source.itemsize
        for j in range(lanes):
            for i in range(lanes):
                value = source[start + i * row_stride + j] if i < most_rows else 0
                target[target_start + j * column_stride + i] = value

    return twin if numba.config.DISABLE_JIT else transpose
