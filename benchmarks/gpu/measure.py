"""How contenders are timed on a device: side by side, in turns, by its own clock.

Kernels are launched and not waited for, so the host's clock would time the launches. Events on the stream on which the
work runs time the device. A run is long enough for the events not to matter: it does the work on several sets of
buffers one after the other, which together are larger than the cache, as activations in training are.

Somebody who is missing, or fails, or is wrong, is left out with the reason, and the others go on.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np

from minigan.bench.case import Label
from minigan.bench.results import Record
from minigan.bench.timing import summary

Clock: TypeAlias = Callable[[Callable[[], object]], float]
"""Seconds of the device that a run takes, from an idle device to an idle device."""

ROTATED = 128 << 20
"""Bytes over which the buffers of a case are spread: more than twice the cache of an H100, 50 MB."""

MOST_SETS = 32
"""Of buffers; of small work all stay in the cache, as between the layers of a small network."""

FEWEST, MOST = 3, 50
"""Readings in a turn."""


class Effort(NamedTuple):
    """How long to measure: `rounds` turns of about `seconds` for each contender."""

    rounds: int
    seconds: float


class Ready(NamedTuple):
    """A contender that is compiled and warm.

    Attributes:
        run: does the work `calls` times.
        clock: of the device that it runs on.
        found: what it computes, or the beginning of that, for the comparison with the others; None: not compared.
    """

    run: Callable[[], object]
    calls: int
    clock: Clock
    found: np.ndarray | None = None


class Entry(NamedTuple):
    """A contender: `prepare` may raise, which leaves it out."""

    name: str
    variant: str
    prepare: Callable[[], Ready]
    tolerance: float = 2e-5  # of the difference from the first that is ready, in the Frobenius norm

    def __str__(self) -> str:
        return f"{self.name} ({self.variant})" if self.variant else self.name


@dataclass(frozen=True)
class Case:
    """The same work for all entries; attributes as in `minigan.bench.case`."""

    labels: dict[str, Label]
    entries: Callable[[], list[Entry]]
    flops: int = 0
    bytes: int = 0

    def __str__(self) -> str:
        return " ".join(map(str, self.labels.values()))


class DisagreesError(RuntimeError):
    """A contender computes something else than the first one."""


class Measured(NamedTuple):
    """What came of a case.

    Attributes:
        records: of all who took part.
        missing: why the others did not, by "contender: case".
        wrong: those among them that compute something else than the first one.
    """

    records: list[Record]
    missing: dict[str, str]
    wrong: list[str]


def sets(size: int) -> int:
    """How many sets of buffers of `size` bytes make the cache useless."""
    return min(MOST_SETS, max(2, -(-ROTATED // max(size, 1))))


def measure(case: Case, effort: Effort) -> Measured:
    """Time all who are there and agree with the first."""
    missing: dict[str, str] = {}
    wrong: list[str] = []
    ready: dict[Entry, Ready] = {}
    expected: np.ndarray | None = None
    for entry in case.entries():
        try:
            own = entry.prepare()
            if own.found is not None:
                expected = own.found if expected is None else expected
                _agree(entry, own.found, expected)
            ready[entry] = own
        except Exception as error:  # whatever a library of somebody else's raises
            missing[f"{entry}: {case}"] = reason(error)
            if isinstance(error, DisagreesError):
                wrong.append(f"{entry}: {case}")
    rounds: dict[Entry, list[list[float]]] = {entry: [] for entry in ready}
    for first in range(effort.rounds):
        order = list(rounds)
        for entry in order[first % max(1, len(order)) :] + order[: first % max(1, len(order))]:
            try:
                rounds[entry].append(_turn(ready[entry], effort.seconds))
            except Exception as error:
                missing[f"{entry}: {case}"] = reason(error)
                del rounds[entry]
    return Measured([_record(case, entry, own) for entry, own in rounds.items()], missing, wrong)


def reason(error: Exception) -> str:
    """An error in a line."""
    text = (str(error).strip() or repr(error)).splitlines()[0]
    return f"{type(error).__name__}: {text[:300]}"


def host_clock(run: Callable[[], object]) -> float:
    """Of work that the host does itself."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def _agree(entry: Entry, found: np.ndarray, expected: np.ndarray) -> None:
    if found.shape != expected.shape:
        raise DisagreesError(f"its result is {found.shape}, the first one's {expected.shape}")
    difference = np.linalg.norm(found.astype(np.float64) - expected)
    error = float(difference / max(float(np.linalg.norm(expected)), 1e-30))
    if not error <= entry.tolerance:
        raise DisagreesError(f"off by {error:.1e}, at most {entry.tolerance:.0e} is allowed")


def _turn(own: Ready, seconds: float) -> list[float]:
    """Seconds per call: two runs that do not count, then readings for about `seconds`."""
    own.clock(own.run)
    once = own.clock(own.run)
    count = min(max(int(seconds / max(once, 1e-9)), FEWEST), MOST)
    return [own.clock(own.run) / own.calls for _ in range(count)]


def _record(case: Case, entry: Entry, rounds: Sequence[Sequence[float]]) -> Record:
    timing = summary(rounds)
    numbers = timing.median, timing.fastest, timing.spread, timing.readings
    return Record(case.labels, entry.name, entry.variant, case.flops, case.bytes, *numbers)
