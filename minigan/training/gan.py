"""The game of a GAN: two networks and what each loses at the discriminator's outputs.

An output is the logits u (N, 1), or (u, a) of a discriminator that has to tell the condition (`minigan.auxiliary`).
"""

from typing import Any, NamedTuple

from kernels import Ops
from kernels.types import Array

from ..auxiliary import Auxiliary
from ..condition import sliced
from ..layer import Layer
from ..losses import Loss
from ..penalties import Penalty


class Losses(NamedTuple):
    """Losses of one player, 0-d arrays."""

    value: Array  # of the whole: game + weight auxiliary
    game: Array
    auxiliary: Array | None = None  # unweighted


class Gan(NamedTuple):
    """The two players and the game."""

    generator: Layer
    discriminator: Layer
    loss: Loss
    penalty: Penalty | None = None
    auxiliary: Auxiliary | None = None
    auxiliary_weight: float = 1.0

    def shown(self, y: Any) -> Any:
        """What the discriminator is told of the condition: nothing where it has to tell it."""
        return y if self.auxiliary is None else None

    def d_loss(self, ops: Ops, real: Any, fake: Any, y: Any) -> tuple[Losses, Any, Any]:
        """The discriminator's loss at its outputs, and the gradients in both."""
        value, du_real, du_fake = self.loss.d_loss(logits(real), logits(fake))
        if self.auxiliary is None:
            return Losses(value, value), du_real, du_fake
        extra, da_fake = self._told(ops, fake, y)
        da_real = None
        if self.auxiliary.on_real:
            on_real, da_real = self._told(ops, real, y)
            extra = (extra + on_real).reshape(())
        return self._sum(value, extra), (du_real, da_real), (du_fake, da_fake)

    def g_loss(self, ops: Ops, u_real: Array | None, fake: Any, y: Any) -> tuple[Losses, Any]:
        """The generator's loss at the discriminator's output for its samples, and the gradient in that."""
        value, du_fake = self.loss.g_loss(u_real, logits(fake))
        if self.auxiliary is None:
            return Losses(value, value), du_fake
        extra, da_fake = self._told(ops, fake, y)
        return self._sum(value, extra), (du_fake, da_fake)

    def _told(self, ops: Ops, output: Any, y: Any) -> tuple[Array, Array]:
        """The auxiliary loss, unweighted, and its weighted gradient."""
        assert self.auxiliary is not None
        value, da = self.auxiliary.terms(ops, output[1], y)
        return value, da if self.auxiliary_weight == 1 else ops.scale_shift(da, self.auxiliary_weight)

    def _sum(self, game: Array, auxiliary: Array) -> Losses:
        return Losses((game + self.auxiliary_weight * auxiliary).reshape(()), game, auxiliary)


def logits(output: Any) -> Array:
    """u of an output u or (u, a)."""
    return output[0] if isinstance(output, tuple) else output


def halves(output: Any) -> tuple[Any, Any]:
    """The outputs for the two halves of a batch."""
    half = len(logits(output)) // 2
    return sliced(output, 0, half), sliced(output, half, 2 * half)


def joined(ops: Ops, first: Any, second: Any) -> Any:
    """The gradient for a batch of two halves; in a pair, None stands for zeros."""
    if not isinstance(first, tuple):
        return ops.concat([first, second], axis=0)
    halves = []
    for a, b in zip(first, second, strict=True):
        zeros = ops.empty(b.shape)
        ops.fill(zeros, 0.0)
        halves.append(ops.concat([zeros if a is None else a, b], axis=0))
    return tuple(halves)
