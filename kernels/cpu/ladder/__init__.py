"""Two ladders from plain loops to the kernels that the backend computes with, for learners and for the benchmarks.

Each rung computes the same as the one below, faster by one idea. `docs/cpu-kernels.md` climbs them.

    MATMUL["blocked"].run(a, b, y)                    y = a b
    CONV2D["im2col"].run(x, w, stride, pads, y)       y = x * w, `stride` and `pads` as in the contract

    ops = kernels.get_ops("numba")
    ops.matmul_rung, ops.convolution = "blocked", "im2col"     # a network trains on these rungs
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from ...types import Array, Pads, Pair
from . import matmul

if TYPE_CHECKING:
    from .. import NumbaOps


class NotApplicableError(ValueError):
    """A rung does not take these operands."""


@dataclass(frozen=True)
class Rung:
    """One way to compute a product.

    Attributes:
        name: as in `ops.matmul_rung` and `ops.convolution`.
        idea: why it is faster than the rung below.
        run: overwrites its last argument; from one thread at a time. Raises NotApplicableError.
        max_flops: of the largest product that a benchmark should wait for.
    """

    name: str
    idea: str
    run: Callable[..., None]
    max_flops: float = math.inf


@cache
def _ops(dtype: np.dtype, convolution: str) -> "NumbaOps":
    from .. import NumbaOps  # which imports the plain rungs

    ops = NumbaOps(dtype)
    ops.convolution = convolution
    return ops


def _parallel(a: Array, b: Array, y: Array) -> None:
    _ops(y.dtype, "auto").matmul(a, b, out=y)


def _conv2d(rung: str) -> Callable[[Array, Array, Pair, Pads, Array], None]:
    def run(x: Array, w: Array, stride: Pair, pads: Pads, y: Array) -> None:
        _ops(y.dtype, rung).conv2d(x, w, stride, pads, out=y)

    return run


def _winograd(x: Array, w: Array, stride: Pair, pads: Pads, y: Array) -> None:
    if _ops(y.dtype, "winograd").algorithm(x.shape, w.shape, y.shape, stride, pads) != "winograd":
        raise NotApplicableError(
            f"Winograd's transforms do not take x {x.shape}, w {w.shape}, stride {stride} to y {y.shape} in {y.dtype}: "
            "they need two or three taps a phase of the stride, at least 2x2 outputs, at least one image, and whole "
            "vectors of channels on both sides"
        )
    _conv2d("winograd")(x, w, stride, pads, y)


def _ladder(*rungs: Rung) -> dict[str, Rung]:
    return {rung.name: rung for rung in rungs}


MATMUL = _ladder(
    Rung("naive", "three loops, as the definition says", matmul.naive, 3e8),
    Rung("reordered", "the inner loop runs along memory, and in vectors", matmul.reordered, 2e10),
    Rung("blocked", "a block of b stays in the cache, and y is touched a quarter as often", matmul.blocked, 2e10),
    Rung("packed", "the block's rows lie end to end, so that the cache can hold all of them", matmul.packed, 2e10),
    Rung("microkernel", "a tile of y stays in the vector registers", matmul.microkernel),
    Rung("parallel", "all cores, each with panels of b of its own", _parallel),
)

CONV2D = _ladder(
    Rung("naive", "seven loops, as the definition says", _conv2d("naive"), 5e8),
    Rung("im2col", "patches written out as a matrix, then the fastest product", _conv2d("im2col")),
    Rung("implicit", "the product reads patches where they stand in the image", _conv2d("implicit")),
    Rung("winograd", "fewer multiplications, between transforms of tiles", _winograd),
)
