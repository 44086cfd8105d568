"""Where the time of a training step goes: every operation, beside the least time that this machine could take for it.

The least time is that of the multiplications and additions at the measured peak or that of the bytes at the measured
bandwidth, whichever is longer. Bytes are those of the arrays that go in and come out, each once, as though nothing were
still in a cache and nothing were kept between. Of a convolution by Winograd's transforms or by kn2row those products
count that it does, not those of the definition.

The steps are eager: one that was recorded asks for no operation (`minigan.training.captured`). What is left between
operations, and most of what Python does inside them, a step that is launched does without.
"""

import functools
import inspect
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from kernels import Ops
from kernels.cpu import NumbaOps
from kernels.cpu.kn2row import met
from kernels.cpu.winograd_plan import plan, product_flops
from kernels.types import Array

from ..training.config import TrainConfig
from ..training.trainer import Trainer
from .results import Record
from .steps import IMAGE_SIZE
from .timing import Effort, summary, warm_up

BACKEND = "numba"
STEPS = (("mlp", 64), ("dcgan", 64), ("lsgan", 64))
QUICK_STEPS = (("mlp", 64),)
BETWEEN = "between operations"


class Call(NamedTuple):
    """What tells the calls of a step apart: which operation, on arrays of which shapes, how."""

    operation: str
    shapes: str
    how: str


class Cost(NamedTuple):
    """What a call must do at least."""

    flops: int
    bytes: int


@dataclass(frozen=True)
class Breakdown:
    """A step of a preset on our kernels, operation by operation."""

    preset: str
    batch: int

    def __str__(self) -> str:
        return f"breakdown of {self.preset}, batch {self.batch}"

    def records(self, effort: Effort) -> list[Record]:
        """One record for all calls alike of a step, and one for what is left of its time; longest first."""
        config = TrainConfig(self.preset, batch_size=self.batch, backend=BACKEND, capture=False)
        trainer = Trainer(config, (IMAGE_SIZE, IMAGE_SIZE, 1))
        x = np.random.default_rng(0).uniform(-1, 1, (self.batch, *trainer.data_shape)).astype(np.float32)
        trainer.step(x)
        watch = Watch()
        for ops in (trainer.d.ops, trainer.g.ops):
            watch.observe(ops)
        rounds = [_turn(watch, functools.partial(trainer.step, x), effort) for _ in range(effort.rounds)]
        calls = sorted(rounds[0][0], key=lambda call: -sum(step[call] for step in rounds[0]))
        return [
            Record(
                {"preset": self.preset, "batch": self.batch, **call._asdict(), "calls": watch.counts[call]},
                BACKEND,
                "",
                *(watch.counts[call] * amount for amount in watch.costs.get(call, Cost(0, 0))),
                **asdict(summary([[step[call] for step in steps] for steps in rounds])),
            )
            for call in calls
        ]


def cases(quick: bool) -> Iterator[Breakdown]:
    """The steps that are taken apart."""
    for preset, batch in QUICK_STEPS if quick else STEPS:
        yield Breakdown(preset, batch)


def _turn(watch: "Watch", step: Callable[[], object], effort: Effort) -> list[Mapping[Call, float]]:
    """Seconds of each call in a few steps in a row."""
    time.sleep(effort.rest)
    once = warm_up(step)
    readings = []
    for _ in range(max(3, int(effort.seconds / once))):
        watch.begin()
        start = time.perf_counter()
        step()
        readings.append(watch.end(time.perf_counter() - start))
    return readings


