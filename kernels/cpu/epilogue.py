"""What happens to a finished row of a product before it leaves the cache: placed or added, bias, activation.

Only the activations that are made of straight lines are fused here: they cost a comparison and a multiplication. The
others are polynomials of ten terms and more: compiled into every product they doubled the time of the first start,
while the pass over memory that they take instead concerns the small outputs of a generator.
"""

from ..activations import Activation
from ..types import Array
from .activations import IDENTITY, LEAKY_RELU, RELU, encode, rectify
from .jit import kernel
from .vector import copy_run


def fuses(code: int) -> bool:
    """Whether `finish` knows this activation."""
    return code in (IDENTITY, RELU, LEAKY_RELU)


def fused(activation: Activation | None) -> tuple[int, float]:
    """(code, slope) of an activation for `finish`, those of the identity for one that it does not know."""
    code, parameter = encode(activation)
    return (code, parameter) if fuses(code) else (IDENTITY, 0.0)


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
def finish(y: Array, at: int, count: int, bias: Array, first: int, code: int, slope: float) -> None:
    """In place: y[at:at+count] = f(it + bias[first:first+count]); an empty bias is none."""
    run, steep = y[at : at + count], y.dtype.type(slope)
    if bias.size:
        shift = bias[first : first + count]
        for i in range(count):
            run[i] += shift[i]
    if code != IDENTITY:
        for i in range(count):
            run[i] = rectify(run[i], steep)
