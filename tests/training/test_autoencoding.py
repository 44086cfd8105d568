"""Autoencoders: whole steps gradient-checked, the evidence lower bound against its formula, and what a run does."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kernels
from minigan import TrainConfig, Trainer
from minigan.data import ArrayDataset, Batches, load
from minigan.errors import UserError
from minigan.gradcheck import Evaluation, check_update
from minigan.presets import NORMS, PRESETS, Options
from minigan.reconstruction import RECONSTRUCTIONS
from minigan.testing import random_params, seeds
from minigan.training.checkpoint import load as load_checkpoint
from minigan.training.checkpoint import save
from minigan.training.diagnose import first_non_finite
from minigan.training.reconstructing import Autoencoder, Gradients, elbo_grad, reconstruction_grad

SHAPE, LATENT = (8, 12, 2), 3
ENCODING = [name for name, preset in PRESETS.items() if preset.maker == "decoder"]


@pytest.mark.parametrize("reconstruction", RECONSTRUCTIONS)
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("preset", ["autoencoder", "vae"])
@settings(max_examples=4)
@given(seed=seeds(), batch=st.integers(3, 4))
def test_both_players_have_the_right_gradient(
    preset: str, norm: str, reconstruction: str, seed: int, batch: int
) -> None:
    networks = PRESETS[preset].networks(Options(SHAPE, LATENT, 0.03, norm))
    p_e, p_d = (random_params(*network, seed) for network in networks.values())
    net = Autoencoder(*(network.layer for network in networks.values()), RECONSTRUCTIONS[reconstruction])
    rng, ops = np.random.default_rng(seed), kernels.get_ops("numpy", dtype=np.float64)
    x, noise = rng.uniform(-1, 1, (batch, *SHAPE)), rng.standard_normal((batch, LATENT))

    def step(g: Gradients | None) -> Any:
        ops.begin_step(0)
        if preset == "vae":
            return elbo_grad(ops, net, p_e, p_d, x, noise, g, weight=0.7)
        return reconstruction_grad(ops, net, p_e, p_d, x, g)

    for own in (0, 1):

        def gradient(g: Any, own: int = own) -> Evaluation:
            both = [p_e.like(), p_d.like()]
            outcome = step(None if g is None else Gradients(*both))
            if g is not None:
                g.flat += both[own].flat
            return Evaluation(float(outcome.value), outcome.notes)

        check_update(f"{preset}, player {own}", gradient, (p_e, p_d)[own], seed=seed, directions=2).require()


@pytest.mark.parametrize("name", RECONSTRUCTIONS)
def test_a_reconstruction_is_what_its_formula_says(name: str) -> None:
    rng = np.random.default_rng(0)
    logits, x = rng.standard_normal((3, 4, 5, 1)), rng.uniform(-1, 1, (3, 4, 5, 1))
    s, t = 1 / (1 + np.exp(-logits)), (x + 1) / 2
    expected = {
        "squared-error": ((2 * s - 1 - x) ** 2).sum() / 6,
        "cross-entropy": -(t * np.log(s) + (1 - t) * np.log(1 - s)).sum() / 3,
    }
    value, dlogits = RECONSTRUCTIONS[name](kernels.get_ops("numpy", dtype=np.float64), logits, x)
    assert float(value) == pytest.approx(expected[name], rel=1e-12)
    assert dlogits.shape == logits.shape


def test_the_divergence_is_that_of_two_normal_densities() -> None:
    """Of N(m, e^v) from N(0, 1), by numerical integration."""
    networks = PRESETS["vae"].networks(Options((4, 4, 1), 1, 0.02, "none"))
    p_e, p_d = (random_params(*network, 1) for network in networks.values())
    encoder, decoder = (network.layer for network in networks.values())
    net = Autoencoder(encoder, decoder, RECONSTRUCTIONS["squared-error"])
    x, ops = np.random.default_rng(1).uniform(-1, 1, (2, 4, 4, 1)), kernels.get_ops("numpy", dtype=np.float64)
    output, _ = encoder.forward(ops, p_e, x)
    grid = np.linspace(-60, 60, 2_000_001)
    expected = []
    for mean, log_variance in output:
        log_q = -((grid - mean) ** 2) / (2 * np.exp(log_variance)) - log_variance / 2
        log_p = -(grid**2) / 2
        expected.append((np.exp(log_q) * (log_q - log_p)).sum() * (grid[1] - grid[0]) / np.sqrt(2 * np.pi))
    step = elbo_grad(ops, net, p_e, p_d, x, np.zeros((2, 1)))
    assert float(step.divergence) == pytest.approx(np.mean(expected), rel=1e-8)
    assert float(step.value) == pytest.approx(float(step.reconstruction) + np.mean(expected), rel=1e-8)


def trainer(preset: str, **settings: Any) -> Trainer:
    return Trainer(TrainConfig(preset, width=0.05, batch_size=6, **settings), SHAPE, total_steps=20)


def batches() -> Batches:
    pixels = np.random.default_rng(0).integers(0, 256, (40, *SHAPE), dtype=np.uint8)
    return Batches(ArrayDataset("noise", pixels), 6, seed=0)


@pytest.mark.parametrize("preset", ENCODING)
def test_after_three_steps_every_parameter_has_moved(preset: str) -> None:
    of = trainer(preset)
    before = {name: view.copy() for name, view in of.checkpoint().tensors.items()}
    for step in range(3):
        losses = of.step(*batches().at(step))
    assert np.isfinite(losses).all()
    assert of.skipped is None
    players = tuple(of.players)
    after = of.checkpoint().tensors
    assert [n for n in before if n.startswith(players) and np.array_equal(before[n], after[n])] == []


@pytest.mark.parametrize("preset", ENCODING)
def test_a_restored_trainer_goes_on_bit_by_bit(preset: str, tmp_path: Path) -> None:
    whole, first, second = (trainer(preset, ema=0.9, schedule="cosine") for _ in range(3))
    losses = [whole.step(*batches().at(step)) for step in range(12)]
    for step in range(5):
        first.step(*batches().at(step))
    second.restore(load_checkpoint(save(tmp_path, first.checkpoint())))
    assert [second.step(*batches().at(step)) for step in range(5, 12)] == losses[5:]
    for name, tensor in whole.checkpoint().tensors.items():
        assert second.checkpoint().tensors[name].tobytes() == tensor.tobytes(), name


@pytest.mark.parametrize("preset", ENCODING)
def test_the_network_that_is_not_finite_is_named(preset: str) -> None:
    of = trainer(preset)
    x, _ = batches().at(0)
    of.step(x)
    assert first_non_finite(of, x) == "nothing that shows again when the step is repeated"
    for player in reversed(of.players):
        of.players[player].params.named[next(iter(of.players[player].params.named))][...] = np.nan
        assert first_non_finite(of, x).startswith(f"the output of {player}/")


@pytest.mark.parametrize("preset", ["autoencoder", "aae"])
def test_the_loss_that_a_step_returns_is_that_of_the_weights_before(preset: str) -> None:
    of, (x, _) = trainer(preset), batches().at(0)
    expected = ((of.generate(of.encode(x)) - x) ** 2).sum() / (2 * len(x))
    assert float(of.step(x).reconstruction) == pytest.approx(expected, rel=1e-5)


def test_the_encoder_of_an_adversarial_autoencoder_learns_in_both_of_its_updates() -> None:
    of = trainer("aae")
    of.step(*batches().at(0))
    assert of.checkpoint().extra["updates"] == {
        "encoder": 1,
        "encoder_as_generator": 1,
        "decoder": 1,
        "discriminator": 1,
    }


def test_a_skipped_update_of_either_optimizer_is_noticed() -> None:
    of = trainer("aae")
    of.players["discriminator"].params.flat[...] = np.nan  # what the reconstruction does not see
    of.step(*batches().at(0))
    encoder = of.players["encoder"]
    assert (encoder.optimizer.skipped, encoder.skipped) == (0, 1)


def test_the_encoder_deceives_in_a_direction_of_its_own() -> None:
    """The cosine of its step against D with its step of reconstruction, after some steps."""
    of, run = trainer("aae", backend="numpy"), batches()
    encoder, steps = of.players["encoder"], []
    apply = encoder.apply

    def watched(*args: Any) -> None:
        before = encoder.params.flat.copy()
        apply(*args)
        steps.append(encoder.params.flat - before)

    encoder.apply = watched  # type: ignore[method-assign]
    for step in range(20):
        of.step(*run.at(step))
    reconstructing, deceiving = steps[-2:]
    cosine = reconstructing @ deceiving / (np.linalg.norm(reconstructing) * np.linalg.norm(deceiving))
    assert abs(cosine) < 0.5


def test_an_adversarial_autoencoder_holds_its_codes_to_the_prior() -> None:
    """Mean 0 and standard deviation 1 of all codes of the second half of a run.

    They sway around the prior, at any one step up to a standard deviation away: how far depends on the rounding of
    the CPU's matrix products.
    """
    config = TrainConfig("aae", width=0.1, batch_size=32, latent_dim=8, lr=3e-4, backend="numpy")
    data, of, codes = load("mnist5k"), Trainer(config), []
    run, images = Batches(data, 32, seed=0), data.batch(np.arange(0, 5000, 10))[0]
    for step in range(800):
        of.step(*run.at(step))
        if step >= 400 and step % 50 == 49:
            codes.append(of.encode(images).copy())
    assert abs(np.mean(codes)) < 0.4
    assert 0.7 < np.std(codes) < 1.5


def moved(preset: str, player: str, **settings: Any) -> np.ndarray:
    """A player's weights after a step on labelled noise."""
    config = TrainConfig(preset, width=0.05, batch_size=6, backend="numpy", **settings)
    of = Trainer(config, SHAPE, total_steps=20, classes=3)
    of.step(batches().at(0)[0], np.arange(6) % 3)
    return of.players[player].params.flat.copy()


