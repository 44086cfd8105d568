"""The norm family on CUDA kernels: channel_norm.cu, layer_norm.cu. Formulas: see `kernels.reference.norms`."""

import numpy as np

from ...activations import Activation
from ...contract.norms import NormOps
from ...types import Array
from ..activations import encode
from ..instances.operations import THREADS
from .columns import add_totals, columns_of, partial_sums
from .device import DeviceOps, sample_block, size_of, warps_for


class CudaNorms(DeviceOps, NormOps):
    """batch_norm, channel_norm, layer_norm and their gradients."""

    def _batch_norm(
        self, x: Array, gamma: Array, beta: Array, eps: float, act: Activation | None, y: Array, mean: Array, var: Array
    ) -> None:
        over = columns_of(x)
        with self.scratch():
            partial = partial_sums(self, 2, over)
            self.launch("channel_norm.cu", "channel_moments", over.grid, x, *over.sizes, partial, block=over.block)
            arguments = x, partial, np.int32(over.strips), *over.sizes, mean, var
            grid = (max(1, warps_for(over.columns)),)
            self.launch("channel_norm.cu", "channel_statistics", grid, *arguments, block=(THREADS,))
        self._channel_norm(x, gamma, beta, mean, var, eps, act, y)

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
        over, (code, parameter) = columns_of(x), encode(act)
        arguments = x, gamma, beta, mean, var, np.float64(eps), code, self.real(parameter), *over.sizes, y
        self.launch("channel_norm.cu", "channel_normalise", over.grid, *arguments, block=over.block)

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
        over, (code, parameter) = columns_of(x), encode(act)
        before = dy, None if act is None else y, code, self.real(parameter), x
        with self.scratch():
            totals = self.empty((2, over.columns), np.float64)
            self._channel_sums(before, mean, var, eps, dgamma, dbeta, totals)
            arguments = *before, gamma, mean, var, np.float64(eps), totals, *over.sizes, dx
            self.launch("channel_norm.cu", "channel_gradient", over.grid, *arguments, block=over.block)

    def _channel_norm_weight_grad(
        self, dz: Array, x: Array, mean: Array | None, var: Array, eps: float, dgamma: Array, dbeta: Array | None
    ) -> None:
        code, parameter = encode(None)
        self._channel_sums((dz, None, code, self.real(parameter), x), mean, var, eps, dgamma, dbeta, None)

    def _channel_sums(
        self,
        before: tuple[Array, Array | None, np.int32, np.generic, Array],
        mean: Array | None,
        var: Array,
        eps: float,
        dgamma: Array | None,
        dbeta: Array | None,
        totals: Array | None,
    ) -> None:
        """dbeta += sum dz, dgamma += sum dz h, totals = both; `before`: dy, y, activation, x, which give dz."""
        over = columns_of(before[-1])
        with self.scratch():
            partial = partial_sums(self, 2, over)
            arguments = *before, mean, var, np.float64(eps), *over.sizes, partial
            self.launch("channel_norm.cu", "channel_gradient_sums", over.grid, *arguments, block=over.block)
            add_totals(self, partial, dbeta, dgamma, accumulate=True, totals=totals)

    def _layer_norm(
        self, x: Array, gamma: Array, beta: Array, eps: float, act: Activation | None, y: Array, mean: Array, var: Array
    ) -> None:
        code, parameter = encode(act)
        arguments = x, gamma, beta, np.float64(eps), code, self.real(parameter), *_sample_sizes(x), y, mean, var
        self._each_sample("layer_norm", x, *arguments)

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
        statistics = mean, var, np.float64(eps)
        self._each_sample("layer_gradient", x, dz, x, gamma, *statistics, *_sample_sizes(x), dx)
        if dgamma is not None or dbeta is not None:
            over = columns_of(x)
            with self.scratch():
                partial = partial_sums(self, 2, over)
                arguments = dz, x, *statistics, _positions(x), *over.sizes, partial
                self.launch("layer_norm.cu", "layer_weight_sums", over.grid, *arguments, block=over.block)
                add_totals(self, partial, dbeta, dgamma, accumulate=True)

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
        statistics = mean, var, np.float64(eps)
        with self.scratch():
            means = self.empty((len(x), 2), np.float64)
            arguments = ddx, dz, x, gamma, *statistics, *_sample_sizes(x), ddz, extra, means
            self._each_sample("layer_double_gradient", x, *arguments)
            if dgamma is not None:
                over = columns_of(x)
                partial = partial_sums(self, 1, over)
                inputs = ddx, dz, x, *statistics, means, _positions(x), *over.sizes
                self.launch("layer_norm.cu", "layer_gain_sums", over.grid, *inputs, partial, block=over.block)
                add_totals(self, partial, dgamma, accumulate=True)

    def _each_sample(self, kernel: str, x: Array, *arguments: Array | np.generic) -> None:
        """A block a sample."""
        if len(x):
            self.launch("layer_norm.cu", kernel, (len(x),), *arguments, block=sample_block(size_of(x)))


def _sample_sizes(x: Array) -> tuple[np.int32, np.int32]:
    """Numbers of a sample, channels."""
    return np.int32(size_of(x)), np.int32(x.shape[-1])


def _positions(x: Array) -> np.int32:
    """Places of a sample that have all channels."""
    return np.int32(size_of(x) // x.shape[-1])
