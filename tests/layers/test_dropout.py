"""Dropout: random, scaled, and replayable."""

import numpy as np

from kernels import Ops
from minigan.layers import Dropout
from minigan.params import Views

X = np.arange(1.0, 20_001).reshape(100, 200)


def test_a_mask_of_zeros_and_one_over_what_is_kept(ops: Ops):
    y, _ = Dropout(0.25).forward(ops, Views(), X)
    assert set(np.unique(y / X).round(12)) == {0, round(1 / 0.75, 12)}
    assert abs((y == 0).mean() - 0.25) < 4 * np.sqrt(0.25 * 0.75 / X.size)


def test_the_gradient_goes_where_the_value_went(ops: Ops):
    layer = Dropout(0.25)
    y, cache = layer.forward(ops, Views(), X)
    dx, tape = layer.backward(ops, Views(), cache, X)
    ddy, extra = layer.double_backward(ops, Views(), tape, X)
    np.testing.assert_array_equal(dx, y)
    np.testing.assert_array_equal(ddy, y)
    assert extra is None


def test_eval_mode_is_the_identity_in_every_sweep(ops: Ops):
    layer = Dropout(0.25)
    y, cache = layer.forward(ops, Views(), X, train=False)
    dx, tape = layer.backward(ops, Views(), cache, X)
    assert y is dx is layer.double_backward(ops, Views(), tape, X)[0] is X
    assert not ops.calls, "no random number was drawn"


def test_each_call_has_a_mask_of_its_own_and_each_step_can_be_replayed(ops: Ops):
    def step(number: int) -> list[np.ndarray]:
        ops.begin_step(number)
        return [Dropout(0.5).forward(ops, Views(), X)[0].copy() for _ in range(2)]

    first, second = step(1)
    assert not np.array_equal(first, second)
    assert not np.array_equal(step(2)[0], first)
    np.testing.assert_array_equal(step(1), [first, second])
