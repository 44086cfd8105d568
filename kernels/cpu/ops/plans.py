"""What Python works out for a product, kept for when it comes again with operands of the same shapes.

Which algorithm, how much scratch memory and where it lies, a dozen numbers for each kernel: all of it follows from the
shapes, the options and where the workspace stands. Finding it out took 17 of the 30 us that Python spent on a
convolution of one channel, and three times that after a kernel that had the caches to itself. So the kernels that an
operation launches are recorded the first time; from then on the operands are put in their places. Where these are the
last ones, in the order of the operation, as in a matrix product, a launch is a call of a `partial`.
"""

from collections.abc import Callable, Hashable
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from ...types import Array
from ..calls import Call, recorded

MOST_PLANS = 4096
"""When there are so many, all are forgotten; a training step has a few dozen."""


Launch: TypeAlias = Callable[..., None]
"""A call of a kernel with all its arguments but the operands, which it takes flat, in the operation's order."""


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
        operand is there in part, or two are the same array, it is called each time.
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
    for launch in launches:
        launch(*given)


def _without(
    numbers: dict[tuple[int, int], int], operands: tuple[Array, ...], calls: list[Call]
) -> list[Launch] | None:
    """The calls without the operands, whose `numbers` go by extent; None if one is there in part."""
    launches = []
    for function, arguments in calls:
        places = {}
        for place, argument in enumerate(arguments):
            if isinstance(argument, np.ndarray) and argument.ndim == 1 and _extent(argument) in numbers:
                places[place] = numbers[_extent(argument)]
            elif any(_shares(argument, operand) for operand in operands):
                return None
        launches.append(_launch_of(function, arguments, places, len(operands)))
    return launches


def _launch_of(function: Callable[..., Any], arguments: tuple[Any, ...], places: dict[int, int], count: int) -> Launch:
    """The call, where `places` are those of the arguments that are operands, and the number of each, below `count`."""
    first = len(arguments) - count
    if list(places.items()) == [(first + number, number) for number in range(count)]:
        return partial(function, *arguments[:first])
    kept = [None if place in places else argument for place, argument in enumerate(arguments)]

    def launch(*given: Array) -> None:
        own = kept.copy()
        for place, number in places.items():
            own[place] = given[number]
        function(*own)

    return launch


def _shares(argument: object, operand: Array) -> bool:
    """Whether the argument is of the operand's memory, or one that it holds."""
    if isinstance(argument, tuple):
        return any(_shares(field, operand) for field in argument)
    return isinstance(argument, np.ndarray) and np.may_share_memory(argument, operand)


def _extent(array: Array) -> tuple[int, int]:
    """Address and number of elements."""
    return array.ctypes.data, array.size
