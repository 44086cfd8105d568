"""Convolutions as implicit products on the backend's memory: the general case, for any kernel, stride and channels.

Those with few taps go to `direct`, those onto few channels, input gradients and convolutions of stride 1, to `narrow`.
"""

from functools import lru_cache

import numpy as np

from ...activations import Activation
from ...contract.base import OpsBase
from ...types import Array, Pads, Pair, Shape
from .. import direct as few_taps
from .. import implicit_gemm, narrow, sampling, weight_grad
from ..epilogue import fused
from ..microkernel import TILE_ROWS
from . import direct
from .flat import flat
from .scratch import for_each_thread, padded


def conv2d(
    ops: OpsBase, x: Array, w: Array, stride: Pair, pads: Pads, bias: Array, act: Activation | None, y: Array
) -> None:
    """y = f(patches(x) @ w + bias); by columns where y has few channels and the stride is 1."""
    s = sampling.forward(x.shape, w.shape, y.shape, stride, pads)
    turned = _turned_pads(w.shape, stride, pads)
    if turned and not few_taps.applies(s) and narrow.turned_wins((w.shape[0], w.shape[1]), w.shape[3], ops.dtype):
        _conv2d_by_columns(ops, x, w, turned, bias, act, y)
        return
    with ops.scratch():
        source = padded(ops, x, pads)
        panels = ops.empty((implicit_gemm.scratch_sizes(s, ops.dtype)[0],))
        implicit_gemm.pack_weights(flat(w), _numbers(w.shape[0] * w.shape[1]), w.shape[2], s.columns, False, panels)
        _convolve(ops, s, source, panels, bias, act, y)


def input_grad(
    ops: OpsBase, dy: Array, w: Array, stride: Pair, pads: Pads, bias: Array, act: Activation | None, dx: Array
) -> None:
    """dx = f(convolutions of dy, one for each phase, + bias); by columns where the image has few channels."""
    if narrow.wins(dx.shape[3], ops.dtype):
        _input_grad_by_columns(ops, dy, w, stride, pads, bias, act, dx)
        return
    border = sampling.input_grad_pads(dy.shape, w.shape, dx.shape, stride, pads)
    with ops.scratch():
        source = padded(ops, dy, border)
        for s, order in _phases(dy.shape, w.shape, dx.shape, stride, pads):
            with ops.scratch():
                panels = ops.empty((implicit_gemm.scratch_sizes(s, ops.dtype)[0],))
                implicit_gemm.pack_weights(flat(w), order, w.shape[3], s.columns, True, panels)
                _convolve(ops, s, source, panels, bias, act, dx)


def weight_gradient(ops: OpsBase, x: Array, dy: Array, stride: Pair, pads: Pads, dw: Array, accumulate: bool) -> None:
    """dw (+)= patches(x)^T @ dy; patches(dy)^T @ x where those have few taps and the stride is 1."""
    s, turned = sampling.forward(x.shape, dw.shape, dy.shape, stride, pads), _turned_pads(dw.shape, stride, pads)
    if turned and not few_taps.applies(s) and narrow.wins(dw.shape[3], ops.dtype):
        (kh, kw, c, o), image = dw.shape, sampling.forward(dy.shape, _turned(dw.shape), x.shape, stride, turned)
        if few_taps.applies_to_weights(image, ops.dtype):
            with ops.scratch():
                turned_dw = ops.empty(_turned(dw.shape))
                weight_gradient(ops, dy, x, stride, turned, turned_dw, False)
                narrow.turn(flat(turned_dw), kh * kw, o, c, accumulate, flat(dw))
            return
    with ops.scratch():
        source, dy_panels = padded(ops, x, pads), flat(dy)
        if few_taps.applies_to_weights(s, ops.dtype):
            direct.weight_gradient(ops, s, source, dy, dw, accumulate)
            return
        sizes = weight_grad.scratch_sizes(s, ops.dtype)
        if weight_grad.packs(s, ops.dtype):
            dy_panels = ops.empty((sizes.dy_panels,))
            weight_grad.pack_dy(flat(dy), s.images * s.height * s.width, s.columns, dy_panels)
        weight_grad.weight_grad(
            s,
            weight_grad.partition(s),
            source,
            dy_panels,
            weight_grad.panels_of(s, ops.dtype),
            flat(dw),
            accumulate,
            ops.empty((sizes.partials,)),
            for_each_thread(ops, weight_grad.DEPTH, np.int64),
            for_each_thread(ops, sizes.a_panels),
            for_each_thread(ops, sizes.block),
        )


