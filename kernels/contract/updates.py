"""Updates of parameters and state, in place over flat buffers: one pass each, bound by memory.

The three optimizers take `guard`, a 0-d array: where it is not finite (the square of the gradient's norm, say) nothing
is changed. So a bad step never reaches the weights, and nobody has to read a value back in the middle of a step to make
sure.
"""

from abc import abstractmethod

from ..types import Array
from .base import OpsBase


class UpdateOps(OpsBase):
    """sgd, rmsprop, adam, moving averages, and scaling a gradient to a norm."""

    def sgd(
        self,
        p: Array,
        g: Array,
        velocity: Array | None,
        guard: Array,
        *,
        lr: float,
        momentum: float,
        nesterov: bool,
        weight_decay: float,
    ) -> None:
        """In place: p and velocity. `velocity` None: no momentum."""
        self._check_update("sgd", p, g=g, velocity=velocity)
        self.check_writable("sgd", p=p, velocity=velocity)
        self.calls["sgd"] += 1
        self._sgd(p, g, velocity, guard, lr, momentum, nesterov, weight_decay)

    def rmsprop(
        self, p: Array, g: Array, v: Array, guard: Array, *, lr: float, decay: float, eps: float, weight_decay: float
    ) -> None:
        """In place: p and v, the moving mean of squared gradients."""
        self._check_update("rmsprop", p, g=g, v=v)
        self.check_writable("rmsprop", p=p, v=v)
        self.calls["rmsprop"] += 1
        self._rmsprop(p, g, v, guard, lr, decay, eps, weight_decay)

    def adam(
        self,
        p: Array,
        g: Array,
        m: Array,
        v: Array,
        v_max: Array | None,
        guard: Array,
        *,
        lr: float,
        beta1: float,
        beta2: float,
        eps: float,
        weight_decay: float,
        step: int,
    ) -> None:
        """In place: p, m, v and (AMSGrad, where given) v_max; `step` counts from 1."""
        self._check_update("adam", p, g=g, m=m, v=v, v_max=v_max)
        self.check_writable("adam", p=p, m=m, v=v, v_max=v_max)
        if step < 1:
            raise ValueError(f"adam: step counts from 1, got {step}")
        self.calls["adam"] += 1
        self._adam(p, g, m, v, v_max, guard, lr, beta1, beta2, eps, weight_decay, step)

    def moving_average(self, average: Array, x: Array, decay: float) -> None:
        """In place: average = decay*average + (1 - decay)*x, element by element where x is finite."""
        self._check_update("moving_average", average, x=x)
        self.check_writable("moving_average", average=average)
        self.calls["moving_average"] += 1
        self._moving_average(average, x, decay)

    def clip_norm(self, g: Array, limit: float) -> Array:
        """In place: scale g so that its Euclidean norm is at most `limit`; returns the norm before (0-d).

        A g whose norm is not finite, as a number of g's own type, stays as it is, for an optimizer's guard to find.
        """
        self.check_float("clip_norm", g=g)
        self.check_writable("clip_norm", g=g)
        if not limit > 0:
            raise ValueError(f"clip_norm: the limit must be above 0, got {limit}")
        self.calls["clip_norm"] += 1
        norm = self.empty(())
        self._clip_norm(g, limit, norm)
        return norm

    def _check_update(self, op: str, p: Array, **others: Array | None) -> None:
        self.check_float(op, p=p, **others)
        for name, a in others.items():
            if a is not None and a.shape != p.shape:
                raise ValueError(f"{op}: {name} is {a.shape}, the parameters are {p.shape}")

    @abstractmethod
    def _sgd(
        self,
        p: Array,
        g: Array,
        velocity: Array | None,
        guard: Array,
        lr: float,
        momentum: float,
        nesterov: bool,
        weight_decay: float,
    ) -> None: ...
    @abstractmethod
    def _rmsprop(
        self, p: Array, g: Array, v: Array, guard: Array, lr: float, decay: float, eps: float, weight_decay: float
    ) -> None: ...
    @abstractmethod
    def _adam(
        self,
        p: Array,
        g: Array,
        m: Array,
        v: Array,
        v_max: Array | None,
        guard: Array,
        lr: float,
        beta1: float,
        beta2: float,
        eps: float,
        weight_decay: float,
        step: int,
    ) -> None: ...
    @abstractmethod
    def _moving_average(self, average: Array, x: Array, decay: float) -> None: ...
    @abstractmethod
    def _clip_norm(self, g: Array, limit: float, norm: Array) -> None: ...
