"""What Python works out for a product, kept for when it comes again with operands of the same shapes.

Which algorithm, how much scratch memory and where it lies, a dozen numbers for each kernel: all of it follows from the
shapes, the options and where the workspace stands. Finding it out took 17 of the 30 us that Python spent on a
convolution of one channel, and three times that after a kernel that had the caches to itself. So the kernels that an
operation launches are recorded the first time; from then on the operands are put in their places.
"""

from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

import numpy as np

from ...types import Array
from ..calls import Call, recorded

MOST_PLANS = 4096
"""When there are so many, all are forgotten; a training step has a few dozen."""


class Launch(NamedTuple):
    """A call of a kernel with gaps for operands."""

    function: Callable[..., Any]
    kept: list[Any]
    missing: list[tuple[int, int]]  # places among the arguments, and the number of the operand for each


class Plans:
    """The launches of operations, by all that they depend on but the operands' addresses and contents.

    A copy has none: those of the original launch on its memory.
    """

    def __init__(self) -> None:
        self._plans: dict[Hashable, list[Launch] | None] = {}

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

        `work` only calls kernels, on scratch memory and on C-contiguous operands, `flat` and as a whole. Where an
        operand is there in part, or two begin at the same place, it is called each time.
        """
        launches = self._plans.get(key)
        if launches is not None:
            _launch(launches, operands)
            return
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


def _launch(launches: list[Launch], operands: tuple[Array, ...]) -> None:
    given = [operand.ravel() for operand in operands]
    for function, kept, missing in launches:
        arguments = kept.copy()
        for place, number in missing:
            arguments[place] = given[number]
        function(*arguments)


def _without(
    numbers: dict[tuple[int, int], int], operands: tuple[Array, ...], calls: list[Call]
) -> list[Launch] | None:
    """The calls, with gaps for the operands, whose `numbers` go by extent; None if one is there in part."""
    launches = []
    for function, arguments in calls:
        missing = []
        for place, argument in enumerate(arguments):
            if not any(_shares(argument, operand) for operand in operands):
                continue
            if isinstance(argument, tuple) or argument.ndim != 1 or _extent(argument) not in numbers:
                return None
            missing.append((place, numbers[_extent(argument)]))
        places = {place for place, _ in missing}
        kept = [None if place in places else argument for place, argument in enumerate(arguments)]
        launches.append(Launch(function, kept, missing))
    return launches


def _shares(argument: object, operand: Array) -> bool:
    """Whether the argument is of the operand's memory, or one that it holds."""
    if isinstance(argument, tuple):
        return any(_shares(field, operand) for field in argument)
    return isinstance(argument, np.ndarray) and np.may_share_memory(argument, operand)


def _extent(array: Array) -> tuple[int, int]:
    """Address and number of elements."""
    return array.ctypes.data, array.size
