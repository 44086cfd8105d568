"""Optimizers over flat ParamSets, learning-rate schedules, and what else touches weights between steps.

An optimizer holds its state as ParamSets of the network's spec, so that a checkpoint saves them like weights. One
update is one kernel over the flat buffer; the formulas stand in `kernels.reference.updates`.

An update is a function (p, moments, g) -> (p', moments'), and `back` is its adjoint: from the gradients of anything in
what came out (dp, dv, ...) to those in what went in. An unrolled GAN goes back through D's updates by it.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

import numpy as np

from kernels import Ops
from kernels.types import Array

from .optim_back import Applied, root_quotient_back
from .params import ParamSet


class Optimizer(ABC):
    """Base of the optimizers.

    Attributes:
        moments: {name: ParamSet}, the state, for checkpoints.
        count: calls of `step`, skipped ones too; bias correction needs it.
        skipped: 0-d array, how many updates were left out because the gradient's square was not finite.
    """

    def __init__(self, params: ParamSet, lr: float, weight_decay: float, moments: tuple[str, ...]) -> None:
        if not lr > 0:
            raise ValueError(f"the learning rate must be above 0, got {lr}")
        if not weight_decay >= 0:
            raise ValueError(f"weight decay must be at least 0, got {weight_decay}")
        self.lr, self.weight_decay = lr, weight_decay
        self.moments = {name: params.like() for name in moments}
        self.count = 0
        self.skipped = params.allocate(np.dtype(np.int64).itemsize).view(np.int64).reshape(())
        self.skipped.fill(0)

    def step(self, ops: Ops, params: ParamSet, grads: ParamSet, lr: float | None = None) -> None:
        """Update the parameters in place, unless the gradient's square is not finite; `lr` overrides the default.

        That is where it holds a NaN or infinity, and where it is so large (1.8e19 in float32) that the moments, which
        are means of squares, would become infinite and hold the weights still for ever.
        """
        with np.errstate(over="ignore"):  # which is what the guard is there to find
            guard = ops.clip_norm(grads.flat, math.inf)  # clips nothing
            guard *= guard  # in place: the product of two 0-d arrays would be a scalar
        self.skipped += ~np.isfinite(guard)
        self.count += 1
        self._update(ops, params.flat, grads.flat, guard, self.lr if lr is None else lr)

    @abstractmethod
    def _update(self, ops: Ops, p: Array, g: Array, guard: Array, lr: float) -> None: ...

    @abstractmethod
    def back(
        self, ops: Ops, update: Applied, dp: Array, dmoments: Mapping[str, Array], lr: float | None = None
    ) -> Array:
        """The adjoint of one `step`: dp and dmoments become, in place, those of before it; returns dg.

        Of a step that made its update. One that left it out, since the gradient's square was not finite, is not known
        by what it leaves, and the caller has to see to it.
        """

    def _moment(self, name: str) -> Array | None:
        return self.moments[name].flat if name in self.moments else None


class SGD(Optimizer):
    """Stochastic gradient descent with optional momentum (heavy ball) or Nesterov's look-ahead.

    p -= lr weight_decay p;  v = momentum v + g;  p -= lr v, with nesterov p -= lr (g + momentum v).

    back: dv -= lr dp (with nesterov lr momentum dp),  dg = dv (with nesterov - lr dp),  dv *= momentum,
    dp -= lr weight_decay dp.
    """

    def __init__(
        self,
        params: ParamSet,
        lr: float = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        if not 0 <= momentum < 1:
            raise ValueError(f"SGD: momentum must lie in [0, 1), got {momentum}")
        if nesterov and not momentum:
            raise ValueError("SGD: Nesterov's look-ahead needs a momentum above 0")
        super().__init__(params, lr, weight_decay, ("velocity",) if momentum else ())
        self.momentum, self.nesterov = momentum, nesterov

    def _update(self, ops: Ops, p: Array, g: Array, guard: Array, lr: float) -> None:
        ops.sgd(
            p,
            g,
            self._moment("velocity"),
            guard,
            lr=lr,
            momentum=self.momentum,
            nesterov=self.nesterov,
            weight_decay=self.weight_decay,
        )

    def back(
        self, ops: Ops, update: Applied, dp: Array, dmoments: Mapping[str, Array], lr: float | None = None
    ) -> Array:
        """See the class."""
        lr = self.lr if lr is None else lr
        dg = ops.scale_shift(dp, -lr)
        if self.momentum:
            dv = dmoments["velocity"]
            ops.axpy(-lr * self.momentum if self.nesterov else -lr, dp, dv)
            dg = ops.add(dg, dv) if self.nesterov else ops.scale_shift(dv, 1.0)
            dv *= self.momentum
        dp *= 1 - lr * self.weight_decay
        return dg


class RMSprop(Optimizer):
    """v = decay v + (1 - decay) g^2;  p -= lr g/(sqrt(v) + eps)  (Tieleman and Hinton 2012).

    back: with dq = -lr dp, the gradient in g/(sqrt(v) + eps), and what `root_quotient_back` makes of it,
    dg = dnumerator + 2 (1 - decay) g dv,  dv *= decay.
    """

    def __init__(
        self, params: ParamSet, lr: float = 1e-3, decay: float = 0.99, eps: float = 1e-8, weight_decay: float = 0.0
    ) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"RMSprop: decay must lie in [0, 1), got {decay}")
        if not eps > 0:
            raise ValueError(f"RMSprop: eps must be above 0, got {eps}")
        super().__init__(params, lr, weight_decay, ("v",))
        self.decay, self.eps = decay, eps

    def _update(self, ops: Ops, p: Array, g: Array, guard: Array, lr: float) -> None:
        v = self.moments["v"].flat
        ops.rmsprop(p, g, v, guard, lr=lr, decay=self.decay, eps=self.eps, weight_decay=self.weight_decay)

    def back(
        self, ops: Ops, update: Applied, dp: Array, dmoments: Mapping[str, Array], lr: float | None = None
    ) -> Array:
        """See the class."""
        lr = self.lr if lr is None else lr
        dv = dmoments["v"]
        dg, owed = root_quotient_back(ops, update.g, update.moments["v"], 1.0, self.eps, ops.scale_shift(dp, -lr))
        ops.axpy(1.0, owed, dv)
        ops.axpy(2 * (1 - self.decay), ops.multiply(update.g, dv), dg)
        dv *= self.decay
        dp *= 1 - lr * self.weight_decay
        return dg


class Adam(Optimizer):
    """Kingma and Ba 2015, bias-corrected; AMSGrad (Reddi et al. 2018) and decoupled decay (AdamW) as options.

    back: with dq = -lr/(1 - beta1^t) dp, the gradient in m/(sqrt(v/(1 - beta2^t)) + eps), and what
    `root_quotient_back` makes of it added to dm and dv,  dg = (1 - beta1) dm + 2 (1 - beta2) g dv,  dm *= beta1,
    dv *= beta2. AMSGrad's v_max passes its gradient on to v where v is the maximum.

    Deviation: weight decay is always decoupled, p -= lr weight_decay p; PyTorch's Adam adds it to the gradient.
    """

    def __init__(
        self,
        params: ParamSet,
        lr: float = 2e-4,
        beta1: float = 0.5,
        beta2: float = 0.999,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
    ) -> None:
        for name, beta in (("beta1", beta1), ("beta2", beta2)):
            if not 0 <= beta < 1:
                raise ValueError(f"Adam: {name} must lie in [0, 1), got {beta}")
        if not eps > 0:
            raise ValueError(f"Adam: eps must be above 0, got {eps}")
        super().__init__(params, lr, weight_decay, ("m", "v", "v_max") if amsgrad else ("m", "v"))
        self.beta1, self.beta2, self.eps = beta1, beta2, eps

    def _update(self, ops: Ops, p: Array, g: Array, guard: Array, lr: float) -> None:
        ops.adam(
            p,
            g,
            self.moments["m"].flat,
            self.moments["v"].flat,
            self._moment("v_max"),
            guard,
            lr=lr,
            beta1=self.beta1,
            beta2=self.beta2,
            eps=self.eps,
            weight_decay=self.weight_decay,
            step=self.count,
        )

    def back(
        self, ops: Ops, update: Applied, dp: Array, dmoments: Mapping[str, Array], lr: float | None = None
    ) -> Array:
        """See the class."""
        lr = self.lr if lr is None else lr
        g, dm, dv = update.g, dmoments["m"], dmoments["v"]
        m, v, v_max = (update.moments.get(name) for name in ("m", "v", "v_max"))
        assert m is not None
        assert v is not None
        dq = ops.scale_shift(dp, -lr / (1 - self.beta1**update.number))
        scale = 1 / (1 - self.beta2**update.number)
        dnumerator, dtop = root_quotient_back(ops, m, v if v_max is None else v_max, scale, self.eps, dq)
        ops.axpy(1.0, dnumerator, dm)
        if v_max is not None:
            ops.axpy(1.0, dmoments["v_max"], dtop)
            new = np.equal(v, v_max, out=ops.empty(v.shape))
            passed = ops.multiply(dtop, new)
            np.subtract(dtop, passed, out=dmoments["v_max"])
            dtop = passed
        ops.axpy(1.0, dtop, dv)
        dg = ops.scale_shift(ops.multiply(g, dv), 2 * (1 - self.beta2))
        ops.axpy(1 - self.beta1, dm, dg)
        dm *= self.beta1
        dv *= self.beta2
        dp *= 1 - lr * self.weight_decay
        return dg


OPTIMIZERS = ("sgd", "rmsprop", "adam")


def constant(_step: int, _steps: int) -> float:
    """1."""
    return 1.0


def linear(step: int, steps: int) -> float:
    """From 1 at step 0 down to 0 at the end: 1 - step/steps."""
    return max(0.0, 1 - step / steps)


def cosine(step: int, steps: int) -> float:
    """From 1 at step 0 down to 0 at the end: (1 + cos(pi step/steps))/2 (Loshchilov and Hutter 2017, eq. 5)."""
    return 0.5 * (1 + math.cos(math.pi * min(step / steps, 1.0)))


SCHEDULES: dict[str, Callable[[int, int], float]] = {"constant": constant, "linear": linear, "cosine": cosine}
"""Factor on the learning rate as a function of (steps done, steps in all >= 1)."""


def clip_weights(ops: Ops, params: ParamSet, limit: float) -> None:
    """Clip every trainable parameter to [-limit, limit], biases and norm gains too (Arjovsky et al. 2017, Alg. 1)."""
    if not limit > 0:
        raise ValueError(f"weight clipping: the limit must be above 0, got {limit}")
    ops.clip(params.flat, -limit, limit)


class MovingAverage:
    """Exponential moving average of a network's weights: average = decay average + (1 - decay) weights.

    The average starts as a copy of the weights. State (running statistics) is copied, not averaged: it is an average
    already, and it must fit the latest activations.
    """

    def __init__(self, params: ParamSet, decay: float) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"moving average: decay must lie in [0, 1), got {decay}")
        self.decay = decay
        self.params = params.copy()

    def update(self, ops: Ops, params: ParamSet) -> None:
        """Move the average towards `params`."""
        ops.moving_average(self.params.flat, params.flat, self.decay)
        if params.state.size:
            ops.copy(params.state, self.params.state)
