"""Threads of the pool that the operating system woke on their launcher's core move to another one.

On a virtual machine Linux does not count a core as idle that the host has put to sleep. After a pause of some
milliseconds that is every core but the launcher's, so the threads that it wakes begin on its own core and stay there
until the scheduler looks again, 1 to 4 ms later. Until then threads wait for each other in busy loops on one core: a
launch takes 0.2 to 0.6 ms for 20 us of work. So a thread that begins on its launcher's core moves away, once after a
pause, and a launcher that has no more work while somebody has not begun offers its core. A launcher that only waits
(under Numba's work queue) needs no core; its threads stay.

Threads that run apart pay a few ns a launch for it. On systems other than Linux nothing of it is done.

What a thread may run on afterwards is what it might run on when it moved: cores that the system adds to a running
process later are not among them until somebody sets its affinity anew.
"""

import sys
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing import signature

APPLIES = sys.platform == "linux"

MOST_OFFERS = 100
"""How often a launcher offers its core before it waits as the pool does."""

_INT32, _INT64 = ir.IntType(32), ir.IntType(64)

_ABSENT, _WORKING, _OFFERED = map(_INT64, range(3))

_WORDS = 16
"""Of 64 bits, in the C library's set of cores."""

_SET = types.CPointer(types.uint64)
_get_affinity = types.ExternalFunction("sched_getaffinity", types.int32(types.int32, types.intp, _SET))
_set_affinity = types.ExternalFunction("sched_setaffinity", types.int32(types.int32, types.intp, _SET))


class Launch(NamedTuple):
    """What the threads of a launch know of it.

    Attributes:
        launcher, core: the thread that launched, and where.
        state: what the launcher does (pointer): it has not begun, works, or has offered its core.
        threads: how many shall begin.
        begun: how many have (pointer).
    """

    launcher: ir.Value
    core: ir.Value
    state: ir.Value
    threads: ir.Value
    begun: ir.Value


def launch(builder: ir.IRBuilder, threads: ir.Value) -> Launch:
    """A launch by this thread, which nobody has begun."""
    state, begun = cgutils.alloca_once(builder, _INT64), cgutils.alloca_once(builder, _INT64)
    builder.store(_ABSENT, state)
    builder.store(_INT64(0), begun)
    launcher, core = _call(builder, "pthread_self", _INT64), _call(builder, "sched_getcpu", _INT32)
    return Launch(launcher, core, state, threads, begun)


def begin(context: Any, builder: ir.IRBuilder, own: Launch) -> None:
    """What each thread does first."""
    builder.atomic_rmw("add", own.begun, _INT64(1), "monotonic")
    with builder.if_else(_is_launcher(builder, own)) as (launcher, worker):
        with launcher, builder.if_then(_is(builder, own, _ABSENT)):
            builder.store_atomic(_WORKING, own.state, "monotonic", 8)
        with worker:
            here = _call(builder, "sched_getcpu", _INT32)
            crowded = builder.and_(builder.icmp_signed("==", here, own.core), builder.not_(_is(builder, own, _ABSENT)))
            with builder.if_then(crowded, likely=False):
                leave = signature(types.void, types.int32)
                compiled = context.compile_subroutine(builder, leave_core, leave)
                context.call_internal_no_propagate(builder, compiled.fndesc, leave, [here])


def end(builder: ir.IRBuilder, own: Launch) -> None:
    """What each thread does last; a launcher that stands for several threads of a pool offers its core once."""
    offers = builder.and_(_is_launcher(builder, own), _is(builder, own, _WORKING))
    with builder.if_then(offers):
        builder.store_atomic(_OFFERED, own.state, "monotonic", 8)
        with cgutils.for_range(builder, _INT64(MOST_OFFERS)) as loop:
            missing = builder.icmp_signed("<", builder.load_atomic(own.begun, "monotonic", 8), own.threads)
            with builder.if_then(builder.not_(missing), likely=True):
                loop.do_break()
            _call(builder, "sched_yield", _INT32)


def _is(builder: ir.IRBuilder, own: Launch, state: ir.Value) -> ir.Value:
    return builder.icmp_signed("==", builder.load_atomic(own.state, "monotonic", 8), state)


def _is_launcher(builder: ir.IRBuilder, own: Launch) -> ir.Value:
    return builder.icmp_signed("==", _call(builder, "pthread_self", _INT64), own.launcher)


def _call(builder: ir.IRBuilder, name: str, kind: ir.Type) -> ir.Value:
    """A function of the C library without arguments."""
    return builder.call(cgutils.get_or_insert_function(builder.module, ir.FunctionType(kind, []), name), [])


def leave_core(core: int) -> None:
    """Move this thread off a core; what it may run on later is as before."""
    cores = np.empty(_WORDS, np.uint64)
    if core < 0 or _get_affinity(0, cores.nbytes, cores.ctypes) != 0:
        return
    word, bit = core // 64, np.uint64(1) << np.uint64(core % 64)
    allowed = cores[word]
    cores[word] = allowed & ~bit
    if _set_affinity(0, cores.nbytes, cores.ctypes) == 0:  # not where the core is the only one that is allowed
        cores[word] = allowed
        _set_affinity(0, cores.nbytes, cores.ctypes)
