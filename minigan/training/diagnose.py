"""When a gradient is not finite: find the first place where a NaN or an infinity appears."""

import math
from typing import Any

import numpy as np

from kernels import Ops
from kernels.types import Array

from ..layer import Layer, Params, Sequential
from .algorithm import Passes
from .trainer import Trainer

NOTHING = "nothing that shows again when the step is repeated"


class NonFiniteError(RuntimeError):
    """Training stopped because a gradient held a NaN or an infinity; the message names where it first shows."""


def first_non_finite(trainer: Trainer, x: Array, labels: Array | None = None, step: int | None = None) -> str:
    """Replay a step, by default the last one, on its batch and name what first held a NaN or an infinity.

    The weights are those of now, from which the update that failed was left out: where other updates have cured the
    cause, the answer is NOTHING.
    """
    if not np.isfinite(x).all():
        return "the batch of real data itself"
    batch = trainer.batch(trainer.steps_done - 1 if step is None else step, x, labels)
    # The players share one stream of random numbers, so from the start of the step each draws what it drew then.
    trainer.rewind(batch.step)
    for update in trainer.algorithm.updates:
        ops = trainer.players[update.players[0]].ops
        ops.workspace.reset()
        found = _first_bad_output(ops, trainer.algorithm.passes(update, batch))
        if found is not None:
            return f"the output of {found}"
    trainer.rewind(batch.step)
    for update in trainer.algorithm.updates:
        trainer.evaluate(update, batch, replay=True)
        for name in reversed(update.players):
            for path, g in reversed(trainer.players[name].grads.trainable().items()):
                values = trainer.read(g)
                if not np.isfinite(values).all():
                    return f"the gradient of {name}/{path}"
                if np.linalg.norm(values.astype(np.float64)) > math.sqrt(np.finfo(values.dtype).max):
                    return f"the gradient of {name}/{path}, finite but too large to be squared"
    return NOTHING


def _first_bad_output(ops: Ops, passes: Passes) -> str | None:
    """Path and remark of the first leaf in a series of passes whose output is not finite."""
    run = next(passes, None)
    while run is not None:
        found, y = _first_bad_layer(ops, run.network, run.params, run.x, run.path)
        if found is not None:
            return found + run.remark
        try:
            run = passes.send(y)
        except StopIteration:
            return None
    return None


def _first_bad_layer(ops: Ops, layer: Layer, p: Params, x: Any, path: str) -> tuple[str | None, Any]:
    """(path of the first leaf whose output is not finite or None, output); Sequentials are opened."""
    if isinstance(layer, Sequential):
        for name, child in layer.children().items():
            found, x = _first_bad_layer(ops, child, p.sub(name), x, f"{path}/{name}")
            if found is not None:
                return found, x
        return None, x
    y, _ = layer.forward(ops, p, x)
    return (None if _finite(ops, y) else path), y


def _finite(ops: Ops, y: Any) -> bool:
    if isinstance(y, tuple):
        return all(_finite(ops, member) for member in y)
    return bool(np.isfinite(ops.to_host(y)).all())
