"""Threads that begin on their launcher's core leave it, and nothing else changes for them."""

import ctypes
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import pytest

import kernels
from kernels.cpu import apart

pytestmark = [
    pytest.mark.skipif(not apart.APPLIES, reason="Linux alone is asked to move threads"),
    pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="without compiled code there is no thread pool"),
]

several_cores = pytest.mark.skipif(
    not apart.APPLIES or len(os.sched_getaffinity(0)) < 2, reason="threads share the only core"
)


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


@several_cores
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


def crowded_pool(core: int, others: int, layer: str) -> dict[str, Any]:
    """What a pool of two threads asks for whose launcher seems to be on one core, the other thread on another."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("NUMBA_", "OMP_"))}
    settings = {"NUMBA_NUM_THREADS": "2", "NUMBA_THREADING_LAYER": layer}
    command = [sys.executable, str(Path(__file__).with_name("crowded_pool.py")), str(core), str(others)]
    ours = inherited | settings | {"PYTHONPATH": str(Path(kernels.__file__).parents[1])}
    done = subprocess.run(command, env=ours, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@several_cores
@pytest.mark.parametrize("core", [0, 63, 70])
def test_who_moves_and_who_makes_room(core: int):
    """A worker on its launcher's core, of the three that it may use, forbids itself that one and allows it again."""
    seen = crowded_pool(core, core, "omp")
    moves = [asked for _, *asked in seen["moves"]]
    assert {who for who, *_ in seen["moves"]}.isdisjoint({seen["launcher"]})
    assert len(moves) > 0  # 20 unless a busy machine keeps the launcher from beginning before the worker
    assert moves == [[0, 0b110 << core], [0, 0b111 << core]] * (len(moves) // 2)
    assert set(seen["offers"]) == {seen["launcher"]}
    assert len(seen["offers"]) <= 10 * apart.MOST_OFFERS
    assert seen["alone"] == 0


@several_cores
@pytest.mark.parametrize(("others", "layer"), [(1, "omp"), (0, "workqueue")])
def test_stays_where_the_launcher_does_not_work(others: int, layer: str):
    """On another core than the launcher's, and under the work queue, where the launcher only waits."""
    assert crowded_pool(0, others, layer)["moves"] == []
