"""BatchNorm's state and modes, and what sets LayerNorm apart."""

import numpy as np
import pytest
from hypothesis import given

import kernels
from kernels import Ops
from minigan.layer import NoSecondOrderError
from minigan.layers import BatchNorm, Dense, Flatten, LayerNorm, Residual, Sequential
from minigan.params import ParamSet
from minigan.testing import batches, image_shapes, random_params, seeds


@given(shape=image_shapes(), n=batches(), seed=seeds())
def test_running_statistics_follow_the_batches(shape: tuple[int, ...], n: int, seed: int):
    """Over three updates: mean += momentum (batch mean - mean), and var with the unbiased batch variance."""
    layer, ops = BatchNorm(shape[-1], momentum=0.25), kernels.get_ops("numpy", dtype=np.float64)
    p = random_params(layer, shape, seed)
    mean, var = np.zeros(shape[-1]), np.ones(shape[-1])
    for x in 3 + 2 * np.random.default_rng(seed).standard_normal((3, n, *shape)):
        layer.update_state(ops, p, layer.forward(ops, p, x)[1])
        rows = x.reshape(-1, shape[-1])
        mean = 0.75 * mean + 0.25 * rows.mean(0)
        var = 0.75 * var + 0.25 * rows.var(0, ddof=1)
        np.testing.assert_allclose(p["mean"], mean, rtol=1e-12)
        np.testing.assert_allclose(p["var"], var, rtol=1e-12)


def batch_norm_at_work(ops: Ops, train: bool) -> tuple[BatchNorm, ParamSet, np.ndarray, object]:
    """(layer, p, y, cache) after one forward pass of a batch far from the running statistics."""
    layer = BatchNorm(2, eps=1e-3)
    p = random_params(layer, (3, 2), seed=0)
    y, cache = layer.forward(ops, p, 5 + np.random.default_rng(0).standard_normal((4, 3, 2)), train)
    return layer, p, y, cache


def test_forward_writes_no_state_and_update_state_nothing_else(ops: Ops):
    """So D may run on three batches in a step, and the update chooses the one that counts."""
    layer, p, _, cache = batch_norm_at_work(ops, train=True)
    before = p.copy()
    layer.forward(ops, p, np.ones((4, 3, 2)))
    np.testing.assert_array_equal(p.state, before.state)
    layer.update_state(ops, p, cache)
    np.testing.assert_array_equal(p.flat, before.flat)
    assert not np.array_equal(p.state, before.state)


def test_an_eval_pass_teaches_the_statistics_nothing(ops: Ops):
    layer, p, _, cache = batch_norm_at_work(ops, train=False)
    before = p.copy()
    layer.update_state(ops, p, cache)
    np.testing.assert_array_equal(p.state, before.state)


def test_momentum_1_keeps_the_last_batch_alone(ops: Ops):
    """And eval mode then repeats what train mode did, but for the unbiased variance."""
    layer, x = BatchNorm(2, momentum=1.0), np.random.default_rng(0).standard_normal((50, 3, 2))
    p = random_params(layer, (3, 2), seed=0)
    y, cache = layer.forward(ops, p, x)
    layer.update_state(ops, p, cache)
    p["var"][:] *= (150 - 1) / 150
    np.testing.assert_allclose(layer.forward(ops, p, x, train=False)[0], y, rtol=1e-12)


def test_a_batch_of_one_row_does_not_divide_by_zero(ops: Ops):
    layer = BatchNorm(2)
    p = layer.init(0, (2,), np.float64)
    layer.update_state(ops, p, layer.forward(ops, p, np.ones((1, 2)))[1])
    assert np.isfinite(p.state).all()


def test_no_extra_where_nothing_bends_and_no_weight_moves(ops: Ops):
    """As of a Dense without activation: the sweep back is then that of a layer on its own."""
    layer, p, y, cache = batch_norm_at_work(ops, train=False)
    _, tape = layer.backward(ops, p, cache, np.ones_like(y))
    _, extra = layer.double_backward(ops, p, tape, np.ones_like(y))
    assert extra is None


def test_composites_update_all_their_children(ops: Ops):
    net = Sequential(Dense(2, 2), Residual(Sequential(BatchNorm(2), Dense(2, 2)), BatchNorm(2)), BatchNorm(2))
    p = random_params(net, (2,), seed=0)
    before = {path: view.copy() for path, view in p.named.items()}
    net.update_state(ops, p, net.forward(ops, p, np.random.default_rng(0).standard_normal((5, 2)))[1])
    changed = {path for path, view in p.named.items() if not np.array_equal(view, before[path])}
    norms = ("residual1/branch/batchnorm1", "residual1/skip", "batchnorm1")
    assert changed == {f"{norm}/{name}" for norm in norms for name in ("mean", "var")}


def test_train_mode_normalises_and_eval_mode_does_not(ops: Ops):
    _, p, y, _ = batch_norm_at_work(ops, train=True)
    np.testing.assert_allclose(y.mean((0, 1)), p["beta"], atol=1e-12)
    _, p, y, _ = batch_norm_at_work(ops, train=False)
    assert np.abs(y.mean((0, 1)) - p["beta"]).min() > 1


def test_a_penalty_through_batch_statistics_is_refused_with_the_reason(ops: Ops):
    """Also from deep inside a network, and before anything was computed wrongly."""
    net = Sequential(Flatten(), Sequential(BatchNorm(3)))
    p = random_params(net, (3,), seed=0)
    y, cache = net.forward(ops, p, np.random.default_rng(0).standard_normal((4, 3)))
    dx, tape = net.backward(ops, p, cache, np.ones_like(y))
    with pytest.raises(NoSecondOrderError, match=r"couples the samples of a batch.*use LayerNorm.*or eval mode"):
        net.double_backward(ops, p, tape, dx)


def test_coupling():
    """None, all samples, wins in every composite."""
    assert BatchNorm(3).group is None
    assert LayerNorm(3).group == 1
    assert Sequential(Dense(3, 3), Residual(BatchNorm(3))).group is None


@given(shape=image_shapes(), n=batches(), seed=seeds())
def test_layer_norm_is_the_same_in_train_and_eval_mode(shape: tuple[int, ...], n: int, seed: int):
    layer, ops = LayerNorm(shape[-1]), kernels.get_ops("numpy", dtype=np.float64)
    p, x = random_params(layer, shape, seed), np.random.default_rng(seed).standard_normal((n, *shape))
    train, evaluate = (layer.forward(ops, p, x, mode)[0] for mode in (True, False))
    np.testing.assert_array_equal(train, evaluate)
    assert p.state.size == 0


@pytest.mark.parametrize("arguments", [{"eps": 0.0}, {"eps": -1.0}, {"eps": float("nan")}])
@pytest.mark.parametrize("norm", [BatchNorm, LayerNorm])
def test_eps_must_be_positive(norm: type, arguments: dict[str, float]):
    with pytest.raises(ValueError, match=f"{norm.__name__}: eps must be above 0, got {arguments['eps']}"):
        norm(3, **arguments)


@pytest.mark.parametrize("momentum", [0.0, 1.1, -0.1])
def test_momentum_must_be_a_weight(momentum: float):
    with pytest.raises(ValueError, match=rf"BatchNorm: momentum must lie in \(0, 1\], got {momentum}"):
        BatchNorm(3, momentum=momentum)