class Watch:
    """Reads the clock around each operation that Python asks for; what an operation asks for itself belongs to it.

    Attributes:
        counts: calls of each kind in a step.
        costs: of one of them.
    """

    def __init__(self) -> None:
        self.counts: dict[Call, int] = {}
        self.costs: dict[Call, Cost] = {}
        self._seconds: dict[Call, float] = defaultdict(float)
        self._own = 0.0  # seconds that the watch itself took
        self._inside = False

    def observe(self, ops: Ops) -> None:
        """Time the operations that `ops` has counted so far, all that a step has used."""
        for name in list(ops.calls):
            method = getattr(ops, name)
            timed = functools.partial(self._timed, ops, method, inspect.signature(method))
            setattr(ops, name, functools.wraps(method)(timed))

    def begin(self) -> None:
        """A step begins."""
        self._seconds.clear()
        self.counts.clear()
        self._own = 0.0

    def end(self, step: float) -> Mapping[Call, float]:
        """It took `step` seconds: seconds by call, and what is left without the watch's own."""
        seconds = dict(self._seconds)
        rest = Call(BETWEEN, "", "")
        self.counts[rest] = 1
        return seconds | {rest: max(step - self._own - sum(seconds.values()), 1e-9)}

    def _timed(
        self, ops: Ops, method: Callable[..., Any], signature: inspect.Signature, *positional: Any, **named: Any
    ) -> Any:
        if self._inside:
            return method(*positional, **named)
        entered = time.perf_counter()
        self._inside = True
        start = time.perf_counter()
        try:
            result = method(*positional, **named)
        finally:
            self._inside = False
        seconds = time.perf_counter() - start
        given = signature.bind(*positional, **named)
        given.apply_defaults()
        call = _call(ops, method.__name__, given.arguments, result)
        self._seconds[call] += seconds
        self.counts[call] = self.counts.get(call, 0) + 1
        if call not in self.costs:
            self.costs[call] = _cost(ops, method.__name__, given.arguments, result)
        self._own += time.perf_counter() - entered - seconds
        return result


def _call(ops: Ops, name: str, given: Mapping[str, Any], result: Any) -> Call:
    shapes = " ".join("×".join(map(str, a.shape)) for a in list(_arrays(given.values()))[:2])
    if name == "matmul":
        return Call(name, shapes, "".join("T" if given[which] else "N" for which in ("trans_a", "trans_b")))
    return Call(name, shapes, _fewer_flops(ops, name, given, result)[0] if name in CONVOLUTIONS else "")


def _cost(ops: Ops, name: str, given: Mapping[str, Any], result: Any) -> Cost:
    arrays = {id(a): a for a in _arrays((*given.values(), result))}
    moved = sum(a.nbytes for a in arrays.values())
    if name == "matmul":
        return Cost(2 * result.size * given["a"].shape[0 if given["trans_a"] else 1], moved)
    if name in CONVOLUTIONS:
        _, w, y = CONVOLUTIONS[name](given, result)
        return Cost(_fewer_flops(ops, name, given, result)[1] or 2 * y.size * w.size // w.shape[3], moved)
    return Cost(0, moved)


CONVOLUTIONS: dict[str, Callable[[Mapping[str, Any], Array], tuple[Array, Array, Array]]] = {
    "conv2d": lambda given, y: (given["x"], given["w"], y),
    "conv2d_input_grad": lambda given, dx: (dx, given["w"], given["dy"]),
    "conv2d_weight_grad": lambda given, dw: (given["x"], dw, given["dy"]),
}
"""The arrays in the places of x, w and y = conv2d(x, w)."""


def _fewer_flops(ops: Ops, name: str, given: Mapping[str, Any], result: Any) -> tuple[str, int]:
    """By which algorithm a convolution computes less than its definition, and the FLOPs left; ("", 0) where by none."""
    x, w, y = CONVOLUTIONS[name](given, result)
    stride, pads = given["stride"], given["pads"]
    way = ops.algorithm(x.shape, w.shape, y.shape, stride, pads) if isinstance(ops, NumbaOps) else ""
    if way == "winograd":
        return way, product_flops(plan(x.shape[:3], w.shape, y.shape[1:3], stride, pads, ops.dtype))
    if way == "kn2row":
        pairs = met(x.shape[1:3], w.shape[:2], y.shape[1:3], stride, pads)
        return way, 2 * pairs * x.shape[0] * w.shape[2] * w.shape[3]
    return "", 0


def _arrays(values: Any) -> Iterator[Array]:
    """The arrays among values and in lists and tuples of them."""
    for value in values:
        if isinstance(value, np.ndarray):
            yield value
        elif isinstance(value, list | tuple):
            yield from _arrays(value)
