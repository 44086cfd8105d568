"""What a discriminator with a second head must tell of a sample, beside whether it is real: its condition y.

Such a discriminator is not told y, it returns (u, a): the logit of realness u (N, 1) and what it makes of y, a (N, F).

    name         y                                       A(a, y), a mean over the batch               source
    class        labels (N,)                             -log softmax(a)_y                            Odena et al. 2017
    information  categories (N,), continuous c (N, C)    -log softmax(a_1..K)_y + w/2 |a_K+1.. - c|^2 Chen et al. 2016

    L_D = (game) + weight (A(a_fake, y) + A(a_real, y))      the real half for class only: real data have no codes
    L_G = (game) + weight  A(a_fake, y)

-A is a lower bound of the mutual information of y and G(z, y), but for a constant (Chen et al., eq. 4); the second term
is that of a normal density of variance 1/w around a.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kernels import Ops
from kernels.types import Array

CATEGORIES, CODES = 10, 2
"""Of InfoGAN on MNIST (Chen et al. 2016, appendix C.1)."""

CODE_WEIGHT = 0.1
"""Of continuous codes beside the categories."""


@dataclass(frozen=True)
class Auxiliary:
    """A second task of the discriminator.

    Attributes:
        name, source: see the table above.
        terms: (ops, a, y) -> (value, da), 0-d and of the shape of a.
        on_real: whether real data have a y.
    """

    name: str
    source: str
    terms: Callable[[Ops, Array, Any], tuple[Array, Array]]
    on_real: bool


def _information(ops: Ops, a: Array, y: Any, weight: float = CODE_WEIGHT) -> tuple[Array, Array]:
    """Cross-entropy of the categories, and w/2 |mean - c|^2 with its gradient w (mean - c)/N."""
    categories, codes = y
    count = codes.shape[1]
    logits, means = ops.split(a, [a.shape[1] - count, count])
    value, dlogits = ops.softmax_cross_entropy(logits, categories)
    off = ops.add(means, ops.scale_shift(codes, -1.0))
    squares = ops.squared_norms(off)
    dmeans = ops.scale_shift(off, weight / len(off))
    return (value + weight / 2 * squares.mean()).reshape(()), ops.concat([dlogits, dmeans], axis=-1)


def _class(ops: Ops, a: Array, y: Any) -> tuple[Array, Array]:
    """Cross-entropy of the labels."""
    return ops.softmax_cross_entropy(a, y)


CLASS = Auxiliary("class", "Odena, Olah and Shlens 2017, eq. 3", _class, on_real=True)
INFORMATION = Auxiliary("information", "Chen et al. 2016, eq. 5 and 6", _information, on_real=False)
