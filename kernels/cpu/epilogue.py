"""What happens to a finished row of a product before it leaves the cache: placed or added, bias, activation.

Only the activations that are made of straight lines are fused here: they cost a comparison and a multiplication. The
others are polynomials of ten terms and more: compiled into every product they doubled the time of the first start,
while the pass over memory that they take instead concerns the small outputs of a generator.
"""

from ..activations import Activation
from ..types import Array
from .activations import rectify, slope_of
from .jit import kernel
from .vector import copy_run


def fuses(activation: Activation | None) -> bool:
    """Whether the products apply this activation themselves."""
    return slope_of(activation) is not None


def fused(activation: Activation | None) -> float:
    """The slope below zero that a product applies: that of the identity, 1, for an activation that it does not fuse."""
    slope = slope_of(activation)
    return 1.0 if slope is None else slope


@kernel
def place(source: Array, start: int, target: Array, at: int, count: int, add: bool) -> None:
    """target[at:at+count] (+)= source[start:start+count]."""
    if add:
        to, run = target[at : at + count], source[start : start + count]
        for i in range(count):
            to[i] += run[i]
    else:
        copy_run(source, start, target, at, count)


@kernel
def finish(y: Array, at: int, count: int, bias: Array, first: int, slope: float) -> None:
    """In place: y[at:at+count] = f(it + bias[first:first+count]); an empty bias is none."""
    run, steep = y[at : at + count], y.dtype.type(slope)
    if bias.size:
        shift = bias[first : first + count]
        for i in range(count):
            run[i] = rectify(run[i] + shift[i], steep)
    elif slope != 1:
        for i in range(count):
            run[i] = rectify(run[i], steep)


@kernel
def deliver(
    source: Array, stride: int, rows: int, y: Array, at: Array, columns: int, bias: Array, slope: float
) -> None:
    """Row r of the source (rows, columns), f(row + bias), to y[at[r]:at[r]+columns]; bias (columns,) or empty."""
    steep = y.dtype.type(slope)
    for r in range(rows):
        run, result = source[r * stride : r * stride + columns], y[at[r] : at[r] + columns]
        if bias.size:
            for i in range(columns):
                result[i] = rectify(run[i] + bias[i], steep)
        else:
            for i in range(columns):
                result[i] = rectify(run[i], steep)
