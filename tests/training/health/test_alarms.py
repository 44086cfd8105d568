"""A warning begins and ends once, and not by noise."""

from minigan.training.health.alarms import CONSECUTIVE, Alarm


def heard(found: str, duration: int = 0, every: int = 1) -> list[tuple[int, str]]:
    """Measurements at which the alarm says something; in `found` an x is a measurement that shows the failure."""
    alarm = Alarm(duration)
    changes = [alarm.look(mark == "x", every * n) for n, mark in enumerate(found)]
    return [(n, change) for n, change in enumerate(changes) if change is not None]


def test_three_in_a_row_begin_and_end_a_warning() -> None:
    assert CONSECUTIVE == 3
    assert heard("..xxxxxx...xx....") == [(4, "begins"), (10, "ends")]


def test_a_healthy_game_that_shows_a_failure_now_and_then_is_not_warned() -> None:
    assert heard("xx.xx.x.xx..xx." * 9) == []


def test_a_failing_game_that_looks_well_now_and_then_stays_warned() -> None:
    assert heard("xxx" + "..x.x" * 9) == [(2, "begins")]


def test_each_onset_is_a_warning_of_its_own() -> None:
    assert [change for _, change in heard("xxx...xxx...")] == ["begins", "ends"] * 2


def test_the_failure_must_have_lasted() -> None:
    assert heard("x" * 20, duration=100, every=10) == [(10, "begins")]
    assert heard("x" * 9 + "." + "x" * 9, duration=100, every=10) == []
    assert heard("xx" + "x" * 20, duration=100, every=1000) == [(2, "begins")]
