"""The Trainer: what one step does to both players, what sampling does not, and that training learns."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from conditions import GANS

import kernels
from kernels.types import Array
from minigan import TrainConfig, Trainer
from minigan.data import Batches, load
from minigan.errors import UserError
from minigan.losses import LOSSES, get_loss
from minigan.optim import OPTIMIZERS
from minigan.presets import NO_PENALTY, NORMS, PRESETS

SHAPE = (8, 12, 2)
WIDTHS = {"dense-wide": 0.002, "mlp": 0.05, "mlp-small": 0.05}


def trainer(preset: str = "mlp", **settings: Any) -> Trainer:
    width = WIDTHS.get(preset, 0.05)
    return Trainer(TrainConfig(preset, width=width, batch_size=8, **settings), SHAPE, total_steps=20, classes=3)


def images(count: int = 20, n: int = 8) -> Iterator[Array]:
    rng = np.random.default_rng(0)
    for _ in range(count):
        yield rng.uniform(-1, 1, (n, *SHAPE)).astype(np.float32)


def weights(of: Trainer) -> list[Array]:
    """Copies of all that training changes in both networks."""
    return [a.copy() for p in (of.params_g, of.params_d) for a in (p.flat, p.state)]


def equal(a: list[Array], b: list[Array]) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize(
    ("preset", "norm"),
    [
        (name, norm)
        for name, preset in GANS.items()
        for norm in (NORMS if preset.recipe.norm else (None,))
        if norm != "batch" or preset.recipe.penalty == NO_PENALTY
    ],
)
def test_after_three_updates_every_parameter_has_moved(preset: str, norm: str | None) -> None:
    """But for those whose gradient is zero by construction: they have not moved at all."""
    of = trainer(preset, norm=norm)
    before = {name: view.copy() for name, view in of.checkpoint().tensors.items()}
    assert of.config.n_critic is not None
    for x in images(3 * of.config.n_critic):
        losses = of.step(x, np.arange(8) % 3)
    still = {
        name
        for name, view in of.checkpoint().tensors.items()
        if name.startswith(("generator", "discriminator")) and np.array_equal(view, before[name])
    }
    if of.config.loss == "hinge":  # while all logits lie in (-1, 1), its two halves cancel in the last bias
        still -= {f"discriminator/{PRESETS[preset].last_bias}"}
    assert still == {f"discriminator/{path}" for path in PRESETS[preset].zero_gradient(str(of.config.loss))}
    assert losses.g is not None
    assert (of.g.skipped, of.d.skipped) == (0, 0)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("preset", ["mlp", "dcgan"])
def test_every_loss_trains_with_every_optimizer(preset: str, loss: str, optimizer: str) -> None:
    of = trainer(preset, loss=loss, optimizer=optimizer, lr=1e-3)
    start = weights(of)
    for x in images(3):
        losses = of.step(x)
        assert losses.g is not None
        assert np.isfinite([losses.d, losses.g]).all()
    assert (of.g.skipped, of.d.skipped) == (0, 0)
    for before, after in zip(start, weights(of), strict=True):
        assert np.isfinite(after).all()
        assert not after.size or not np.array_equal(before, after)


def test_the_weights_of_a_clipped_critic_stay_within_the_bound_and_reach_it() -> None:
    of = trainer("mlp-small")
    for x in images(3):
        of.step(x)
        assert np.abs(of.params_d.flat).max() == np.float32(0.01)
    assert np.abs(of.params_g.flat).max() > 0.02


@pytest.mark.slow
def test_a_short_run_on_digits_makes_samples_that_resemble_them() -> None:
    """In the first 20 principal components of the digits the Frechet distance to them falls below a quarter.

    The distance starts at 211. A generator that makes the average digit again and again would end at 124, one that
    copies digits near 0; 200 steps come to about 28.
    """
    data = load("mnist5k")
    real = data.batch(np.arange(len(data)))[0].reshape(len(data), -1).astype(np.float64)
    mean = real.mean(axis=0)
    components = np.linalg.svd(real[::2] - mean, full_matrices=False)[2][:20].T

    def distance(samples: Array) -> float:
        a, b = ((x.reshape(len(x), -1) - mean) @ components for x in (samples, real))
        covariances = np.cov(a.T), np.cov(b.T)
        root = np.sqrt(np.maximum(np.linalg.eigvals(covariances[0] @ covariances[1]).real, 0))
        return float(((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(sum(covariances)) - 2 * root.sum())

    of = Trainer(TrainConfig("dcgan", width=0.25, lr=1e-3, ema=0.95, latent_dim=32, batch_size=32, steps=200))
    batches = Batches(data, 32, seed=0)
    before = distance(of.sample(1000))
    for step in range(200):
        of.step(*batches.at(step))
    assert distance(of.sample(1000)) < before / 4


def test_networks_parameters_and_data_shape_are_the_presets() -> None:
    of = Trainer(TrainConfig("mlp", width=0.05))
    assert of.data_shape == (28, 28, 1), "by default that of the data set"
    generator, discriminator = of.generator, of.discriminator
    assert generator.spec((100,))[0] == (28, 28, 1)
    assert discriminator.spec((28, 28, 1))[0] == (1,)
    assert of.params_g.named.keys() == generator.init(0, (100,)).named.keys()
    np.testing.assert_array_equal(of.params_d.flat, discriminator.init(0, (28, 28, 1), player="discriminator").flat)


def test_the_players_start_from_different_numbers() -> None:
    """Both have a dense2/W of 256 columns, which one stream for both would fill with the same values."""
    of = Trainer(TrainConfig("mlp"))
    g, d = of.params_g["dense2"]["W"], of.params_d["dense2"]["W"]
    assert g.shape == (128, 256)
    assert abs(np.corrcoef(g.ravel(), d[:128].ravel())[0, 1]) < 0.05


@pytest.mark.parametrize("n_critic", [1, 2, 3])
def test_the_generator_learns_every_n_critic_th_step(n_critic: int) -> None:
    of = trainer(n_critic=n_critic)
    for number, x in enumerate(images(6), start=1):
        before = weights(of)
        losses = of.step(x)
        assert losses.d.shape == ()
        assert (losses.g is not None) == (number % n_critic == 0)
        assert np.array_equal(of.params_g.flat, before[0]) == (number % n_critic != 0)
        assert not np.array_equal(of.params_d.flat, before[2])
    assert (of.steps_done, of.d.optimizer.count, of.g.optimizer.count) == (6, 6, 6 // n_critic)


def test_the_generators_update_leaves_the_discriminator_alone() -> None:
    """After one step D is the same whether or not G was updated in it; BatchNorm's running statistics too."""
    with_g, without_g = trainer("dcgan", n_critic=1), trainer("dcgan", n_critic=2)
    for of in (with_g, without_g):
        of.step(next(images()))
    np.testing.assert_array_equal(with_g.params_d.flat, without_g.params_d.flat)
    np.testing.assert_array_equal(with_g.params_d.state, without_g.params_d.state)
    assert not np.array_equal(with_g.params_g.flat, without_g.params_g.flat)


