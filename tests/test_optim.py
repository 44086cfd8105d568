"""Optimizers by hand-computed steps, schedules, clipping, averaging, and what happens to a bad gradient."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import kernels
from kernels import Ops
from minigan.layers import BatchNorm, Dense, Sequential
from minigan.optim import SCHEDULES, SGD, Adam, MovingAverage, Optimizer, RMSprop, clip_weights
from minigan.params import ParamSet

BUILD: dict[str, Callable[[ParamSet], Optimizer]] = {
    "sgd": lambda p: SGD(p, 0.1),
    "momentum": lambda p: SGD(p, 0.1, momentum=0.9, weight_decay=0.01),
    "nesterov": lambda p: SGD(p, 0.1, momentum=0.9, nesterov=True),
    "rmsprop": lambda p: RMSprop(p, 0.1),
    "adam": lambda p: Adam(p, 0.1),
    "amsgrad": lambda p: Adam(p, 0.1, amsgrad=True, weight_decay=0.01),
}


@pytest.fixture
def ops() -> Ops:
    return kernels.get_ops("numpy", dtype=np.float64)


def vector(*values: float) -> ParamSet:
    """A set of one parameter "dense1/W" (1, n) with the given values."""
    p = Sequential(Dense(1, len(values), bias=False)).init(0, (1,), np.float64)
    p["dense1"]["W"][:] = values
    return p


def values(p: ParamSet) -> list[float]:
    return p["dense1"]["W"].ravel().tolist()


def network(seed: int = 0) -> ParamSet:
    """Parameters with pads between them, and state."""
    return Sequential(Dense(3, 5), BatchNorm(5), Dense(5, 1)).init(seed, (3,), np.float64)


def everything(optimizer: Optimizer, p: ParamSet) -> list[np.ndarray]:
    return [p.flat.copy(), *(moment.flat.copy() for moment in optimizer.moments.values())]


class TestByHand:
    """Two steps each, short enough to follow on paper."""

    def run(
        self, ops: Ops, build: Callable[[ParamSet], Optimizer], start: float, gradients: list[float]
    ) -> list[float]:
        p = vector(start)
        optimizer = build(p)
        path = []
        for g in gradients:
            optimizer.step(ops, p, vector(g))
            path += values(p)
        return path

    def test_sgd(self, ops: Ops):
        assert self.run(ops, lambda p: SGD(p, 0.5), 1.0, [2.0, -1.0]) == [0.0, 0.5]

    def test_momentum(self, ops: Ops):
        """v = 2, then 0.5*2 + 2 = 3."""
        assert self.run(ops, lambda p: SGD(p, 0.5, momentum=0.5), 10.0, [2.0, 2.0]) == [9.0, 7.5]

    def test_nesterov(self, ops: Ops):
        """Steps 2 + 0.5*2 = 3, then 2 + 0.5*3 = 3.5."""
        assert self.run(ops, lambda p: SGD(p, 0.5, momentum=0.5, nesterov=True), 10.0, [2.0, 2.0]) == [8.5, 6.75]

    def test_rmsprop(self, ops: Ops):
        """v = 0.75*16 = 12, then 0.25*12 + 0.75*16 = 15; eps stands outside the root."""
        path = self.run(ops, lambda p: RMSprop(p, 1.0, decay=0.25, eps=1.0), 10.0, [4.0, 4.0])
        first = 10 - 4 / (12**0.5 + 1)
        np.testing.assert_allclose(path, [first, first - 4 / (15**0.5 + 1)], rtol=1e-15)

    def test_adam(self, ops: Ops):
        """m = 1, 2.5 over 1/2, 3/4 gives 2, 10/3; v = 3, 12.75 over 3/4, 15/16 gives 4, 13.6."""
        path = self.run(ops, lambda p: Adam(p, 1.0, 0.5, 0.25, eps=1.0), 10.0, [2.0, 4.0])
        first = 10 - 2 / (2 + 1)
        np.testing.assert_allclose(path, [first, first - 10 / 3 / (13.6**0.5 + 1)], rtol=1e-15)

    def test_amsgrad(self, ops: Ops):
        """As Adam, but the second step divides by the larger v of the first: v = 12, then 3 (beta2 = 1/4, g = 4, 0)."""
        path = self.run(ops, lambda p: Adam(p, 1.0, 0.5, 0.25, eps=1.0, amsgrad=True), 10.0, [4.0, 0.0])
        first = 10 - 4 / (16**0.5 + 1)
        second = (1 / 0.75) / ((12 / (15 / 16)) ** 0.5 + 1)
        np.testing.assert_allclose(path, [first, first - second], rtol=1e-15)

    @pytest.mark.parametrize("build", [SGD, RMSprop, Adam])
    def test_weight_decay_is_decoupled(self, ops: Ops, build: type[Optimizer]):
        """A zero gradient shrinks by lr*weight_decay alone: no moment feels it."""
        p = vector(2.0)
        optimizer = build(p, lr=0.5, weight_decay=0.1)  # type: ignore[call-arg]
        optimizer.step(ops, p, vector(0.0))
        assert values(p) == [2 * (1 - 0.5 * 0.1)]
        assert not any(moment.flat.any() for moment in optimizer.moments.values())


@given(g=st.floats(1e-3, 1e3), sign=st.sampled_from((-1, 1)))
def test_adams_first_step_has_the_length_of_the_learning_rate(g: float, sign: int):
    """Whatever the gradient and the betas: that is what the bias correction is for."""
    for beta1, beta2 in ((0.5, 0.999), (0.0, 0.9), (0.9, 0.99)):
        p = vector(0.0)
        Adam(p, 0.01, beta1, beta2).step(kernels.get_ops("numpy", dtype=np.float64), p, vector(sign * g))
        np.testing.assert_allclose(values(p), [-sign * 0.01], rtol=2e-5)


@pytest.mark.parametrize("build", BUILD.values(), ids=BUILD)
def test_steps_go_downhill(ops: Ops, build: Callable[[ParamSet], Optimizer]):
    """p^2/2, whose gradient is p."""
    p = vector(3.0, -2.0)
    optimizer = build(p)
    for _ in range(300):
        optimizer.step(ops, p, p)
    assert np.abs(p.flat).max() < 0.2


@pytest.mark.parametrize("build", BUILD.values(), ids=BUILD)
def test_the_learning_rate_can_be_given_with_each_step(ops: Ops, build: Callable[[ParamSet], Optimizer]):
    """As a schedule does; and lr=0 is a rate too, not "none given"."""
    given_now, built_in = vector(3.0), vector(3.0)
    one, other = build(given_now), build(built_in)
    other.lr = 0.25
    one.step(ops, given_now, vector(1.0), lr=0.25)
    other.step(ops, built_in, vector(1.0))
    assert values(given_now) == values(built_in) != [3.0]
    one.step(ops, given_now, vector(1.0), lr=0.0)
    assert values(given_now) == values(built_in)


@pytest.mark.parametrize("build", BUILD.values(), ids=BUILD)
def test_pads_stay_zero_and_state_is_not_touched(ops: Ops, build: Callable[[ParamSet], Optimizer]):
    p = network()
    optimizer, state = build(p), p.state.copy()
    for seed in range(3):
        optimizer.step(ops, p, gradient(p, seed))
    for flat in (p.flat, *(moment.flat for moment in optimizer.moments.values())):
        assert not flat[pads(p)].any()
    np.testing.assert_array_equal(p.state, state)


def gradient(p: ParamSet, seed: int) -> ParamSet:
    g, rng = p.like(), np.random.default_rng(seed)
    for view in g.trainable().values():
        view[...] = rng.standard_normal(view.shape)
    return g


def pads(p: ParamSet) -> np.ndarray:
    """Which elements of the flat buffer belong to no parameter."""
    marked = p.like()
    for view in marked.trainable().values():
        view.fill(1)
    assert 0 < (marked.flat == 0).sum() < marked.flat.size
    return marked.flat == 0


class TestGuard:
    """A gradient with a NaN or infinity anywhere changes nothing, and is counted."""

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    @pytest.mark.parametrize("build", BUILD.values(), ids=BUILD)
    def test_nothing_moves(self, ops: Ops, build: Callable[[ParamSet], Optimizer], bad: float):
        p = network()
        optimizer = build(p)
        optimizer.step(ops, p, gradient(p, 0))
        before = everything(optimizer, p)
        g = gradient(p, 1)
        g["dense2"]["W"][3, 0] = bad
        optimizer.step(ops, p, g)
        for now, then in zip(everything(optimizer, p), before, strict=True):
            np.testing.assert_array_equal(now, then)
        assert (optimizer.skipped.shape, optimizer.skipped.item()) == ((), 1)

    @pytest.mark.parametrize("backend", ["numpy", "numba"])
    @pytest.mark.parametrize("build", BUILD.values(), ids=BUILD)
    def test_nor_does_a_gradient_whose_square_overflows(self, build: Callable[[ParamSet], Optimizer], backend: str):
        """Else the second moment is infinite from then on, and no later update moves the weights."""
        fast = kernels.get_ops(backend)
        p = Sequential(Dense(3, 5)).init(0, (3,), np.float32)
        g = p.like()
        optimizer = build(p)
        for value, skipped in ((1.0, 0), (1e21, 1), (-1e25, 2), (np.nan, 3), (1e15, 3), (1.0, 3)):
            before = everything(optimizer, p)
            g.flat[:] = 0.5
            g["dense1"]["W"][1, 2] = value
            optimizer.step(fast, p, g)
            assert optimizer.skipped == skipped
            stands = np.array_equal(everything(optimizer, p)[0], before[0])
            assert stands == (skipped > 0 and abs(value) != 1e15 and value != 1.0)
        assert all(np.isfinite(buffer).all() for buffer in everything(optimizer, p))

    def test_infinities_of_both_signs_do_not_cancel(self, ops: Ops):
        p = vector(1.0, 1.0)
        optimizer = SGD(p)
        optimizer.step(ops, p, vector(np.inf, -np.inf))
        assert (values(p), optimizer.skipped.item()) == ([1.0, 1.0], 1)

    def test_good_steps_are_not_counted(self, ops: Ops):
        p = network()
        optimizer = Adam(p)
        optimizer.step(ops, p, gradient(p, 0))
        assert optimizer.skipped == 0

    def test_training_goes_on_afterwards(self, ops: Ops):
        p = vector(1.0, 1.0)
        optimizer = SGD(p, 0.5)
        for g in (vector(1.0, np.nan), vector(1.0, 1.0), vector(np.inf, 0.0)):
            optimizer.step(ops, p, g)
        assert (values(p), optimizer.skipped.item()) == ([0.5, 0.5], 2)


class TestClipNorm:
    """Scaling a gradient to a norm, across all parameters at once."""

    def test_the_direction_stays_and_pads_do_not_count(self, ops: Ops):
        g = vector(3.0, -4.0)
        assert ops.clip_norm(g.flat, 1.0) == 5
        np.testing.assert_allclose(values(g), [0.6, -0.8], rtol=1e-15)

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    def test_what_is_not_finite_is_left_for_the_guard(self, ops: Ops, bad: float):
        g = vector(3.0, bad)
        ops.clip_norm(g.flat, 1.0)
        p = vector(1.0, 1.0)
        SGD(p, 0.5).step(ops, p, g)
        assert values(p) == [1.0, 1.0]

    @pytest.mark.parametrize("build", BUILD.values(), ids=BUILD)
    def test_an_update_whose_gradient_has_an_infinite_norm_is_left_out_and_counted(
        self, build: Callable[[ParamSet], Optimizer]
    ):
        """Of finite entries, which float32 holds and their norm not; where it holds the norm, it is clipped."""
        single = kernels.get_ops("numpy")
        p = Sequential(Dense(30, 30)).init(0, (30,), np.float32)
        g, optimizer = p.like(), build(p)
        for value, skipped in ((3e38, 1), (1e37, 1)):
            before = everything(optimizer, p)
            g.flat[:] = value
            single.clip_norm(g.flat, 1.0)
            optimizer.step(single, p, g)
            assert optimizer.skipped == skipped
            moved = [not np.array_equal(now, then) for now, then in zip(everything(optimizer, p), before, strict=True)]
            assert moved == [value == 1e37] * len(moved)


class TestSchedules:
    @pytest.mark.parametrize(
        ("name", "start", "quarter", "middle", "end"),
        [("constant", 1, 1, 1, 1), ("linear", 1, 0.75, 0.5, 0), ("cosine", 1, (2 + 2**0.5) / 4, 0.5, 0)],
    )
    def test_from_start_to_end(self, name: str, start: float, quarter: float, middle: float, end: float):
        factors = [SCHEDULES[name](step, 400) for step in (0, 100, 200, 400)]
        np.testing.assert_allclose(factors, [start, quarter, middle, end], atol=1e-15)

    @pytest.mark.parametrize("name", SCHEDULES)
    @given(steps=st.integers(1, 10_000), data=st.data())
    def test_never_rises_and_never_leaves_0_to_1(self, name: str, steps: int, data: st.DataObject):
        """Also beyond the end, where a resumed run may go."""
        step = data.draw(st.integers(0, 2 * steps))
        now, later = SCHEDULES[name](step, steps), SCHEDULES[name](step + 1, steps)
        assert 0 <= later <= now <= 1


def test_clip_weights_clips_biases_and_gains_but_not_state(ops: Ops):
    p = network()
    p["dense1"]["b"][:] = 5
    p["batchnorm1"]["mean"][:] = 5
    clip_weights(ops, p, 0.01)
    assert np.abs(p.flat).max() == 0.01
    assert (p["batchnorm1"]["gamma"] == 0.01).all()
    assert (p["batchnorm1"]["mean"] == 5).all()
    assert (p["batchnorm1"]["var"] == 1).all()


class TestMovingAverage:
    def test_starts_as_a_copy_and_follows(self, ops: Ops):
        p = vector(4.0)
        average = MovingAverage(p, 0.75)
        assert values(average.params) == [4.0]
        p["dense1"]["W"][:] = 8.0
        average.update(ops, p)
        assert values(average.params) == [5.0]
        assert values(p) == [8.0]

    def test_state_is_copied_not_averaged(self, ops: Ops):
        p = network()
        average = MovingAverage(p, 0.75)
        p["batchnorm1"]["mean"][:] = 8.0
        average.update(ops, p)
        assert (average.params["batchnorm1"]["mean"] == 8).all()
        p["batchnorm1"]["mean"][:] = 9.0
        assert (average.params["batchnorm1"]["mean"] == 8).all(), "a copy, not a view"

    def test_decay_0_is_the_weights_themselves(self, ops: Ops):
        p = vector(4.0)
        average = MovingAverage(p, 0.0)
        p["dense1"]["W"][:] = 8.0
        average.update(ops, p)
        assert values(average.params) == [8.0]

    @pytest.mark.parametrize("decay", [-0.1, 1.0, float("nan")])
    def test_range(self, decay: float):
        with pytest.raises(ValueError, match=rf"moving average: decay must lie in \[0, 1\), got {decay}"):
            MovingAverage(vector(1.0), decay)


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        (SGD, {"lr": 0}, "the learning rate must be above 0, got 0"),
        (Adam, {"lr": -1e-3}, "the learning rate must be above 0, got -0.001"),
        (RMSprop, {"lr": float("nan")}, "the learning rate must be above 0, got nan"),
        (Adam, {"weight_decay": -0.1}, "weight decay must be at least 0, got -0.1"),
        (SGD, {"momentum": 1.0}, r"SGD: momentum must lie in \[0, 1\), got 1.0"),
        (SGD, {"nesterov": True}, "SGD: Nesterov's look-ahead needs a momentum above 0"),
        (RMSprop, {"decay": 1.0}, r"RMSprop: decay must lie in \[0, 1\), got 1.0"),
        (Adam, {"beta1": 1.0}, r"Adam: beta1 must lie in \[0, 1\), got 1.0"),
        (Adam, {"beta2": -0.5}, r"Adam: beta2 must lie in \[0, 1\), got -0.5"),
    ],
)
def test_arguments(kind: type[Optimizer], arguments: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        kind(vector(1.0), **arguments)


def test_state_is_made_of_parameter_sets_for_the_checkpoint():
    """Named like the parameters, so that a file of them can be read without this program."""
    p = network()
    moments = Adam(p, amsgrad=True).moments
    assert list(moments) == ["m", "v", "v_max"]
    assert all(list(moment.named) == list(p.named) for moment in moments.values())
    assert list(SGD(p, 0.1, momentum=0.5).moments) == ["velocity"]
    assert SGD(p, 0.1).moments == {}


@pytest.mark.parametrize("make", [lambda p: Adam(p, eps=0.0), lambda p: RMSprop(p, eps=-1e-8)])
def test_eps_must_be_positive(make):
    with pytest.raises(ValueError, match="eps must be above 0"):
        make(Dense(2, 1).init(0, (2,)))


def test_a_clip_limit_must_be_positive():
    with pytest.raises(ValueError, match="limit must be above 0"):
        clip_weights(kernels.get_ops(), Dense(2, 1).init(0, (2,)), -0.1)
