"""What a user sees of a run, on a terminal and in a log file."""

import io
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from minigan.training.progress import LiveProgress, PlainProgress, describe, first_compilation, progress

RECORD = {"step": 5, "loss_d": 1.25, "loss_g": 0.5, "d_real": 0.75, "d_fake": 0.25, "images_per_second": 1234.5}
SHOWN = "D 1.250  G 0.500  D(real) 0.75  D(fake) 0.25  1234 img/s"


class Stream(io.StringIO):
    """A stderr that is a terminal or not."""

    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """A clock that stands still; its one entry is the time."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_a_record_as_text() -> None:
    assert describe(RECORD) == SHOWN
    assert describe(RECORD | {"loss_g": None}) == SHOWN.replace("G 0.500  ", "")
    assert describe(RECORD | {"loss_d": float("nan")}).startswith("D nan  G")


def test_a_log_gets_a_line_every_ten_seconds_and_the_last(clock, capsys: pytest.CaptureFixture[str]) -> None:
    """From step 2 of 12: at step 7 half of the way is left, at the pace so far as long again as it took."""
    with PlainProgress(2, 12) as shown:
        for step, now in ((3, 101.0), (4, 109.9), (7, 112.0), (8, 121.8), (12, 121.9)):
            clock[0] = now
            shown.step(step)
            shown.log(RECORD | {"step": step})
    assert capsys.readouterr() == ("", f"step 7/12  {SHOWN}  12 s left\nstep 12/12  {SHOWN}  0 s left\n")


@pytest.mark.parametrize("width", [80, 200])
def test_a_terminal_gets_its_numbers_and_messages(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    """Whole, also on the narrowest usual terminal, where the bar gives way to them."""
    monkeypatch.setattr(sys, "stderr", Stream(terminal=True))
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    with LiveProgress(2, 12) as shown:
        shown.message("hello [bold]you[/bold]")
        shown.step(7)
        shown.log(RECORD)
    text = sys.stderr.getvalue()
    assert "hello [bold]you[/bold]\n" in text
    last = text.rsplit("7/12", 1)[1]
    assert SHOWN in last
    assert "left" in last
    assert ("━" in last) == (width > 80)


def test_a_log_gets_one_line_for_all_kernels_that_are_compiled(capsys: pytest.CaptureFixture[str]) -> None:
    with PlainProgress(0, 2) as shown:
        shown.compiling("conv2d", Path("cache"))
        shown.compiling("matmul", Path("cache"))
    assert capsys.readouterr() == ("", first_compilation(Path("cache")) + "\n")


def test_a_terminal_shows_which_kernel_is_compiled_until_the_next_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Stream(terminal=True))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERM", "xterm")

    def last_line() -> str:
        shown._bar.refresh()
        return sys.stderr.getvalue().rsplit("/2", 1)[1]

    with LiveProgress(0, 2) as shown:
        shown.compiling("conv2d", Path("cache"))
        shown.compiling("matmul", Path("cache"))
        assert "compiling matmul (2)" in last_line()
        shown.step(1)
        assert "compiling" not in last_line()
        shown.log(RECORD)
        shown.step(2)
        assert SHOWN in last_line()
    assert sys.stderr.getvalue().count(first_compilation(Path("cache"))) == 1


@pytest.mark.parametrize(("terminal", "kind"), [(True, LiveProgress), (False, PlainProgress)])
def test_the_bar_is_for_terminals(monkeypatch: pytest.MonkeyPatch, terminal: bool, kind: type) -> None:
    monkeypatch.setattr(sys, "stderr", Stream(terminal))
    assert type(progress(0, 1)) is kind
