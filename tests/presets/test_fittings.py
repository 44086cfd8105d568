"""What may be fitted to a discriminator: where it goes, what it leaves alone, and whole steps with all of it."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from conditions import GANS
from hypothesis import given, settings

import kernels
from minigan.errors import UserError
from minigan.gradcheck import Evaluation, check_update
from minigan.layer import Layer
from minigan.losses import get_loss
from minigan.params import ParamSet
from minigan.penalties import get_penalty
from minigan.presets import PRESETS, Fittings, Options, fitted_networks
from minigan.spectral_norm import SpectralNorm
from minigan.testing import seeds
from minigan.training.gan import Gan
from minigan.training.updates import d_grad, g_grad

SHAPE = (8, 8, 2)
EVERYTHING = Fittings(0.3, "translation,cutout,brightness", 2, 4)


def networks(preset: str, fittings: Fittings, shape: tuple[int, ...] = SHAPE) -> tuple[Layer, Layer]:
    recipe = PRESETS[preset].recipe
    norm = None if recipe.norm is None else "layer"
    made = fitted_networks(PRESETS[preset], Options(shape, 5, 0.03, norm, classes=3), fittings)
    return made["generator"].layer, made["discriminator"].layer


def noisy(net: Layer, shape: tuple[int, ...], seed: int) -> ParamSet:
    p = net.init(seed, shape, np.float64)
    for view in p.trainable().values():
        view += 0.2 * np.random.default_rng(seed).standard_normal(view.shape)
    return p


def test_nothing_fitted_changes_nothing() -> None:
    preset, options = PRESETS["dcgan"], Options(SHAPE, 5, 0.03, "layer")
    plain, fitted = preset.networks(options), fitted_networks(preset, options, Fittings())
    for name, (layer, in_shape) in plain.items():
        p, own = layer.init(0, in_shape), fitted[name].layer.init(0, fitted[name].in_shape)
        assert list(p.named) == list(own.named)
        np.testing.assert_array_equal(p.flat, own.flat)


@pytest.mark.parametrize("preset", [name for name, preset in GANS.items() if preset.condition is None])
def test_each_goes_to_its_place_and_the_networks_own_layers_keep_their_names(preset: str) -> None:
    _, plain = networks(preset, Fittings())
    generator, fitted = networks(preset, EVERYTHING)
    names = list(plain.children())
    assert list(fitted.children()) == ["noise", "augment", "pack", *names[:-1], "stddev", names[-1]]
    assert fitted.group == 8
    assert fitted.spec(SHAPE)[0] == (1,)
    assert generator.spec((5,))[0] == SHAPE
    p = fitted.init(0, SHAPE)
    assert PRESETS[preset].last_bias in p.named
    assert fitted.forward(kernels.get_ops("numpy"), p, np.zeros((8, *SHAPE), np.float32))[0].shape == (4, 1)


def test_a_discriminator_of_two_heads_may_have_its_images_changed() -> None:
    _, d = networks("acgan", Fittings(instance_noise=0.1, augment="cutout"))
    assert d.spec(SHAPE)[0] == ((1,), (3,))


@pytest.mark.parametrize("preset", ["mlp", "r3gan"])
def test_points_are_packed_side_by_side(preset: str) -> None:
    _, d = networks(preset, Fittings(pack=3, minibatch_stddev=2, instance_noise=0.1), (2,))
    assert d.spec((2,))[0] == (1,)
    first = d.init(0, (2,)).named["dense1/W"]
    assert first.shape[0] == 6


@pytest.mark.parametrize(
    ("preset", "fittings", "shape", "complaint"),
    [
        ("mlp", Fittings(augment="cutout"), (2,), r"augment changes images; these data are of shape \(2,\)"),
        ("mlp", Fittings(augment="cut"), SHAPE, "augment: DiffAugment: expected some of translation, .*, got 'cut'"),
        ("cgan", Fittings(pack=2), SHAPE, "cgan: pack cannot be fitted to a discriminator that is told labels"),
        (
            "cgan-concat",
            Fittings(0.1, "cutout"),
            SHAPE,
            "cgan-concat: instance_noise and augment cannot be fitted to a discriminator that is told labels",
        ),
        ("acgan", Fittings(pack=2), SHAPE, "acgan: pack cannot be .* that tells each sample's condition"),
        ("acgan", Fittings(minibatch_stddev=2), SHAPE, "acgan: minibatch_stddev cannot be .* of two heads"),
        ("mlp", Fittings(augment=""), SHAPE, "augment: DiffAugment: expected some of translation, .*, got ''"),
    ],
)
def test_what_does_not_fit(preset: str, fittings: Fittings, shape: tuple[int, ...], complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        networks(preset, fittings, shape)


CHOICES: dict[str, Fittings] = {
    "noise": Fittings(instance_noise=0.3),
    "augment": Fittings(augment="translation,cutout,brightness"),
    "pack": Fittings(pack=2),
    "stddev": Fittings(minibatch_stddev=4),
    "everything": EVERYTHING,
}


@pytest.mark.parametrize("penalty", [None, "wgan-gp", "r1+r2"])
@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("preset", ["dcgan", "r3gan", "mlp"])
@settings(max_examples=2)
@given(seed=seeds())
def test_the_whole_step_of_each_player(preset: str, choice: str, penalty: str | None, seed: int) -> None:
    """With spectral normalisation, whose gradient is pulled back: all of it at once, in one step.

    Groups of 4: the spread of two samples is the modulus of their difference, which bends too sharply to difference.
    """
    generator, d = networks(preset, CHOICES[choice])
    ops = kernels.get_ops("numpy", dtype=np.float64)
    p_g, p_d = noisy(generator, (5,), seed), noisy(d, SHAPE, seed + 1)
    sn, rng = SpectralNorm(ops, p_d, seed), np.random.default_rng(seed)
    x, z = rng.uniform(-1, 1, (8, *SHAPE)), rng.standard_normal((8, 5))
    own = None if penalty is None else get_penalty(penalty, 2.0)
    gan = Gan(generator, d, get_loss("non-saturating"), own)
    for _ in range(3):
        sn.prepare(ops, p_d)

    def d_step(g: ParamSet | None) -> Evaluation:
        ops.begin_step(0)
        outcome = d_grad(ops, gan, p_g, sn.prepare(ops, p_d, iterate=False), x, z, g)
        if g is not None:
            sn.pull_back(ops, g)
        return Evaluation(float(outcome.value), outcome.notes)

    def g_step(g: ParamSet | None) -> Evaluation:
        ops.begin_step(0)
        outcome = g_grad(ops, gan, p_g, sn.prepare(ops, p_d, iterate=False), x, z, g)
        return Evaluation(float(outcome.value), outcome.notes)

    check_update("D step", d_step, p_d, seed=seed, directions=2).require()
    check_update("G step", g_step, p_g, seed=seed, directions=2).require()


def test_the_noise_is_state_of_the_discriminator() -> None:
    """So a step sets it, spectral normalisation passes it on, and a checkpoint holds it."""
    _, d = networks("mlp", Fittings(instance_noise=0.5))
    p = d.init(0, SHAPE)
    assert p["noise"]["std"] == pytest.approx(0.5)
    assert "noise/std" not in p.trainable()
    assert SpectralNorm(kernels.get_ops("numpy"), p, 0).effective.named["noise/std"] == pytest.approx(0.5)


def test_fittings_are_fields_of_the_configuration() -> None:
    """Under the same names, so that what `minigan train --help` says of them is what happens."""
    from minigan.training.config import TrainConfig

    fields: dict[str, Any] = {field.name: field.default for field in dataclasses.fields(TrainConfig)}
    for field in dataclasses.fields(Fittings):
        assert fields[field.name] == field.default
