"""Work items on all threads: `fork(body, count, arguments)` runs body(item, *arguments) for item = 0..count-1.

Numba's own `prange` does the same, and builds a universal function around every loop, which takes longer to compile:
the products took 20 seconds in place of 15. Here a loop costs one small function in LLVM's representation, which
unpacks the arguments and calls the body; Numba's thread pool (OpenMP, TBB or its work queue, whatever `prange` would
have used) runs it.

The items are cut into one range of neighbours for each thread, whose caches then hold what neighbours share. A thread
takes its items one by one, and when they are done, those that are left of the others' ranges: a core that something
else delays, or that got the longer items, keeps the others waiting for the item in its hands, not for its whole range.
Threads that begin on one core while another one is free move apart (see `apart`).
"""

from collections.abc import Callable
from typing import Any

import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.ufunc.parallel import _launch_threads

from . import apart

MOST_RANGES = 256
"""More threads than that start with another one's range."""

_LINE = 8
"""Counters of ranges lie a cache line apart, in numbers of 64 bits."""

_INT64, _BYTES = ir.IntType(64), ir.IntType(8).as_pointer()
_BODY = ir.FunctionType(ir.VoidType(), [_BYTES.as_pointer(), _INT64.as_pointer(), _INT64.as_pointer(), _BYTES])


@intrinsic
def fork(typing: Any, body: Any, count: Any, arguments: Any) -> Any:
    """Run body(item, *arguments) for item = 0..count-1, each on some thread."""
    inner = body.get_call_type(typing, (types.intp, *arguments.types), {})

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, values: Any) -> Any:
        _launch_threads()  # makes the pool's functions known to LLVM; code loaded from the disk asks for it by itself
        context.active_code_library._reload_init.add(_launch_threads)
        _, items, packed = values
        unpacked = zip(arguments.types, cgutils.unpack_tuple(builder, packed), strict=True)
        values = [_borrowed(context, builder, kind, value) for kind, value in unpacked]
        threads = builder.call(
            cgutils.get_or_insert_function(builder.module, ir.FunctionType(_INT64, []), "get_num_threads"), []
        )
        few = builder.icmp_signed("<", items, _INT64(2))
        ranges = builder.select(few, _INT64(1), _least(builder, threads, items, _INT64(MOST_RANGES)))
        taken = cgutils.alloca_once(builder, _INT64, size=_INT64(MOST_RANGES * _LINE))
        with cgutils.for_range(builder, ranges) as loop:
            builder.store(_INT64(0), builder.gep(taken, [builder.mul(loop.index, _INT64(_LINE))]))
        team = builder.select(few, _INT64(1), threads)
        fields = [taken, ranges, items, *(apart.launch(builder, team) if apart.APPLIES else ()), *values]
        block = cgutils.alloca_once(builder, ir.LiteralStructType([value.type for value in fields]))
        for i, value in enumerate(fields):
            builder.store(value, cgutils.gep_inbounds(builder, block, 0, i))
        run = _ranges_of_items(context, builder.module, body, inner, block.type)
        counted = cgutils.alloca_once(builder, _INT64)
        builder.store(team, counted)
        first = cgutils.alloca_once(builder, _BYTES)
        builder.store(ir.Constant(_BYTES, None), first)
        with builder.if_else(few, likely=False) as (here, on_threads):
            with here:
                builder.call(run, [first, counted, counted, builder.bitcast(block, _BYTES)])
            with on_threads:
                step = cgutils.alloca_once_value(builder, _INT64(1))
                _launch(builder, [run, first, counted, step, block], threads)
        return context.get_dummy_value()

    return types.void(body, types.intp, arguments), codegen


def _least(builder: ir.IRBuilder, first: ir.Value, *others: ir.Value) -> ir.Value:
    for other in others:
        first = builder.select(builder.icmp_signed("<", other, first), other, first)
    return first


