"""`fork`: every item once, on whatever thread, with arguments of any type."""

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numba
import numpy as np
import pytest

from kernels.cpu import fork as fork_module
from kernels.cpu import jit
from kernels.cpu.fork import fork


class Line(NamedTuple):
    slope: int
    shift: tuple[int, int]


@numba.njit
def draw(item, line, doubled, y, threads):
    """y[item] becomes a function of the item, if it has not been touched before."""
    value = line.slope * item + line.shift[0] - line.shift[1]
    y[item] += 2 * value if doubled else value
    threads[item] = numba.get_thread_id()


@numba.njit
def blank(item, y):
    y[item] = 0


@numba.njit(nogil=True)
def picture(count, line, doubled, y, threads):
    fork(blank, y.size, (y,))
    fork(draw, count, (line, doubled, y, threads))


def check(count: int, doubled: bool, room: int = 3) -> None:
    y, threads = np.full(count + room, np.nan), np.full(count + room, -1)
    picture(count, Line(5, (7, 3)), doubled, y, threads)
    np.testing.assert_array_equal(y[:count], (5 * np.arange(count) + 4) * (2 if doubled else 1))
    np.testing.assert_array_equal(y[count:], 0)
    assert set(threads[:count].tolist()) <= set(range(numba.get_num_threads()))
    np.testing.assert_array_equal(threads[count:], -1)


@pytest.mark.parametrize("doubled", [False, True])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 16, 1001])
def test_every_item_once(count: int, doubled: bool):
    """And none beyond; two forks of one function come one after the other."""
    check(count, doubled)


def test_no_more_threads_than_numba_may_use():
    """A thread's number picks its scratch memory, of which there is a row for each thread that may run."""
    before = numba.get_num_threads()
    try:
        for threads in range(1, before + 1):
            numba.set_num_threads(threads)
            check(1001, False)
    finally:
        numba.set_num_threads(before)


@numba.njit
def wait_for_the_others(item, done, spins):
    """Item 0 takes, within bounds, as long as all others together."""
    if item == 0:
        for _ in range(200_000_000):
            spins[0] += 1  # written so that `done` has to be read again: the compiler cannot tell them apart
            others = 0
            for other in range(1, done.size):
                others += done[other]
            if others == done.size - 1:
                spins[1] = 1
                break
    done[item] = 1


@numba.njit(nogil=True)
def late(done, spins):
    fork(wait_for_the_others, done.size, (done, spins))


@pytest.mark.skipif(numba.get_num_threads() < 2, reason="one thread has nobody to help")
def test_who_is_done_helps_the_others():
    """Else the neighbours of item 0 would wait for it, and it for them."""
    spins = np.zeros(2, np.int64)
    late(np.zeros(8, np.int64), spins)
    assert spins[1]


def test_more_threads_than_ranges(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fork_module, "MOST_RANGES", 1)

    @numba.njit
    def one_range(count, y, threads):
        fork(draw, count, (Line(1, (0, 0)), False, y, threads))

    y, threads = np.zeros(40), np.zeros(40, int)
    one_range(40, y, threads)
    np.testing.assert_array_equal(y, np.arange(40))


def test_from_several_python_threads_at_once(monkeypatch: pytest.MonkeyPatch):
    """As one at a time where the pool admits no more."""
    monkeypatch.setitem(globals(), "picture", picture if jit._LAUNCH_TOGETHER else jit._one_at_a_time(picture))
    picture(1, Line(5, (7, 3)), False, np.empty(1), np.empty(1, int))  # compiled before the threads come
    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(check, 100 + number, number % 2 == 0) for number in range(200)]:
            future.result()
