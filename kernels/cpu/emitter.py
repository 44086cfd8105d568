"""Vector instructions in LLVM's intermediate representation: what the micro-kernels are written with."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from .target import TARGET

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

    def load(self, pointer: ir.Value, mask: ir.Value | None = None) -> ir.Value:
        """A vector from an address that needs no alignment but the number's own; 0 in the lanes that a mask leaves out.

        Lanes that are left out may lie where there is no memory.
        """
        address = self.builder.bitcast(pointer, self.vector.as_pointer())
        if mask is not None:
            kind = ir.FunctionType(self.vector, [self.vector.as_pointer(), _INT32, mask.type, self.vector])
            function = self._declared(f"llvm.masked.load.{self._suffix}.p0", kind)
            return self.builder.call(function, [address, _INT32(self.size), mask, self.constant(0)])
        value = self.builder.load(address)
        value.align = self.size
        return value

    def store(self, value: ir.Value, pointer: ir.Value, mask: ir.Value | None = None) -> None:
        """The vector to an address, or those of its lanes that a mask has."""
        address = self.builder.bitcast(pointer, self.vector.as_pointer())
        if mask is not None:
            kind = ir.FunctionType(ir.VoidType(), [self.vector, self.vector.as_pointer(), _INT32, mask.type])
            function = self._declared(f"llvm.masked.store.{self._suffix}.p0", kind)
            self.builder.call(function, [value, address, _INT32(self.size), mask])
        else:
            self.builder.store(value, address).align = self.size

    def mask(self, count: ir.Value) -> ir.Value:
        """The first `count` lanes."""
        numbers = ir.VectorType(_INT32, self.lanes)
        undefined, lanes = ir.Constant(numbers, ir.Undefined), ir.Constant(numbers, list(range(self.lanes)))
        first = self.builder.insert_element(undefined, self.builder.trunc(count, _INT32), _INT32(0))
        counts = self.builder.shuffle_vector(first, undefined, ir.Constant(numbers, None))
        return self.builder.icmp_signed("<", lanes, counts)

    def _declared(self, name: str, kind: ir.FunctionType) -> ir.Value:
        return cgutils.get_or_insert_function(self.builder.module, kind, name)

    @property
    def _suffix(self) -> str:
        """How LLVM names the vector in its functions."""
        return f"v{self.lanes}f{8 * self.size}"

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
        function = self._declared(f"llvm.fmuladd.{self._suffix}", ir.FunctionType(self.vector, [self.vector] * 3))
        return self.builder.call(function, [a, b, c])

    def total(self, vector: ir.Value) -> ir.Value:
        """The sum of a vector's numbers, in the order that suits the CPU."""
        kind = ir.FunctionType(self.scalar, [self.scalar, self.vector])
        function = self._declared(f"llvm.vector.reduce.fadd.{self._suffix}", kind)
        return self.builder.call(function, [self.scalar(-0.0), vector], fastmath=("reassoc",))

    def prefetch(self, pointer: ir.Value, write: bool) -> None:
        """Ask for the cache line of an address that will be written, or read."""
        byte_pointer = _BYTE.as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [byte_pointer, _INT32, _INT32, _INT32])
        function = self._declared("llvm.prefetch.p0", kind)
        keep, data = _INT32(3 if write else 2), _INT32(1)
        self.builder.call(function, [self.builder.bitcast(pointer, byte_pointer), _INT32(int(write)), keep, data])

    def opaque(self, number: ir.Value) -> ir.Value:
        """The same number, as one that LLVM knows nothing of."""
        kind = ir.FunctionType(number.type, [number.type])
        return self.builder.asm(kind, "", "=r,0", [number], side_effect=False)

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

    def runs(self, count: ir.Value, lengths: Sequence[int], body: Callable[[ir.Value, int], None]) -> None:
        """body(first, length) for runs that make up 0..count-1: of the first length as many as fit, then the next."""
        first: ir.Value = _INT64(0)
        for length in lengths:
            rest = self.builder.srem(self.builder.sub(count, first), _INT64(length))
            end = self.builder.sub(count, rest)
            with cgutils.for_range_slice(self.builder, first, end, _INT64(length), inc=True) as (index, _):
                body(index, length)
            first = end

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
