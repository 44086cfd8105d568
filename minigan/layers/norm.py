"""BatchNorm and LayerNorm. x (N, ..., C); gamma, beta (C,); h = (x - mean)/sqrt(var + eps); z = gamma h + beta."""

from typing import Any, NamedTuple

from kernels import Activation, Ops
from kernels.activations import fusable
from kernels.types import Array, Shape

from ..initializers import ones, zeros
from ..layer import Layer, NoSecondOrderError, Params, add, features
from ..params import Param, Spec

COUPLED = (
    "BatchNorm couples the samples of a batch, so a gradient penalty is not defined through it: "
    "use LayerNorm or no norm in a penalised network"
)


class NormCache(NamedTuple):
    """Kept by forward: the input, the output, and the statistics that normalised it."""

    x: Array
    y: Array
    mean: Array  # (C,) in BatchNorm, (N,) in LayerNorm
    var: Array
    train: bool  # whether they are those of this batch


class NormTape(NamedTuple):
    """Kept by backward."""

    cache: NormCache
    dy: Array | None
    dz: Array | None  # None where batch statistics end the second order


class NormExtra(NamedTuple):
    """The extra has two places: before the activation and at the input."""

    z: Array | None
    x: Array | None


class Norm(Layer):
    """What both norms share: hyper-parameters, gamma and beta."""

    def __init__(self, count: int, eps: float, activation: str | Activation | None) -> None:
        name = type(self).__name__
        if not isinstance(count, int) or count < 1:
            raise ValueError(f"{name}: features must be a whole number of at least 1, got {count!r}")
        if not eps > 0:
            raise ValueError(f"{name}: eps must be above 0, got {eps!r}")
        self.features, self.eps = count, eps
        self.activation = fusable(activation, name)

    def spec(self, in_shape: Any) -> tuple[Shape, Spec]:
        """Shape unchanged; gamma starts at 1, beta at 0."""
        shape = features(self, in_shape, self.features)
        return shape, {"gamma": Param((self.features,), ones), "beta": Param((self.features,), zeros)}


class BatchNorm(Norm):
    """Batch normalisation per channel with a fused activation (Ioffe and Szegedy 2015).

        train    mean, var over the batch and all axes but the last;  y = f(gamma h + beta)
                 dx = gamma r (dz - mean(dz) - h mean(dz h)),   r = 1/sqrt(var + eps)
                 dgamma += sum dz h,   dbeta += sum dz
                 double_backward raises: the layer couples all samples, so "the input gradient of one sample" that a
                 gradient penalty is about does not exist
        eval     the running statistics make it an affine map per channel:  dx = gamma r dz
                 ddz = gamma r ddx + ddgamma h + ddbeta,   dgamma += sum r ddx dz,
                 extra.z = ddz dy f''(z),   extra.x = ddgamma r dz

    `update_state` moves the running statistics (state "mean", "var") to those of one forward pass, by `momentum`:
    mean += momentum (batch mean - mean), and likewise var with the unbiased batch variance, as in PyTorch.

    Args:
        features: C.
        momentum: weight of the newest batch, in (0, 1].
        eps: added to the variance.
        activation: fused f, or None.
    """

    group = None

    def __init__(
        self, features: int, momentum: float = 0.1, eps: float = 1e-5, activation: str | Activation | None = None
    ) -> None:
        super().__init__(features, eps, activation)
        if not 0 < momentum <= 1:
            raise ValueError(f"BatchNorm: momentum must lie in (0, 1], got {momentum!r}")
        self.momentum = momentum

    def spec(self, in_shape: Any) -> tuple[Shape, Spec]:
        """Shape unchanged; the running mean starts at 0, the running variance at 1."""
        shape, params = super().spec(in_shape)
        state = {"mean": Param((self.features,), zeros, False), "var": Param((self.features,), ones, False)}
        return shape, {**params, **state}

    def forward(self, ops: Ops, p: Params, x: Any, train: bool = True) -> tuple[Array, NormCache]:
        """y = f(gamma h + beta)."""
        if train:
            y, mean, var = ops.batch_norm(x, p["gamma"], p["beta"], self.eps, self.activation)
        else:
            mean, var = p["mean"], p["var"]
            y = ops.channel_norm(x, p["gamma"], p["beta"], mean, var, self.eps, self.activation)
        return y, NormCache(x, y, mean, var, train)

    def backward(
        self,
        ops: Ops,
        p: Params,
        cache: NormCache,
        dy: Array | None,
        g: Params | None = None,
        extra: NormExtra | None = None,
        need_dx: bool = True,
    ) -> tuple[Array | None, NormTape]:
        """dx through the statistics in train mode, dx = gamma r dz + extra.x in eval mode."""
        x, y, mean, var, train = cache
        if train:
            assert dy is not None
            assert extra is None, "it would come from double_backward, which raises"
            weights = {} if g is None else {"dgamma": g["gamma"], "dbeta": g["beta"]}
            dx = ops.batch_norm_grad(dy, x, p["gamma"], mean, var, self.eps, y=y, activation=self.activation, **weights)
            return (dx if need_dx else None), NormTape(cache, dy, None)
        extra_z, extra_x = extra or (None, None)
        if dy is None and extra_z is None:
            return (extra_x if need_dx else None), NormTape(cache, None, None)
        dz = ops.activation_grad(self.activation, dy, y, extra=extra_z)
        tape = NormTape(cache, dy, dz)
        if g is not None:
            ops.channel_norm_weight_grad(dz, x, mean, var, self.eps, dgamma=g["gamma"], dbeta=g["beta"])
        if not need_dx:
            return None, tape
        return add(ops, ops.channel_norm(dz, p["gamma"], None, None, var, self.eps), extra_x), tape

    def double_backward(
        self, ops: Ops, p: Params, tape: NormTape, ddx: Array | None, g: Params | None = None, ddp: Params | None = None
    ) -> tuple[Array | None, NormExtra | None]:
        """Eval mode only."""
        x, y, mean, var, train = tape.cache
        if train:
            raise NoSecondOrderError(f"{COUPLED}, or eval mode")
        if tape.dz is None:
            return None, None
        ddz = extra_x = None
        if ddx is not None:
            ddz = ops.channel_norm(ddx, p["gamma"], None, None, var, self.eps)
            if g is not None:
                ops.channel_norm_weight_grad(tape.dz, ddx, None, var, self.eps, dgamma=g["gamma"], dbeta=None)
        if ddp:
            ddz = add(ops, ddz, ops.channel_norm(x, ddp["gamma"], ddp["beta"], mean, var, self.eps))
            extra_x = ops.channel_norm(tape.dz, ddp["gamma"], None, None, var, self.eps)
        if ddz is None:
            return None, None
        ddy, extra_z = ops.activation_double_grad(self.activation, ddz, tape.dy, y)
        return ddy, (None if extra_z is None and extra_x is None else NormExtra(extra_z, extra_x))

    def no_second_order(self) -> str | None:
        """Batch statistics are functions of the whole batch."""
        return COUPLED

    def update_state(self, ops: Ops, p: Params, cache: NormCache) -> None:
        """Move the running statistics; nothing to learn from an eval pass."""
        if not cache.train:
            return
        rows = cache.x.size // self.features
        unbiased = ops.scale_shift(cache.var, rows / max(rows - 1, 1))
        ops.moving_average(p["mean"], cache.mean, 1 - self.momentum)
        ops.moving_average(p["var"], unbiased, 1 - self.momentum)


