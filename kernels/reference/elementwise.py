"""Element-wise operations in NumPy. Axes as in the contract: (N, ..., C); `kept` is y, or x for SiLU.

Sums are taken in float64: NumPy adds rows one after the other, which loses digits of float32 over long batches.
"""

from collections.abc import Sequence

import numpy as np

from ..activations import Activation
from ..contract.elementwise import ElementwiseOps
from ..rng import Use
from ..types import Array


class NumpyElementwise(ElementwiseOps):
    """The element-wise family, one formula a method."""

    def _activation(self, x: Array, act: Activation, y: Array) -> None:
        """y = f(x)."""
        y[...] = act.f(x)

    def _activation_grad(
        self, act: Activation | None, dy: Array, kept: Array, extra: Array | None, dz: Array, db: Array | None
    ) -> None:
        """dz = dy f'(kept) + extra;  db += sum of the rows of dz."""
        if act is None:
            dz[...] = dy
        else:
            np.multiply(dy, act.df(kept), out=dz)
        if extra is not None:
            dz += extra
        if db is not None:
            self._sum_rows(dz, db, accumulate=True)

    def _activation_double_grad(self, act: Activation, ddz: Array, dy: Array, kept: Array, extra: Array) -> None:
        """extra = ddz dy f''(kept)."""
        np.multiply(ddz, dy, out=extra)
        extra *= act.ddf(kept)

    def _add(self, a: Array, b: Array, y: Array) -> None:
        np.add(a, b, out=y)

    def _multiply(self, a: Array, b: Array, y: Array) -> None:
        np.multiply(a, b, out=y)

    def _scale_shift(self, x: Array, scale: float, shift: float, y: Array) -> None:
        np.multiply(x, scale, out=y)
        if shift:
            y += shift

    def _axpy(self, alpha: float, x: Array, y: Array) -> None:
        y += alpha * x

    def _clip(self, x: Array, low: float, high: float) -> None:
        np.clip(x, low, high, out=x)

    def _sum_rows(self, x: Array, y: Array, accumulate: bool) -> None:
        """y[c] (+)= sum over all other axes of x[..., c]."""
        total = x.reshape(-1, x.shape[-1]).sum(0, dtype=np.float64)  # (..., C) -> (C,)
        if accumulate:
            y += total
        else:
            y[...] = total

    def _sum(self, x: Array, y: Array) -> None:
        y[...] = x.sum(dtype=np.float64)

    def _squared_norms(self, x: Array, y: Array) -> None:
        """y[n] = sum of x[n, ...]^2."""
        flat = x.reshape(x.shape[0], -1)  # (N, ...) -> (N, F)
        np.einsum("nf,nf->n", flat, flat, out=y)

    def _scale_samples(self, x: Array, factors: Array, y: Array) -> None:
        np.multiply(x, factors.reshape(-1, *(1,) * (x.ndim - 1)), out=y)

    def _concat(self, arrays: Sequence[Array], axis: int, y: Array) -> None:
        np.concatenate(arrays, axis, out=y)

    def _split(self, x: Array, pieces: Sequence[Array]) -> None:
        start = 0
        for piece in pieces:
            piece[...] = x[..., start : start + piece.shape[-1]]
            start += piece.shape[-1]

    def _gather_rows(self, w: Array, index: Array, y: Array) -> None:
        np.take(w, index, axis=0, out=y)

    def _gather_samples(self, data: Array, index: Array, y: Array) -> None:
        """y[n] = data[index[n]], of pixels u: u/127.5 - 1, which takes 0 to -1 and 255 to 1 exactly."""
        y[...] = data[index]
        if data.dtype == np.uint8:
            y /= 127.5
            y -= 1

    def _scatter_add_rows(self, dw: Array, index: Array, dy: Array) -> None:
        np.add.at(dw, index, dy)

    def _softmax_cross_entropy(self, logits: Array, labels: Array, value: Array, dlogits: Array) -> None:
        """value = mean_n(log sum_k exp(l[n, k]) - l[n, label[n]]);  dlogits = (softmax(l) - onehot(label))/N."""
        n = len(logits)
        shifted = logits - logits.max(1, keepdims=True)  # so that exp cannot overflow
        log_sum = np.log(np.exp(shifted).sum(1, keepdims=True))  # (N, 1)
        value[...] = (log_sum[:, 0] - shifted[np.arange(n), labels]).mean()
        dlogits[...] = np.exp(shifted - log_sum)
        dlogits[np.arange(n), labels] -= 1
        dlogits /= n

    def _random_normal(self, use: Use, y: Array) -> None:
        y[...] = self.rng.normal(y.shape, use)

    def _random_uniform(self, use: Use, y: Array) -> None:
        y[...] = self.rng.uniform(y.shape, use)

    def _dropout_mask(self, rate: float, y: Array) -> None:
        """y = [u >= rate]/(1 - rate) with u uniform in (0, 1)."""
        np.multiply(self.rng.uniform(y.shape, Use.DROPOUT) >= rate, 1 / (1 - rate), out=y, casting="unsafe")
