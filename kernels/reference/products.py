"""Matrix product and convolutions in NumPy: convolution is a matrix product over patches (im2col).

Axes as in the contract: x (N, H, W, C), w (KH, KW, C, O), y (N, HO, WO, O). With x zero-padded,

    y[n, i, j, o]  = sum_{a, b, c} x[n, i*SH + a, j*SW + b, c] * w[a, b, c, o]

is linear in x and in w. Its two partial derivatives are the other two kernels, and all three share one matrix of
patches (N*HO*WO, KH*KW*C), im2col:

    y  = patches(x) @ w            dw = patches(x).T @ dy            dx = col2im(dy @ w.T)

`naive.py` has the same four operations as plain loops. Cost of each: 2*N*HO*WO*KH*KW*C*O FLOPs, plus writing and
reading the patches, KH*KW/(SH*SW) times the image.
"""

from collections.abc import Iterator

import numpy as np

from ..activations import Activation
from ..contract.products import ProductOps
from ..types import Array, Pads, Pair


class NumpyProducts(ProductOps):
    """The product family on NumPy's BLAS."""

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
        a, b = a.T if trans_a else a, b.T if trans_b else b
        if accumulate:
            with self.scratch():
                y += np.matmul(a, b, out=self.empty(y.shape))
        else:
            np.matmul(a, b, out=y)
            epilogue(y, bias, act)

    def _conv2d(
        self, x: Array, w: Array, stride: Pair, pads: Pads, bias: Array | None, act: Activation | None, y: Array
    ) -> None:
        """y = f(patches(x) @ w + bias)."""
        with self.scratch():
            patches = self._im2col(x, (w.shape[0], w.shape[1]), stride, pads, (y.shape[1], y.shape[2]))
            np.matmul(patches, w.reshape(-1, w.shape[3]), out=y.reshape(-1, y.shape[3]))
        epilogue(y, bias, act)

    def _conv2d_input_grad(
        self, dy: Array, w: Array, stride: Pair, pads: Pads, bias: Array | None, act: Activation | None, dx: Array
    ) -> None:
        """dx = f(col2im(dy @ w.T) + bias)."""
        kh, kw, c, o = w.shape
        n, ho, wo, _ = dy.shape
        with self.scratch():
            patches = self.empty((n * ho * wo, kh * kw * c))
            np.matmul(dy.reshape(-1, o), w.reshape(-1, o).T, out=patches)
            self._col2im(patches.reshape(n, ho, wo, kh, kw, c), stride, pads, dx)
        epilogue(dx, bias, act)

    def _conv2d_weight_grad(self, x: Array, dy: Array, stride: Pair, pads: Pads, dw: Array, accumulate: bool) -> None:
        """dw (+)= patches(x).T @ dy."""
        with self.scratch():
            patches = self._im2col(x, (dw.shape[0], dw.shape[1]), stride, pads, (dy.shape[1], dy.shape[2]))
            self._matmul(
                patches, dy.reshape(-1, dy.shape[3]), None, None, True, False, dw.reshape(-1, dw.shape[3]), accumulate
            )

    def _im2col(self, x: Array, kernel: Pair, stride: Pair, pads: Pads, windows: Pair) -> Array:
        """The patch under every window, one a row: (N, H, W, C) -> (N*HO*WO, KH*KW*C)."""
        n, _, _, c = x.shape
        (kh, kw), (ho, wo) = kernel, windows
        padded = self._pad(x, pads)
        patches = self.empty((n, ho, wo, kh, kw, c))
        for a, rows in window_rows(kh, ho, stride[0]):
            for b, columns in window_rows(kw, wo, stride[1]):
                patches[:, :, :, a, b] = padded[:, rows, columns]
        return patches.reshape(n * ho * wo, kh * kw * c)

    def _col2im(self, patches: Array, stride: Pair, pads: Pads, x: Array) -> None:
        """Adjoint of im2col: every patch added back where it came from, then the border cut off."""
        n, ho, wo, kh, kw, c = patches.shape
        _, h, w, _ = x.shape
        top, bottom, left, right = pads
        padded = self.empty((n, h + top + bottom, w + left + right, c))
        padded.fill(0)
        for a, rows in window_rows(kh, ho, stride[0]):
            for b, columns in window_rows(kw, wo, stride[1]):
                padded[:, rows, columns] += patches[:, :, :, a, b]
        x[...] = padded[:, top : top + h, left : left + w]

    def _pad(self, x: Array, pads: Pads) -> Array:
        """x with a border of zeros: (N, H, W, C) -> (N, top + H + bottom, left + W + right, C)."""
        if not any(pads):
            return x
        n, h, w, c = x.shape
        top, bottom, left, right = pads
        padded = self.empty((n, top + h + bottom, left + w + right, c))
        padded.fill(0)
        padded[:, top : top + h, left : left + w] = x
        return padded


def epilogue(y: Array, bias: Array | None, act: Activation | None) -> None:
    """In place: y = f(y + bias), what a fast kernel does while a tile is still in registers."""
    if bias is not None:
        y += bias
    if act is not None:
        y[...] = act.f(y)


def window_rows(kernel: int, windows: int, stride: int) -> Iterator[tuple[int, slice]]:
    """For each offset in the kernel, the pixels that it meets over all windows: offset + stride*(0 .. windows-1)."""
    for offset in range(kernel):
        yield offset, slice(offset, offset + stride * (windows - 1) + 1, stride)