class LayerNorm(Norm):
    """Normalisation of each sample over all its axes, with a gain per channel (Ba, Kiros and Hinton 2016).

    With r = 1/sqrt(var + eps) and P u = u - mean(u) - h mean(u h), means over the sample:

        forward          y = f(gamma h + beta)
        backward         dz = dy f' + extra.z,   dx = r P(gamma dz) + extra.x,   dgamma += sum dz h,   dbeta += sum dz
        double_backward  ddz = gamma r P(ddx) + ddgamma h + ddbeta,   dgamma += sum dz r P(ddx),   ddy = ddz f',
                         extra.z = ddz dy f'',   extra.x = r P(ddgamma dz) + what `kernels.reference.norms` derives

    Args:
        features: C.
        eps: added to the variance.
        activation: fused f, or None.

    Deviation: PyTorch's LayerNorm over (H, W, C) has a gain per element; this is its GroupNorm with one group.
    """

    def __init__(self, features: int, eps: float = 1e-5, activation: str | Activation | None = None) -> None:
        super().__init__(features, eps, activation)

    def forward(self, ops: Ops, p: Params, x: Any, train: bool = True) -> tuple[Array, NormCache]:
        """y = f(gamma h + beta); the same in train and eval mode."""
        y, mean, var = ops.layer_norm(x, p["gamma"], p["beta"], self.eps, self.activation)
        return y, NormCache(x, y, mean, var, train)

    def backward(
        self,
        ops: Ops,
        p: Params,
        cache: NormCache,
        dy: Array | None,
        g: Params | None = None,
        extra: NormExtra | None = None,
        need_dx: bool = True,
    ) -> tuple[Array | None, NormTape]:
        """dz = dy f' + extra.z; dx = r P(gamma dz) + extra.x."""
        extra_z, extra_x = extra or (None, None)
        if dy is None and extra_z is None:
            return (extra_x if need_dx else None), NormTape(cache, None, None)
        dz = ops.activation_grad(self.activation, dy, cache.y, extra=extra_z)
        weights = {} if g is None else {"dgamma": g["gamma"], "dbeta": g["beta"]}
        dx = ops.layer_norm_grad(dz, cache.x, p["gamma"], cache.mean, cache.var, self.eps, **weights)
        return (add(ops, dx, extra_x) if need_dx else None), NormTape(cache, dy, dz)

    def double_backward(
        self, ops: Ops, p: Params, tape: NormTape, ddx: Array | None, g: Params | None = None, ddp: Params | None = None
    ) -> tuple[Array | None, NormExtra | None]:
        """ddz = gamma r P(ddx) + ddgamma h + ddbeta, and both extras."""
        if tape.dz is None:
            return None, None
        x, y, mean, var, _ = tape.cache
        ddz = extra_x = None
        if ddx is not None:
            dgamma = None if g is None else g["gamma"]
            ddz, extra_x = ops.layer_norm_double_grad(ddx, tape.dz, x, p["gamma"], mean, var, self.eps, dgamma=dgamma)
        if ddp:
            ddz = add(ops, ddz, ops.layer_norm(x, ddp["gamma"], ddp["beta"], self.eps)[0])
            extra_x = add(ops, extra_x, ops.layer_norm_grad(tape.dz, x, ddp["gamma"], mean, var, self.eps))
        if ddz is None:
            return None, None
        ddy, extra_z = ops.activation_double_grad(self.activation, ddz, tape.dy, y)
        return ddy, NormExtra(extra_z, extra_x)
