"""The element-wise family on CPU kernels.

Joining, cutting and looking up rows only copy memory, which NumPy does as fast as the memory allows.
"""

from collections.abc import Sequence

import numpy as np

from ...activations import Activation
from ...contract.elementwise import ElementwiseOps
from ...rng import Use
from ...types import Array
from .. import elementwise, random, sums
from ..activations import encode
from ..calls import run
from .flat import flat, flat_or_none
from .recorded import RecordedOps

LANES = 64
"""Sums kept side by side, at least: rows shorter than this are added several at a time."""

ROWS = 16
"""Of lanes in a block, at least: there are so many times fewer partial sums than numbers."""


class NumbaElementwise(RecordedOps, ElementwiseOps):
    """Activations and their derivatives, arithmetic, reductions, concatenation, table look-up, random numbers."""

    def _activation(self, x: Array, act: Activation, y: Array) -> None:
        elementwise.activation(flat(x), flat(y), *encode(act))

    def _activation_grad(
        self, act: Activation | None, dy: Array, kept: Array, extra: Array | None, dz: Array, db: Array | None
    ) -> None:
        arrays = flat(dy), flat(kept), flat_or_none(extra, dz), flat(dz)
        with self.scratch():
            block, partial = self._partial_sums(dz.size, 0 if db is None else db.size)
            elementwise.activation_grad(*arrays, *encode(act), block, flat_or_none(db, dz), partial)

    def _activation_double_grad(self, act: Activation, ddz: Array, dy: Array, kept: Array, extra: Array) -> None:
        elementwise.activation_double_grad(flat(ddz), flat(dy), flat(kept), flat(extra), *encode(act))

    def _add(self, a: Array, b: Array, y: Array) -> None:
        elementwise.add(flat(a), flat(b), flat(y))

    def _multiply(self, a: Array, b: Array, y: Array) -> None:
        elementwise.multiply(flat(a), flat(b), flat(y))

    def _scale_shift(self, x: Array, scale: float, shift: float, y: Array) -> None:
        elementwise.scale_shift(flat(x), float(scale), float(shift), flat(y))

    def _axpy(self, alpha: float, x: Array, y: Array) -> None:
        elementwise.axpy(float(alpha), flat(x), flat(y))

    def _fill(self, x: Array, value: float) -> None:
        """On all cores where there is much to write: one core alone does not keep the memory busy."""
        if x.dtype == self.dtype and x.flags.c_contiguous and x.size > elementwise.BLOCK:
            elementwise.fill(flat(x), float(value))
        else:
            run(np.ndarray.fill, x, value)

    def _copy(self, x: Array, y: Array) -> None:
        run(np.copyto, y, x)

    def _clip(self, x: Array, low: float, high: float) -> None:
        elementwise.clip(flat(x), float(low), float(high))

    def _sum_rows(self, x: Array, y: Array, accumulate: bool) -> None:
        with self.scratch():
            block, partial = self._partial_sums(x.size, y.size)
            sums.sum_rows(flat(x), block, y, partial, accumulate)

    def _sum(self, x: Array, y: Array) -> None:
        """As one column."""
        self._sum_rows(x, flat(y), accumulate=False)

    def _squared_norms(self, x: Array, y: Array) -> None:
        sums.squared_norms(flat(x), y)

    def _scale_samples(self, x: Array, factors: Array, y: Array) -> None:
        elementwise.scale_samples(flat(x), factors, flat(y))

    def _concat(self, arrays: Sequence[Array], axis: int, y: Array) -> None:
        run(_join, y, axis, *arrays)

    def _split(self, x: Array, pieces: Sequence[Array]) -> None:
        start = 0
        for piece in pieces:
            run(np.copyto, piece, x[..., start : start + piece.shape[-1]])
            start += piece.shape[-1]

    def _gather_rows(self, w: Array, index: Array, y: Array) -> None:
        run(_take, w, index, y)

    def _gather_samples(self, data: Array, index: Array, y: Array) -> None:
        run(_take_pixels if data.dtype == np.uint8 else _take, data, index, y)

    def _scatter_add_rows(self, dw: Array, index: Array, dy: Array) -> None:
        elementwise.scatter_add_rows(flat(dw), index, flat(dy), dw.shape[1])

    def _softmax_cross_entropy(self, logits: Array, labels: Array, value: Array, dlogits: Array) -> None:
        with self.scratch():
            losses = self.empty(labels.shape, np.float64)
            elementwise.softmax_cross_entropy(flat(logits), labels, flat(dlogits), losses)
            run(_mean, losses, value)

    def _random_normal(self, use: Use, y: Array) -> None:
        with self.scratch():
            random.normal(flat(y), *self._words(y.size, use), self.empty((2,)))

    def _random_uniform(self, use: Use, y: Array) -> None:
        with self.scratch():
            random.uniform(flat(y), *self._words(y.size, use))

    def _dropout_mask(self, rate: float, y: Array) -> None:
        with self.scratch():
            random.dropout_mask(flat(y), *self._words(y.size, Use.DROPOUT), float(rate))

    def _partial_sums(self, size: int, columns: int) -> tuple[int, Array]:
        """(elements of a block, scratch (blocks, lanes) for its sums), see `sums.sum_rows`."""
        lanes = columns * max(1, LANES // columns) if columns else 0
        block = lanes * max(ROWS, elementwise.BLOCK // lanes) if columns else elementwise.BLOCK
        return block, self.empty((max(1, -(-size // block)), lanes), np.float64)

    def _words(self, count: int, use: Use) -> tuple[Array, Array]:
        """(scratch for the words of the next draw, its counter), see `random`."""
        return self.empty((-(-count // 4) * 4,), np.uint32), self.counter(use)


def _join(y: Array, axis: int, *arrays: Array) -> None:
    np.concatenate(arrays, axis, out=y)


def _take(table: Array, index: Array, y: Array) -> None:
    np.take(table, index, axis=0, out=y, mode="clip")  # the contract has checked index; "raise" would copy twice


def _take_pixels(data: Array, index: Array, y: Array) -> None:
    np.divide(data[index], 127.5, out=y, dtype=y.dtype)
    y -= 1


def _mean(losses: Array, value: Array) -> None:
    value[...] = losses.mean()
