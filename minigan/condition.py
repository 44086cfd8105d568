"""The condition y: what a generator is told besides z, and a discriminator besides x or must tell of it.

    class labels    (N,) whole numbers
    InfoGAN codes   (categories (N,), continuous codes (N, C))

A network that is told y takes the pair (x, y), see `told`; labels carry no gradient, so its dx is a pair too.
"""

from collections.abc import Callable
from typing import Any

from kernels import Ops
from kernels.types import Array


def told(x: Any, y: Any) -> Any:
    """The input of a network: x, or (x, y) where there is a condition."""
    return x if y is None else (x, y)


def mapped(function: Callable[[Array], Array], x: Any) -> Any:
    """The function of an array, or of each in nested tuples of arrays."""
    return tuple(mapped(function, member) for member in x) if isinstance(x, tuple) else function(x)


def sliced(x: Any, start: int, stop: int) -> Any:
    """Samples `start` to `stop` of an array or of nested tuples of arrays."""
    return mapped(lambda member: member[start:stop], x)


def without_label(dx: Any) -> Array:
    """The gradient in x of a network that took x or (x, y)."""
    return dx[0] if isinstance(dx, tuple) else dx


def repeated(ops: Ops, labels: Array | None, count: int) -> Array | None:
    """Labels (N,) one after the other until there are `count`, a multiple of N; None stays None."""
    if labels is None or len(labels) == count:
        return labels
    result = ops.empty((count,), labels.dtype)
    for start in range(0, count, len(labels)):
        result[start : start + len(labels)] = labels
    return result
