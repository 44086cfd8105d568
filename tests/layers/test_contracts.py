"""The promises of the protocol, held against every kind of layer in every shape that `minigan.testing` draws."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kernels
import minigan.layers
from kernels import Ops
from minigan.layer import Layer, NoSecondOrderError
from minigan.layers import GRU
from minigan.params import ParamSet
from minigan.testing import (
    KINDS,
    RANDOM,
    batches,
    layers,
    random_inputs,
    random_like,
    random_params,
    seeds,
    whole_groups,
)

EXAMPLES = settings(max_examples=12)


class Case(NamedTuple):
    """A layer at one point, and what has to be drawn for its sweeps."""

    layer: Layer
    in_shape: Any
    batch: int
    seed: int
    train: bool

    def ops(self, dtype: type = np.float64) -> Ops:
        return kernels.get_ops("numpy", dtype=dtype, seed=self.seed)

    def params(self, dtype: type = np.float64) -> ParamSet:
        return random_params(self.layer, self.in_shape, self.seed, dtype)

    def ddp(self, dtype: np.typing.DTypeLike = np.float64) -> ParamSet:
        return random_params(self.layer, self.in_shape, self.seed ^ 1, dtype)

    def x(self, dtype: type = np.float64) -> Any:
        return random_inputs(self.in_shape, self.batch, self.seed, dtype)


@st.composite
def cases(draw: st.DrawFn, kind: str) -> Case:
    layer, in_shape = draw(layers(kind))
    return Case(layer, in_shape, whole_groups(layer, draw(batches())), draw(seeds()), draw(st.booleans()))


def every_kind(test: Callable[..., None]) -> Callable[..., None]:
    """Run `test(case)` for each kind of layer, a dozen drawn cases each."""

    @pytest.mark.parametrize("kind", KINDS)
    @EXAMPLES
    @given(data=st.data())
    def run(kind: str, data: st.DataObject) -> None:
        test(data.draw(cases(kind), label="case"))

    run.__doc__ = test.__doc__
    return run


def arrays_in(note: Any) -> list[np.ndarray]:
    """All arrays of nested notes, results and parameters, in order."""
    if isinstance(note, np.ndarray):
        return [note]
    if isinstance(note, ParamSet):
        return [note.flat, note.state]
    if isinstance(note, dict):
        note = tuple(note.values())
    if isinstance(note, tuple | list):
        return [a for member in note for a in arrays_in(member)]
    return []


def copies(*notes: Any) -> list[np.ndarray]:
    return [a.copy() for a in arrays_in(notes)]


def assert_same_bits(actual: Any, expected: Any) -> None:
    """Equal arrays of equal dtype in the same order, NaN nowhere."""
    ours, theirs = arrays_in(actual), arrays_in(expected)
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b, strict=True)
        assert not np.isnan(a).any()


def projected(dx: Any) -> float:
    """A number that every element of an input gradient has its own part in; None is zero."""
    if isinstance(dx, tuple):
        return sum((i + 1) * projected(member) for i, member in enumerate(dx))
    return 0.0 if dx is None else float((dx * np.cos(np.arange(dx.size)).reshape(dx.shape)).sum())


class Sweeps:
    """All three sweeps and, where there is an extra, the fourth, each with gradients of its own."""

    def __init__(
        self, case: Case, ops: Ops, p: ParamSet, x: Any, gradients: Callable[[], ParamSet] | None = None
    ) -> None:
        layer, gradients = case.layer, gradients or p.like
        self.y, self.cache = layer.forward(ops, p, x, case.train)
        self.dy = random_like(self.y, case.seed + 1)
        self.g, self.second_g, self.last_g = (gradients() for _ in range(3))
        self.dx, self.tape = layer.backward(ops, p, self.cache, self.dy, self.g)
        self.ddy = self.extra = self.dx_extra = None
        self.ddp = case.ddp(ops.dtype)
        self.ddx = None if self.dx is None else self._like(self.dx, case.seed + 2)
        try:
            self.ddy, self.extra = layer.double_backward(ops, p, self.tape, self.ddx, self.second_g, self.ddp)
        except NoSecondOrderError:
            return
        if self.extra is not None:
            self.dx_extra, _ = layer.backward(ops, p, self.cache, None, self.last_g, extra=self.extra)

    @staticmethod
    def _like(dx: Any, seed: int) -> Any:
        """As `random_like`, but None stays None."""
        if isinstance(dx, tuple):
            return tuple(Sweeps._like(member, seed + i) for i, member in enumerate(dx))
        return None if dx is None else random_like(dx, seed)

    def results(self) -> list[Any]:
        gradients = [self.g, self.second_g, self.last_g]
        return [self.y, self.dx, self.ddy, self.dx_extra, *gradients]


def test_every_layer_is_drawn():
    """A new layer joins all tests of this file by a line in `minigan.testing`."""
    assert set(minigan.layers.__all__) - {"Layer"} == set(KINDS)


@every_kind
def test_inputs_parameters_notes_and_cotangents_are_never_modified(case: Case):
    """Each sweep against copies of everything that existed before it."""
    ops, p, x, layer = case.ops(), case.params(), case.x(), case.layer
    before = copies(p, x)
    y, cache = layer.forward(ops, p, x, case.train)
    assert_same_bits([p, x], before)
    dy = random_like(y, case.seed)
    before = copies(p, x, cache, y, dy)
    dx, tape = layer.backward(ops, p, cache, dy, p.like())
    assert_same_bits([p, x, cache, y, dy], before)
    ddx, ddp = Sweeps._like(dx, case.seed), case.ddp()
    before = copies(p, x, cache, y, dy, tape, ddx, ddp)
    try:
        _, extra = layer.double_backward(ops, p, tape, ddx, p.like(), ddp)
    except NoSecondOrderError:
        return
    assert_same_bits([p, x, cache, y, dy, tape, ddx, ddp], before)
    if extra is not None:
        before = copies(p, x, cache, extra)
        layer.backward(ops, p, cache, None, p.like(), extra=extra)
        assert_same_bits([p, x, cache, extra], before)


@every_kind
def test_cleared_gradients_are_those_of_zeros(case: Case):
    """Whatever a gradient held before it was cleared, no sweep adds to it, and none leaves it there."""
    ops, p = case.ops(), case.params()

    def cleared() -> ParamSet:
        g = p.like()
        for view in g.trainable().values():
            view.fill(np.nan)
        g.clear(ops)
        return g

    actual = Sweeps(case, ops, p, case.x(), cleared)
    expected = Sweeps(case, case.ops(), p, case.x())
    for g, wanted in zip(actual.results()[-3:], expected.results()[-3:], strict=True):
        assert_same_bits(list(g.trainable().values()), list(wanted.trainable().values()))


@every_kind
def test_backward_twice_accumulates_twice(case: Case):
    """The second-order sweeps too; and what g held before stays in it."""
    ops, p, layer = case.ops(), case.params(), case.layer
    sweeps = Sweeps(case, ops, p, case.x())
    layer.backward(ops, p, sweeps.cache, sweeps.dy, sweeps.g)
    once = Sweeps(case, case.ops(), p, case.x())
    np.testing.assert_allclose(sweeps.g.flat, 2 * once.g.flat, rtol=1e-12, atol=1e-12)
    has_second = case.layer.no_second_order() is None or (not case.train and not isinstance(case.layer, GRU))
    if has_second:
        layer.double_backward(ops, p, sweeps.tape, sweeps.ddx, sweeps.second_g, sweeps.ddp)
        np.testing.assert_allclose(sweeps.second_g.flat, 2 * once.second_g.flat, rtol=1e-12, atol=1e-12)


@every_kind
def test_frozen_parameters_change_no_other_result(case: Case):
    """g=None, as in G's update through D: same dx, same ddy, same extra, and nothing else to see."""
    ops, p, layer = case.ops(), case.params(), case.layer
    sweeps = Sweeps(case, ops, p, case.x())
    dx, tape = layer.backward(ops, p, sweeps.cache, sweeps.dy)
    assert_same_bits([dx, tape], [sweeps.dx, sweeps.tape])
    if sweeps.ddy is not None:
        ddy, extra = layer.double_backward(ops, p, tape, sweeps.ddx, None, sweeps.ddp)
        assert_same_bits([ddy, extra], [sweeps.ddy, sweeps.extra])
    if sweeps.extra is not None:
        dx_extra, _ = layer.backward(ops, p, sweeps.cache, None, extra=sweeps.extra)
        assert_same_bits(dx_extra, sweeps.dx_extra)


