"""What a user sees while a run goes on: a live bar on a terminal, now and then a line elsewhere."""

import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

SECONDS_BETWEEN_LINES = 10.0
WIDE_TERMINAL = 110
"""Columns that everything needs; a narrower terminal shows the numbers without bar and elapsed time."""

SHORT = {"d": "D", "g": "G"}
"""What the losses of the two players are called on a line."""


class Progress(ABC):
    """Follows a run from step `done` to step `total`; a context manager."""

    def __init__(self, done: int, total: int) -> None:
        self.done, self.total = done, total
        self.compiled = 0

    @abstractmethod
    def step(self, step: int) -> None:
        """Step `step` is done."""

    @abstractmethod
    def log(self, record: Mapping[str, Any]) -> None:
        """A line of metrics was written."""

    @abstractmethod
    def message(self, text: str) -> None:
        """Say something that stays on the screen."""

    def compiling(self, kernel: str, folder: Path) -> None:
        """A kernel is being compiled."""
        if not self.compiled:
            self.message(first_compilation(folder))
        self.compiled += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the screen in order."""


class LiveProgress(Progress):
    """A bar with losses, what D believes, images a second and the time left."""

    def __init__(self, done: int, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        super().__init__(done, total)
        console = Console(stderr=True)
        wide = console.width >= WIDE_TERMINAL
        self._bar = Bar(
            MofNCompleteColumn(),
            *([BarColumn(bar_width=20)] if wide else []),
            TextColumn("{task.description}"),
            *([TimeElapsedColumn()] if wide else []),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=console,
        )
        self._task = self._bar.add_task("", total=total, completed=done)
        self._numbers = ""

    def step(self, step: int) -> None:
        """Move the bar."""
        self._bar.update(self._task, completed=step, description=self._numbers)

    def log(self, record: Mapping[str, Any]) -> None:
        """Show the numbers."""
        self._numbers = describe(record)
        self._bar.update(self._task, description=self._numbers)

    def message(self, text: str) -> None:
        """Print above the bar."""
        self._bar.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def compiling(self, kernel: str, folder: Path) -> None:
        """Show which kernel in place of the numbers."""
        super().compiling(kernel, folder)
        self._bar.update(self._task, description=f"compiling {kernel} ({self.compiled})")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()


class PlainProgress(Progress):
    """A line of text every ten seconds and at the end, for logs and pipes."""

    def __init__(self, done: int, total: int) -> None:
        super().__init__(done, total)
        self._start = self._last = time.monotonic()

    def step(self, step: int) -> None:
        """Nothing: lines come with the metrics."""

    def log(self, record: Mapping[str, Any]) -> None:
        """Print, unless a line came a moment ago."""
        now, step = time.monotonic(), record["step"]
        if step < self.total and now - self._last < SECONDS_BETWEEN_LINES:
            return
        self._last = now
        left = (now - self._start) / max(step - self.done, 1) * (self.total - step)
        self.message(f"step {step}/{self.total}  {describe(record)}  {left:.0f} s left")

    def message(self, text: str) -> None:
        """Print to stderr at once."""
        print(text, file=sys.stderr, flush=True)


def describe(record: Mapping[str, Any]) -> str:
    """The numbers of one line of metrics as short text."""
    losses = [(key.removeprefix("loss_"), value) for key, value in record.items() if key.startswith("loss_")]
    parts = [f"{SHORT.get(name, name)} {value:.3f}" for name, value in losses if value is not None]
    if "d_real" in record:
        parts += [f"D(real) {record['d_real']:.2f}", f"D(fake) {record['d_fake']:.2f}"]
    return "  ".join([*parts, f"{record['images_per_second']:.0f} img/s"])


def first_compilation(folder: Path) -> str:
    """What to tell a user who has to wait for kernels."""
    return f"compiling kernels for this machine: once, for half a minute or so; kept in {folder}"


def progress(done: int, total: int) -> Progress:
    """The live bar where stderr is a terminal, else lines."""
    return LiveProgress(done, total) if sys.stderr.isatty() else PlainProgress(done, total)