@pytest.mark.parametrize(
    ("preset", "player", "weight"),
    [
        ("vae", "encoder", "divergence_weight"),
        ("acgan", "generator", "auxiliary_weight"),
        ("acgan", "discriminator", "auxiliary_weight"),
        ("infogan", "generator", "auxiliary_weight"),
        ("infogan", "discriminator", "auxiliary_weight"),
    ],
)
def test_the_weight_of_a_second_term_reaches_the_step(preset: str, player: str, weight: str) -> None:
    without, light, heavy = (moved(preset, player, **{weight: value}) for value in (0.0, 1.0, 5.0))
    assert not np.array_equal(without, light)
    assert not np.array_equal(light, heavy)


def test_a_variational_autoencoder_decodes_draws_around_its_means(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the decoder gets is N(0, 1) beside the mean, in units of the standard deviation."""
    of, (x, _) = trainer("vae", backend="numpy"), batches().at(0)
    seen: list[np.ndarray] = []
    decoder = of.players["decoder"].network
    forward = decoder.forward
    monkeypatch.setattr(decoder, "forward", lambda ops, p, z, *rest: seen.append(z.copy()) or forward(ops, p, z, *rest))
    output, _ = of.players["encoder"].network.forward(kernels.get_ops("numpy"), of.players["encoder"].params, x)
    mean, log_variance = np.split(output.copy(), 2, axis=1)  # (N, Z) each
    of.step(x)
    noise = (seen[0] - mean) / np.exp(log_variance / 2)
    assert noise.shape == (6, 10)
    assert abs(noise.mean()) < 0.4
    assert 0.75 < noise.std() < 1.25


def test_an_autoencoder_squeezes_digits_and_gives_them_back() -> None:
    """The error falls well below that of the mean image, which is the best without a code."""
    data = load("mnist5k")
    of = Trainer(TrainConfig("autoencoder", width=0.1, batch_size=32, latent_dim=16, lr=3e-3, backend="numba"))
    run = Batches(data, 32, seed=0)
    for step in range(200):
        of.step(*run.at(step))
    x, _ = data.batch(np.arange(0, 5000, 10))
    again = of.generate(of.encode(x))
    assert again.shape == x.shape
    assert ((again - x) ** 2).sum() < 0.75 * ((x.mean(0) - x) ** 2).sum()


def test_what_an_autoencoder_cannot_do() -> None:
    with pytest.raises(UserError, match="autoencoder learns no distribution to draw from; vae and aae do"):
        trainer("autoencoder").sample(3)
    with pytest.raises(UserError, match="mlp has no encoder"):
        trainer("mlp").encode(np.zeros((2, *SHAPE), np.float32))
    assert trainer("vae").sample(3).shape == (3, *SHAPE)
    assert trainer("vae").encode(np.zeros((300, *SHAPE), np.float32)).shape == (300, 10)
