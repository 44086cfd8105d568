"""What is compared: several contenders do the same work, and must get the same result before any of them is timed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from kernels.types import Array

Label: TypeAlias = str | int | float


class WrongResultError(RuntimeError):
    """A contender computes something else than the reference, so its time means nothing."""


@dataclass(frozen=True)
class Contender:
    """One way to do the work of a case.

    Attributes:
        name: who: "numba", "numpy", "torch", ...
        run: does the work once; this is timed.
        result: the arrays that the work leads to from a fresh start, for the check; called once, before any run.
        variant: which of the contender's own ways, where it has several; the fastest one counts.
    """

    name: str
    run: Callable[[], object]
    result: Callable[[], Sequence[Array]]
    variant: str = ""

    def __str__(self) -> str:
        return f"{self.name} ({self.variant})" if self.variant else self.name


@dataclass(frozen=True)
class Case:
    """The same work for all contenders.

    Attributes:
        labels: what it is, as columns of a table: {"preset": "dcgan", "batch": 64}.
        contenders: makes them, the reference first; what they hold is freed when the case is over.
        flops: multiplications and additions of the work; 0 where they are not counted.
        bytes: what must be read and written at least.
        tolerance: largest difference from the reference, relative to the largest entry of its array.
    """

    labels: Mapping[str, Label]
    contenders: Callable[[], list[Contender]]
    flops: int = 0
    bytes: int = 0
    tolerance: float = 1e-4

    def __str__(self) -> str:
        return ", ".join(f"{name} {value}" for name, value in self.labels.items())


def verify(case: Case, contenders: Sequence[Contender]) -> None:
    """Compare every contender's result with the first one's.

    Raises:
        WrongResultError: one differs by more than the case allows.
    """
    expected = contenders[0].result()
    for contender in contenders[1:]:
        for actual, wanted in zip(contender.result(), expected, strict=True):
            error = relative_difference(np.asarray(actual), np.asarray(wanted))
            if not error <= case.tolerance:
                raise WrongResultError(
                    f"{case}: {contender} is off by {error:.1e} from {contenders[0]}, at most {case.tolerance:.0e} "
                    "is allowed; nothing of this case is timed"
                )


def relative_difference(actual: Array, expected: Array) -> float:
    """max |actual - expected| / max |expected|; infinite where the shapes differ."""
    if actual.shape != expected.shape:
        return float("inf")
    scale = float(np.abs(expected).max(initial=0)) or 1.0
    return float(np.abs(actual - expected).max(initial=0)) / scale
