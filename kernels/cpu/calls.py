"""Calls of kernels that happen at once or, while a thread records, are written down with all their arguments.

Whatever changes the contents of an array goes through `run`; kernels that Python calls do so by themselves (`jit`).
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import numpy as np

Call: TypeAlias = tuple[Callable[..., Any], tuple[Any, ...]]
"""A function, and what it is called with."""


class _Now(threading.local):
    """What this thread records; other threads go on as ever."""

    calls: list[Call] | None = None


_now = _Now()


def recording() -> bool:
    """Whether this thread writes calls down."""
    return _now.calls is not None


def run(function: Callable[..., Any], *arguments: Any) -> None:
    """function(*arguments), now or, while this thread records, whenever the calls are gone through."""
    calls = _now.calls
    if calls is None:
        function(*arguments)
    else:
        calls.append((function, tuple(map(plain, arguments))))


def plain(value: Any) -> Any:
    """An array as NumPy's own type, the same memory; anything else as it is."""
    return value.view(np.ndarray) if isinstance(value, np.ndarray) else value


@contextmanager
def recorded() -> Iterator[list[Call]]:
    """Inside this block the thread's calls are appended to the list, and none is made.

    Raises:
        RuntimeError: the thread records already.
    """
    if recording():
        raise RuntimeError("a recording within a recording")
    calls: list[Call] = []
    try:
        _now.calls = calls
        yield calls
    finally:
        _now.calls = None
