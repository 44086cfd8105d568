"""The state of NumbaOps: recording what a step calls, and the numbers that change from one launch to the next."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from ...contract.base import OpsBase
from ...rng import Use
from ...types import Array, Shape
from ..calls import recorded, recording, run
from ..native import joined
from ..traced import Traced


class Numbers:
    """Those of an update.

    Attributes:
        lr: learning rate.
        count: of updates, this one included.
        step: of the random numbers.
    """

    def __init__(self, lr: float = 0.0, count: int = 0, step: int = 0) -> None:
        self.lr, self.count, self.step = lr, count, step


class RecordedOps(OpsBase):
    """A recorded step is a list of calls, of kernels, joined where they are neighbours, and of Python's functions."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._announced: Iterator[tuple[float, int, int]] = iter(())
        self._launched = Numbers()

    def empty(self, shape: Shape, dtype: np.typing.DTypeLike | None = None) -> Array:
        """See the base; while recording, what NumPy's functions do with the buffer is recorded, too."""
        buffer = self.workspace.empty(shape, self.dtype if dtype is None else np.dtype(dtype))
        return buffer.view(Traced) if recording() else buffer

    def can_look(self, array: Array) -> bool:
        """Not while recording: what will be there is not there yet."""
        return not recording()

    def held(self, array: Array) -> Array:
        """See the base; what NumPy's functions do with it is recorded, too."""
        return array.copy().view(Traced)

    def why_no_capture(self) -> str | None:
        """It works."""
        return None

    def capture(self, work: Callable[[], Any]) -> tuple[Callable[[], None], Any]:
        """See the base. Launches give none of NumPy's warnings of numbers out of range."""
        with recorded() as calls:
            result = work()
        launches = joined(calls)

        def launch() -> None:
            with np.errstate(all="ignore"):
                for function, arguments in launches:
                    function(*arguments)

        return launch, result

    def set_numbers(self, numbers: Sequence[tuple[float, int, int]]) -> None:
        """Kept until `next_numbers`."""
        self._announced = iter(tuple(numbers))

    def next_numbers(self) -> None:
        """Into the object that recorded calls read."""
        run(self._next_numbers)

    def numbers(self, lr: float, count: int = 0) -> Numbers:
        """Those given or, while recording, those that each launch finds announced."""
        return self._launched if recording() else Numbers(lr, count)

    def counter(self, use: Use) -> Array:
        """Of the next draw, see `kernels.cpu.random`; while recording, each launch puts its own step in."""
        words = self.rng.next_call(use), self.rng.step, use, self.rng.seed & 0xFFFFFFFF, self.rng.seed >> 32
        counter = np.array(words, np.uint64)
        if recording():
            run(_put_step, counter, self._launched)
        return counter

    def _next_numbers(self) -> None:
        now = self._launched
        now.lr, now.count, now.step = next(self._announced)


def _put_step(counter: Array, now: Numbers) -> None:
    counter[1] = now.step