@every_kind
def test_the_second_order_along_input_and_parameters_is_that_along_each(case: Case):
    """A ddx or ddp of None is zero: <ddx, dx> and <ddp, dp> by themselves add up to both at once."""
    ops, p, layer = case.ops(), case.params(), case.layer
    sweeps = Sweeps(case, ops, p, case.x())
    if not arrays_in(sweeps.ddy):
        return
    g, owed = p.like(), 0.0
    for ddx, ddp in ((sweeps.ddx, None), (None, sweeps.ddp)):
        _, extra = layer.double_backward(ops, p, sweeps.tape, ddx, g, ddp)
        if extra is not None:
            owed += projected(layer.backward(ops, p, sweeps.cache, None, g, extra=extra)[0])
    together = sweeps.second_g.flat + sweeps.last_g.flat
    np.testing.assert_allclose(g.flat, together, rtol=1e-10, atol=1e-10 * (1 + abs(together).max(initial=0)))
    assert owed == pytest.approx(projected(sweeps.dx_extra), rel=1e-9, abs=1e-9)


@every_kind
def test_an_input_gradient_that_nobody_needs_changes_no_parameter_gradient(case: Case):
    ops, p, layer = case.ops(), case.params(), case.layer
    sweeps = Sweeps(case, ops, p, case.x())
    g, last_g = p.like(), p.like()
    unwanted, _ = layer.backward(ops, p, sweeps.cache, sweeps.dy, g, need_dx=False)
    assert all(dx is None for dx in (unwanted if isinstance(unwanted, tuple) else (unwanted,)))
    assert_same_bits(g, sweeps.g)
    if sweeps.extra is not None:
        layer.backward(ops, p, sweeps.cache, None, last_g, extra=sweeps.extra, need_dx=False)
        assert_same_bits(last_g, sweeps.last_g)


