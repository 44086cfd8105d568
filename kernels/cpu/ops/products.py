"""The product family on our own kernels: packed matmul, convolutions by Winograd or as implicit products."""

from ...activations import Activation
from ...choice import Choice
from ...contract.products import ProductOps
from ...types import Array, Pads, Pair, Shape
from .. import elementwise, gemm, gemv
from ..activations import encode
from ..epilogue import fused, fuses
from ..ladder.conv import FORWARD
from ..ladder.matmul import PRODUCTS
from ..microkernel import TILE_BYTES
from ..winograd_plan import applies, plan, wins
from . import implicit, rungs
from .flat import flat, flat_or_none
from .scratch import for_each_thread
from .winograd import Winograd


class NumbaProducts(ProductOps):
    """matmul and the three convolutions.

    Attributes:
        matmul_rung: "parallel", or a slower rung of `kernels.cpu.ladder` to compute every matmul on.
        convolution: "auto", or "implicit" or "winograd" to take that algorithm wherever it applies; or "naive" or
            "im2col", which are rungs of the forward product alone: the other two are then implicit.

    Raises:
        ValueError: on assignment of an unknown name.
    """

    matmul_rung = Choice("parallel", *PRODUCTS)
    convolution = Choice("auto", "implicit", "winograd", *FORWARD)

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
            return
        (m, n), k = y.shape, a.shape[0] if trans_a else a.shape[1]
        slope = fused(act)
        if n == 1:
            gemv.matvec(flat(a), m, k, trans_a, flat(b), flat_or_none(bias, y), slope, accumulate, flat(y))
        else:
            product = m, n, k, a.shape[1], b.shape[1], trans_a, trans_b, accumulate, slope
            panels, buffer = gemm.scratch_sizes(m, k, self.dtype)
            with self.scratch():
                scratch = self.empty((panels,)), for_each_thread(self, buffer)
                gemm.matmul(*product, flat(a), flat(b), flat_or_none(bias, y), flat(y), *scratch)
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
        """By Winograd's transforms where they apply and win, else as an implicit product."""
        if self.convolution in FORWARD:
            rungs.conv2d(self, self.convolution, x, w, stride, pads, bias, act, y)
            self._unfused(act, y)
            return
        with self.scratch():
            winograd = self._transforms(x.shape, w.shape, y.shape, stride, pads)
            if winograd is None:
                implicit.conv2d(self, x, w, stride, pads, bias, act, y)
            else:
                winograd.forward(x, w, flat_or_none(bias, y), fused(act), y)
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
        """By Winograd's transforms where they apply and win, else as an implicit product."""
        with self.scratch():
            winograd = self._transforms(dx.shape, w.shape, dy.shape, stride, pads)
            if winograd is None:
                implicit.input_grad(self, dy, w, stride, pads, bias, act, dx)
            else:
                winograd.input_grad(dy, w, flat_or_none(bias, dx), fused(act), dx)
        self._unfused(act, dx)

    def _conv2d_weight_grad(self, x: Array, dy: Array, stride: Pair, pads: Pads, dw: Array, accumulate: bool) -> None:
        """By Winograd's transforms where they apply and win, else as an implicit product."""
        with self.scratch():
            winograd = self._transforms(x.shape, dw.shape, dy.shape, stride, pads)
            if winograd is None:
                implicit.weight_gradient(self, x, dy, stride, pads, dw, accumulate)
            else:
                winograd.weight_grad(x, dy, dw, accumulate)

    def _transforms(self, x_shape: Shape, w_shape: Shape, y_shape: Shape, stride: Pair, pads: Pads) -> Winograd | None:
        """Winograd's products for a convolution, for use in a scratch block; None where it goes without."""
        if not self.takes_winograd(x_shape, w_shape, y_shape, stride):
            return None
        return Winograd(self, plan(x_shape[:3], w_shape, (y_shape[1], y_shape[2]), stride, pads, self.dtype))

    def takes_winograd(self, x_shape: Shape, w_shape: Shape, y_shape: Shape, stride: Pair) -> bool:
        """Whether the products of such a convolution go by Winograd's transforms."""
        x_shape, w_shape, y_shape = tuple(x_shape), tuple(w_shape), tuple(y_shape)  # answers are kept by them
        possible = applies(x_shape, w_shape, y_shape, (stride[0], stride[1]), TILE_BYTES // self.dtype.itemsize)
        if self.convolution == "auto":
            return possible and wins(x_shape, w_shape, self.dtype)
        return possible and self.convolution == "winograd"

    def _unfused(self, act: Activation | None, y: Array) -> None:
        """In place: the activation, where it is none that the kernels fuse."""
        if act is not None and not fuses(act):
            elementwise.activation(flat(y), flat(y), *encode(act))
