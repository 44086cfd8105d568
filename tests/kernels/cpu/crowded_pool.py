"""A pool of threads, seen from outside: what it asks of an operating system that puts it on cores of our choice.

Called with the launcher's core and the others'; any thread may use the launcher's and the two after it. The C library's
functions are replaced for compiled code by ones that write down who called them, with what.
"""

import ctypes
import json
import sys
import threading
import time

import llvmlite.binding as llvm
import numba
import numpy as np

from kernels.cpu.fork import fork

LAUNCHER = threading.get_native_id()
CORE, OTHERS = map(int, sys.argv[1:])

_kept = []
moves, offers = [], []


def replace(name: str, kind: type, *arguments: type):
    """Decorate what compiled code shall call in place of the C library's function."""

    def decorate(function):
        _kept.append(ctypes.CFUNCTYPE(kind, *arguments)(function))
        llvm.add_symbol(name, ctypes.cast(_kept[-1], ctypes.c_void_p).value)
        return function

    return decorate


@replace("sched_getcpu", ctypes.c_int)
def core_of_thread():
    return CORE if threading.get_native_id() == LAUNCHER else OTHERS


@replace("sched_getaffinity", ctypes.c_int, ctypes.c_int, ctypes.c_ssize_t, ctypes.POINTER(ctypes.c_uint64))
def three_cores(thread, size, cores):
    for word in range(size // 8):
        cores[word] = 0b111 << CORE >> 64 * word & (1 << 64) - 1
    return 0


@replace("sched_setaffinity", ctypes.c_int, ctypes.c_int, ctypes.c_ssize_t, ctypes.POINTER(ctypes.c_uint64))
def move(thread, size, cores):
    moves.append((threading.get_native_id(), thread, sum(cores[word] << 64 * word for word in range(size // 8))))
    return 0


@replace("sched_yield", ctypes.c_int)
def offer():
    offers.append(threading.get_native_id())
    return 0


@numba.njit
def write(item, y):
    y[item] += 1


@numba.njit(nogil=True)
def launch(y):
    fork(write, y.size, (y,))


def main() -> None:
    y = np.zeros(64)
    launch(y)
    moves.clear()
    offers.clear()
    for _ in range(10):
        time.sleep(0.02)  # the pool falls asleep, so that the launcher has to wait for it
        launch(y)
    assert (y == 11).all(), y
    numba.set_num_threads(1)
    crowded = len(moves)
    launch(y)
    alone = len(moves) - crowded
    print(json.dumps({"launcher": LAUNCHER, "moves": moves, "offers": offers, "alone": alone}))


if __name__ == "__main__":
    main()
