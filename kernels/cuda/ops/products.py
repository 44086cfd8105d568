"""The product family on CUDA kernels: every product is one launch, or two where its sums are split."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...activations import Activation
from ...choice import Choice
from ...contract.products import ProductOps
from ...types import Array, Pads, Pair, Shape
from ..activations import encode
from ..instances.products import (
    CONVOLUTION,
    MATMUL,
    SPLIT_SUM,
    SUM_THREADS,
    Rung,
    convolution_expression,
    matmul_expression,
    prepared_expression,
)
from ..runtime import Argument
from ..tensor_map import TensorMap
from .device import REALS, DeviceOps
from .plan import Plan, plan, worth_preparing
from .prepared import prepared

TENSOR_CORES = (8, 0)
"""The compute capability from which on tensor cores multiply TF32."""


class CudaProducts(DeviceOps, ProductOps):
    """matmul and the three convolutions.

    Attributes:
        matmul_rung: "auto", or a rung of `kernels.cuda.instances.products.MATMUL` to compute every matmul on.
        convolution: "auto", or a rung of CONVOLUTION there, for all three of them.
        tf32: whether "auto" may take tensor cores at their full rate. They round the factors to TF32, a relative error
            of up to 5e-4 each. By default products are as accurate as float32, on tensor cores too, with
            factors of magnitude 2^-115 to 2^127 or 0; an infinite factor gives NaN.

    Raises:
        ValueError: on assignment of an unknown name; on use of a rung that does not take the dtype, or that has
            instructions which the device does not have.
    """

    matmul_rung = Choice("auto", *MATMUL)
    convolution = Choice("auto", *CONVOLUTION)
    tf32 = False

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.matmul_rung = self.convolution = "auto"

    def _matmul(
        self,
        a: Array,
        b: Array,
        bias: Array | None,
        act: Activation | None,
        trans_a: bool,
        trans_b: bool,
        y: Array,
        accumulate: bool,
    ) -> None:
        """y = f(op(a) op(b) + bias), or y += op(a) op(b)."""
        if not y.size:
            return
        (m, n), k = y.shape, a.shape[0] if trans_a else a.shape[1]
        rung = self._rung("matmul", MATMUL, self._best_matmul(m, n) if self.matmul_rung == "auto" else self.matmul_rung)
        how = plan(rung, REALS[self.dtype], m, k, n)
        if not rung.parts:
            expression = matmul_expression(rung.file, how.tile.arguments, trans_a, trans_b)
            self._product(rung.file, expression, how, a, b, (m, k, n), bias, act, y, accumulate)
            return
        expression = prepared_expression(rung.file, how.tile.arguments)
        with self.scratch():
            a_map = prepared(self, a, (m, k), trans_a, rung.parts, how.tile.side)
            b_map = prepared(self, b, (n, k), not trans_b, rung.parts, how.tile.side)
            self._product(rung.file, expression, how, a_map, b_map, (m, k, n), bias, act, y, accumulate)

    def _conv2d(
        self, x: Array, w: Array, stride: Pair, pads: Pads, bias: Array | None, act: Activation | None, y: Array
    ) -> None:
        """Windows x filters, sums over taps and channels."""
        windows, (kh, kw, c, o) = _count(y.shape[:3]), w.shape
        sizes = _sizes(x.shape, w.shape, y.shape, stride, pads)
        self._convolve("conv2d", (windows, kh * kw * c, o), 1, x, w, sizes, bias, act, y)

    def _conv2d_input_grad(
        self, dy: Array, w: Array, stride: Pair, pads: Pads, bias: Array | None, act: Activation | None, dx: Array
    ) -> None:
        """Pixels x channels, sums over taps and filters; for each phase of the stride, all as large as the largest."""
        (n, height, width, c), (kh, kw, _, o) = dx.shape, w.shape
        if self._convolution() == "naive":
            shape, phases = (n * height * width, kh * kw * o, c), 1
        else:
            pixels = n * -(-height // stride[0]) * -(-width // stride[1])
            shape, phases = (pixels, -(-kh // stride[0]) * -(-kw // stride[1]) * o, c), stride[0] * stride[1]
        sizes = _sizes(dx.shape, w.shape, dy.shape, stride, pads)
        self._convolve("conv2d_input_grad", shape, phases, dy, w, sizes, bias, act, dx)

    def _conv2d_weight_grad(self, x: Array, dy: Array, stride: Pair, pads: Pads, dw: Array, accumulate: bool) -> None:
        """Taps and channels x filters, sums over all windows."""
        kh, kw, c, o = dw.shape
        sizes = _sizes(x.shape, dw.shape, dy.shape, stride, pads)
        shape = kh * kw * c, _count(dy.shape[:3]), o
        self._convolve("conv2d_weight_grad", shape, 1, x, dy, sizes, None, None, dw, accumulate)

    def _convolve(
        self,
        op: str,
        shape: tuple[int, int, int],
        phases: int,
        a: Array,
        b: Array,
        sizes: Sequence[int],
        bias: Array | None,
        act: Activation | None,
        y: Array,
        accumulate: bool = False,
    ) -> None:
        """A convolution as `phases` products of `shape` (m, k, n)."""
        if not y.size:
            return
        rung = self._rung(op, CONVOLUTION, self._convolution())
        how = plan(rung, REALS[self.dtype], *shape, phases)
        expression = convolution_expression(op, rung.file, how.tile.arguments)
        self._product(rung.file, expression, how, a, b, sizes, bias, act, y, accumulate)

    def _product(
        self,
        file: str,
        expression: str,
        how: Plan,
        a: Array | TensorMap,
        b: Array | TensorMap,
        sizes: Sequence[int],
        bias: Array | None,
        act: Activation | None,
        y: Array,
        accumulate: bool,
    ) -> None:
        """Launch a product as planned; if its sums are split, add up the parts."""
        product, counts = self.runtime.function(file, expression), tuple(map(np.int32, sizes))
        grid, block, shared = (how.blocks, how.splits, how.phases), (how.tile.threads,), how.tile.shared_bytes
        if how.splits == 1:
            product(grid, block, (a, b, bias, y, *counts, *self._epilogue(act, accumulate)), shared)
            return
        n = y.shape[-1]
        with self.scratch():
            parts = self.empty((how.splits, y.size // n, n))
            product(grid, block, (a, b, None, parts, *counts, *self._epilogue()), shared)
            shape = map(np.int32, parts.shape)
            total = self.runtime.function(SPLIT_SUM, f"split_sum<{REALS[self.dtype]}>")
            blocks = -(-y.size // SUM_THREADS)
            total((blocks,), (SUM_THREADS,), (parts, bias, y, *shape, *self._epilogue(act, accumulate)))

    def _epilogue(self, act: Activation | None = None, accumulate: bool = False) -> tuple[Argument, ...]:
        """The last three arguments of every product."""
        code, parameter = encode(act)
        return code, self.real(parameter), np.int32(accumulate)

    def _convolution(self) -> str:
        return self._best("implicit") if self.convolution == "auto" else self.convolution

    def _best_matmul(self, m: int, n: int) -> str:
        name = self._best("warp")
        wgmma = MATMUL.get(f"{name}-wgmma")
        if wgmma is None or not wgmma.runs_on(self.runtime.capability) or not worth_preparing(m, n):
            return name
        return f"{name}-wgmma"

    def _best(self, without_tensor_cores: str) -> str:
        """The rung that "auto" stands for."""
        if self.dtype != np.float32 or self.runtime.capability < TENSOR_CORES:
            return without_tensor_cores
        return "tf32" if self.tf32 else "3xtf32"

    def _rung(self, op: str, ladder: dict[str, Rung], name: str) -> Rung:
        if REALS[self.dtype] not in ladder[name].tiles:
            raise ValueError(f"{op}: {name} multiplies float32 alone, this backend computes in {self.dtype}")
        if not ladder[name].runs_on(self.runtime.capability):
            there = "{}.{}".format(*self.runtime.capability)
            raise ValueError(f"{op}: {name} has instructions of compute capability 9.0 alone, this device has {there}")
        return ladder[name]


def _count(shape: Shape) -> int:
    return int(np.prod(shape, dtype=np.int64))


def _sizes(x: Shape, w: Shape, y: Shape, stride: Pair, pads: Pads) -> tuple[int, ...]:
    """CONVOLUTION_SIZES of convolution.cuh; the pads below and to the right follow from the rest."""
    (n, height, width, c), (kh, kw, _, o), (_, ho, wo, _) = x, w, y
    return n, height, width, c, kh, kw, o, ho, wo, *stride, pads[0], pads[2]
