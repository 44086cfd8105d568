"""The product family on our own kernels: packed matmul, convolutions by Winograd, tap by tap, or implicit."""

from collections.abc import Callable, Hashable
from operator import attrgetter
from typing import Any

import numpy as np

from ...activations import Activation
from ...choice import Choice
from ...contract.products import ProductOps
from ...geometry import four_pads, pair
from ...types import Array, Pads, Pair, Shape
from .. import elementwise, gemm, gemv, kn2row, unpacked, winograd_plan
from ..activations import encode
from ..epilogue import fused, fuses
from ..ladder.conv import FORWARD
from ..ladder.matmul import PRODUCTS
from ..microkernel import TILE_BYTES
from . import implicit, rungs
from .flat import flat, flat_or_none
from .kn2row import Kn2row
from .plans import Plans
from .scratch import for_each_thread
from .winograd import Winograd

_SHAPE = attrgetter("shape")

MOST_MET = 0.8
"""Share of all windows and taps that meet inside the image, at most, for kn2row where Winograd is no choice: a pair of
64 images took it up to 1.1 times as long as one of an implicit product."""


def many_channels_and_images(x_shape: Shape, w_shape: Shape) -> bool:
    """Enough of both to pay for what other algorithms than the implicit one do beside their products."""
    return min(w_shape[2:]) >= 32 and x_shape[0] >= 16


