"""The check itself: an analytic gradient against central differences along random directions, in float64.

For a scalar function s of many numbers, a gradient g is right if, for random directions d of unit length,

    <g, d> = (s(+eps d) - s(-eps d))/(2 eps)        to a relative error below 1e-6,   eps = 1e-5.

The error is relative to the derivative, or to a tenth of its typical size |g|/sqrt(count) where a direction happens to
lie almost across the gradient. One direction tests every entry together: a wrong entry shows unless it is a millionth
of the whole gradient. Truncation costs about eps^2 = 1e-10, rounding about 1e-16/eps = 1e-11, so 1e-6 has room for
large third derivatives only.

Kinks: where an activation changes sign between -eps d and +eps d the difference quotient is no derivative. Such a
direction is redrawn and counted.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from kernels.types import Array

EPS = 1e-5
TOLERANCE = 1e-6
MAX_REDRAWS = 50
FLOOR = 1e-9
"""Derivatives below it are compared absolutely: float64 differences of values around 1 have no digits left there."""


class GradientError(AssertionError):
    """A gradient that does not agree with the difference quotient, or could not be checked."""


@dataclass(frozen=True)
class Report:
    """Outcome of a check.

    Attributes:
        name: what was checked.
        error: the worst relative error over the directions; NaN counts as failure.
        directions, redraws: how many were used, and how many crossed a kink and were drawn again.
        second_order: whether double_backward was among it.
    """

    name: str
    error: float
    directions: int
    redraws: int
    second_order: bool = False

    @property
    def ok(self) -> bool:
        """Whether the error is a number within the tolerance."""
        return bool(self.error <= TOLERANCE)

    def require(self) -> "Report":
        """Return self if ok, else raise GradientError."""
        if not self.ok:
            raise GradientError(str(self))
        return self

    def renamed(self, name: str) -> "Report":
        """The same under another name."""
        return dataclasses.replace(self, name=name)

    def joined(self, other: "Report") -> "Report":
        """Both checks as one, under this one's name, with the worse error."""
        return Report(
            self.name,
            worse(self.error, other.error),
            self.directions + other.directions,
            self.redraws + other.redraws,
            self.second_order or other.second_order,
        )

    def __str__(self) -> str:
        verdict = "ok" if self.ok else f"WRONG (tolerance {TOLERANCE:.0e})"
        order = "first and second order" if self.second_order else "first order"
        directions = f"{self.directions} directions, {self.redraws} redrawn"
        return f"{self.name}: {order}, relative error {self.error:.1e} ({directions}): {verdict}"


class Evaluation(NamedTuple):
    """What a checked function returns."""

    value: float
    kinks: Any = ()  # arrays, nested as one likes, whose sign pattern must not change between +eps and -eps


def check_function(
    name: str,
    function: Callable[[], Evaluation],
    variables: Sequence[Array],
    gradients: Sequence[Array],
    *,
    seed: int = 0,
    directions: int = 3,
) -> Report:
    """Check the gradients of a scalar function of arrays that it reads in place.

    Args:
        name: for the report.
        function: evaluates at the present contents of `variables`, with the same random numbers every time.
        variables: float64 arrays, moved in place during the check and restored bit for bit.
        gradients: the analytic gradient of each, same shapes.
        seed: of the random directions.
        directions: how many.

    Raises:
        TypeError: a variable is not float64.
        ValueError: no directions.
        GradientError: shapes differ, or no direction was found that crosses no kink.
    """
    if directions < 1:
        raise ValueError(f"{name}: directions must be at least 1, got {directions}")
    for x, dx in zip(variables, gradients, strict=True):
        if x.dtype != np.float64:
            raise TypeError(f"{name}: gradient checks need float64 variables, got {x.dtype} {x.shape}")
        if x.shape != dx.shape:
            raise GradientError(f"{name}: a variable is {x.shape}, its gradient {dx.shape}")
    rng = np.random.default_rng(seed)
    kept = [x.copy() for x in variables]
    floor = max(FLOOR, 0.1 * _norm(gradients) / math.sqrt(sum(x.size for x in variables)))
    worst, redraws = 0.0, 0
    for _ in range(directions):
        for _ in range(MAX_REDRAWS):
            direction: list[Array] = _unit([np.asarray(rng.standard_normal(x.shape)) for x in variables])
            plus = _evaluate_at(function, variables, kept, direction, EPS)
            minus = _evaluate_at(function, variables, kept, direction, -EPS)
            if same_array_lists(plus.kinks, minus.kinks):
                break
            redraws += 1
        else:
            raise GradientError(f"{name}: each of {MAX_REDRAWS} directions crosses a kink")
        analytic = sum(float((dx * d).sum()) for dx, d in zip(gradients, direction, strict=True))
        worst = worse(worst, relative_error(analytic, (plus.value - minus.value) / (2 * EPS), floor))
    return Report(name, worst, directions, redraws)


def relative_error(a: float, b: float, floor: float = FLOOR) -> float:
    """|a - b|/max(|a|, |b|, floor)."""
    return abs(a - b) / max(abs(a), abs(b), floor)


def worse(a: float, b: float) -> float:
    """The larger error, where NaN is larger than anything."""
    return a if b <= a or np.isnan(a) else b


def signs(note: Any) -> list[Array]:
    """Sign patterns of all float arrays in a note, and its whole-number arrays as they are: what a kink changes."""
    if isinstance(note, np.ndarray):
        return [np.sign(note).astype(np.int8) if np.issubdtype(note.dtype, np.floating) else note.copy()]
    if isinstance(note, Mapping):
        note = tuple(note.values())
    if isinstance(note, tuple | list):
        return [pattern for member in note for pattern in signs(member)]
    return []


def same_array_lists(a: Sequence[Array], b: Sequence[Array]) -> bool:
    """Whether both hold equal arrays."""
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def _unit(direction: list[Array]) -> list[Array]:
    norm = _norm(direction)
    return [np.asarray(d / norm) for d in direction]


def _norm(arrays: Sequence[Array]) -> float:
    return math.sqrt(sum(float((a * a).sum()) for a in arrays))


def _evaluate_at(
    function: Callable[[], Evaluation], variables: Sequence[Array], kept: list[Array], direction: list[Array], t: float
) -> Evaluation:
    """The function at kept + t*direction, its kinks as sign patterns; the variables are restored even if it raises."""
    try:
        for x, x0, d in zip(variables, kept, direction, strict=True):
            x[...] = x0 + t * d
        value, kinks = function()
        return Evaluation(value, signs(kinks))
    finally:
        for x, x0 in zip(variables, kept, strict=True):
            x[...] = x0
