"""The norm family on CPU kernels. What has one number per channel is small: NumPy does it here, between the kernels."""

from typing import TypeAlias

import numpy as np

from ...activations import Activation
from ...contract.norms import NormOps
from ...types import Array
from .. import channel_norm, elementwise, layer_norm
from ..activations import encode
from ..lines import fold, line_length, tiles_of
from .flat import flat, flat_or_none

WEIGHT_BLOCKS = 16
"""Blocks of samples that sum LayerNorm's weight gradients; each block costs as much memory as a row in float64."""

Gradient: TypeAlias = tuple[Array, Array, float]
"""(dy, y, slope): dz is dy where y > 0, elsewhere slope dy."""


class NumbaNorms(NormOps):
    """Formulas: see `kernels.reference.norms`."""

    def _batch_norm(
        self, x: Array, gamma: Array, beta: Array, eps: float, act: Activation | None, y: Array, mean: Array, var: Array
    ) -> None:
        rows, channels = _rows(x)
        first = x.reshape(rows, channels)[0]
        shift = np.where(np.isfinite(first), first, 0).astype(np.float64)
        with self.scratch():
            tiles = tiles_of(rows, channels)
            center = self._lanes(tiles.length, np.float64, shift)[0]
            sums = self._no_sums(2, tiles.blocks, tiles.length)
            channel_norm.channel_moments(flat(x), center, tiles, sums)
            total, squares = fold(sums, channels)
        offset = total / rows
        mean[...] = shift + offset
        var[...] = squares / rows - offset * offset
        self._channel_norm(x, gamma, beta, mean, var, eps, act, y)

    def _batch_norm_grad(
        self,
        dy: Array,
        x: Array,
        gamma: Array,
        mean: Array,
        var: Array,
        eps: float,
        y: Array | None,
        act: Activation | None,
        dgamma: Array | None,
        dbeta: Array | None,
        dx: Array,
    ) -> None:
        rows, channels = _rows(x)
        tiles = tiles_of(rows, channels)
        r = 1 / np.sqrt(var + eps)
        a = gamma * r
        with self.scratch():
            gradient = self._before_activation(dy, y, act)
            sum_dz, sum_dz_h = self._channel_sums(gradient, x, mean, r)
            lanes = self._lanes(tiles.length, x.dtype, mean, a, -a * r * sum_dz_h / rows, -a * sum_dz / rows)
            channel_norm.channel_combine(*gradient, flat(x), lanes, tiles, flat(dx))
        if dgamma is not None:
            dgamma += sum_dz_h
        if dbeta is not None:
            dbeta += sum_dz

    def _channel_norm(
        self,
        x: Array,
        gamma: Array,
        beta: Array | None,
        mean: Array | None,
        var: Array,
        eps: float,
        act: Activation | None,
        y: Array,
    ) -> None:
        tiles = tiles_of(*_rows(x))
        scale = gamma / np.sqrt(var + eps)
        with self.scratch():
            lanes = self._lanes(tiles.length, x.dtype, _or_zero(mean, gamma), scale, _or_zero(beta, gamma))
            channel_norm.channel_affine(flat(x), lanes, tiles, *encode(act), flat(y))

    def _channel_norm_weight_grad(
        self, dz: Array, x: Array, mean: Array | None, var: Array, eps: float, dgamma: Array, dbeta: Array | None
    ) -> None:
        sum_dz, sum_dz_h = self._channel_sums((flat(dz), flat(dz), 1.0), x, _or_zero(mean, var), 1 / np.sqrt(var + eps))
        dgamma += sum_dz_h
        if dbeta is not None:
            dbeta += sum_dz

    def _layer_norm(
        self, x: Array, gamma: Array, beta: Array, eps: float, act: Activation | None, y: Array, mean: Array, var: Array
    ) -> None:
        with self.scratch():
            lanes = self._sample_lanes(x, gamma, beta)
            layer_norm.layer_norm(_samples(x), lanes[0], lanes[1], float(eps), *encode(act), _samples(y), mean, var)

    def _layer_norm_grad(
        self,
        dz: Array,
        x: Array,
        gamma: Array,
        mean: Array,
        var: Array,
        eps: float,
        dgamma: Array | None,
        dbeta: Array | None,
        dx: Array,
    ) -> None:
        weights = dgamma is not None or dbeta is not None
        with self.scratch():
            lanes = self._sample_lanes(x, gamma)
            sums = self._no_sums(2, min(len(x), WEIGHT_BLOCKS), lanes.shape[1])
            layer_norm.layer_norm_grad(
                _samples(dz), _samples(x), lanes[0], mean, var, float(eps), weights, sums, _samples(dx)
            )
            sum_dz_h, sum_dz = fold(sums, gamma.size)
        if dgamma is not None:
            dgamma += sum_dz_h
        if dbeta is not None:
            dbeta += sum_dz

    def _layer_norm_double_grad(
        self,
        ddx: Array,
        dz: Array,
        x: Array,
        gamma: Array,
        mean: Array,
        var: Array,
        eps: float,
        dgamma: Array | None,
        ddz: Array,
        extra: Array,
    ) -> None:
        inputs = (_samples(ddx), _samples(dz), _samples(x))
        with self.scratch():
            lanes = self._sample_lanes(x, gamma)
            sums = self._no_sums(1, min(len(x), WEIGHT_BLOCKS), lanes.shape[1])
            layer_norm.layer_norm_double_grad(
                *inputs, lanes[0], mean, var, float(eps), sums, _samples(ddz), _samples(extra)
            )
            if dgamma is not None:
                dgamma += fold(sums, gamma.size)[0]

    def _before_activation(self, dy: Array, y: Array | None, act: Activation | None) -> Gradient:
        """dz = dy f'(y), in the form that the kernels of `channel_norm` take."""
        if act is None or y is None:
            return flat(dy), flat(dy), 1.0
        if act.name in ("relu", "leaky_relu"):
            return flat(dy), flat(y), act.parameter
        dz, none = flat(self.empty(dy.shape)), flat_or_none(None, dy)
        blocks = self.empty((-(-dz.size // elementwise.BLOCK), 0), np.float64)  # of no sums
        elementwise.activation_grad(flat(dy), flat(y), none, dz, *encode(act), elementwise.BLOCK, none, blocks)
        return dz, dz, 1.0

    def _channel_sums(self, gradient: Gradient, x: Array, mean: Array, r: Array) -> tuple[Array, Array]:
        """(sum dz, sum dz h) per channel, float64."""
        tiles = tiles_of(*_rows(x))
        with self.scratch():
            center = self._lanes(tiles.length, np.float64, mean)[0]
            sums = self._no_sums(2, tiles.blocks, tiles.length)
            channel_norm.channel_sums(*gradient, flat(x), center, tiles, sums)
            sum_dz, sum_dz_d = fold(sums, mean.size)
        return sum_dz, sum_dz_d * r

    def _sample_lanes(self, x: Array, *vectors: Array) -> Array:
        """gamma and beta along a line of a sample."""
        channels = x.shape[-1]
        return self._lanes(line_length(x[0].size // channels, channels), x.dtype, *vectors)

    def _no_sums(self, *shape: int) -> Array:
        """Zeros in float64 for kernels to add to."""
        sums = self.empty(shape, np.float64)
        sums.fill(0)
        return sums

    def _lanes(self, length: int, dtype: np.typing.DTypeLike, *vectors: Array) -> Array:
        """Each vector (C,) repeated along a line -> (K, length)."""
        lanes = self.empty((len(vectors), length), dtype)
        for lane, vector in zip(lanes, vectors, strict=True):
            lane.reshape(-1, vector.size)[...] = vector
        return lanes


def _rows(x: Array) -> tuple[int, int]:
    """(R, C) of x (N, ..., C)."""
    return x.size // x.shape[-1], x.shape[-1]


def _samples(x: Array) -> Array:
    """x (N, ..., C) -> (N, F), without a copy."""
    return x.reshape(len(x), -1)


def _or_zero(a: Array | None, like: Array) -> Array:
    return np.zeros_like(like) if a is None else a
