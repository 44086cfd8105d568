"""The element-wise family on CUDA kernels: elementwise.cu, move.cu, sums.cu, cross_entropy.cu, random.cu."""

import math
from collections.abc import Sequence

import numpy as np

from ...activations import Activation
from ...contract.elementwise import ElementwiseOps
from ...rng import Use
from ...types import Array
from ..activations import encode
from ..instances.operations import THREADS
from ..runtime import Argument
from .columns import add_totals, columns_of, partial_sums
from .device import INDICES, REALS, DeviceOps, blocks_for, sample_block, size_of, warps_for

WORDS = 4
"""Random words that a thread draws at a time."""

FILLABLE = REALS | INDICES

SAMPLES = FILLABLE | {np.dtype(np.uint8): "unsigned char"}
"""What data sets may hold."""


class CudaElementwise(DeviceOps, ElementwiseOps):
    """Activations and their derivatives, arithmetic, reductions, concatenation, table look-up, random numbers."""

    def _activation(self, x: Array, act: Activation, y: Array) -> None:
        code, parameter = encode(act)
        self._each("activation", x.size, x, y, np.int64(x.size), code, self.real(parameter))

    def _activation_grad(
        self, act: Activation | None, dy: Array, kept: Array, extra: Array | None, dz: Array, db: Array | None
    ) -> None:
        code, parameter = encode(act)
        arguments = dy, kept, extra, dz, np.int64(dz.size), code, self.real(parameter)
        self._each("activation_grad", dz.size, *arguments)
        if db is not None:
            self._sum_rows(dz, db, accumulate=True)

    def _activation_double_grad(self, act: Activation, ddz: Array, dy: Array, kept: Array, extra: Array) -> None:
        code, parameter = encode(act)
        arguments = ddz, dy, kept, extra, np.int64(extra.size), code, self.real(parameter)
        self._each("activation_double_grad", extra.size, *arguments)

    def _add(self, a: Array, b: Array, y: Array) -> None:
        self._each("add", y.size, a, b, y, np.int64(y.size))

    def _multiply(self, a: Array, b: Array, y: Array) -> None:
        self._each("multiply", y.size, a, b, y, np.int64(y.size))

    def _scale_shift(self, x: Array, scale: float, shift: float, y: Array) -> None:
        self._each("scale_shift", y.size, x, self.real(scale), self.real(shift), y, np.int64(y.size))

    def _axpy(self, alpha: float, x: Array, y: Array) -> None:
        self._each("axpy", y.size, self.real(alpha), x, y, np.int64(y.size))

    def _fill(self, x: Array, value: float) -> None:
        """Labels too, hence the version for the type of x."""
        if x.dtype not in FILLABLE:
            raise TypeError(f"fill: x is {x.dtype} {x.shape}, there are kernels for {', '.join(map(str, FILLABLE))}")
        if x.size:
            fill = self.runtime.function("elementwise.cu", f"fill<{FILLABLE[x.dtype]}>")
            fill(blocks_for(x.size), (THREADS,), (x, np.array(value).astype(x.dtype)[()], np.int64(x.size)))

    def _clip(self, x: Array, low: float, high: float) -> None:
        self._each("clip", x.size, x, self.real(low), self.real(high), np.int64(x.size))

    def _sum_rows(self, x: Array, y: Array, accumulate: bool) -> None:
        over = columns_of(x)
        with self.scratch():
            partial = partial_sums(self, 1, over)
            self.launch("sums.cu", "row_sums", over.grid, x, *over.sizes, partial, block=over.block)
            add_totals(self, partial, y, accumulate=accumulate)

    def _sum(self, x: Array, y: Array) -> None:
        self._sum_rows(x.reshape(-1, 1), y.reshape(1), accumulate=False)

    def _squared_norms(self, x: Array, y: Array) -> None:
        size = size_of(x)
        if len(x):
            self.launch("sums.cu", "squared_norms", (len(x),), x, y, np.int32(size), block=sample_block(size))

    def _scale_samples(self, x: Array, factors: Array, y: Array) -> None:
        self._each("scale_samples", y.size, x, factors, y, np.int64(y.size), np.int64(size_of(x)))

    def _concat(self, arrays: Sequence[Array], axis: int, y: Array) -> None:
        self._copy_pieces(arrays, y, axis, into=True)

    def _split(self, x: Array, pieces: Sequence[Array]) -> None:
        self._copy_pieces(pieces, x, x.ndim - 1, into=False)

    def _copy_pieces(self, pieces: Sequence[Array], whole: Array, axis: int, into: bool) -> None:
        """Between `whole` and the pieces that lie in it one behind the other along `axis`."""
        rows, pitch = math.prod(whole.shape[:axis]), math.prod(whole.shape[axis:])
        flat, start = whole.reshape(-1), 0
        for piece in pieces:
            width = math.prod(piece.shape[axis:])
            own, place = (piece, np.int64(width)), (flat[start:], np.int64(pitch))
            ends = (*own, *place) if into else (*place, *own)
            self.launch_over(piece.size, "move.cu", "copy_runs", *ends, np.int64(rows), np.int64(width))
            start += width

    def _gather_rows(self, w: Array, index: Array, y: Array) -> None:
        kind, index = self.labels(index)
        if y.size:
            arguments = w, np.int32(len(w)), index, y, np.int64(y.size), np.int32(w.shape[1])
            self.launch_labelled(blocks_for(y.size), "move.cu", "gather_rows", kind, *arguments)

    def _gather_samples(self, data: Array, index: Array, y: Array) -> None:
        """Labels have one type of index: they are the data here."""
        _, index = self.labels(index)
        if index.dtype != np.int64:
            index = index.astype(np.int64)
        if y.size:
            gather = self.runtime.function("move.cu", f"gather_samples<{SAMPLES[y.dtype]}, {SAMPLES[data.dtype]}>")
            arguments = data, np.int64(len(data)), index, y, np.int64(y.size), np.int64(size_of(data))
            gather(blocks_for(y.size), (THREADS,), arguments)

    def _scatter_add_rows(self, dw: Array, index: Array, dy: Array) -> None:
        kind, index = self.labels(index)
        if dw.size and len(dy):
            arguments = dw, index, dy, np.int64(dw.size), np.int32(len(dy)), np.int32(dw.shape[1])
            self.launch_labelled(blocks_for(dw.size), "move.cu", "scatter_add_rows", kind, *arguments)

    def _softmax_cross_entropy(self, logits: Array, labels: Array, value: Array, dlogits: Array) -> None:
        kind, labels = self.labels(labels)
        rows, classes = logits.shape
        with self.scratch():
            losses = self.empty((rows,), np.float64)
            arguments = logits, labels, np.int32(rows), np.int32(classes), losses, dlogits
            if rows:
                grid = (warps_for(rows),)
                self.launch_labelled(grid, "cross_entropy.cu", "softmax_cross_entropy", kind, *arguments)
            self.launch("cross_entropy.cu", "mean_loss", (1,), losses, np.int32(rows), value, block=(THREADS,))

    def _random_normal(self, use: Use, y: Array) -> None:
        self._draw("normal", y, use)

    def _random_uniform(self, use: Use, y: Array) -> None:
        self._draw("uniform", y, use)

    def _dropout_mask(self, rate: float, y: Array) -> None:
        self._draw("dropout_mask", y, Use.DROPOUT, np.float64(rate))

    def _draw(self, kernel: str, y: Array, use: Use, *numbers: np.generic) -> None:
        call, seed = self.rng.next_call(use), self.rng.seed
        counter = [np.uint32(word) for word in (call, use, seed & 0xFFFFFFFF, seed >> 32)]
        arguments: tuple[Argument, ...] = (y, np.int64(y.size), *numbers, self.step_on_device(), *counter)
        self.launch_over(-(-y.size // WORDS), "random.cu", kernel, *arguments)

    def _each(self, kernel: str, count: int, *arguments: Array | np.generic | None) -> None:
        self.launch_over(count, "elementwise.cu", kernel, *arguments)
