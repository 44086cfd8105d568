"""Batch normalisation: sums per channel, and affine maps of what they give. Lines, lanes and tiles: see `lines`.

    forward     sums of x, then y                       reads x twice, writes y
    gradient    sums of dz and dz (x - mean), then dx   reads dy, x and y twice, writes dx

The gradient before a fused activation, dz = dy f'(y), is dy where y > 0 and elsewhere `slope` dy for the identity, ReLU
and leaky ReLU: it is made where it is needed, in the one loop that reads all arrays side by side. Short loops one after
the other, dz first, measured half as fast: the CPU fetches several steady streams ahead better than bursts.
"""

import numpy as np

from ..types import Array
from .activations import rectify
from .fork import fork
from .jit import kernel, parallel_kernel
from .lines import Tiles, fold, tile_at


@kernel
def _add_moments(item: int, x: Array, shift: Array, tiles: Tiles, sums: Array) -> None:
    """sums (2, blocks, length) = sum d and sum d^2 over the lines of each block, d = x - shift, in float64."""
    tile = tile_at(tiles, item)
    piece = slice(tile.left, tile.right)
    total, squares, shift_ = sums[0, tile.block, piece], sums[1, tile.block, piece], shift[piece]
    total[:] = 0
    squares[:] = 0
    for line in range(tile.first, tile.last):
        run = x[line * tiles.length + tile.left : line * tiles.length + tile.right]
        for j in range(run.size):
            d = run[j] - shift_[j]
            total[j] += d
            squares[j] += d * d


@kernel
def _affine(item: int, x: Array, lanes: Array, tiles: Tiles, slope: float, y: Array) -> None:
    """y = f(scale (x - mean) + beta) with lanes (mean, scale, beta)."""
    tile = tile_at(tiles, item)
    piece, slope_ = slice(tile.left, tile.right), x.dtype.type(slope)
    mean, scale, beta = lanes[0, piece], lanes[1, piece], lanes[2, piece]
    for line in range(tile.first, tile.last):
        at = slice(line * tiles.length + tile.left, line * tiles.length + tile.right)
        x_, y_ = x[at], y[at]
        for j in range(x_.size):
            y_[j] = rectify(scale[j] * (x_[j] - mean[j]) + beta[j], slope_)


@parallel_kernel
def channel_norm(
    x: Array,
    gamma: Array,
    beta: Array,
    mean: Array,
    var: Array,
    measure: bool,
    eps: float,
    slope: float,
    tiles: Tiles,
    shift: Array,
    sums: Array,
    lanes: Array,
    y: Array,
) -> None:
    """y = f(gamma (x - mean)/sqrt(var + eps) + beta); `measure` sets mean and var to those of x first.

    Scratch: shift (length,), sums (2, blocks, length), both float64, and lanes (3, length). With d = x - x[0], where
    x[0] is one of the R numbers of a channel, (x[0] - mean)^2 <= R var, so the variance E d^2 - (E d)^2 loses at most
    a factor R of float64's digits, however large the mean is.
    """
    channels, real = gamma.size, x.dtype.type
    if measure:
        rows = x.size // channels
        for c in range(channels):
            first = np.float64(x[c]) if np.isfinite(x[c]) else 0.0
            for j in range(c, tiles.length, channels):
                shift[j] = first
        fork(_add_moments, tiles.blocks * tiles.columns, (x, shift, tiles, sums))
        for k in range(2):
            fold(sums[k], channels)
        for c in range(channels):
            offset = sums[0, 0, c] / rows
            mean[c] = shift[c] + offset
            var[c] = sums[1, 0, c] / rows - offset * offset
    for c in range(channels):
        scale = gamma[c] / np.sqrt(var[c] + real(eps))
        for j in range(c, tiles.length, channels):
            lanes[0, j], lanes[1, j], lanes[2, j] = mean[c], scale, beta[c]
    fork(_affine, tiles.blocks * tiles.columns, (x, lanes, tiles, slope, y))


@kernel
def _add_products(
    item: int, dy: Array, y: Array, slope: float, x: Array, mean: Array, tiles: Tiles, sums: Array
) -> None:
    """sums (2, blocks, length) = sum dz and sum dz (x - mean) over the lines of each block, in float64."""
    tile = tile_at(tiles, item)
    piece, one, left = slice(tile.left, tile.right), dy.dtype.type(1), dy.dtype.type(slope)
    total, products, mean_ = sums[0, tile.block, piece], sums[1, tile.block, piece], mean[piece]
    total[:] = 0
    products[:] = 0
    for line in range(tile.first, tile.last):
        at = slice(line * tiles.length + tile.left, line * tiles.length + tile.right)
        dy_, y_, x_ = dy[at], y[at], x[at]
        for j in range(x_.size):
            dz = dy_[j] * (one if y_[j] > 0 else left)
            total[j] += dz
            products[j] += dz * (x_[j] - mean_[j])


@kernel
def _combine(item: int, dy: Array, y: Array, slope: float, x: Array, lanes: Array, tiles: Tiles, dx: Array) -> None:
    """dx = a dz + b (x - mean) + c with lanes (mean, a, b, c)."""
    tile = tile_at(tiles, item)
    piece, one, left = slice(tile.left, tile.right), dy.dtype.type(1), dy.dtype.type(slope)
    mean, a, b, c = lanes[0, piece], lanes[1, piece], lanes[2, piece], lanes[3, piece]
    for line in range(tile.first, tile.last):
        at = slice(line * tiles.length + tile.left, line * tiles.length + tile.right)
        dy_, y_, x_, dx_ = dy[at], y[at], x[at], dx[at]
        for j in range(x_.size):
            dz = dy_[j] * (one if y_[j] > 0 else left)
            dx_[j] = a[j] * dz + (b[j] * (x_[j] - mean[j]) + c[j])


@parallel_kernel
def channel_norm_grad(
    dy: Array,
    y: Array,
    slope: float,
    x: Array,
    gamma: Array,
    mean: Array,
    var: Array,
    eps: float,
    tiles: Tiles,
    center: Array,
    sums: Array,
    lanes: Array,
    dgamma: Array,
    dbeta: Array,
    dx: Array,
) -> None:
    """With h = r (x - mean), r = 1/sqrt(var + eps): dgamma += sum dz h, dbeta += sum dz, and for batch statistics

        dx = gamma r (dz - sum dz/R - h sum dz h/R) = a dz + b (x - mean) + c.

    Of dgamma, dbeta and dx those of no elements are left out. Scratch: center (length,) and sums (2, blocks, length) in
    float64, lanes (4, length).
    """
    channels = mean.size
    rows, real = x.size // channels, x.dtype.type
    for c in range(channels):
        for j in range(c, tiles.length, channels):
            center[j] = mean[c]
    fork(_add_products, tiles.blocks * tiles.columns, (dy, y, slope, x, center, tiles, sums))
    for k in range(2):
        fold(sums[k], channels)
    for c in range(channels):
        r = 1 / np.sqrt(np.float64(var[c]) + eps)
        sum_dz, sum_dz_h = sums[0, 0, c], sums[1, 0, c] * r
        if dgamma.size:
            dgamma[c] += sum_dz_h
        if dbeta.size:
            dbeta[c] += sum_dz
        if dx.size:
            a = gamma[c] * r
            for j in range(c, tiles.length, channels):
                lanes[0, j], lanes[1, j] = mean[c], real(a)
                lanes[2, j], lanes[3, j] = real(-a * r * sum_dz_h / rows), real(-a * sum_dz / rows)
    if dx.size:
        fork(_combine, tiles.blocks * tiles.columns, (dy, y, slope, x, lanes, tiles, dx))
