"""Calls of kernels as machine code: a function whose constants are their arguments.

A kernel that Python calls finds its arguments in Python's objects, the address and the sizes of every array, the
numbers of a plan one by one. With these objects in the caches that takes a few microseconds; after a convolution that
had the caches to itself, 60 to 100. And every time it finds the same. So what is called again and again is written out

        f(n = 64, a = 0x7f3a40, panels = 0x7f3b00, ...)        g(...)        g(...)

and compiled once, in 1 to 4 ms a call, with LLVM's optimiser off: there is nothing to optimise. A launch of it all is
one call from Python, which needs 20 us where one kernel took 70 to 100 (a convolution, two cores of Cascade Lake).

Kernels raise nothing, so what they return is not looked at.
"""

import ctypes
from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numba
import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.core.registry import CPUDispatcher, cpu_target
from numba.extending import intrinsic

from ..types import Array
from .calls import Call
from .jit import compiled

MOST_OPERANDS = 4

_ADDRESS, _BYTES = ir.IntType(64), ir.IntType(8).as_pointer()
_WITH_OPERANDS = ir.FunctionType(ir.VoidType(), [_BYTES] * MOST_OPERANDS)
_ARRAY = tuple(cpu_target.target_context.data_model_manager[types.float32[::1]]._fields)


def is_kernel(function: object) -> bool:
    """Whether calls of it can be compiled: not where the JIT is off, nor where launches have to take turns."""
    return isinstance(function, CPUDispatcher)


class NativeCalls:
    """Calls of kernels, one after the other; `()` makes them all.

    Args:
        calls: each of a kernel, with all its arguments.
        operands: arrays of one dimension, MOST_OPERANDS at most; where an argument is one of these objects, `launch`
            takes another as large.

    Attributes:
        address: of a function of as many pointers.
    """

    def __init__(self, calls: Sequence[Call], operands: Sequence[Array] = ()) -> None:
        module = ir.Module()
        function = ir.Function(module, _WITH_OPERANDS, "calls")
        builder = ir.IRBuilder(function.append_basic_block("entry"))
        given = {id(operand): pointer for operand, pointer in zip(operands, function.args, strict=False)}
        for kernel, arguments in calls:
            _emit_call(builder, kernel, arguments, given)
        builder.ret_void()
        # What the code points to: arrays that live as long as it does, and kernels that are never unloaded.
        self._calls = [(kernel, tuple(a for a in arguments if id(a) not in given)) for kernel, arguments in calls]
        machine = binding.Target.from_default_triple().create_target_machine(opt=0)
        self._engine = binding.create_mcjit_compiler(binding.parse_assembly(str(module)), machine)
        self.address = self._engine.get_function_address("calls")
        self._launch = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * MOST_OPERANDS)(self.address)

    def __call__(self) -> None:
        """Make the calls."""
        self._launch(*[None] * MOST_OPERANDS)


def joined(calls: Sequence[Call]) -> list[Call]:
    """The same calls, neighbours among them that are of kernels as one."""
    result: list[Call] = []
    for of_kernels, group in groupby(calls, lambda call: is_kernel(call[0])):
        neighbours = list(group)
        result += [(NativeCalls(neighbours), ())] if of_kernels else neighbours
    return result


def _emit_call(builder: ir.IRBuilder, kernel: Any, arguments: tuple[Any, ...], given: dict[int, ir.Value]) -> None:
    kinds = tuple(map(numba.typeof, arguments))
    kernel.compile(kinds)
    version = kernel.overloads[kinds]
    convention = cpu_target.target_context.call_conv
    type_ = convention.get_function_type(version.fndesc.restype, version.fndesc.argtypes)
    address = version.library.get_pointer_to_function(version.fndesc.llvm_func_name)
    result, exception, *places = type_.args
    nothing = [cgutils.alloca_once(builder, result.pointee), ir.Constant(exception, None)]
    values = [value for argument in arguments for value in _fields(argument, given)]
    builder.call(
        builder.inttoptr(_ADDRESS(address), type_.as_pointer()),
        nothing + [_as(builder, value, place) for value, place in zip(values, places, strict=True)],
    )


def _fields(value: Any, given: dict[int, ir.Value]) -> list[Any]:
    """What a kernel takes in the place of the value: numbers and addresses, one by one."""
    if isinstance(value, tuple):
        return [number for field in value for number in _fields(field, given)]
    if not isinstance(value, np.ndarray):
        return [value]
    found = {
        "meminfo": 0,  # nobody counts references to it
        "parent": 0,
        "nitems": value.size,
        "itemsize": value.itemsize,
        "data": given.get(id(value), value.ctypes.data),
        "shape": value.shape,
        "strides": value.strides,
    }
    return [number for name in _ARRAY for number in _fields(found[name], {})]


def _as(builder: ir.IRBuilder, value: Any, place: ir.Type) -> ir.Value:
    if isinstance(value, ir.Value):
        return builder.bitcast(value, place)
    if isinstance(place, ir.PointerType):
        return builder.inttoptr(_ADDRESS(value), place)
    return place(int(value) if isinstance(place, ir.IntType) else float(value))


@intrinsic
def _call(typing: Any, address: Any, operands: Any) -> Any:
    def codegen(context: Any, builder: ir.IRBuilder, _: Any, arguments: Any) -> Any:
        function = builder.inttoptr(arguments[0], _WITH_OPERANDS.as_pointer())
        arrays = zip(operands.types, cgutils.unpack_tuple(builder, arguments[1]), strict=True)
        pointers = [context.make_array(kind)(context, builder, array).data for kind, array in arrays]
        builder.call(function, [builder.bitcast(pointer, _BYTES) for pointer in pointers])
        return context.get_dummy_value()

    return types.void(types.intp, operands), codegen


@compiled
def launch(address: int, a: Array, b: Array, c: Array, d: Array) -> None:
    """The calls at an address with these in the places of their operands."""
    _call(address, (a, b, c, d))