def _turned_pads(w_shape: Shape, stride: Pair, pads: Pads) -> Pads | None:
    """Of the convolution that goes the other way, where there is one without a stride."""
    turned = narrow.turned_pads((w_shape[0], w_shape[1]), pads)
    return turned if stride == (1, 1) and min(turned) >= 0 else None


def _turned(w_shape: Shape) -> Shape:
    return (*w_shape[:2], w_shape[3], w_shape[2])


@lru_cache(maxsize=256)
def _phases(
    dy_shape: Shape, w_shape: Shape, dx_shape: Shape, stride: Pair, pads: Pads
) -> list[tuple[sampling.Sampling, Array]]:
    """The phases of an input gradient, each with the numbers of the kernel entries that it uses."""
    phases = sampling.input_grad(dy_shape, w_shape, dx_shape, stride, pads)
    return [(s, np.array([a * w_shape[1] + b for a, b in entries], np.int64)) for s, entries in phases]


@lru_cache(maxsize=256)
def _numbers(count: int) -> Array:
    """0..count-1, to be read only."""
    return np.arange(count)


def _conv2d_by_columns(
    ops: OpsBase, x: Array, w: Array, turned: Pads, bias: Array, act: Activation | None, y: Array
) -> None:
    kh, kw, c, o = w.shape
    with ops.scratch():
        turned_w = ops.empty(_turned(w.shape))
        narrow.turn(flat(w), kh * kw, c, o, False, flat(turned_w))
        _input_grad_by_columns(ops, x, turned_w, (1, 1), turned, bias, act, y)


def _input_grad_by_columns(
    ops: OpsBase, dy: Array, w: Array, stride: Pair, pads: Pads, bias: Array, act: Activation | None, dx: Array
) -> None:
    (kh, kw, c, o), windows = w.shape, (dy.shape[1], dy.shape[2])
    size, before = (dx.shape[1], dx.shape[2]), (pads[0], pads[2])
    planes = narrow.planes_of(windows, (kh, kw), stride, before, size, ops.dtype.itemsize)
    sizes = narrow.scratch_sizes(windows, kh * kw * c, o, size, stride, planes, ops.dtype)
    with ops.scratch():
        panels = ops.empty((sizes.panels,))
        implicit_gemm.pack_weights(flat(w), _numbers(1), o, kh * kw * c, True, panels)
        narrow.input_grad(
            flat(dy),
            windows,
            o,
            panels,
            (kh, kw),
            stride,
            before,
            size,
            c,
            bias,
            fused(act),
            flat(dx),
            for_each_thread(ops, narrow.ROWS_AT_ONCE, np.int64),
            for_each_thread(ops, sizes.columns),
            planes,
            for_each_thread(ops, sizes.planes),
            for_each_thread(ops, sizes.phase),
        )


def _convolve(
    ops: OpsBase,
    s: sampling.Sampling,
    source: Array,
    panels: Array,
    bias: Array,
    act: Activation | None,
    y: Array,
) -> None:
    if few_taps.applies(s):
        direct.convolve(ops, s, source, panels, bias, act, y)
        return
    results = implicit_gemm.scratch_sizes(s, ops.dtype)[1]
    rows = implicit_gemm.BLOCK_TILES * TILE_ROWS
    implicit_gemm.convolve(
        s,
        implicit_gemm.row_blocks(s),
        source,
        panels,
        bias,
        fused(act),
        flat(y),
        for_each_thread(ops, results),
        for_each_thread(ops, 2 * rows, np.int64).reshape(-1, 2, rows),
    )
