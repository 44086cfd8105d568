"""Sums and affine maps per channel: what batch normalisation is made of. Lines, lanes and tiles: see `lines`.

    batch_norm         channel_moments, channel_affine     reads x twice, writes y
    its gradient       channel_sums, channel_combine       reads dy, x and y twice, writes dx

The gradient before a fused activation, dz = dy f'(y), is dy where y > 0 and elsewhere `slope` dy for the identity, ReLU
and leaky ReLU: it is made where it is needed, in the one loop that reads all arrays side by side. Short loops one after
the other, dz first, measured half as fast: the CPU fetches several steady streams ahead better than bursts.
"""

from numba import prange

from ..types import Array
from .activations import activate
from .jit import kernel, parallel_kernel
from .lines import Tiles, tile_at


@parallel_kernel
def channel_moments(x: Array, shift: Array, tiles: Tiles, sums: Array) -> None:
    """sums (2, blocks, length) += sum d and sum d^2 over the lines of each block, d = x - shift, in float64.

    Where shift is one of the R summed values, (shift - mean)^2 <= R var, so the variance E d^2 - (E d)^2 loses at most
    a factor R of float64's digits, however large the mean is.
    """
    for index in prange(tiles.blocks * tiles.columns):
        tile = tile_at(tiles, index)
        piece = slice(tile.left, tile.right)
        total, squares = sums[0, tile.block, piece], sums[1, tile.block, piece]
        for line in range(tile.first, tile.last):
            start, stop = line * tiles.length + tile.left, line * tiles.length + tile.right
            _add_moments(x[start:stop], shift[piece], total, squares)


@kernel
def _add_moments(x: Array, shift: Array, total: Array, squares: Array) -> None:
    for j in range(x.size):
        d = x[j] - shift[j]
        total[j] += d
        squares[j] += d * d


@parallel_kernel
def channel_affine(x: Array, lanes: Array, tiles: Tiles, code: int, parameter: float, y: Array) -> None:
    """y = f(scale (x - mean) + beta) with lanes (mean, scale, beta)."""
    for index in prange(tiles.blocks * tiles.columns):
        tile = tile_at(tiles, index)
        piece = slice(tile.left, tile.right)
        mean, scale, beta = lanes[0, piece], lanes[1, piece], lanes[2, piece]
        for line in range(tile.first, tile.last):
            start, stop = line * tiles.length + tile.left, line * tiles.length + tile.right
            run = y[start:stop]
            _affine(x[start:stop], mean, scale, beta, run)
            activate(run, 0, run.size, code, parameter)


@kernel
def _affine(x: Array, mean: Array, scale: Array, beta: Array, y: Array) -> None:
    for j in range(x.size):
        y[j] = scale[j] * (x[j] - mean[j]) + beta[j]


@parallel_kernel
def channel_sums(dy: Array, y: Array, slope: float, x: Array, mean: Array, tiles: Tiles, sums: Array) -> None:
    """sums (2, blocks, length) += sum dz and sum dz (x - mean) over the lines of each block, in float64."""
    for index in prange(tiles.blocks * tiles.columns):
        tile = tile_at(tiles, index)
        piece = slice(tile.left, tile.right)
        total, products = sums[0, tile.block, piece], sums[1, tile.block, piece]
        for line in range(tile.first, tile.last):
            start, stop = line * tiles.length + tile.left, line * tiles.length + tile.right
            _add_sums(dy[start:stop], y[start:stop], slope, x[start:stop], mean[piece], total, products)


@kernel
def _add_sums(dy: Array, y: Array, slope: float, x: Array, mean: Array, total: Array, products: Array) -> None:
    zero, one, left = dy.dtype.type(0), dy.dtype.type(1), dy.dtype.type(slope)
    for j in range(x.size):
        dz = dy[j] * (one if y[j] > zero else left)
        total[j] += dz
        products[j] += dz * (x[j] - mean[j])


@parallel_kernel
def channel_combine(dy: Array, y: Array, slope: float, x: Array, lanes: Array, tiles: Tiles, dx: Array) -> None:
    """dx = a dz + b (x - mean) + c with lanes (mean, a, b, c)."""
    for index in prange(tiles.blocks * tiles.columns):
        tile = tile_at(tiles, index)
        piece = slice(tile.left, tile.right)
        mean, a, b, c = lanes[0, piece], lanes[1, piece], lanes[2, piece], lanes[3, piece]
        for line in range(tile.first, tile.last):
            start, stop = line * tiles.length + tile.left, line * tiles.length + tile.right
            _combine(dy[start:stop], y[start:stop], slope, x[start:stop], mean, a, b, c, dx[start:stop])


@kernel
def _combine(dy: Array, y: Array, slope: float, x: Array, mean: Array, a: Array, b: Array, c: Array, dx: Array) -> None:
    zero, one, left = dy.dtype.type(0), dy.dtype.type(1), dy.dtype.type(slope)
    for j in range(x.size):
        dz = dy[j] * (one if y[j] > zero else left)
        dx[j] = a[j] * dz + (b[j] * (x[j] - mean[j]) + c[j])
