"""Spectral normalisation: a network whose every weight matrix has a largest singular value of about 1.

Not a layer but another set of parameters for the same layers (Miyato et al. 2018, eq. 8 to 12):

    p_eff = sn.prepare(ops, p)       W_eff = W/sigma;  then any sweeps on p_eff, with losses and penalties
    sn.pull_back(ops, g)             from the gradient in p_eff to that in p, once, after all of them

Every trainable array of two axes or more is such a W: of a GRU both W and U, each by itself, as if each were a layer's.
W is seen as a matrix (F, O), O its last axis. One step of power iteration, from the vector u that is kept from update
to update, estimates the largest singular value:

    v = W u/|W u|,   u = W^T v/|W^T v|,   sigma = v^T W u

sigma is never above the largest singular value and reaches it as the iteration goes on; for a convolution it is that of
W as a matrix, not of the convolution as an operator.

Gradient, with u and v taken as constants (which they are at the maximum, by the envelope theorem):

    dW = (dW_eff - <dW_eff, W_eff> v u^T)/sigma

Deviation: TF-GAN and PyTorch iterate whenever the network runs in training mode; here `prepare` does so where it is
told to, in the discriminator's own updates. ConvTranspose2d's O is the number of its input channels.
"""

from typing import NamedTuple

import numpy as np

from kernels import Ops
from kernels.types import Array

from .initializers import generator
from .params import ParamSet

TINY = 1e-30
"""Squared lengths and singular values below it count as it: a weight of zeros stays zeros."""


class _Vectors(NamedTuple):
    """The singular vectors of one weight, kept from update to update, and what `prepare` made of them."""

    u: Array  # (O, 1)
    v: Array  # (F, 1)
    inverse: Array  # (1,), 1/sigma


class SpectralNorm:
    """The reparametrisation of one ParamSet's weights: biases and gains, of one axis, stay as they are.

    Attributes:
        effective: the parameters that layers see; valid from `prepare` until the next change of the weights.
        state: {"conv2d1/W/u": array}, what a checkpoint must hold.
    """

    def __init__(self, ops: Ops, params: ParamSet, seed: int) -> None:
        self.effective = params.copy()
        self._vectors: dict[str, _Vectors] = {}
        for path, w in params.trainable().items():
            if w.ndim >= 2:
                rows, columns = w.size // w.shape[-1], w.shape[-1]
                u = generator(seed, f"{path}/u").standard_normal((columns, 1)).astype(w.dtype)
                start = _Vectors(u, np.zeros((rows, 1), w.dtype), np.ones(1, w.dtype))
                self._vectors[path] = _Vectors(*map(ops.to_device, start))
        if not self._vectors:
            raise ValueError("spectral normalisation: no weight matrix among the parameters")
        self.state = {f"{path}/{name}": getattr(own, name) for path, own in self._vectors.items() for name in "uv"}

    @property
    def paths(self) -> tuple[str, ...]:
        """Of the weights that are normalised."""
        return tuple(self._vectors)

    def prepare(self, ops: Ops, p: ParamSet, iterate: bool = True) -> ParamSet:
        """W_eff for the present weights; `iterate` takes a step of power iteration first. Everything else is copied."""
        ops.copy(p.flat, self.effective.flat)
        ops.copy(p.state, self.effective.state)
        for path, (u, v, inverse) in self._vectors.items():
            w = p.named[path]
            matrix = w.reshape(-1, w.shape[-1])  # (..., O) -> (F, O)
            if iterate:
                ops.copy(_unit(ops, ops.matmul(matrix, u)), v)
                ops.copy(_unit(ops, ops.matmul(matrix, v, trans_a=True)), u)
            sigma = ops.matmul(v, ops.matmul(matrix, u), trans_a=True)  # (1, 1)
            np.divide(1, np.maximum(sigma[0], TINY), out=inverse)
            ops.copy(ops.scale_samples(w.reshape(1, -1), inverse).reshape(w.shape), self.effective.named[path])
        return self.effective

    def pull_back(self, ops: Ops, g: ParamSet) -> None:
        """In place: the gradient in W_eff becomes that in W, for the W_eff of the last `prepare`."""
        for path, (u, v, inverse) in self._vectors.items():
            dw, w = g.named[path], self.effective.named[path]
            flat = dw.reshape(1, -1)
            along = ops.matmul(flat, w.reshape(-1, 1))  # (1, 1): <dW_eff, W_eff>
            shared = ops.scale_samples(v.reshape(1, -1), -along[0]).reshape(v.shape)  # -<dW_eff, W_eff> v
            ops.matmul(shared, u, trans_b=True, out=dw.reshape(-1, dw.shape[-1]), accumulate=True)
            ops.copy(ops.scale_samples(flat, inverse), flat)


def _unit(ops: Ops, column: Array) -> Array:
    """A column divided by its length."""
    row = column.reshape(1, -1)
    return ops.scale_samples(row, 1 / np.sqrt(np.maximum(ops.squared_norms(row), TINY))).reshape(column.shape)
