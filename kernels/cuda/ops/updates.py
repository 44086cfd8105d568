"""The update family on CUDA kernels: updates.cu, and sums.cu for norms.

The guard is looked at on the device. What changes from step to step, the learning rate and the count of steps, goes
into device memory first (`now`), from where the kernels read it.
"""

import numpy as np

from ...contract.updates import UpdateOps
from ...types import Array
from .columns import add_totals, one_column, partial_sums
from .device import DeviceOps


class CudaUpdates(DeviceOps, UpdateOps):
    """Optimizer steps, moving averages, norm clipping."""

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
    ) -> None:
        numbers = self.real(momentum), np.int32(nesterov), np.float64(weight_decay)
        self._update("sgd", p, (g, velocity), guard, lr, 0, numbers)

    def _rmsprop(
        self, p: Array, g: Array, v: Array, guard: Array, lr: float, decay: float, eps: float, weight_decay: float
    ) -> None:
        self._update("rmsprop", p, (g, v), guard, lr, 0, (np.float64(decay), self.real(eps), np.float64(weight_decay)))

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
    ) -> None:
        numbers = np.float64(beta1), np.float64(beta2), self.real(eps), np.float64(weight_decay)
        self._update("adam", p, (g, m, v, v_max), guard, lr, step, numbers)

    def _update(
        self,
        kernel: str,
        p: Array,
        buffers: tuple[Array | None, ...],
        guard: Array,
        lr: float,
        step: int,
        numbers: tuple[np.generic, ...],
    ) -> None:
        if guard.dtype != self.dtype:
            guard = guard.astype(self.dtype)
        now = self.now_on_device(lr, step)
        self.launch_over(p.size, "updates.cu", kernel, p, *buffers, guard, now, *numbers, np.int64(p.size))

    def _moving_average(self, average: Array, x: Array, decay: float) -> None:
        arguments = average, x, np.float64(decay), np.int64(x.size)
        self.launch_over(x.size, "updates.cu", "moving_average", *arguments)

    def _clip_norm(self, g: Array, limit: float, norm: Array) -> None:
        over = one_column(g)
        with self.scratch():
            partial, total = partial_sums(self, 1, over), self.empty((1, 1), np.float64)
            self.launch("sums.cu", "square_sums", over.grid, g, *over.sizes, partial, block=over.block)
            add_totals(self, partial, None, accumulate=False, totals=total)
            self.launch_over(
                max(1, g.size), "sums.cu", "clip_norm", g, total, np.float64(limit), norm, np.int64(g.size)
            )
