"""What Python works out for a product, kept for when it comes again with operands of the same shapes.

Which algorithm, how much scratch memory and where it lies, a dozen numbers for each kernel: all of it follows from the
shapes, the options and where the workspace stands. Finding it out took 17 of the 30 us that Python spent on a
convolution of one channel, and three times that after a kernel that had the caches to itself. So the kernels that an
operation launches are recorded the first time. When it has come often they are compiled into one function of the
operands (`native`), which is called from then on.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...types import Array
from ..calls import Call, recorded, recording
from ..native import NativeCalls, is_kernel

MOST_PLANS = 1024
"""When there are so many, all are forgotten; a training step has a few dozen. Compiled, each takes 50 KB."""

OFTEN = 4
"""Uses until a plan is compiled, which takes as long as 50 of them: what comes once or twice does not pay for it."""


class _Operand(NamedTuple):
    """Stands for an operand in a call, flat."""

    number: int


class _Recorded:
    """Calls with operands to be put in, and how often that was done."""

    def __init__(self, calls: list[Call]) -> None:
        self.calls, self.uses = calls, 1

    def with_operands(self, operands: Sequence[Array]) -> list[Call]:
        """The calls with these in their places."""
        self.uses += 1
        return [
            (function, tuple(operands[a.number] if isinstance(a, _Operand) else a for a in arguments))
            for function, arguments in self.calls
        ]


class Plans:
    """The launches of operations, by all that they depend on but the operands' addresses and contents.

    A copy has none: those of the original launch on its memory.
    """

    def __init__(self) -> None:
        self._plans: dict[Hashable, NativeCalls | _Recorded | None] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return Plans, ()

    def run(
        self,
        key: Hashable,
        work: Callable[..., None],
        operands: tuple[Array, ...],
        options: tuple[Hashable, ...],
    ) -> None:
        """work(*operands, *options), or what it launched when the key was the same, with these operands.

        The key holds all that the launches depend on but the operands' addresses and contents. While the thread
        records, `work` is called: the calls that it makes are what is asked for.

        `work` only calls kernels, on scratch memory and on C-contiguous operands, `flat` and as a whole. Where an
        operand is there in part, or two are the same array, it is called each time.
        """
        plan = self._plans.get(key)
        if recording():
            work(*operands, *options)
        elif isinstance(plan, NativeCalls):
            plan.launch(operands)
        elif plan is None:
            self._first(key, work, operands, options)
        else:
            given = [operand.ravel() for operand in operands]
            calls = plan.with_operands(given)
            if plan.uses == OFTEN and all(is_kernel(function) for function, _ in calls):
                self._plans[key] = NativeCalls(calls, given)
            for function, arguments in calls:
                function(*arguments)

    def _first(
        self, key: Hashable, work: Callable[..., None], operands: tuple[Array, ...], options: tuple[Hashable, ...]
    ) -> None:
        numbers = {_extent(operand): n for n, operand in enumerate(operands)}
        if key in self._plans or len(numbers) < len(operands):
            work(*operands, *options)
            return
        with recorded() as calls:
            work(*operands, *options)
        if len(self._plans) >= MOST_PLANS:
            self._plans.clear()
        self._plans[key] = _without(numbers, operands, calls)
        for function, arguments in calls:
            function(*arguments)


def _without(numbers: dict[tuple[int, int], int], operands: tuple[Array, ...], calls: list[Call]) -> _Recorded | None:
    """The calls without the operands, whose `numbers` go by extent; None if one is there in part."""
    result = []
    for function, arguments in calls:
        kept: list[Any] = []
        for argument in arguments:
            if isinstance(argument, np.ndarray) and argument.ndim == 1 and _extent(argument) in numbers:
                kept.append(_Operand(numbers[_extent(argument)]))
            elif any(_shares(argument, operand) for operand in operands):
                return None
            else:
                kept.append(argument)
        result.append((function, tuple(kept)))
    return _Recorded(result)


def _shares(argument: object, operand: Array) -> bool:
    """Whether the argument is of the operand's memory, or one that it holds."""
    if isinstance(argument, tuple):
        return any(_shares(field, operand) for field in argument)
    return isinstance(argument, np.ndarray) and np.may_share_memory(argument, operand)


def _extent(array: Array) -> tuple[int, int]:
    """Address and number of elements."""
    return array.ctypes.data, array.size