def _launch(builder: ir.IRBuilder, pointers: list[ir.Value], threads: ir.Value) -> None:
    """Run the function once on each thread of Numba's pool, with a number of its own, and wait until all are done."""
    kind = ir.FunctionType(ir.VoidType(), [_BYTES] * 5 + [_INT64] * 3)
    launch = cgutils.get_or_insert_function(builder.module, kind, "numba_parallel_for")
    builder.call(launch, [*(builder.bitcast(p, _BYTES) for p in pointers), _INT64(0), _INT64(1), threads])


def _borrowed(context: Any, builder: ir.IRBuilder, kind: types.Type, value: ir.Value) -> ir.Value:
    """The argument without its owner: an array that counts no references, also inside tuples.

    All threads would count the same references, one for each slice that a body takes of an array, and wait for one
    another: 100 ns a slice, more than a row of arithmetic. `fork` returns when all is done, so its caller's will do.
    """
    if isinstance(kind, types.Array):
        array = context.make_array(kind)(context, builder, value)
        array.meminfo, array.parent = (cgutils.get_null_value(field.type) for field in (array.meminfo, array.parent))
        return array._getvalue()
    if isinstance(kind, types.BaseTuple):
        fields = zip(kind.types, cgutils.unpack_tuple(builder, value), strict=True)
        return context.make_tuple(builder, kind, [_borrowed(context, builder, *field) for field in fields])
    return value


def _ranges_of_items(context: Any, module: ir.Module, body: Any, signature: Any, block_type: ir.Type) -> ir.Function:
    """The function that a thread calls: starts[0] is its number (as an address), counts[0] how many it stands for."""
    compiled = body.dispatcher.get_compile_result(signature)
    context.active_code_library.add_linking_library(compiled.library)
    function = ir.Function(module, _BODY, name=module.get_unique_name(f"items.{compiled.fndesc.unique_name}"))
    function.linkage = "internal"
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    starts, counts, _, data = function.args
    block = builder.bitcast(data, block_type)
    fields = [builder.load(cgutils.gep_inbounds(builder, block, 0, i)) for i in range(len(block_type.pointee.elements))]
    taken, ranges, items, *rest = fields
    if apart.APPLIES:
        launch, rest = apart.Launch(*rest[: len(apart.Launch._fields)]), rest[len(apart.Launch._fields) :]
        apart.begin(context, builder, launch)
    own = builder.ptrtoint(builder.load(starts), _INT64)
    with (
        cgutils.for_range(builder, builder.load(counts)) as mine,
        cgutils.for_range(builder, ranges) as others,
    ):
        chosen = builder.urem(builder.add(builder.add(own, mine.index), others.index), ranges)
        begin = builder.udiv(builder.mul(items, chosen), ranges)
        end = builder.udiv(builder.mul(items, builder.add(chosen, _INT64(1))), ranges)
        counter = builder.gep(taken, [builder.mul(chosen, _INT64(_LINE))])
        look, take, work, empty = (function.append_basic_block(name) for name in ("look", "take", "work", "empty"))
        builder.branch(look)
        builder.position_at_end(look)  # only reads: a locked addition to a range long empty would disturb the others
        seen = builder.load_atomic(counter, "monotonic", 8)
        builder.cbranch(builder.icmp_signed("<", builder.add(begin, seen), end), take, empty)
        builder.position_at_end(take)
        item = builder.add(begin, builder.atomic_rmw("add", counter, _INT64(1), "monotonic"))
        builder.cbranch(builder.icmp_signed("<", item, end), work, empty)
        builder.position_at_end(work)
        # Inlined: else a process that compiled the body by itself before would run that copy, another one this copy,
        # and the optimiser may have put the terms of a sum in another order.
        callee = context.declare_function(builder.module, compiled.fndesc)
        context.call_conv.call_function(
            builder, callee, signature.return_type, signature.args, [item, *rest], attrs=("alwaysinline",)
        )
        builder.branch(take)
        builder.position_at_end(empty)
    if apart.APPLIES:
        apart.end(builder, launch)
    builder.ret_void()
    return function


def _fork_twin(body: Callable[..., None], count: int, arguments: tuple[Any, ...]) -> None:
    for item in range(count):
        body(item, *arguments)


if numba.config.DISABLE_JIT:
    fork = _fork_twin
