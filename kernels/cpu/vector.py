"""A small toolbox of vector instructions in LLVM's intermediate representation, and what is built of them alone.

`Emitter` is what the micro-kernel is written with; `transpose_of` makes what packing turns rows into columns with. Each
intrinsic has a twin in plain Python, which runs with NUMBA_DISABLE_JIT=1.
"""

from collections.abc import Callable, Iterable
from typing import Any

import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..types import Array
from .target import TARGET

CACHE_LINE = 64

_INT64, _INT32, _BYTE = ir.IntType(64), ir.IntType(32), ir.IntType(8)
_FLOATS = {types.float32: ir.FloatType(), types.float64: ir.DoubleType()}


class Emitter:
    """Emits vector instructions on numbers of one type."""

    def __init__(self, context: Any, builder: ir.IRBuilder, dtype: types.Type) -> None:
        self.context, self.builder = context, builder
        self.scalar = _FLOATS[dtype]
        self.lanes = TARGET.vector_bytes * 8 // dtype.bitwidth
        self.vector = ir.VectorType(self.scalar, self.lanes)

    def pointer(self, array_type: types.Array, array: ir.Value, start: ir.Value) -> ir.Value:
        """Address of array[start]."""
        return self.builder.gep(self.context.make_array(array_type)(self.context, self.builder, array).data, [start])

    def offset(self, pointer: ir.Value, index: ir.Value | int) -> ir.Value:
        """Address `index` numbers further."""
        return self.builder.gep(pointer, [_INT64(index) if isinstance(index, int) else index])

    def load(self, pointer: ir.Value) -> ir.Value:
        """A vector from an address that needs no alignment but the number's own."""
        value = self.builder.load(self.builder.bitcast(pointer, self.vector.as_pointer()))
        value.align = self.size
        return value

    def store(self, value: ir.Value, pointer: ir.Value) -> None:
        """The vector to an address."""
        self.builder.store(value, self.builder.bitcast(pointer, self.vector.as_pointer())).align = self.size

    @property
    def size(self) -> int:
        """Bytes of a number."""
        return 4 if isinstance(self.scalar, ir.FloatType) else 8

    def broadcast(self, scalar: ir.Value) -> ir.Value:
        """A vector with the number in every lane."""
        undefined = ir.Constant(self.vector, ir.Undefined)
        first = self.builder.insert_element(undefined, scalar, _INT32(0))
        return self.builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(_INT32, self.lanes), None))

    def constant(self, value: float) -> ir.Value:
        """A vector with `value` in every lane."""
        return ir.Constant(self.vector, [float(value)] * self.lanes)

    def multiply_add(self, a: ir.Value, b: ir.Value, c: ir.Value) -> ir.Value:
        """a b + c, fused where the CPU can."""
        bits = 32 if self.size == 4 else 64
        function = cgutils.get_or_insert_function(
            self.builder.module,
            ir.FunctionType(self.vector, [self.vector] * 3),
            f"llvm.fmuladd.v{self.lanes}f{bits}",
        )
        return self.builder.call(function, [a, b, c])

    def prefetch(self, pointer: ir.Value, write: bool) -> None:
        """Ask for the cache line of an address that will be written, or read."""
        byte_pointer = _BYTE.as_pointer()
        function = cgutils.get_or_insert_function(
            self.builder.module,
            ir.FunctionType(ir.VoidType(), [byte_pointer, _INT32, _INT32, _INT32]),
            "llvm.prefetch.p0",
        )
        keep, data = _INT32(3 if write else 2), _INT32(1)
        self.builder.call(function, [self.builder.bitcast(pointer, byte_pointer), _INT32(int(write)), keep, data])

    def steps(self, count: ir.Value, at_once: int, body: Callable[[ir.Value], None]) -> None:
        """body(0), body(1), ..., body(count - 1), at_once of them in a turn of the loop, what is left one by one.

        A turn has three instructions of its own: of some 40 that a micro-tile's step takes, or of 16, one in ten.
        """
        builder, whole = self.builder, _INT64(0)
        if at_once > 1:
            whole = builder.sub(count, builder.srem(count, _INT64(at_once)))
            with cgutils.for_range_slice(builder, _INT64(0), whole, _INT64(at_once), inc=True) as (first, _):
                for i in range(at_once):
                    body(builder.add(first, _INT64(i)))
        with cgutils.for_range_slice(builder, whole, count, _INT64(1), inc=True) as (index, _):
            body(index)

    def written_out(self, count: ir.Value, counts: Iterable[int], body: Callable[[int], None]) -> None:
        """What body(n) emits, for each n of `counts` by itself; the code runs that of `count`, or none."""
        done = self.builder.append_basic_block("done")
        switch = self.builder.switch(count, done)
        for number in counts:
            block = self.builder.append_basic_block(f"count{number}")
            switch.add_case(_INT64(number), block)
            self.builder.position_at_end(block)
            body(number)
            self.builder.branch(done)
        self.builder.position_at_end(done)

    def transpose(self, rows: list[ir.Value]) -> list[ir.Value]:
        """The columns of a square of `lanes` vectors.

        In step d = 1, 2, 4, ... the 2x2 blocks of d x d numbers are transposed: rows i and i + d exchange the upper
        half of one with the lower half of the other.
        """
        rows, lanes = list(rows), range(self.lanes)
        d = 1
        while d < self.lanes:
            for i in lanes:
                if not i & d:
                    upper, lower = rows[i], rows[i + d]
                    rows[i] = self._shuffle(upper, lower, [j - d + self.lanes if j & d else j for j in lanes])
                    rows[i + d] = self._shuffle(upper, lower, [j + self.lanes if j & d else j + d for j in lanes])
            d *= 2
        return rows

    def _shuffle(self, a: ir.Value, b: ir.Value, lanes: list[int]) -> ir.Value:
        mask = ir.Constant(ir.VectorType(_INT32, self.lanes), lanes)
        return self.builder.shuffle_vector(a, b, mask)


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