@every_kind
def test_three_runs_before_their_backwards_do_not_mix(case: Case):
    """D sees real, fake and mixed batches within one step: what a layer remembers on itself would be the last one."""
    ops, p, layer = case.ops(), case.params(), case.layer
    inputs = [random_inputs(case.in_shape, case.batch, case.seed + i) for i in range(3)]
    ops.begin_step(0)
    runs = [layer.forward(ops, p, x, case.train) for x in inputs]
    together = p.like()
    dxs = [layer.backward(ops, p, cache, random_like(y, i), together)[0] for i, (y, cache) in enumerate(runs)]
    apart = p.like()
    ops = case.ops()
    ops.begin_step(0)
    for i, x in enumerate(inputs):
        y, cache = layer.forward(ops, p, x, case.train)
        dx, _ = layer.backward(ops, p, cache, random_like(y, i), apart)
        assert_same_bits(dxs[i], dx)
    assert_same_bits(together, apart)


@every_kind
def test_a_frozen_poisoned_workspace_gives_the_same_step(case: Case):
    """Nothing reads memory that it has not written in this step, and a warm step needs no new memory."""
    ops, p, x = case.ops(), case.params(), case.x()
    ops.begin_step(0)
    expected = copies(*Sweeps(case, ops, p, x).results())
    ops.workspace.freeze()
    ops.workspace.poison()
    ops.begin_step(0)
    assert_same_bits(Sweeps(case, ops, p, x).results(), expected)


@every_kind
def test_single_precision_stays_single(case: Case):
    sweeps = Sweeps(case, case.ops(np.float32), case.params(np.float32), case.x(np.float32))
    assert {a.dtype for a in arrays_in(sweeps.results())} == {np.dtype(np.float32)}


@every_kind
def test_single_and_double_precision_agree(case: Case):
    """The float32 that trains computes what the float64 that was checked computes."""
    single, double = (Sweeps(case, case.ops(t), case.params(t), case.x(t)) for t in (np.float32, np.float64))
    for a, b in zip(arrays_in([single.y, single.dx]), arrays_in([double.y, double.dx]), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-3 * max(1, np.abs(b).max()))


@every_kind
def test_the_spec_knows_the_output(case: Case):
    """out_shape is that of y, and gradients have the shapes of what they belong to."""
    sweeps = Sweeps(case, case.ops(), case.params(), x := case.x())
    out_shape, _ = case.layer.spec(case.in_shape)
    packs = case.layer.group if isinstance(case.layer, minigan.layers.Pack) else 1
    declared = random_inputs(out_shape, case.batch // packs, 0)
    assert [a.shape for a in arrays_in(sweeps.y)] == [a.shape for a in arrays_in(declared)]
    floats = [a.shape for a in arrays_in(x) if np.issubdtype(a.dtype, np.floating)]
    assert [a.shape for a in arrays_in(sweeps.dx)] == floats
    if sweeps.ddy is not None:
        assert {a.shape for a in arrays_in(sweeps.ddy)} <= {a.shape for a in arrays_in(sweeps.dy)}


@every_kind
def test_samples_that_are_not_grouped_do_not_meet(case: Case):
    """group m: a batch gives what each m neighbours give by themselves; running statistics couple no samples."""
    layer, p, x = case.layer, case.params(), case.x()
    train = case.train and not is_random(layer)

    def forward(batch: Any) -> list[np.ndarray]:
        return copies(layer.forward(case.ops(), p, batch, train)[0])

    m = layer.group
    if m is None and not train and not isinstance(layer, minigan.layers.MinibatchStddev):
        m = 1

    def group(value: Any, i: int, m: int) -> Any:
        return tuple(group(v, i, m) for v in value) if isinstance(value, tuple) else value[i : i + m]

    if m is not None:
        alone = [forward(group(x, i, m)) for i in range(0, case.batch, m)]
        for whole, parts in zip(forward(x), zip(*alone, strict=True), strict=True):
            np.testing.assert_allclose(whole, np.concatenate(parts), rtol=1e-12, atol=1e-12)


def is_random(layer: Layer) -> bool:
    return type(layer).__name__ in RANDOM or any(map(is_random, layer.children().values()))


@every_kind
def test_a_layer_holds_nothing_but_hyper_parameters(case: Case):
    """Its attributes after all sweeps are those from before: no array, no note."""
    before = repr(vars(case.layer))
    Sweeps(case, case.ops(), case.params(), case.x())
    assert repr(vars(case.layer)) == before
    assert arrays_in(vars(case.layer)) == []
