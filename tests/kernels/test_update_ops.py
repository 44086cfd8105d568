"""Moving averages, norm clipping, and the guard that keeps a bad gradient out. Optimizer steps: see test_optim."""

import numpy as np
import pytest
from on_host import seen_from_host

import kernels
from kernels import Ops


def test_moving_average(ops: Ops):
    average, x = np.array([1, 2], ops.dtype), np.array([5, -2], ops.dtype)
    ops.moving_average(average, x, 0.75)
    assert average.tolist() == [2, 1]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_moving_average_leaves_out_what_is_not_finite(ops: Ops, bad: float):
    average, x = np.array([1, 2], ops.dtype), np.array([5, bad], ops.dtype)
    ops.moving_average(average, x, 0.75)
    assert average.tolist() == [2, 2]


def test_clip_norm_shortens_and_returns_the_norm_before(ops: Ops):
    g = np.array([3, 4, 0], ops.dtype)
    norm = ops.clip_norm(g, 2.5)
    assert (norm.shape, norm.item()) == ((), 5)
    np.testing.assert_allclose(g, [1.5, 2, 0], rtol=1e-6)


@pytest.mark.parametrize("limit", [5.0, 6.0])
def test_clip_norm_leaves_a_short_gradient_alone_bit_for_bit(ops: Ops, limit: float):
    g = np.array([3, 4, 0], ops.dtype)
    ops.clip_norm(g, limit)
    assert g.tolist() == [3, 4, 0]


def test_clip_norm_of_zero(ops: Ops):
    g = np.zeros(3, ops.dtype)
    assert ops.clip_norm(g, 1.0) == 0
    assert g.tolist() == [0, 0, 0]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("optimizer", ["sgd", "rmsprop", "adam"])
def test_a_guard_that_is_not_finite_stops_everything(ops: Ops, optimizer: str, bad: float):
    """Parameters and moments both stay as they were, bit for bit."""
    p, g, m, v, v_max = np.arange(1, 16, dtype=ops.dtype).reshape(5, 3)
    before = [a.copy() for a in (p, m, v, v_max)]
    common = {"lr": 0.1, "weight_decay": 0.1}

    def step(guard: float) -> None:
        stop = np.array(guard, ops.dtype)
        if optimizer == "sgd":
            ops.sgd(p, g, m, stop, momentum=0.5, nesterov=False, **common)
        elif optimizer == "rmsprop":
            ops.rmsprop(p, g, v, stop, decay=0.5, eps=0.1, **common)
        else:
            ops.adam(p, g, m, v, v_max, stop, beta1=0.5, beta2=0.5, eps=0.1, step=1, **common)

    step(bad)
    for after, kept in zip((p, m, v, v_max), before, strict=True):
        np.testing.assert_array_equal(after, kept)
    step(0.0)
    assert not np.array_equal(p, before[0]), "with a finite guard the same call does something"


LONG = 40_009
"""Elements: several blocks of whatever size a backend works in, and a rest."""


@pytest.mark.parametrize("operation", ["sgd", "rmsprop", "adam", "moving_average"])
def test_a_long_buffer_is_updated_like_its_pieces(ops: Ops, operation: str):
    """Every element follows the same formula, wherever blocks begin and end."""
    rng = np.random.default_rng(0)
    whole = rng.uniform(0.5, 2, (5, LONG)).astype(ops.dtype)
    pieces = whole.copy()
    guard, common = np.ones((), ops.dtype), {"lr": 0.1, "weight_decay": 0.1}

    def update(p: np.ndarray, g: np.ndarray, m: np.ndarray, v: np.ndarray, v_max: np.ndarray) -> None:
        if operation == "sgd":
            ops.sgd(p, g, m, guard, momentum=0.5, nesterov=True, **common)
        elif operation == "rmsprop":
            ops.rmsprop(p, g, v, guard, decay=0.5, eps=0.1, **common)
        elif operation == "adam":
            ops.adam(p, g, m, v, v_max, guard, beta1=0.5, beta2=0.25, eps=0.1, step=2, **common)
        else:
            ops.moving_average(p, g, 0.75)

    update(*whole)
    for start in range(0, LONG, 1003):
        update(*pieces[:, start : start + 1003])
    np.testing.assert_allclose(whole, pieces, rtol=4 * np.finfo(ops.dtype).eps)
    assert not np.array_equal(whole[0, -3:], whole[1, -3:])


def test_clip_norm_of_a_long_gradient(ops: Ops):
    g = np.random.default_rng(0).standard_normal(LONG).astype(ops.dtype)
    exact = np.sqrt(np.square(g, dtype=np.float64).sum())
    expected = g * (0.5 / exact)
    np.testing.assert_allclose(ops.clip_norm(g, 0.5), exact, rtol=4 * np.finfo(ops.dtype).eps)
    np.testing.assert_allclose(g, expected, rtol=4 * np.finfo(ops.dtype).eps)


@pytest.mark.parametrize("state", ["v", "v_max"])
def test_amsgrads_maximum_hides_no_nan(ops: Ops, state: str):
    p, g, m, v, v_max = np.ones((5, 3), ops.dtype)
    {"v": v, "v_max": v_max}[state][1] = np.nan
    guard = np.ones((), ops.dtype)
    ops.adam(p, g, m, v, v_max, guard, lr=0.1, beta1=0.5, beta2=0.5, eps=0.1, weight_decay=0.0, step=1)
    for a in (p, v_max):
        assert np.isnan(a).tolist() == [False, True, False]


def test_clip_norm_of_entries_whose_squares_overflow(backend: str):
    ops = seen_from_host(kernels.get_ops(backend, dtype=np.float32))
    g = np.full(4, 1e20, np.float32)
    assert ops.clip_norm(g, 1.0) == pytest.approx(2e20, rel=1e-6)
    np.testing.assert_allclose(g, 0.5, rtol=1e-6)


def test_clip_norm_leaves_a_norm_that_overflows_to_the_guard(ops: Ops):
    """Each entry is finite. Scaled by limit/inf they would be zeros, and the update of zeros would count as made."""
    largest = np.finfo(ops.dtype).max
    g = np.full(LONG, largest, ops.dtype)
    assert ops.clip_norm(g, 1.0) == np.inf
    assert (g == largest).all()
