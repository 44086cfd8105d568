"""Updates as graphs: recorded once and launched whole, where the host would hand over every kernel by itself.

A step of a small network is a hundred kernels of a few microseconds, and an eager step waits for the host to launch
each of them. A graph holds the launches of an update with all their arguments, so it only fits what is equal from step
to step: addresses (the workspace hands out the same ones, batches are copied into buffers of their own) and sizes. What
does change lies in device memory and is set before the launch: learning rate, number of the update, step of the random
numbers.

An update runs three ways: as it is when it comes for the first time, which also compiles its kernels; recorded when it
comes again; as a graph from then on. The results are the same, bit for bit.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

from kernels import CounterRng, Ops, Use
from kernels.types import Array

from ..optim import Optimizer
from .algorithm import Batch, Outcome
from .player import Player


class _Recorded(NamedTuple):
    """A graph, the arrays that it writes, and the random numbers drawn by its end."""

    launch: Callable[[], None]
    outcome: Outcome
    calls: dict[Use, int]


class CapturedUpdates:
    """The graphs of a trainer, by update and by what else tells their launches apart."""

    def __init__(self, rng: CounterRng) -> None:
        self._rng = rng
        self._seen: set[Hashable] = set()
        self._recorded: dict[Hashable, _Recorded] = {}
        self._held: Batch | None = None

    def hold(self, batch: Batch) -> Batch:
        """The batch in the buffers that the graphs read.

        Raises:
            ValueError: its shape is not that of the first batch.
        """
        if self._held is None:
            labels = None if batch.labels is None else batch.labels.copy()
            self._held = Batch(batch.step, batch.x.copy(), labels)
            return self._held
        for name, held, new in (("x", self._held.x, batch.x), ("labels", self._held.labels, batch.labels)):
            if (None if held is None else held.shape) != (None if new is None else new.shape):
                raise ValueError(
                    f"step: captured with {name} {_shape(held)}, got {_shape(new)}: every batch must have the same "
                    "size, or do without capture"
                )
            if held is not None:
                held[...] = new
        return self._held._replace(step=batch.step)

    def run(
        self,
        name: Hashable,
        players: Sequence[Player],
        place: tuple[int, int],
        work: Callable[[], Outcome],
        optimizer: str | None = None,
    ) -> Outcome:
        """Do an update; what it leaves is valid until the next time.

        Args:
            name: of the update and its variant.
            players: who learns, the first with the operations that `work` launches on.
            place: (step, steps in all), which the learning rate follows from.
            work: the update, a function of nothing that changes but what this module knows of.
            optimizer: by which the players learn; by default each by its own.

        Raises:
            What capturing raises; the update has not taken place then, and may be asked for again.
        """
        optimizers = [player.optimizers[optimizer or player.name] for player in players]
        key = name, frozenset(self._rng.calls.items())
        if key in self._recorded:
            for each in optimizers:
                each.count += 1
            self._rng.skip_to(self._recorded[key].calls)
        elif key in self._seen:
            self._recorded[key] = self._record(players[0].ops, optimizers, work)
        else:
            self._seen.add(key)
            return work()
        for player, each in zip(players, optimizers, strict=True):
            player.ops.set_numbers(player.rate(*place), each.count)
        self._recorded[key].launch()
        return self._recorded[key].outcome

    def _record(self, ops: Ops, optimizers: Sequence[Optimizer], work: Callable[[], Outcome]) -> _Recorded:
        """The graph of an update; if there is none, the host's counts are those of before, as no launch has run."""
        counts, calls = [optimizer.count for optimizer in optimizers], self._rng.calls
        try:
            launch, outcome = ops.capture(work)
        except BaseException:
            for optimizer, count in zip(optimizers, counts, strict=True):
                optimizer.count = count
            self._rng.skip_to(calls)
            raise
        return _Recorded(launch, outcome, self._rng.calls)


def _shape(array: Array | None) -> str:
    return "none" if array is None else str(array.shape)
