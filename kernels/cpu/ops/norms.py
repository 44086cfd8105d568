"""The norm family on CPU kernels."""

import numpy as np

from ...activations import Activation
from ...contract.norms import NormOps
from ...types import Array
from .. import channel_norm, elementwise, layer_norm
from ..activations import encode, slope_of
from ..calls import run
from ..lines import line_length, tiles_of
from .flat import flat, flat_or_none

WEIGHT_BLOCKS = 16
"""Blocks of samples that sum LayerNorm's weight gradients; each block costs as much memory as a row in float64."""


class NumbaNorms(NormOps):
    """Formulas: see `kernels.reference.norms`."""

    def _batch_norm(
        self, x: Array, gamma: Array, beta: Array, eps: float, act: Activation | None, y: Array, mean: Array, var: Array
    ) -> None:
        self._normalise_channels(x, gamma, beta, mean, var, True, eps, act, y)

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
        self._normalise_channels(x, gamma, _or_zero(beta, gamma), _or_zero(mean, gamma), var, False, eps, act, y)

    def _normalise_channels(
        self,
        x: Array,
        gamma: Array,
        beta: Array,
        mean: Array,
        var: Array,
        measure: bool,
        eps: float,
        act: Activation | None,
        y: Array,
    ) -> None:
        """With `measure`, mean and var are those of x and are written."""
        tiles, slope = tiles_of(x.size // gamma.size, gamma.size), slope_of(act)
        with self.scratch():
            shift = self.empty((tiles.length,), np.float64)
            sums = self.empty((2, tiles.blocks, tiles.length), np.float64)
            lanes = self.empty((3, tiles.length))
            numbers = float(eps), 1.0 if slope is None else slope
            channel_norm.channel_norm(
                flat(x), gamma, beta, mean, var, measure, *numbers, tiles, shift, sums, lanes, flat(y)
            )
        if slope is None:
            elementwise.activation(flat(y), flat(y), *encode(act))

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
        slope = slope_of(act)
        with self.scratch():
            if slope is None or y is None:
                dz = self._before_activation(dy, y, act)
                self._channel_gradients(dz, dz, 1.0, x, gamma, mean, var, eps, dgamma, dbeta, dx)
            else:
                self._channel_gradients(dy, y, slope, x, gamma, mean, var, eps, dgamma, dbeta, dx)

    def _channel_norm_weight_grad(
        self, dz: Array, x: Array, mean: Array | None, var: Array, eps: float, dgamma: Array, dbeta: Array | None
    ) -> None:
        self._channel_gradients(dz, dz, 1.0, x, dgamma, _or_zero(mean, var), var, eps, dgamma, dbeta, None)

    def _channel_gradients(
        self,
        dy: Array,
        y: Array,
        slope: float,
        x: Array,
        gamma: Array,
        mean: Array,
        var: Array,
        eps: float,
        dgamma: Array | None,
        dbeta: Array | None,
        dx: Array | None,
    ) -> None:
        tiles = tiles_of(x.size // mean.size, mean.size)
        with self.scratch():
            center = self.empty((tiles.length,), np.float64)
            sums = self.empty((2, tiles.blocks, tiles.length), np.float64)
            lanes = self.empty((4, tiles.length))
            results = (flat_or_none(a, x) for a in (dgamma, dbeta, dx))
            channel_norm.channel_norm_grad(
                flat(dy), flat(y), slope, flat(x), gamma, mean, var, float(eps), tiles, center, sums, lanes, *results
            )

    def _before_activation(self, dy: Array, y: Array | None, act: Activation | None) -> Array:
        """dz = dy f'(y)."""
        if act is None or y is None:
            return dy
        dz, none = self.empty(dy.shape), flat_or_none(None, dy)
        no_sums = self.empty((elementwise.blocks_of(dz.size), 0), np.float64)
        block = elementwise.BLOCK
        elementwise.activation_grad(flat(dy), flat(y), none, flat(dz), *encode(act), block, none, no_sums)
        return dz

    def _layer_norm(
        self, x: Array, gamma: Array, beta: Array, eps: float, act: Activation | None, y: Array, mean: Array, var: Array
    ) -> None:
        slope = slope_of(act)
        with self.scratch():
            gamma_line, beta_line = self._sample_lanes(x, gamma, beta)
            numbers = float(eps), 1.0 if slope is None else slope
            layer_norm.layer_norm(_samples(x), gamma_line, beta_line, *numbers, _samples(y), mean, var)
        if slope is None:
            elementwise.activation(flat(y), flat(y), *encode(act))

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
        with self.scratch():
            lanes = self._sample_lanes(x, gamma)
            sums = self.empty((2, min(len(x), WEIGHT_BLOCKS), lanes.shape[1]), np.float64)
            weights = flat_or_none(dgamma, gamma), flat_or_none(dbeta, gamma)
            layer_norm.layer_norm_grad(
                _samples(dz), _samples(x), lanes[0], mean, var, float(eps), sums, *weights, _samples(dx)
            )

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
            sums = self.empty((1, min(len(x), WEIGHT_BLOCKS), lanes.shape[1]), np.float64)
            results = flat_or_none(dgamma, gamma), _samples(ddz), _samples(extra)
            layer_norm.layer_norm_double_grad(*inputs, lanes[0], mean, var, float(eps), sums, *results)

    def _sample_lanes(self, x: Array, *vectors: Array) -> Array:
        """Each vector (C,) repeated along a line of a sample -> (K, length)."""
        channels = x.shape[-1]
        lanes = self.empty((len(vectors), line_length(x[0].size // channels, channels)))
        for lane, vector in zip(lanes, vectors, strict=True):
            run(np.copyto, lane.reshape(-1, channels), vector)
        return lanes


def _samples(x: Array) -> Array:
    """x (N, ..., C) -> (N, F), without a copy."""
    return x.reshape(len(x), -1)


def _or_zero(a: Array | None, like: Array) -> Array:
    return np.zeros_like(like) if a is None else a
