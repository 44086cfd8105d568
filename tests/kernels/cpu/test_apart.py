"""Threads that begin on their launcher's core leave it, and nothing else changes for them."""

import ctypes
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numba
import pytest

import kernels
from kernels.cpu import apart

pytestmark = [
    pytest.mark.skipif(not apart.APPLIES, reason="Linux alone is asked to move threads"),
    pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="without compiled code there is no thread pool"),
]


def in_a_thread(work: Callable[[], None]) -> None:
    """Affinity belongs to a thread: that of the thread that runs the tests is left alone."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]


@pytest.mark.skipif(numba.get_num_threads() < 2, reason="nowhere to go")
def test_leaves_a_core_and_may_come_back():
    leave_core, core = numba.njit(apart.leave_core), ctypes.CDLL(None).sched_getcpu

    def leave_often() -> None:
        allowed, left = os.sched_getaffinity(0), 0
        for _ in range(50):
            before = core()
            leave_core(before)
            left += core() != before
            assert os.sched_getaffinity(0) == allowed
        assert left > 0  # all 50, unless something else fills the other cores

    in_a_thread(leave_often)


def test_stays_on_the_only_core_it_may_use():
    leave_core = numba.njit(apart.leave_core)

    def stay() -> None:
        only = min(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {only})
        leave_core(only)
        assert os.sched_getaffinity(0) == {only}

    in_a_thread(stay)


def test_a_core_that_the_system_does_not_tell():
    leave_core = numba.njit(apart.leave_core)

    def ask() -> None:
        allowed = os.sched_getaffinity(0)
        leave_core(-1)
        assert os.sched_getaffinity(0) == allowed

    in_a_thread(ask)


@pytest.mark.skipif(numba.get_num_threads() < 2, reason="one thread has the core for itself")
def test_who_moves_and_who_makes_room():
    """Where all seem to run on core 0 of 0, 1 and 2, a worker forbids itself core 0 and allows it again."""
    ours = os.environ | {"PYTHONPATH": str(Path(kernels.__file__).parents[1]), "NUMBA_NUM_THREADS": "2"}
    command = [sys.executable, str(Path(__file__).with_name("crowded_pool.py"))]
    done = subprocess.run(command, env=ours, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    workers = {who for who, *_ in seen["moves"]}
    assert len(workers) == 1
    assert seen["launcher"] not in workers
    assert [move[1:] for move in seen["moves"]] == [[0, 0b110], [0, 0b111]] * 10
    assert set(seen["offers"]) == {seen["launcher"]}  # only who launched waits for somebody
    assert len(seen["offers"]) <= 10 * apart.MOST_OFFERS
    assert seen["alone"] == 0