def test_running_statistics_come_from_real_data_and_from_the_generators_own_step() -> None:
    """One step from mean 0, var 1 with momentum 0.1: the state is 0.1 batch mean, 0.9 + 0.1 unbiased batch variance."""
    of = trainer("lucic", norm="batch")
    d, x = of.discriminator, next(images())
    ops = kernels.get_ops("numpy")
    y = x
    for name, layer in list(d.children().items())[:2]:
        y, _ = layer.forward(ops, of.params_d.sub(name), y)
    expected = y.reshape(-1, y.shape[-1]).astype(np.float64)
    of.step(x)
    np.testing.assert_allclose(of.params_d["batchnorm1"]["mean"], 0.1 * expected.mean(0), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(of.params_d["batchnorm1"]["var"], 0.9 + 0.1 * expected.var(0, ddof=1), rtol=1e-5)
    assert of.params_g["batchnorm1"]["mean"].any()


def test_each_player_draws_new_latents_in_each_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of eager steps: one that is launched calls no `forward`, and has the bits of an eager one."""
    of = trainer(capture=False)
    seen = []
    forward = of.generator.forward
    monkeypatch.setattr(
        of.generator, "forward", lambda ops, p, z, train=True: seen.append(z.copy()) or forward(ops, p, z, train)
    )
    for x in images(3):
        of.step(x)
    assert len({z.tobytes() for z in seen}) == len(seen) == 6


def test_the_seed_decides_everything() -> None:
    first, again, other = trainer("dcgan", seed=1), trainer("dcgan", seed=1), trainer("dcgan", seed=2)
    for x in images(3):
        losses = [of.step(x) for of in (first, again, other)]
        assert losses[0] == losses[1] != losses[2]
    assert equal(weights(first), weights(again))
    assert not equal(weights(first), weights(other))


def test_sgd_steps_are_the_gradient_times_each_players_scheduled_rate() -> None:
    of = trainer(optimizer="sgd", lr_g=0.1, lr_d=0.3, schedule="linear")
    for step, x in enumerate(images(4)):
        before = weights(of)
        of.step(x)
        scale = 1 - step / 20
        for player, old, lr in ((of.g, before[0], 0.1), (of.d, before[2], 0.3)):
            np.testing.assert_allclose(player.params.flat, old - lr * scale * player.grads.flat, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_weight_decay_shrinks_the_discriminator_before_its_update(optimizer: str) -> None:
    plain, decayed = trainer(optimizer=optimizer, lr=0.1), trainer(optimizer=optimizer, lr=0.1, weight_decay=0.5)
    before = plain.params_d.flat.copy()
    for of in (plain, decayed):
        of.step(next(images()))
    np.testing.assert_allclose(decayed.params_d.flat, plain.params_d.flat - 0.1 * 0.5 * before, rtol=1e-4, atol=1e-7)


def test_gradient_clip_reaches_both_players() -> None:
    of = trainer(gradient_clip=1e-6)
    of.step(next(images()))
    for player in (of.g, of.d):
        assert np.linalg.norm(player.grads.flat) == pytest.approx(1e-6, rel=1e-4)


def test_label_smoothing_is_the_losss() -> None:
    of = trainer(label_smoothing=0.2)
    losses = of.step(next(images()))
    assert of.algorithm.logits is not None
    assert float(losses.d) == float(get_loss("non-saturating", 0.2).d_loss(*of.algorithm.logits)[0])
    assert float(losses.d) != float(get_loss("non-saturating").d_loss(*of.algorithm.logits)[0])


@pytest.mark.parametrize(
    "x",
    [
        np.zeros((8, 12, 8, 2), np.float32),
        np.zeros((8, 8, 12, 1), np.float32),
        np.zeros(SHAPE, np.float32),
        np.zeros((0, *SHAPE), np.float32),
        np.zeros((8, *SHAPE)),
        np.zeros((8, *SHAPE), np.uint8),
        np.zeros((16, *SHAPE), np.float32)[::2],
    ],
    ids=["transposed", "channels", "no batch", "empty", "float64", "uint8", "not contiguous"],
)
def test_a_wrong_batch_is_refused_and_changes_nothing(x: Array) -> None:
    of = trainer("dcgan")
    before = weights(of)
    with pytest.raises(ValueError, match=r"expected float32 \('N', 8, 12, 2\), got|not C-contiguous"):
        of.step(x)
    assert equal(weights(of), before)
    assert of.steps_done == 0


def test_a_batch_with_nan_updates_no_player_that_saw_it() -> None:
    of, x = trainer("dcgan"), next(images())
    x[3, 2, 1, 0] = np.nan
    before = weights(of)
    losses = of.step(x)
    assert np.isnan(losses.d)
    assert (of.d.skipped, of.g.skipped) == (1, 0)
    assert equal(weights(of)[2:], before[2:]), "neither weights nor running statistics"


def test_samples_are_images_and_a_function_of_the_seed() -> None:
    of = trainer("dcgan", seed=3)
    for x in images(2):
        of.step(x)
    samples = of.sample(5, seed=1)
    assert (samples.shape, samples.dtype) == ((5, *SHAPE), np.float32)
    assert np.abs(samples).max() <= 1
    np.testing.assert_array_equal(of.sample(5, seed=1), samples)
    np.testing.assert_array_equal(of.sample(5), of.sample(5, seed=3))
    assert not np.array_equal(of.sample(5, seed=2), samples)


def test_many_samples_are_made_batch_by_batch_and_stay_the_users() -> None:
    of = trainer()
    many = of.sample(600, seed=1)
    kept = many.copy()
    of.step(next(images()))
    of.sample(600, seed=2)
    np.testing.assert_array_equal(many, kept)
    z = trainer().latents(600, seed=1)
    for start in (0, 250, 500):
        np.testing.assert_allclose(trainer().generate(z[start : start + 100]), many[start : start + 100], atol=1e-6)


def test_sampling_does_not_disturb_training() -> None:
    quiet, sampled = trainer("dcgan", ema=0.9), trainer("dcgan", ema=0.9)
    for x in images(4):
        quiet.step(x)
        sampled.sample(3)
        sampled.step(x)
        assert sampled.algorithm.logits is not None
        kept = [u.copy() for u in sampled.algorithm.logits]
        sampled.generate(sampled.latents(300, seed=5))
        assert equal(kept, list(sampled.algorithm.logits)), "they are read after the sample grid is drawn"
    assert equal(weights(quiet), weights(sampled))
    np.testing.assert_array_equal(quiet.sample(4), sampled.sample(4))


def test_samples_are_drawn_from_the_average_of_the_generators_weights() -> None:
    of = trainer("dcgan", ema=0.8, n_critic=2, lr=0.01)
    average = of.params_g.flat.astype(np.float64)
    for number, x in enumerate(images(6), start=1):
        of.step(x)
        if number % 2 == 0:
            average = 0.8 * average + 0.2 * of.params_g.flat
    assert of.average is not None
    np.testing.assert_allclose(of.average.params.flat, average, rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(of.average.params.state, of.params_g.state)
    z, ops = of.latents(4), kernels.get_ops()
    averaged = of.generator.forward(ops, of.average.params, z, train=False)[0]
    np.testing.assert_array_equal(of.generate(z), averaged)
    assert not np.allclose(averaged, of.generator.forward(ops, of.params_g, z, train=False)[0], atol=1e-3)


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        (TrainConfig("dcgna"), "did you mean dcgan"),
        (TrainConfig("mlp", schedule="linear"), "schedule linear needs the number of steps"),
        (TrainConfig("mlp", backend="abacus"), "backend: unknown backend 'abacus'"),
        (TrainConfig("dcgan", data="ring"), r"dcgan makes images; data of shape \(2,\)"),
        (TrainConfig("mlp", width=1e9), "width: expected a number above 0, up to 1000"),
        (TrainConfig("mlp", latent_dim=10**12), "latent_dim: expected 1 to"),
    ],
)
def test_a_game_that_cannot_be_set_up(config: TrainConfig, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        Trainer(config)


def test_images_of_a_linear_generator_are_clipped() -> None:
    of = Trainer(TrainConfig("lsgan", width=0.05))
    of.params_g.flat[...] *= 1000
    images = of.sample(8)
    assert images.min() == -1
    assert images.max() == 1


def test_a_checkpoint_without_its_counts_changes_nothing() -> None:
    of = Trainer(TrainConfig("mlp", width=0.05))
    before = of.params_g.flat.copy()
    other = Trainer(TrainConfig("mlp", width=0.05, seed=1)).checkpoint()
    with pytest.raises(UserError, match="how many updates"):
        of.restore(dataclasses.replace(other, extra={}))
    np.testing.assert_array_equal(of.params_g.flat, before)
