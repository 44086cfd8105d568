"""Spectral normalisation: singular values by NumPy, gradients by differences, and whole D steps with it."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

import kernels
from kernels import Ops, Use
from minigan import TrainConfig, Trainer
from minigan.gradcheck import Evaluation, check_update
from minigan.layer import Layer, Sequential
from minigan.layers import GRU, Conv2d, ConvTranspose2d, Dense, Flatten, LayerNorm, ReLU, Reshape
from minigan.losses import get_loss
from minigan.params import ParamSet
from minigan.penalties import get_penalty
from minigan.spectral_norm import SpectralNorm
from minigan.testing import seeds
from minigan.training.updates import Gan, d_grad, g_grad

IMAGE = (6, 5, 2)


def critic() -> Layer:
    return Sequential(
        Conv2d(2, 3, 3, 2, activation="tanh"),
        ConvTranspose2d(3, 4, 2, 2, activation="softplus"),
        LayerNorm(4),
        Flatten(),
        Dense(144, 1),
    )


def setting(seed: int = 0, dtype: Any = np.float64) -> tuple[Ops, Layer, ParamSet, SpectralNorm]:
    net = critic()
    p = net.init(seed, IMAGE, dtype)
    for view in p.trainable().values():
        view += (0.3 * np.random.default_rng(seed).standard_normal(view.shape)).astype(dtype)
    ops = kernels.get_ops("numpy", dtype=dtype)
    return ops, net, p, SpectralNorm(ops, p, seed)


def singular_value(w: np.ndarray) -> float:
    return float(np.linalg.norm(w.reshape(-1, w.shape[-1]), 2))


def test_the_largest_singular_value_becomes_one():
    """The estimate is never above it, and reaches it; what is no weight is copied."""
    ops, _, p, sn = setting()
    last = 0.0
    for _ in range(300):
        effective = sn.prepare(ops, p)
        norm = singular_value(effective["conv2d1"]["W"])
        assert norm >= 1 - 1e-9
        last = norm
    assert last == pytest.approx(1, abs=1e-6)
    for path, view in p.named.items():
        scale = singular_value(view) if path.endswith("/W") else 1.0
        np.testing.assert_allclose(effective.named[path], view / scale, rtol=1e-4)


def test_without_iterating_the_vectors_stay():
    ops, _, p, sn = setting()
    sn.prepare(ops, p)
    before = {name: a.copy() for name, a in sn.state.items()}
    weights = p.flat.copy()
    p.flat[...] *= 2
    again = sn.prepare(ops, p, iterate=False)
    for name, a in sn.state.items():
        np.testing.assert_array_equal(a, before[name])
    np.testing.assert_allclose(again["dense1"]["W"], sn.prepare(ops, p)["dense1"]["W"])
    np.testing.assert_array_equal(p.flat, 2 * weights)
    assert set(before) == {f"{layer}/W/{name}" for layer in ("conv2d1", "convtranspose2d1", "dense1") for name in "uv"}


@pytest.mark.parametrize("penalty", [None, "wgan-gp", "r1+r2"])
@settings(max_examples=5)
@given(seed=seeds())
def test_the_whole_d_step_through_it(penalty: str | None, seed: int):
    """The gradient in the weights themselves, with u and v held fixed, as the formula has it."""
    ops, net, p, sn = setting(seed)
    generator = Sequential(Dense(4, 60, "tanh"), Reshape(*IMAGE))
    p_g, rng = generator.init(seed, (4,), np.float64), np.random.default_rng(seed)
    x, z = rng.standard_normal((3, *IMAGE)), rng.standard_normal((3, 4))
    gan = Gan(generator, net, get_loss("hinge"), None if penalty is None else get_penalty(penalty))
    for _ in range(3):
        sn.prepare(ops, p)

    def gradient(g: ParamSet | None) -> Evaluation:
        ops.begin_step(0)
        outcome = d_grad(ops, gan, p_g, sn.prepare(ops, p, iterate=False), x, z, g)
        if g is not None:
            sn.pull_back(ops, g)
        return Evaluation(float(outcome.value), outcome.notes)

    check_update("D step with spectral normalisation", gradient, p, seed=seed, directions=3).require()


def test_the_gradient_is_across_the_weights():
    """W_eff does not change when W is scaled (with u and v as they are), so dW has no part along W."""
    ops, _, p, sn = setting()
    sn.prepare(ops, p)
    g = p.like()
    g.flat[...] = np.random.default_rng(1).standard_normal(g.flat.shape)
    sn.pull_back(ops, g)
    for path in ("conv2d1/W", "convtranspose2d1/W", "dense1/W"):
        along = float((g.named[path] * p.named[path]).sum())
        assert abs(along) < 1e-10 * float(np.linalg.norm(g.named[path]) * np.linalg.norm(p.named[path]))


@pytest.mark.parametrize("backend", [name for name, why_not in kernels.available().items() if why_not is None])
def test_every_backend_agrees(backend: str):
    results = []
    for name, dtype in (("numpy", np.float64), (backend, np.float32)):
        _, _, p, _ = setting(dtype=dtype)
        for path, view in setting()[2].named.items():
            p.named[path][...] = view
        ops, g = kernels.get_ops(name, dtype=dtype), p.like()
        for view in g.trainable().values():
            view[...] = np.cos(np.arange(view.size)).reshape(view.shape)
        p, g = p.on(ops), g.on(ops)
        sn = SpectralNorm(ops, p, 0)
        for _ in range(20):
            effective = sn.prepare(ops, p)
        sn.pull_back(ops, g)
        results.append([ops.to_host(view).copy() for own in (effective, g) for view in own.trainable().values()])
    for exact, ours in zip(*results, strict=True):
        np.testing.assert_allclose(ours, exact, rtol=1e-3, atol=1e-4)


def test_both_matrices_of_a_gru_are_normalised_each_by_itself():
    """That of the input and that of the state; and the gradient goes back through both."""
    net = Sequential(GRU(2, 3, last=True), Dense(3, 1))
    p, ops = net.init(0, (4, 2), np.float64), kernels.get_ops("numpy", dtype=np.float64)
    p["gru1"]["U"] += 0.5 * np.random.default_rng(0).standard_normal((3, 9))
    sn = SpectralNorm(ops, p, 0)
    assert sn.paths == ("gru1/W", "gru1/U", "dense1/W")
    for _ in range(300):
        effective = sn.prepare(ops, p)
    for path in sn.paths:
        assert singular_value(effective.named[path]) == pytest.approx(1, abs=1e-6)
        np.testing.assert_allclose(effective.named[path], p.named[path] / singular_value(p.named[path]), rtol=1e-4)
    np.testing.assert_array_equal(effective["gru1"]["b"], p["gru1"]["b"])
    x = np.random.default_rng(1).standard_normal((3, 4, 2))

    def gradient(g: ParamSet | None) -> Evaluation:
        ops.begin_step(0)
        own = sn.prepare(ops, p, iterate=False)
        u, cache = net.forward(ops, own, x)
        if g is not None:
            net.backward(ops, own, cache, np.cos(u), g, need_dx=False)
            sn.pull_back(ops, g)
        return Evaluation(float(np.sin(u).sum()), cache)

    check_update("a GRU with spectral normalisation", gradient, p).require()


def test_sequences_train_with_it():
    """Both players of rnn move, and D plays with matrices of norm 1."""
    trainer = Trainer(TrainConfig("rnn", weight_norm="spectral", backend="numpy", width=0.1, batch_size=4), (6, 1))
    x = np.sin(np.arange(24, dtype=np.float32)).reshape(4, 6, 1)
    before = trainer.params_d["gru1"]["U"].copy()
    for _ in range(30):
        trainer.step(x)
    effective = trainer.d.effective(iterate=False)
    assert not np.array_equal(trainer.params_d["gru1"]["U"], before)
    for path in ("gru1/W", "gru1/U"):
        assert singular_value(effective.named[path]) == pytest.approx(1, abs=0.01)
    assert singular_value(trainer.params_d["gru1"]["U"]) != pytest.approx(1, abs=0.01)


def test_a_network_without_weights_is_refused():
    with pytest.raises(ValueError, match="no weight matrix"):
        SpectralNorm(kernels.get_ops("numpy"), ReLU().init(0, (3,)), 0)


def test_training_with_it():
    """The critic that plays has unit norms, the one that learns not; a checkpoint brings back both and the vectors."""
    config = TrainConfig("sngan", width=0.1, backend="numpy", batch_size=4)
    trainer, other = Trainer(config, (8, 8, 1)), Trainer(config, (8, 8, 1))
    x = np.random.default_rng(0).uniform(-1, 1, (4, 8, 8, 1)).astype(np.float32)
    for _ in range(40):
        trainer.step(x)
    effective = trainer.d.effective(iterate=False)
    for path, w in effective.named.items():
        if path.endswith("/W"):
            assert 1 - 1e-5 < singular_value(w) < 1.5  # one iteration an update runs behind the weights
    assert singular_value(trainer.params_d["dense1"]["W"]) != pytest.approx(1, abs=0.01)
    other.restore(trainer.checkpoint())
    for own in (trainer, other):
        own.step(x)
    np.testing.assert_array_equal(trainer.params_d.flat, other.params_d.flat)
    np.testing.assert_array_equal(trainer.params_g.flat, other.params_g.flat)


@pytest.mark.parametrize("scale", [1e-4, 1e-8, 1e-12])
def test_small_weights_become_as_large_as_all_others(scale: float):
    ops, p = kernels.get_ops("numpy"), Dense(20, 10).init(0, (20,))
    p["W"][...] = scale * np.random.default_rng(0).standard_normal((20, 10))
    sn = SpectralNorm(ops, p, 0)
    for _ in range(200):
        effective = sn.prepare(ops, p)
    assert singular_value(effective["W"]) == pytest.approx(1, abs=1e-3)


def test_a_weight_of_zeros_stays_zeros():
    ops, p = kernels.get_ops("numpy"), Dense(4, 3).init(0, (4,))
    p["W"][...] = 0
    sn, g = SpectralNorm(ops, p, 0), p.like()
    for _ in range(3):
        assert not sn.prepare(ops, p)["W"].any()
    sn.pull_back(ops, g)
    assert np.isfinite(g.flat).all()


@pytest.mark.parametrize("weight_norm", ["none", "spectral"])
def test_a_step_of_the_trainer_taken_by_hand(weight_norm: str):
    """Both players' weights after four updates of D, every second one penalised, and two of G, by plain descent."""
    config = TrainConfig(
        "dcgan", width=0.05, backend="numpy", batch_size=3, norm="none", optimizer="sgd", lr=0.1, n_critic=2,
        penalty="r1+r2", penalty_weight=0.5, penalty_every=2, weight_norm=weight_norm, loss="hinge",
    )  # fmt: skip
    trainer, start = Trainer(config, (8, 8, 1)), Trainer(config, (8, 8, 1))
    p_g, p_d, gan = start.params_g, start.params_d, start.algorithm.gan
    ops, rng = kernels.get_ops("numpy"), np.random.default_rng(0)
    sn = SpectralNorm(ops, p_d, config.seed) if weight_norm == "spectral" else None
    for step in range(4):
        x = rng.uniform(-1, 1, (3, 8, 8, 1)).astype(np.float32)
        trainer.step(x)
        ops.begin_step(step)
        penalty = get_penalty("r1+r2", 0.5 * 2) if step % 2 == 0 else None
        played = p_d if sn is None else sn.prepare(ops, p_d).copy()
        g_d, g_g = p_d.like(), p_g.like()
        z = ops.random_normal((3, 100), Use.LATENT_D)
        made = d_grad(ops, gan._replace(penalty=penalty), p_g, played, x, z, g_d)
        if sn is not None:
            sn.pull_back(ops, g_d)
        p_d.flat -= np.float32(0.1) * g_d.flat
        if step % 2 == 1:
            played = p_d if sn is None else sn.prepare(ops, p_d, iterate=False).copy()
            z = ops.random_normal((3, 100), Use.LATENT_G)
            cache = g_grad(ops, gan, p_g, played, x, z, g_g).cache
            p_g.flat -= np.float32(0.1) * g_g.flat
            gan.generator.update_state(ops, p_g, cache)
        assert (made.value > made.losses.value) == (penalty is not None)
    np.testing.assert_allclose(trainer.params_d.flat, p_d.flat, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(trainer.params_g.flat, p_g.flat, rtol=1e-4, atol=1e-6)