class NumbaProducts(ProductOps):
    """matmul and the three convolutions.

    Attributes:
        matmul_rung: "parallel", or a slower rung of `kernels.cpu.ladder` to compute every matmul on.
        convolution: "auto", or "implicit", "winograd" or "kn2row" to take that algorithm wherever it applies; or
            "naive" or "im2col", which are rungs of the forward product alone: the other two are then implicit.

    Raises:
        ValueError: on assignment of an unknown name.
    """

    matmul_rung = Choice("parallel", *PRODUCTS)
    convolution = Choice("auto", "implicit", "winograd", "kn2row", *FORWARD)

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.matmul_rung, self.convolution = "parallel", "auto"
        self._plans = Plans()

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
        if self.matmul_rung in PRODUCTS:
            rungs.matmul(self, self.matmul_rung, a, b, bias, act, trans_a, trans_b, y, accumulate)
            self._unfused(act, y)
        elif y.shape[1] == 1:  # takes no scratch memory: soon called, in less time than a plan is found
            slope = 1.0 if act is None else fused(act)
            gemv.matvec(a, trans_a, b, flat_or_none(bias, y), slope, accumulate, y)
            if act is not None:
                self._unfused(act, y)
        else:
            operands, options = (a, b, flat_or_none(bias, y), y), (act, trans_a, trans_b, accumulate)
            key = "matmul", self.workspace.position, a.shape, b.shape, bias is None, *options
            self._plans.run(key, self._run_matmul, operands, options)

    def _run_matmul(
        self,
        a: Array,
        b: Array,
        bias: Array,
        y: Array,
        act: Activation | None,
        trans_a: bool,
        trans_b: bool,
        accumulate: bool,
    ) -> None:
        (m, n), k = y.shape, a.shape[0] if trans_a else a.shape[1]
        slope, operands = fused(act), (flat(a), flat(b), bias, flat(y))
        product = m, n, k, a.shape[1], b.shape[1], trans_a, trans_b, accumulate, slope
        with self.scratch():
            if unpacked.wins(n, k, trans_a, trans_b, self.dtype):
                edges = for_each_thread(self, unpacked.scratch_size(self.dtype))
                unpacked.matmul(*product, edges, *operands)
            else:
                panels, buffer = gemm.scratch_sizes(m, k, self.dtype)
                gemm.matmul(*product, self.empty((panels,)), for_each_thread(self, buffer), *operands)
        self._unfused(act, y)

    def _conv2d(
        self,
        x: Array,
        w: Array,
        stride: Pair,
        pads: Pads,
        bias: Array | None,
        act: Activation | None,
        y: Array,
    ) -> None:
        """By Winograd's transforms or tap by tap where they win, else as an implicit product."""
        if self.convolution in FORWARD:
            rungs.conv2d(self, self.convolution, x, w, stride, pads, bias, act, y)
            self._unfused(act, y)
            return
        self._convolve(self._run_conv2d, (x, w, flat_or_none(bias, y), y), (stride, pads, act))

    def _run_conv2d(
        self, x: Array, w: Array, bias: Array, y: Array, stride: Pair, pads: Pads, act: Activation | None
    ) -> None:
        with self.scratch():
            fast = self._fast(x.shape, w.shape, y.shape, stride, pads)
            if fast is None:
                implicit.conv2d(self, x, w, stride, pads, bias, act, y)
            else:
                fast.forward(x, w, bias, fused(act), y)
        self._unfused(act, y)

    def _conv2d_input_grad(
        self,
        dy: Array,
        w: Array,
        stride: Pair,
        pads: Pads,
        bias: Array | None,
        act: Activation | None,
        dx: Array,
    ) -> None:
        """By Winograd's transforms or tap by tap where they win, else as an implicit product."""
        self._convolve(self._run_input_grad, (dy, w, flat_or_none(bias, dx), dx), (stride, pads, act))

    def _run_input_grad(
        self, dy: Array, w: Array, bias: Array, dx: Array, stride: Pair, pads: Pads, act: Activation | None
    ) -> None:
        with self.scratch():
            fast = self._fast(dx.shape, w.shape, dy.shape, stride, pads)
            if fast is None:
                implicit.input_grad(self, dy, w, stride, pads, bias, act, dx)
            else:
                fast.input_grad(dy, w, bias, fused(act), dx)
        self._unfused(act, dx)

    def _conv2d_weight_grad(self, x: Array, dy: Array, stride: Pair, pads: Pads, dw: Array, accumulate: bool) -> None:
        """By Winograd's transforms or tap by tap where they win, else as an implicit product."""
        self._convolve(self._run_weight_grad, (x, dy, dw), (stride, pads, accumulate))

    def _run_weight_grad(self, x: Array, dy: Array, dw: Array, stride: Pair, pads: Pads, accumulate: bool) -> None:
        with self.scratch():
            fast = self._fast(x.shape, dw.shape, dy.shape, stride, pads)
            if fast is None:
                implicit.weight_gradient(self, x, dy, stride, pads, dw, accumulate)
            else:
                fast.weight_grad(x, dy, dw, accumulate)

    def _convolve(self, work: Callable[..., None], operands: tuple[Array, ...], options: tuple[Hashable, ...]) -> None:
        """work(*operands, *options), or what it launched the last time with such operands."""
        key = work.__name__, self.convolution, self.workspace.position, options, *map(_SHAPE, operands)
        self._plans.run(key, work, operands, options)

    def _fast(
        self, x_shape: Shape, w_shape: Shape, y_shape: Shape, stride: Pair, pads: Pads
    ) -> Winograd | Kn2row | None:
        """The products of a convolution by another way than implicitly, for use in a scratch block; None for none."""
        outputs, way = (y_shape[1], y_shape[2]), self.algorithm(x_shape, w_shape, y_shape, stride, pads)
        if way == "winograd":
            return Winograd(self, winograd_plan.plan(x_shape[:3], w_shape, outputs, stride, pads, self.dtype))
        if way == "kn2row":
            return Kn2row(self, kn2row.pairs(x_shape, w_shape, outputs, stride, pads, self.dtype))
        return None

    def algorithm(self, x_shape: Shape, w_shape: Shape, y_shape: Shape, stride: Pair, pads: Pads) -> str:
        """The way that the products of such a convolution go: "winograd", "kn2row" or "implicit"."""
        x_shape, w_shape, y_shape = tuple(x_shape), tuple(w_shape), tuple(y_shape)  # answers are kept by them
        stride, pads = pair(stride, "algorithm: stride"), four_pads(pads, "algorithm: pads")
        width = TILE_BYTES // self.dtype.itemsize
        possible = {
            "kn2row": kn2row.applies(x_shape, w_shape, width),
            "winograd": winograd_plan.applies(x_shape, w_shape, y_shape, stride, width),
        }
        if self.convolution != "auto":
            return self.convolution if possible.get(self.convolution) else "implicit"
        if not many_channels_and_images(x_shape, w_shape):
            return "implicit"
        kernel, outputs = (w_shape[0], w_shape[1]), (y_shape[1], y_shape[2])
        least, way = MOST_MET * kernel[0] * kernel[1] * outputs[0] * outputs[1], "implicit"
        if possible["winograd"] and self.dtype == np.float32:
            least, way = winograd_plan.products_of_filter(kernel, outputs, stride), "winograd"
        if possible["kn2row"] and kn2row.met((x_shape[1], x_shape[2]), kernel, outputs, stride, pads) <= least:
            return "kn2row"
        return way

    def _unfused(self, act: Activation | None, y: Array) -> None:
        """In place: the activation, where it is none that the kernels fuse."""
        if act is not None and not fuses(act):
            elementwise.activation(flat(y), flat(y), *encode(act))
