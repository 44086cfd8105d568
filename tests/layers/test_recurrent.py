"""The GRU: its equations step by step, its conduct at both ends of time, and what it refuses."""

import numpy as np
import pytest

import kernels
from minigan.layer import NoSecondOrderError
from minigan.layers import GRU, Dense, Sequential
from minigan.testing import random_inputs, random_params


def sigmoid(a: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-a))


def test_the_states_are_those_of_the_equations() -> None:
    layer, x = GRU(2, 3), random_inputs((4, 2), 5, seed=0)
    p = random_params(layer, (4, 2), seed=1)
    y, _ = layer.forward(kernels.get_ops("numpy", dtype=np.float64), p, x)
    w, u, b = (np.split(p[name], 3, axis=-1) for name in ("W", "U", "b"))
    h = np.zeros((5, 3))
    for t in range(4):
        r = sigmoid(x[:, t] @ w[0] + h @ u[0] + b[0])
        z = sigmoid(x[:, t] @ w[1] + h @ u[1] + b[1])
        n = np.tanh(x[:, t] @ w[2] + r * (h @ u[2]) + b[2])
        h = (1 - z) * n + z * h
        np.testing.assert_allclose(y[:, t], h, rtol=1e-12, atol=1e-14)


def test_the_last_state_is_the_last_of_all_states() -> None:
    x = random_inputs((4, 2), 5, seed=0)
    p, ops = random_params(GRU(2, 3), (4, 2), seed=1), kernels.get_ops("numpy", dtype=np.float64)
    every, _ = GRU(2, 3).forward(ops, p, x)
    last, _ = GRU(2, 3, last=True).forward(ops, p, x)
    np.testing.assert_array_equal(last, every[:, -1])


def test_the_past_does_not_see_the_future() -> None:
    layer, x = GRU(2, 3), random_inputs((6, 2), 2, seed=0)
    p, ops = random_params(layer, (6, 2), seed=1), kernels.get_ops("numpy", dtype=np.float64)
    before, _ = layer.forward(ops, p, x)
    changed = x.copy()
    changed[:, 3] += 1
    after, _ = layer.forward(ops, p, changed)
    np.testing.assert_array_equal(after[:, :3], before[:, :3])
    assert (after[:, 3:] != before[:, 3:]).all()


def test_shapes_flops_and_what_does_not_fit() -> None:
    assert GRU(2, 3).spec((7, 2))[0] == (7, 3)
    assert GRU(2, 3, last=True).spec((7, 2))[0] == (3,)
    assert GRU(2, 3).flops((7, 2)) == 2 * 7 * (2 * 9 + 3 * 9)
    for wrong in ((7, 3), (2,), ((7, 2), ())):
        with pytest.raises(ValueError, match=r"^GRU: expected a sequence \(T, 2\), got"):
            GRU(2, 3).spec(wrong)
    with pytest.raises(ValueError, match=r"^GRU: hidden must be a whole number of at least 1, got 0$"):
        GRU(2, 0)


def test_a_second_order_is_refused_with_the_reason() -> None:
    net = Sequential(GRU(2, 3, last=True), Dense(3, 1))
    reason = net.no_second_order()
    assert reason is not None
    assert reason.startswith("gru1: GRU: a second backward pass through time is not written")
    with pytest.raises(NoSecondOrderError, match="GRU: a second backward pass through time is not written"):
        GRU(2, 3).double_backward(kernels.get_ops("numpy"), {}, None, None)
