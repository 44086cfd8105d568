"""Matrix product and the three convolutions: the only operations with enough arithmetic to deserve a ladder.

Axes: M, K, N = rows, inner, columns of a product; N, H, W, C = batch, height, width, channels of the wide side of a
convolution; HO, WO, O = height, width, channels of its narrow side; KH, KW = kernel. pads = (top, bottom, left, right).
"""

from abc import abstractmethod

from ..activations import Activation, fusable
from ..geometry import four_pads, output_size, pair
from ..types import Array, Pads, Pair, Shape
from .base import OpsBase


class ProductOps(OpsBase):
    """matmul, conv2d, conv2d_input_grad, conv2d_weight_grad."""

    def matmul(
        self,
        a: Array,
        b: Array,
        *,
        bias: Array | None = None,
        activation: Activation | None = None,
        trans_a: bool = False,
        trans_b: bool = False,
        out: Array | None = None,
        accumulate: bool = False,
    ) -> Array:
        """Product of op(a) (M, K) and op(b) (K, N), where op transposes if asked; bias (N,).

        `accumulate` adds to `out` (and then takes neither bias nor activation); without it `out` is overwritten unread.
        """
        trans_a, trans_b, accumulate = bool(trans_a), bool(trans_b), bool(accumulate)
        self.check_float("matmul", a=a, b=b, bias=bias)
        if not (a.ndim == b.ndim == 2):
            raise ValueError(f"matmul: expected two matrices, got a {a.shape}, b {b.shape}")
        m, k = a.shape[::-1] if trans_a else a.shape
        k2, n = b.shape[::-1] if trans_b else b.shape
        if k != k2:
            flags = f"(a {a.shape}{' transposed' * trans_a}, b {b.shape}{' transposed' * trans_b})"
            raise ValueError(f"matmul: a has {k} columns, b has {k2} rows {flags}")
        if bias is not None and bias.shape != (n,):
            raise ValueError(f"matmul: bias is {bias.shape}, expected ({n},)")
        self._check_accumulate("matmul", out, accumulate, bias, activation)
        act = fusable(activation, "matmul")
        y = self.output("matmul", (m, n), out, a, b, bias)
        self.calls["matmul"] += 1
        self._matmul(a, b, bias, act, trans_a, trans_b, y, accumulate)
        return y

    def conv2d(
        self,
        x: Array,
        w: Array,
        stride: Pair,
        pads: Pads,
        *,
        bias: Array | None = None,
        activation: Activation | None = None,
        out: Array | None = None,
    ) -> Array:
        """Cross-correlation of x (N, H, W, C) with w (KH, KW, C, O) -> (N, HO, WO, O); bias (O,)."""
        self.check_float("conv2d", x=x, w=w, bias=bias)
        if not (x.ndim == w.ndim == 4):
            raise ValueError(f"conv2d: expected x (N, H, W, C) and w (KH, KW, C, O), got {x.shape}, {w.shape}")
        if x.shape[3] != w.shape[2]:
            raise ValueError(f"conv2d: x has {x.shape[3]} channels, w expects {w.shape[2]} (x {x.shape}, w {w.shape})")
        if bias is not None and bias.shape != w.shape[3:]:
            raise ValueError(f"conv2d: bias is {bias.shape}, expected {w.shape[3:]}")
        self._check_channels("conv2d", w.shape[2:])
        stride, pads = pair(stride, "conv2d: stride"), four_pads(pads, "conv2d: pads")
        height, width = output_size(x.shape[1:3], w.shape[:2], stride, pads, "conv2d")
        act = fusable(activation, "conv2d")
        y = self.output("conv2d", (x.shape[0], height, width, w.shape[3]), out, x, w, bias)
        self.calls["conv2d"] += 1
        self._conv2d(x, w, stride, pads, bias, act, y)
        return y

    def conv2d_input_grad(
        self,
        dy: Array,
        w: Array,
        stride: Pair,
        pads: Pads,
        size: Pair,
        *,
        bias: Array | None = None,
        activation: Activation | None = None,
        out: Array | None = None,
    ) -> Array:
        """Adjoint of conv2d in x: dy (N, HO, WO, O), w (KH, KW, C, O) -> (N, H, W, C) with (H, W) = size.

        Also the forward pass of a transposed convolution, hence bias (C,) and activation.
        """
        op = "conv2d_input_grad"
        self.check_float(op, dy=dy, w=w, bias=bias)
        if not (dy.ndim == w.ndim == 4):
            raise ValueError(f"{op}: expected dy (N, HO, WO, O) and w (KH, KW, C, O), got {dy.shape}, {w.shape}")
        if dy.shape[3] != w.shape[3]:
            raise ValueError(
                f"{op}: dy has {dy.shape[3]} channels, w expects {w.shape[3]} (dy {dy.shape}, w {w.shape})"
            )
        if bias is not None and bias.shape != w.shape[2:3]:
            raise ValueError(f"{op}: bias is {bias.shape}, expected {w.shape[2:3]}")
        self._check_channels(op, w.shape[2:])
        size, stride, pads = pair(size, f"{op}: size", 0), pair(stride, f"{op}: stride"), four_pads(pads, f"{op}: pads")
        self._check_windows(op, dy, size, (w.shape[0], w.shape[1]), stride, pads)
        act = fusable(activation, op)
        dx = self.output(op, (dy.shape[0], *size, w.shape[2]), out, dy, w, bias)
        self.calls[op] += 1
        self._conv2d_input_grad(dy, w, stride, pads, bias, act, dx)
        return dx

    def conv2d_weight_grad(
        self,
        x: Array,
        dy: Array,
        stride: Pair,
        pads: Pads,
        kernel: Pair,
        *,
        out: Array | None = None,
        accumulate: bool = False,
    ) -> Array:
        """Adjoint of conv2d in w: x (N, H, W, C), dy (N, HO, WO, O) -> (KH, KW, C, O) with (KH, KW) = kernel."""
        op = "conv2d_weight_grad"
        self.check_float(op, x=x, dy=dy)
        if not (x.ndim == dy.ndim == 4):
            raise ValueError(f"{op}: expected x (N, H, W, C) and dy (N, HO, WO, O), got {x.shape}, {dy.shape}")
        if x.shape[0] != dy.shape[0]:
            raise ValueError(f"{op}: x has {x.shape[0]} samples, dy has {dy.shape[0]} (x {x.shape}, dy {dy.shape})")
        self._check_channels(op, (x.shape[3], dy.shape[3]))
        kernel, stride = pair(kernel, f"{op}: kernel"), pair(stride, f"{op}: stride")
        pads = four_pads(pads, f"{op}: pads")
        self._check_windows(op, dy, (x.shape[1], x.shape[2]), kernel, stride, pads)
        self._check_accumulate(op, out, accumulate, None, None)
        dw = self.output(op, (*kernel, x.shape[3], dy.shape[3]), out, x, dy)
        self.calls[op] += 1
        self._conv2d_weight_grad(x, dy, stride, pads, dw, bool(accumulate))
        return dw

    @staticmethod
    def _check_accumulate(
        op: str, out: Array | None, accumulate: bool, bias: Array | None, activation: Activation | None
    ) -> None:
        if accumulate and out is None:
            raise ValueError(f"{op}: accumulate=True needs out=")
        if accumulate and not (bias is None and activation is None):
            raise ValueError(f"{op}: accumulate=True takes no bias and no activation")

    @staticmethod
    def _check_channels(op: str, channels: Shape) -> None:
        if 0 in channels:
            raise ValueError(f"{op}: expected at least one channel on both sides, got {channels[0]} and {channels[1]}")

    @staticmethod
    def _check_windows(op: str, dy: Array, size: Pair, kernel: Pair, stride: Pair, pads: Pads) -> None:
        expected = output_size(size, kernel, stride, pads, op)
        if tuple(dy.shape[1:3]) != expected:
            raise ValueError(
                f"{op}: dy {dy.shape} is {dy.shape[1]}x{dy.shape[2]}, an image of {size[0]}x{size[1]} with kernel "
                f"{kernel}, stride {stride}, pads {pads} gives {expected[0]}x{expected[1]}"
            )

    @abstractmethod
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
    ) -> None: ...

    @abstractmethod
    def _conv2d(
        self, x: Array, w: Array, stride: Pair, pads: Pads, bias: Array | None, act: Activation | None, y: Array
    ) -> None: ...

    @abstractmethod
    def _conv2d_input_grad(
        self, dy: Array, w: Array, stride: Pair, pads: Pads, bias: Array | None, act: Activation | None, dx: Array
    ) -> None: ...

    @abstractmethod
    def _conv2d_weight_grad(
        self, x: Array, dy: Array, stride: Pair, pads: Pads, dw: Array, accumulate: bool
    ) -> None: ...
