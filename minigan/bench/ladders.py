"""The ladders of `kernels.cpu.ladder`, rung by rung, on products of many sizes; NumPy's BLAS stands beside them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

import kernels
from kernels.cpu.ladder import CONV2D, MATMUL, NotApplicableError, Rung
from kernels.geometry import output_size, resolve_padding
from kernels.types import Array
from kernels.workspace import aligned_copy

from .case import Case, Contender

MATMUL_SIZES = (32, 64, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048)
QUICK_MATMUL_SIZES = (64, 256, 768)
"""Rows, columns and inner size of a square product."""

CONV_CHANNELS = (8, 16, 32, 64, 128, 256)
QUICK_CONV_CHANNELS = (8, 64)
CONV_BATCH, CONV_IMAGE, CONV_KERNEL, CONV_STRIDE = 16, 28, (4, 4), (2, 2)
"""A 4x4 convolution of stride 2, as in DCGAN, from C channels to as many."""


def matmul_cases(quick: bool) -> Iterator[Case]:
    """Square products y = a b in float32."""
    for n in QUICK_MATMUL_SIZES if quick else MATMUL_SIZES:
        flops = 2 * n**3
        yield Case({"size": n}, partial(_matmul_contenders, n, flops), flops, 3 * 4 * n * n)


def _matmul_contenders(n: int, flops: int) -> list[Contender]:
    a, b = _random((n, n), 0), _random((n, n), 1)
    y = aligned_copy(a)
    return [_contender("blas", partial(np.matmul, a, b, out=y), y), *_rungs(MATMUL, flops, a, b, y)]


def conv_cases(quick: bool) -> Iterator[Case]:
    """Convolutions y = x * w in float32, "same" padding."""
    size = (CONV_IMAGE, CONV_IMAGE)
    pads = resolve_padding("same", size, CONV_KERNEL, CONV_STRIDE)
    out = output_size(size, CONV_KERNEL, CONV_STRIDE, pads)
    for c in QUICK_CONV_CHANNELS if quick else CONV_CHANNELS:
        x, w, y = (CONV_BATCH, *size, c), (*CONV_KERNEL, c, c), (CONV_BATCH, *out, c)
        flops = 2 * int(np.prod(w)) * CONV_BATCH * out[0] * out[1]
        moved = 4 * sum(int(np.prod(shape)) for shape in (x, w, y))
        yield Case({"channels": c}, partial(_conv_contenders, x, w, y, pads, flops), flops, moved)


def _conv_contenders(
    x_shape: Sequence[int], w_shape: Sequence[int], y_shape: Sequence[int], pads: tuple[int, int, int, int], flops: int
) -> list[Contender]:
    x, w, y = (_random(shape, seed) for seed, shape in enumerate((x_shape, w_shape, y_shape)))
    ops = kernels.get_ops("numpy")

    def on_blas() -> None:
        ops.workspace.reset()
        ops.conv2d(x, w, CONV_STRIDE, pads, out=y)

    return [_contender("blas", on_blas, y), *_rungs(CONV2D, flops, x, w, CONV_STRIDE, pads, y)]


def _rungs(ladder: Mapping[str, Rung], flops: int, *operands: Any) -> list[Contender]:
    """The rungs that are meant for so much work and take these operands; the last of them is the result."""
    runs = {name: partial(rung.run, *operands) for name, rung in ladder.items() if flops <= rung.max_flops}
    return [_contender(name, run, operands[-1]) for name, run in runs.items() if _applies(run)]


def _applies(run: Callable[[], object]) -> bool:
    try:
        run()
    except NotApplicableError:
        return False
    return True


def _contender(name: str, run: Callable[[], object], y: Array) -> Contender:
    """A contender that writes into y, which all of a case share."""

    def result() -> tuple[Array]:
        y.fill(np.nan)
        run()
        return (y.copy(),)

    return Contender(name, run, result)


def _random(shape: Sequence[int], seed: int) -> Array:
    return aligned_copy(np.random.default_rng(seed).standard_normal(shape, np.float32))
