"""The product family as plain loops over scalars: the definition a reader can check by eye, and the tests' oracle.

Shapes as in the contract. Slow on purpose; never used to train.
"""

import itertools

import numpy as np

from ..types import Array, Pads, Pair


def matmul(a: Array, b: Array) -> Array:
    """y[i, j] = sum_k a[i, k] b[k, j]: (M, K), (K, N) -> (M, N)."""
    (m, k), n = a.shape, b.shape[1]
    y = np.zeros((m, n), a.dtype)
    for i, j, r in itertools.product(range(m), range(n), range(k)):
        y[i, j] += a[i, r] * b[r, j]
    return y


def _terms(size: Pair, windows: Pair, kernel: Pair, stride: Pair, pads: Pads) -> list[tuple[int, ...]]:
    """All (i, j, a, b, row, column): window (i, j) meets pixel (row, column) through kernel entry (a, b)."""
    (height, width), (top, _, left, _) = size, pads
    terms: list[tuple[int, ...]] = []
    for i, j, a, b in itertools.product(*map(range, (*windows, *kernel))):
        row, column = i * stride[0] + a - top, j * stride[1] + b - left
        if 0 <= row < height and 0 <= column < width:
            terms.append((i, j, a, b, row, column))
    return terms


def conv2d(x: Array, w: Array, stride: Pair, pads: Pads) -> Array:
    """y[n, i, j] += x[n, row, column] @ w[a, b]."""
    (n, height, width, _), (kh, kw, _, o) = x.shape, w.shape
    windows = (height + pads[0] + pads[1] - kh) // stride[0] + 1, (width + pads[2] + pads[3] - kw) // stride[1] + 1
    y = np.zeros((n, *windows, o), x.dtype)
    for i, j, a, b, row, column in _terms((height, width), windows, (kh, kw), stride, pads):
        y[:, i, j] += matmul(x[:, row, column], w[a, b])
    return y


def conv2d_input_grad(dy: Array, w: Array, stride: Pair, pads: Pads, size: Pair) -> Array:
    """dx[n, row, column] += dy[n, i, j] @ w[a, b].T."""
    dx = np.zeros((dy.shape[0], *size, w.shape[2]), dy.dtype)
    for i, j, a, b, row, column in _terms(size, dy.shape[1:3], w.shape[:2], stride, pads):
        dx[:, row, column] += matmul(dy[:, i, j], w[a, b].T)
    return dx


def conv2d_weight_grad(x: Array, dy: Array, stride: Pair, pads: Pads, kernel: Pair) -> Array:
    """dw[a, b] += x[:, row, column].T @ dy[:, i, j]."""
    dw = np.zeros((*kernel, x.shape[3], dy.shape[3]), x.dtype)
    for i, j, a, b, row, column in _terms(x.shape[1:3], dy.shape[1:3], kernel, stride, pads):
        dw[a, b] += matmul(x[:, row, column].T, dy[:, i, j])
    return dw
