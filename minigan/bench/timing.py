"""Time several contenders fairly on one machine in one process.

They take turns, several rounds, so that a change of the machine's mood meets all. Before each turn there is a rest:
the threads of OpenBLAS and of OpenMP (NumPy's, PyTorch's) wait for more work in a busy loop for about 100 ms, and would
take the cores from whoever comes next. After it calls for WARM_UP seconds are not counted: they warm caches and
clock up, and give the operating system the time to move the threads that it woke on one core apart, which takes Linux
1 to 4 ms on a virtual machine that does not say which cores share a cache.
"""

import gc
import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

SHORTEST = 2e-4
"""Seconds that one reading of the clock should span; faster work is repeated in between."""

WARM_UP = 0.02
"""Seconds of calls before the first reading, two calls at least."""

FEWEST, MOST = 3, 200
"""Readings in a turn."""

DISTURBED = 2.5
"""A neighbour that takes the clock makes everything up to twice as slow. One that takes a core makes whatever waits for
a thread on it ten times as slow, for seconds: that says nothing of what is measured."""


@dataclass(frozen=True)
class Effort:
    """How long to measure: `rounds` turns of about `seconds` for each contender, `rest` seconds before each."""

    rounds: int
    seconds: float
    rest: float = 0.15


FULL = Effort(rounds=5, seconds=0.4)
QUICK = Effort(rounds=2, seconds=0.1)


@dataclass(frozen=True)
class Timing:
    """Seconds that one call takes.

    Attributes:
        median, fastest: over all readings.
        spread: largest less smallest median of a round, relative to the median.
        readings: how many.
    """

    median: float
    fastest: float
    spread: float
    readings: int


def measure(runs: Sequence[Callable[[], object]], effort: Effort) -> list[Timing]:
    """Time each of `runs`; round r begins with the r-th. Up to as many rounds again, while one is `disturbed`."""
    rounds: list[list[list[float]]] = [[] for _ in runs]
    for first in range(2 * effort.rounds):
        if first >= effort.rounds and not any(map(disturbed, rounds)):
            break
        for i in range(len(runs)):
            own = (first + i) % len(runs)
            time.sleep(effort.rest)
            rounds[own].append(turn(runs[own], effort.seconds))
    return [summary(own) for own in rounds]


def disturbed(rounds: Sequence[Sequence[float]]) -> bool:
    """Whether half of the rounds took DISTURBED times as long as the best one."""
    medians = [statistics.median(own) for own in rounds]
    return statistics.median(medians) > DISTURBED * min(medians)


def turn(run: Callable[[], object], seconds: float) -> list[float]:
    """Seconds per call, read over and over for about `seconds`."""
    once = warm_up(run)
    repeats = max(1, math.ceil(SHORTEST / once))
    count = min(max(int(seconds / (once * repeats)), FEWEST), MOST)
    readings = []
    collecting = gc.isenabled()
    gc.disable()
    try:
        for _ in range(count):
            start = time.perf_counter()
            for _ in range(repeats):
                run()
            readings.append((time.perf_counter() - start) / repeats)
    finally:
        if collecting:
            gc.enable()
    return readings


def warm_up(run: Callable[[], object]) -> float:
    """Call `run` for WARM_UP seconds and at least twice; seconds of the last call."""
    begin = time.perf_counter()
    run()
    while True:
        start = time.perf_counter()
        run()
        end = time.perf_counter()
        if end - begin >= WARM_UP:
            return max(end - start, 1e-7)


def summary(rounds: Sequence[Sequence[float]]) -> Timing:
    """The readings of all rounds in four numbers."""
    readings = [reading for own in rounds for reading in own]
    median = statistics.median(readings)
    medians = [statistics.median(own) for own in rounds]
    return Timing(median, min(readings), (max(medians) - min(medians)) / median, len(readings))
