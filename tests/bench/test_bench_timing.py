"""Turns, rests and readings, on a clock that the test moves."""

import math
from collections.abc import Callable

import pytest

from minigan.bench import timing
from minigan.bench.timing import FEWEST, MOST, SHORTEST, WARM_UP, Effort, measure, summary, turn


class Clock:
    """Time passes in the work and in rests alone; `log` says who worked and when rests were."""

    def __init__(self) -> None:
        self.now, self.log = 0.0, ""

    def perf_counter(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.log += "."

    def work(self, name: str, seconds: float) -> Callable[[], None]:
        def run() -> None:
            self.now += seconds
            self.log += name

        return run


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(timing, "time", clock)
    return clock


def test_contenders_take_turns_and_each_is_first_once(clock: Clock) -> None:
    measure([clock.work("a", 1.0), clock.work("b", 1.0)], Effort(rounds=2, seconds=0.5))
    a, b = ("." + name * (2 + FEWEST) for name in "ab")
    assert clock.log == a + b + b + a


@pytest.mark.parametrize(
    ("slow", "rounds", "median"),
    [
        (set(), 4, 1.0),
        ({0}, 4, 1.0),
        ({0, 1}, 5, 1.0),  # of five rounds two are the smaller part
        ({1, 2, 3}, 7, 1.0),
        ({0, 1, 2, 4, 5, 6, 7, 8}, 8, 10.0),  # no more than as many again
    ],
)
def test_rounds_are_added_while_half_of_them_are_disturbed(
    clock: Clock, slow: set[int], rounds: int, median: float
) -> None:
    turns, seconds = -1, 1.0

    def run() -> None:
        clock.now += seconds

    def sleep(_: float) -> None:
        nonlocal turns, seconds
        turns += 1
        seconds = 10.0 if turns in slow else 1.0

    clock.sleep = sleep
    timings = measure([run], Effort(rounds=4, seconds=0.0))
    assert turns + 1 == rounds
    assert (timings[0].readings, timings[0].median) == (rounds * FEWEST, median)


@pytest.mark.parametrize("warming", [[9.0, 2.0], [WARM_UP / 2, WARM_UP / 4, WARM_UP / 8, WARM_UP / 4]])
def test_calls_that_warm_up_are_not_counted(clock: Clock, warming: list[float]) -> None:
    """Two at least, and as many as it takes to fill WARM_UP seconds."""
    durations = iter([*warming, *[1.0] * FEWEST])

    def run() -> None:
        clock.now += next(durations)

    assert turn(run, seconds=0.0) == [1.0] * FEWEST


@pytest.mark.parametrize(("seconds", "count"), [(1.0, 100), (100.0, MOST), (0.001, FEWEST)])
def test_a_turn_lasts_about_as_long_as_asked(clock: Clock, seconds: float, count: int) -> None:
    assert len(turn(clock.work("a", 0.00999), seconds)) == count


def test_work_shorter_than_the_clock_can_tell_is_repeated(clock: Clock) -> None:
    once, repeats = 2.0**-20, 210  # a power of two, so that sums are exact
    assert turn(clock.work("a", once), seconds=5 * repeats * once) == [once] * 5
    assert len(clock.log) == math.ceil(WARM_UP / once) + 5 * repeats
    assert (repeats - 1) * once < SHORTEST <= repeats * once


def test_the_summary_of_all_rounds() -> None:
    result = summary([[1.0, 2.0, 9.0], [4.0, 3.0, 4.0]])
    assert (result.median, result.fastest, result.readings) == (3.5, 1.0, 6)
    assert result.spread == pytest.approx((4 - 2) / 3.5)
