"""Normalisation over the batch and over the sample.

Axes: N = batch, C = channels (last axis), ... = spatial axes, possibly none. gamma, beta are (C,) in both families.
All variances are biased (divided by the count). Backward passes take dz, the gradient before a fused activation;
batch_norm_grad makes it itself.
"""

from abc import abstractmethod

from ..activations import Activation, fusable
from ..types import Array
from .base import OpsBase


class NormOps(OpsBase):
    """batch_norm (batch statistics), channel_norm (given statistics), layer_norm (statistics of each sample)."""

    def batch_norm(
        self, x: Array, gamma: Array, beta: Array, eps: float, activation: Activation | None = None
    ) -> tuple[Array, Array, Array]:
        """(y, mean (C,), var (C,)) with statistics over all axes but the last."""
        self._check_norm("batch_norm", x, gamma, beta)
        act = fusable(activation, "batch_norm")
        self.calls["batch_norm"] += 1
        y, mean, var = self.empty(x.shape), self.empty(gamma.shape), self.empty(gamma.shape)
        self._batch_norm(x, gamma, beta, eps, act, y, mean, var)
        return y, mean, var

    def batch_norm_grad(
        self,
        dy: Array,
        x: Array,
        gamma: Array,
        mean: Array,
        var: Array,
        eps: float,
        *,
        y: Array | None = None,
        activation: Activation | None = None,
        dgamma: Array | None = None,
        dbeta: Array | None = None,
    ) -> Array:
        """dx of batch_norm with dz = dy f'(y); adds to dgamma and dbeta where given.

        An activation needs y, the result of batch_norm; without one dz is dy.
        """
        op = "batch_norm_grad"
        self._check_norm_grad(op, "dy", dy, x, gamma, mean, var, (gamma.shape[0],), dgamma, dbeta)
        self.check_float(op, y=y)
        act = fusable(activation, op)
        if act is not None and y is None:
            raise ValueError(f"{op}: {act} needs y")
        if y is not None and y.shape != x.shape:
            raise ValueError(f"{op}: y is {y.shape}, x is {x.shape}")
        self.calls[op] += 1
        dx = self.empty(x.shape)
        self._batch_norm_grad(dy, x, gamma, mean, var, eps, y, act, dgamma, dbeta, dx)
        return dx

    def channel_norm(
        self,
        x: Array,
        gamma: Array,
        beta: Array | None,
        mean: Array | None,
        var: Array,
        eps: float,
        activation: Activation | None = None,
    ) -> Array:
        """Normalise with given statistics (C,); beta or mean None stand for zero."""
        self._check_norm("channel_norm", x, gamma, beta)
        self._check_statistics("channel_norm", mean, var, gamma.shape)
        act = fusable(activation, "channel_norm")
        self.calls["channel_norm"] += 1
        y = self.empty(x.shape)
        self._channel_norm(x, gamma, beta, mean, var, eps, act, y)
        return y

    def channel_norm_weight_grad(
        self, dz: Array, x: Array, mean: Array | None, var: Array, eps: float, *, dgamma: Array, dbeta: Array | None
    ) -> None:
        """In place: gradients of channel_norm in gamma and (where given) beta, added."""
        op = "channel_norm_weight_grad"
        self._check_norm_grad(op, "dz", dz, x, dgamma, mean, var, (dgamma.shape[0],), dgamma, dbeta)
        self.calls[op] += 1
        self._channel_norm_weight_grad(dz, x, mean, var, eps, dgamma, dbeta)

    def layer_norm(
        self, x: Array, gamma: Array, beta: Array, eps: float, activation: Activation | None = None
    ) -> tuple[Array, Array, Array]:
        """(y, mean (N,), var (N,)) with statistics over all axes of a sample."""
        self._check_norm("layer_norm", x, gamma, beta)
        act = fusable(activation, "layer_norm")
        self.calls["layer_norm"] += 1
        y, mean, var = self.empty(x.shape), self.empty(x.shape[:1]), self.empty(x.shape[:1])
        self._layer_norm(x, gamma, beta, eps, act, y, mean, var)
        return y, mean, var

    def layer_norm_grad(
        self,
        dz: Array,
        x: Array,
        gamma: Array,
        mean: Array,
        var: Array,
        eps: float,
        *,
        dgamma: Array | None = None,
        dbeta: Array | None = None,
    ) -> Array:
        """dx of layer_norm; adds to dgamma and dbeta where given."""
        op = "layer_norm_grad"
        self._check_norm_grad(op, "dz", dz, x, gamma, mean, var, x.shape[:1], dgamma, dbeta)
        self.calls[op] += 1
        dx = self.empty(x.shape)
        self._layer_norm_grad(dz, x, gamma, mean, var, eps, dgamma, dbeta, dx)
        return dx

    def layer_norm_double_grad(
        self,
        ddx: Array,
        dz: Array,
        x: Array,
        gamma: Array,
        mean: Array,
        var: Array,
        eps: float,
        *,
        dgamma: Array | None = None,
    ) -> tuple[Array, Array]:
        """(ddz, extra): derivatives of <ddx, layer_norm_grad(dz, x)> in dz and in x; that in gamma is added."""
        op = "layer_norm_double_grad"
        self._check_norm_grad(op, "dz", dz, x, gamma, mean, var, x.shape[:1], dgamma, None)
        self.check_float(op, ddx=ddx)
        if ddx.shape != x.shape:
            raise ValueError(f"{op}: ddx is {ddx.shape}, x is {x.shape}")
        self.calls[op] += 1
        ddz, extra = self.empty(x.shape), self.empty(x.shape)
        self._layer_norm_double_grad(ddx, dz, x, gamma, mean, var, eps, dgamma, ddz, extra)
        return ddz, extra

    def _check_norm(self, op: str, x: Array, gamma: Array, beta: Array | None) -> None:
        self.check_float(op, x=x, gamma=gamma, beta=beta)
        for name, a in (("gamma", gamma), ("beta", beta)):
            if a is not None and a.shape != x.shape[-1:]:
                raise ValueError(f"{op}: x has {x.shape[-1]} channels, {name} is {a.shape} (x {x.shape})")

    def _check_norm_grad(
        self,
        op: str,
        name: str,
        gradient: Array,
        x: Array,
        gamma: Array,
        mean: Array | None,
        var: Array,
        statistics: tuple[int, ...],
        dgamma: Array | None,
        dbeta: Array | None,
    ) -> None:
        self._check_norm(op, x, gamma, dbeta)
        self._check_statistics(op, mean, var, statistics)
        self.check_float(op, **{name: gradient}, dgamma=dgamma)
        self.check_writable(op, dgamma=dgamma, dbeta=dbeta)
        if gradient.shape != x.shape:
            raise ValueError(f"{op}: {name} is {gradient.shape}, x is {x.shape}")
        if dgamma is not None and dgamma.shape != gamma.shape:
            raise ValueError(f"{op}: dgamma is {dgamma.shape}, gamma {gamma.shape}")

    def _check_statistics(self, op: str, mean: Array | None, var: Array, shape: tuple[int, ...]) -> None:
        self.check_float(op, mean=mean, var=var)
        if not (var.shape == shape and (mean is None or mean.shape == shape)):
            raise ValueError(
                f"{op}: mean and var must be {shape}, got {None if mean is None else mean.shape} and {var.shape}"
            )

    @abstractmethod
    def _batch_norm(
        self, x: Array, gamma: Array, beta: Array, eps: float, act: Activation | None, y: Array, mean: Array, var: Array
    ) -> None: ...
    @abstractmethod
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
    ) -> None: ...
    @abstractmethod
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
    ) -> None: ...
    @abstractmethod
    def _channel_norm_weight_grad(
        self, dz: Array, x: Array, mean: Array | None, var: Array, eps: float, dgamma: Array, dbeta: Array | None
    ) -> None: ...
    @abstractmethod
    def _layer_norm(
        self, x: Array, gamma: Array, beta: Array, eps: float, act: Activation | None, y: Array, mean: Array, var: Array
    ) -> None: ...
    @abstractmethod
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
    ) -> None: ...
    @abstractmethod
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
    ) -> None: ...
