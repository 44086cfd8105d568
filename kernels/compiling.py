"""Who wants to know that kernels are being compiled: it takes seconds, and nobody should have to wonder where they go.

A backend announces, whoever shows things to a user listens; neither needs to know the other.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

Tell: TypeAlias = Callable[[str, Path], None]
"""Gets the name of a kernel and the folder that compiled code is kept in."""

_listeners: list[Tell] = []


@contextmanager
def telling(tell: Tell) -> Iterator[None]:
    """Inside this block `tell` is called before each kernel that has to be compiled; not for those already on disk."""
    _listeners.append(tell)
    try:
        yield
    finally:
        _listeners.remove(tell)


def announce(kernel: str, folder: Path) -> None:
    """A backend is about to compile a kernel."""
    for tell in tuple(_listeners):
        tell(kernel, folder)
