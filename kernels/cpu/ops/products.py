"""The product family on our own kernels: packed matmul, convolutions as implicit products."""

import numba
import numpy as np

from ...activations import Activation
from ...contract.products import ProductOps
from ...types import Array, Pads, Pair
from .. import gemm, implicit_gemm, narrow, sampling, weight_grad
from ..activations import IDENTITY, encode
from ..epilogue import fuses
from ..microkernel import TILE_ROWS
from .flat import flat, flat_or_none


class NumbaProducts(ProductOps):
    """matmul and the three convolutions."""

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
        (m, n), k = y.shape, a.shape[0] if trans_a else a.shape[1]
        product = gemm.Product(m, n, k, a.shape[1], b.shape[1], trans_a, trans_b, accumulate, *_fused(act))
        panels, buffer = gemm.scratch_sizes(m, k, self.dtype)
        with self.scratch():
            gemm.matmul(
                product,
                flat(a),
                flat(b),
                flat_or_none(bias, y),
                flat(y),
                self.empty((panels,)),
                self._for_each_thread(buffer),
            )
        self._unfused(act, y)

    def _conv2d(
        self, x: Array, w: Array, stride: Pair, pads: Pads, bias: Array | None, act: Activation | None, y: Array
    ) -> None:
        """y = f(patches(x) @ w + bias)."""
        s = sampling.forward(x.shape, w.shape, y.shape, stride, pads)
        with self.scratch():
            source = self._padded(x, pads)
            panels = self.empty((implicit_gemm.scratch_sizes(s, self.dtype)[0],))
            implicit_gemm.pack_weights(flat(w), s.segments * s.length, s.columns, panels)
            self._convolve(s, source, panels, bias, act, y)
        self._unfused(act, y)

    def _conv2d_input_grad(
        self, dy: Array, w: Array, stride: Pair, pads: Pads, bias: Array | None, act: Activation | None, dx: Array
    ) -> None:
        """dx = f(the phases' convolutions of dy + bias), or by columns where the image has few channels."""
        if narrow.wins(dx.shape[3], self.dtype):
            self._input_grad_by_columns(dy, w, stride, pads, bias, act, dx)
        else:
            self._input_grad_by_phases(dy, w, stride, pads, bias, act, dx)
        self._unfused(act, dx)

    def _input_grad_by_phases(
        self, dy: Array, w: Array, stride: Pair, pads: Pads, bias: Array | None, act: Activation | None, dx: Array
    ) -> None:
        border = sampling.input_grad_pads(dy.shape, w.shape, dx.shape, stride, pads)
        kw, o = w.shape[1], w.shape[3]
        with self.scratch():
            source = self._padded(dy, border)
            for s, entries in sampling.input_grad(dy.shape, w.shape, dx.shape, stride, pads):
                with self.scratch():
                    panels = self.empty((implicit_gemm.scratch_sizes(s, self.dtype)[0],))
                    order = np.array([a * kw + b for a, b in entries], np.int64)
                    implicit_gemm.pack_weights_transposed(flat(w), order, o, s.columns, panels)
                    self._convolve(s, source, panels, bias, act, dx)

    def _conv2d_weight_grad(self, x: Array, dy: Array, stride: Pair, pads: Pads, dw: Array, accumulate: bool) -> None:
        """dw (+)= patches(x)^T @ dy."""
        s = sampling.forward(x.shape, dw.shape, dy.shape, stride, pads)
        sizes = weight_grad.scratch_sizes(s, self.dtype)
        with self.scratch():
            source, dy_panels = self._padded(x, pads), self.empty((sizes.dy_panels,))
            weight_grad.pack_dy(flat(dy), s.images * s.height * s.width, s.columns, dy_panels)
            weight_grad.weight_grad(
                s,
                weight_grad.partition(s),
                source,
                dy_panels,
                flat(dw),
                accumulate,
                self.empty((sizes.partials,)),
                self._for_each_thread(weight_grad.DEPTH, np.int64),
                self._for_each_thread(sizes.a_panels),
                self._for_each_thread(sizes.block),
            )

    def _input_grad_by_columns(
        self, dy: Array, w: Array, stride: Pair, pads: Pads, bias: Array | None, act: Activation | None, dx: Array
    ) -> None:
        (kh, kw, c, o), windows = w.shape, (dy.shape[1], dy.shape[2])
        packed, columns = narrow.scratch_sizes(windows[0] * windows[1], kh * kw * c, o, self.dtype)
        with self.scratch():
            panels = self.empty((packed,))
            narrow.pack_entries(flat(w), o, kh * kw * c, panels)
            narrow.input_grad(
                flat(dy),
                windows,
                o,
                panels,
                (kh, kw),
                stride,
                (pads[0], pads[2]),
                (dx.shape[1], dx.shape[2]),
                c,
                flat_or_none(bias, dx),
                *_fused(act),
                flat(dx),
                self._for_each_thread(TILE_ROWS, np.int64),
                self._for_each_thread(columns),
            )

    def _convolve(
        self,
        s: sampling.Sampling,
        source: Array,
        panels: Array,
        bias: Array | None,
        act: Activation | None,
        y: Array,
    ) -> None:
        results = implicit_gemm.scratch_sizes(s, self.dtype)[1]
        rows = implicit_gemm.BLOCK_TILES * TILE_ROWS
        implicit_gemm.convolve(
            s,
            implicit_gemm.row_blocks(s),
            source,
            panels,
            flat_or_none(bias, y),
            *_fused(act),
            flat(y),
            self._for_each_thread(results),
            self._for_each_thread(2 * rows, np.int64).reshape(-1, 2, rows),
        )

    def _padded(self, x: Array, pads: Pads) -> Array:
        """x with its border of zeros, flat; x itself where there is none."""
        if not any(pads):
            return flat(x)
        n, h, w, c = x.shape
        padded = self.empty((n * (pads[0] + h + pads[1]) * (pads[2] + w + pads[3]) * c,))
        border = np.array([pads[0], pads[1], pads[2] * c, pads[3] * c], np.int64)
        implicit_gemm.pad_image(flat(x), h, w * c, border, padded)
        return padded

    def _unfused(self, act: Activation | None, y: Array) -> None:
        """In place: the activation, where it is none that the kernels fuse."""
        if act is not None and not fuses(encode(act)[0]):
            self._activation(y, act, y)

    def _for_each_thread(self, count: int, dtype: np.typing.DTypeLike | None = None) -> Array:
        """A row of scratch for each thread, on cache lines of its own."""
        return self.empty((numba.get_num_threads(), -(-count // 16) * 16), dtype)


def _fused(act: Activation | None) -> tuple[int, float]:
    """(code, slope) of an activation for a kernel's epilogue, the identity for one that is not fused."""
    code, parameter = encode(act)
    return (code, parameter) if fuses(code) else (IDENTITY, 0.0)
