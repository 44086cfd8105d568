"""Updates as graphs: recorded once and launched whole, where the host would hand over every kernel by itself.

A step of a small network is a hundred kernels of a few microseconds, and in an eager step Python finds out for each of
them what it has found out in every step before. A graph holds the launches of an update with all their arguments, on a
CPU as machine code and calls of NumPy's functions, so it only fits what is equal from step to step: addresses (the
workspace hands out the same ones, batches are copied into buffers of their own) and sizes. What does change lies where
launches read it: learning rate, number of the update, step of the random numbers. Those of many updates are handed over
at once (`announce`), and each update begins by taking its own. With the data set on a device, too (`resident`), the
host does nothing between the launches of many steps.

An update runs three ways: as it is when it comes for the first time, which also compiles its kernels; recorded when it
comes again; as a graph from then on. The results are the same, bit for bit.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import NamedTuple

from kernels import CounterRng, Ops, Use
from kernels.types import Array

from ..optim import Optimizer
from .algorithm import Batch, Outcome, Update
from .player import Player

MOST_SEEN = 64
"""Updates that came once and are remembered, in case they come again: some never do, with noise that falls."""


class _Key(NamedTuple):
    """What tells apart graphs: arguments of `run`, and the random numbers drawn before."""

    update: Update
    variant: Hashable
    source: Hashable
    calls: frozenset[tuple[Use, int]]


class _Recorded(NamedTuple):
    """A graph, the arrays that it writes, and the random numbers drawn by its end."""

    launch: Callable[[], None]
    outcome: Outcome
    calls: dict[Use, int]


class CapturedUpdates:
    """The graphs of a trainer, by update and by what else tells their launches apart.

    Args:
        rng: the players' common stream of random numbers.
        updates: of the algorithm, in the order of a step.
        players: by name.
    """

    def __init__(self, rng: CounterRng, updates: Sequence[Update], players: Mapping[str, Player]) -> None:
        self._rng, self._updates, self._players = rng, updates, players
        self._seen: dict[_Key, None] = {}  # the oldest first
        self._recorded: dict[_Key, _Recorded] = {}
        self._held: Batch | None = None

    def hold(self, batch: Batch) -> Batch:
        """The batch in the buffers that the graphs read, which have the shape of the first one.

        Raises:
            ValueError: the batch has another.
        """
        if self._held is None:
            ops = next(iter(self._players.values())).ops
            labels = None if batch.labels is None else ops.held(batch.labels)
            self._held = Batch(batch.step, ops.held(batch.x), labels)
            return self._held
        for name, held, new in (("x", self._held.x, batch.x), ("labels", self._held.labels, batch.labels)):
            if _shape(held) != _shape(new):
                raise ValueError(
                    f"step: captured with {name} {_shape(held)}, got {_shape(new)}: every batch must have the same "
                    "size, or do without capture"
                )
            if held is not None:
                held[...] = new
        return self._held._replace(step=batch.step)

    def fits(self, batch: Batch) -> bool:
        """Whether `hold` takes it."""
        return self._held is None or all(
            _shape(held) == _shape(new) for held, new in ((self._held.x, batch.x), (self._held.labels, batch.labels))
        )

    def announce(self, steps: range, total: int) -> None:
        """Hand over the numbers of all updates of these steps, of `total`: `run` is to do them in their order."""
        for name, player in self._players.items():
            counts = Counter({which: optimizer.count for which, optimizer in player.optimizers.items()})
            numbers = []
            for step in steps:
                for update in self._updates:
                    if name in update.players and update.due(step):
                        counts[update.optimizer or name] += 1
                        numbers.append((player.rate(step, total), counts[update.optimizer or name], step))
            player.ops.set_numbers(numbers)

    def forget(self, source: Hashable) -> None:
        """Drop the graphs of updates whose batch came from there, and with them the memory that only they hold."""
        self._seen = {key: None for key in self._seen if key.source != source}
        self._recorded = {key: recorded for key, recorded in self._recorded.items() if key.source != source}

    def run(self, update: Update, variant: Hashable, work: Callable[[], Outcome], source: Hashable = None) -> Outcome:
        """Do an update that was announced; what it leaves is valid until the next time.

        Args:
            update: which one.
            variant: what tells apart the launches of the same update.
            work: does it, a function of nothing that changes but what this module knows of.
            source: what the batch comes from, for `forget`; None: the host.

        Raises:
            What capturing raises; the update has not taken place then, and may be asked for again.
        """

        def whole() -> Outcome:
            for player in players:
                player.ops.next_numbers()
            return work()

        players = [self._players[name] for name in update.players]
        optimizers = [player.optimizers[update.optimizer or player.name] for player in players]
        key = _Key(update, variant, source, frozenset(self._rng.calls.items()))
        if key in self._recorded:
            for each in optimizers:
                each.count += 1
            self._rng.skip_to(self._recorded[key].calls)
        elif key in self._seen:
            self._recorded[key] = self._record(players[0].ops, optimizers, whole)
            del self._seen[key]
        else:
            self._seen[key] = None
            if len(self._seen) > MOST_SEEN:
                del self._seen[next(iter(self._seen))]
            return whole()
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
