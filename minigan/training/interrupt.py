"""Ctrl-C and SIGTERM end a run after the step in progress, so that everything can be saved.

With a data set that lies on the device it is the call of `Trainer.advance` in progress, of at most 128 steps.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopRequest:
    """`signal` is the number of the signal that asked the run to stop, 0 while none did."""

    def __init__(self) -> None:
        self.signal = 0

    @property
    def exit_code(self) -> int:
        """128 + signal, as shells count: 130 for Ctrl-C."""
        return 128 + self.signal if self.signal else 0

    def _receive(self, number: int, _: FrameType | None) -> None:
        if self.signal:
            raise KeyboardInterrupt
        self.signal = number


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Inside the block the first SIGINT or SIGTERM sets the request, a second one interrupts at once."""
    request = StopRequest()
    earlier = {number: signal.signal(number, request._receive) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield request
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
