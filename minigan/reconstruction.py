"""How far a decoder's image is from the one that was encoded: value and gradient, by hand.

A decoder ends in logits l (N, H, W, C), one a pixel; the image that they stand for is y = 2 s(l) - 1 in (-1, 1), with s
the sigmoid and sp(t) = log(1 + e^t). Both are sums over the image and means over the batch:

    name           value                                            dl
    squared-error  |y - x|^2/2                                      (y - x) (1 - y^2)/2
    cross-entropy  sum sp(l) - t l  with t = (x + 1)/2 in [0, 1]    s(l) - t

The first is -log p(x) for a normal density of variance 1 around y, the second for grey levels taken as probabilities
of black or white (Kingma and Welling 2014, appendix C.1), but for constants.
"""

from collections.abc import Callable
from typing import TypeAlias

from kernels import Ops, activation
from kernels.types import Array

Terms: TypeAlias = Callable[[Ops, Array, Array], tuple[Array, Array]]
"""(ops, l, x) -> (value, dl), 0-d and of the shape of l, the mean over the batch included."""

_SIGMOID, _SOFTPLUS = activation("sigmoid", None), activation("softplus", None)


def pixels(ops: Ops, logits: Array) -> Array:
    """y = 2 s(l) - 1."""
    assert _SIGMOID is not None
    return ops.scale_shift(ops.activation(logits, _SIGMOID), 2.0, -1.0)


def squared_error(ops: Ops, logits: Array, x: Array) -> tuple[Array, Array]:
    """Half the squared distance."""
    assert _SIGMOID is not None
    s = ops.activation(logits, _SIGMOID)
    off = ops.add(ops.scale_shift(s, 2.0, -1.0), ops.scale_shift(x, -1.0))
    value = ops.scale_shift(ops.sum(ops.squared_norms(off)).reshape(1), 0.5 / len(x)).reshape(())
    return value, ops.activation_grad(_SIGMOID, ops.scale_shift(off, 2 / len(x)), s)


def cross_entropy(ops: Ops, logits: Array, x: Array) -> tuple[Array, Array]:
    """Of the pixels as probabilities."""
    assert _SIGMOID is not None
    assert _SOFTPLUS is not None
    minus_t = ops.scale_shift(x, -0.5, -0.5)
    terms = ops.add(ops.activation(logits, _SOFTPLUS), ops.multiply(minus_t, logits))
    value = ops.scale_shift(ops.sum(terms).reshape(1), 1 / len(x)).reshape(())
    return value, ops.scale_shift(ops.add(ops.activation(logits, _SIGMOID), minus_t), 1 / len(x))


RECONSTRUCTIONS: dict[str, Terms] = {"squared-error": squared_error, "cross-entropy": cross_entropy}
"""By the name that the user types."""
