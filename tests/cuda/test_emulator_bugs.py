"""The emulator's checks: programs that are right pass in every thread order, planted bugs are caught and named."""

import re
from pathlib import Path

import numpy as np
import planted
import planted_ring
import pytest
from planted import PROGRAMS, Bug

from kernels.cuda import emulator
from kernels.cuda.emulator import EmulatorRuntime, KernelError

pytestmark = pytest.mark.skipif(bool(emulator.why_not()), reason=str(emulator.why_not()))
PLACE = re.compile(r"\w+: \w+\.cu:[1-9]\d*: block \(\d+, \d+, \d+\), thread \(\d+, \d+, \d+\): ")
DRIVERS = planted.DRIVERS | planted_ring.DRIVERS
BUGS = (*planted.BUGS, *planted_ring.BUGS)
CHECKED_ONLY = planted.CHECKED_ONLY | planted_ring.CHECKED_ONLY
ORDERS = ("forward", "reverse", "random:3", "warps")


@pytest.mark.parametrize("guard", ["", "end", "front"])
@pytest.mark.parametrize("build", ["fast", "checked"])
@pytest.mark.parametrize("program", DRIVERS)
def test_a_right_program_passes_in_every_order(program: str, build: str, guard: str) -> None:
    for order in ORDERS:
        result, expected = DRIVERS[program](EmulatorRuntime(order, build, guard, folder=PROGRAMS))
        np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_planted_bug_is_named(bug: Bug, tmp_path: Path) -> None:
    with pytest.raises(KernelError) as caught:
        DRIVERS[bug.program](EmulatorRuntime("forward", "checked", "", folder=with_bug(bug, tmp_path)))
    text = (tmp_path / f"{bug.program}.cu").read_text().splitlines()

    def line(text_in_it: re.Match[str]) -> str:
        return str(next(number for number, line in enumerate(text, 1) if text_in_it[1] in line))

    assert str(caught.value) == f"{bug.program}: " + re.sub(r"{(.+?)}", line, bug.message)


@pytest.mark.parametrize("order", [*ORDERS, "random:4"])
def test_an_mbarrier_tells_of_the_phase_that_was_waited_for_in_every_order(order: str, tmp_path: Path) -> None:
    """Also where the next phase's arrivals have come before the wait."""
    bug = planted_ring.EARLY
    with pytest.raises(KernelError, match=r"^phases: phases\.cu:.*: race: .*, and nothing orders the two$"):
        DRIVERS[bug.program](EmulatorRuntime(order, "checked", "", folder=with_bug(bug, tmp_path)))


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_without_checks_a_bug_shows_in_some_order_or_is_known_not_to(bug: Bug, tmp_path: Path) -> None:
    folder = with_bug(bug, tmp_path)
    shows = False
    for order in ORDERS:
        try:
            result, expected = DRIVERS[bug.program](EmulatorRuntime(order, "fast", "end", folder=folder))
            shows |= not np.array_equal(result, expected)
        except KernelError as error:
            shows |= PLACE.match(str(error)) is not None
    assert shows != (bug.name in CHECKED_ONLY)


def with_bug(bug: Bug, folder: Path) -> Path:
    """The folder, with the program and the bug in it."""
    text = (PROGRAMS / f"{bug.program}.cu").read_text().replace("../../..", str(PROGRAMS.parents[2]))
    assert text.count(bug.right) == 1
    (folder / f"{bug.program}.cu").write_text(text.replace(bug.right, bug.wrong))
    return folder
