"""Conditional GANs: the penalised D step under spectral normalisation, labels of a batch, and sampling by label."""

from typing import Any

import numpy as np
import pytest
from conditions import CLASSES, random_condition
from hypothesis import given, settings

import kernels
from minigan import TrainConfig, Trainer
from minigan.auxiliary import CATEGORIES
from minigan.errors import UserError
from minigan.gradcheck import Evaluation, check_update
from minigan.losses import get_loss
from minigan.penalties import get_penalty
from minigan.presets import PRESETS, Options
from minigan.spectral_norm import SpectralNorm
from minigan.testing import random_params, seeds
from minigan.training.gan import Gan
from minigan.training.updates import d_grad

SHAPE = (8, 8, 1)
CONDITIONAL = [name for name, preset in PRESETS.items() if preset.condition is not None]
LABELLED = [name for name in CONDITIONAL if PRESETS[name].condition == "labels"]


@pytest.mark.parametrize("penalty", ["wgan-gp", "r1", "r1+r2"])
@pytest.mark.parametrize("norm", ["none", "layer"])
@pytest.mark.parametrize("preset", CONDITIONAL)
@settings(max_examples=2)
@given(seed=seeds())
def test_the_penalised_normalised_step_has_the_right_gradient(preset: str, norm: str, penalty: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    networks = PRESETS[preset].networks(Options(SHAPE, 4, 0.03, norm, CLASSES))
    p_g, p = (random_params(*network, seed) for network in networks.values())
    gan = Gan(
        *(network.layer for network in networks.values()),
        get_loss("hinge"),
        get_penalty(penalty, 0.7),
        PRESETS[preset].auxiliary,
        0.4,
    )
    ops = kernels.get_ops("numpy", dtype=np.float64)
    sn = SpectralNorm(ops, p, 0)
    for _ in range(300):
        sn.prepare(ops, p)  # u and v are constants at the maximum only
        ops.workspace.reset()
    x, z = rng.uniform(-1, 1, (3, *SHAPE)), rng.standard_normal((3, 4))
    y = random_condition(preset, 3, rng)

    def gradient(g: Any) -> Evaluation:
        ops.begin_step(0)
        outcome = d_grad(ops, gan, p_g, sn.prepare(ops, p, iterate=False), x, z, g, y)
        if g is not None:
            sn.pull_back(ops, g)
        return Evaluation(float(outcome.value), outcome.notes)

    check_update("D step", gradient, p, seed=seed, directions=2).require()


def trainer(preset: str, **settings: Any) -> Trainer:
    config = TrainConfig(preset, width=0.05, batch_size=6, backend="numpy", **settings)
    return Trainer(config, SHAPE, total_steps=20, classes=CLASSES)


def images() -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (6, *SHAPE)).astype(np.float32)


@pytest.mark.parametrize("preset", LABELLED)
@pytest.mark.parametrize(
    ("labels", "complaint"),
    [
        (None, r"expects whole-number labels \(6,\), got None"),
        (np.zeros(5, int), r"expects whole-number labels \(6,\), got int64 \(5,\)"),
        (np.zeros(6), r"expects whole-number labels \(6,\), got float64 \(6,\)"),
        (np.array([0, 1, 2, 3, 0, 1]), r"expected labels in \[0, 3\), got 0 to 3"),
        (np.array([0, 1, 2, -1, 0, 1]), r"expected labels in \[0, 3\), got -1 to 2"),
    ],
)
def test_wrong_labels_are_refused_and_change_nothing(preset: str, labels: Any, complaint: str) -> None:
    of = trainer(preset)
    before = of.params_d.flat.copy()
    with pytest.raises(ValueError, match=complaint):
        of.step(images(), labels)
    np.testing.assert_array_equal(of.params_d.flat, before)
    assert of.steps_done == 0


@pytest.mark.parametrize("preset", CONDITIONAL)
def test_samples_are_made_with_labels_or_refused(preset: str) -> None:
    of = trainer(preset)
    z = of.latents(6)
    np.testing.assert_array_equal(of.generate(z, [0, 1, 2, 0, 1, 2]), of.generate(z, np.array([0, 1, 2, 0, 1, 2])))
    for labels, got in ((None, "None"), ([0, 1], r"int64 \(2,\)")):
        with pytest.raises(ValueError, match=rf"^generate: {preset} expects whole-number labels \(6,\), got {got}$"):
            of.generate(z, labels)


def test_samples_of_a_preset_without_labels_are_made_without() -> None:
    of = trainer("mlp")
    with pytest.raises(ValueError, match=r"^generate: mlp draws without labels, got some$"):
        of.generate(of.latents(2), [0, 1])


@pytest.mark.parametrize("preset", LABELLED)
def test_the_labels_of_a_batch_matter(preset: str) -> None:
    first, again, other = trainer(preset), trainer(preset), trainer(preset)
    for of, labels in ((first, [0, 1, 2, 0, 1, 2]), (again, [0, 1, 2, 0, 1, 2]), (other, [0, 1, 2, 0, 1, 1])):
        of.step(images(), labels)
    np.testing.assert_array_equal(first.params_g.flat, again.params_g.flat)
    assert not np.array_equal(first.params_g.flat, other.params_g.flat)


@pytest.mark.parametrize("preset", CONDITIONAL)
def test_samples_are_of_the_label_that_is_asked_for(preset: str) -> None:
    of, count = trainer(preset), CATEGORIES if preset == "infogan" else CLASSES
    of.params_g.flat *= 20
    assert of.classes == count
    in_turn = of.sample(count + 1, seed=3)
    for label in range(count):
        of_label = of.sample(count + 1, seed=3, label=label)
        np.testing.assert_allclose(of_label[label], in_turn[label], atol=1e-5)
        assert not np.allclose(of_label[(label + 1) % count], in_turn[(label + 1) % count], atol=1e-3)
    for label in (-1, count):
        with pytest.raises(UserError, match=f"label: expected 0 to {count - 1}, got {label}"):
            of.sample(1, label=label)


def test_many_samples_of_a_label_are_made_batch_by_batch() -> None:
    of = trainer("infogan")
    z, labels = of.latents(300, seed=1), of.labels(300, 2)
    many = of.generate(z, labels, seed=1)
    assert many.shape == (300, *SHAPE)
    np.testing.assert_array_equal(of.sample(300, seed=1, label=2), many)


def test_without_condition_there_is_no_label() -> None:
    of = trainer("dcgan")
    assert of.classes is None
    assert of.labels(3) is None
    with pytest.raises(UserError, match="dcgan draws without labels, got label 1"):
        of.sample(2, label=1)


@pytest.mark.parametrize("preset", LABELLED)
def test_data_without_labels_is_refused(preset: str) -> None:
    with pytest.raises(UserError, match=f"{preset} learns from labels, and the data has none"):
        Trainer(TrainConfig(preset, width=0.05), SHAPE)


def test_infogan_draws_every_category_and_codes_over_the_whole_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    of = Trainer(TrainConfig("infogan", width=0.05, batch_size=200, backend="numpy"), SHAPE, total_steps=2)
    seen: list[Any] = []
    forward = of.generator.forward
    monkeypatch.setattr(
        of.generator, "forward", lambda ops, p, x, train=True: seen.append(x[1]) or forward(ops, p, x, train)
    )
    of.step(np.tile(images(), (34, 1, 1, 1))[:200])
    assert len(seen) == 2, "one for each player"
    for categories, codes in seen:
        assert set(categories) == set(range(CATEGORIES))
        assert codes.shape == (200, 2)
        assert -1 < codes.min() < -0.95 < 0.95 < codes.max() < 1
    assert not np.array_equal(seen[0][0], seen[1][0])


def test_information_falls_while_infogan_trains() -> None:
    of = Trainer(TrainConfig("infogan", width=0.1, batch_size=32, lr=2e-3), SHAPE)
    x = np.random.default_rng(0).uniform(-1, 1, (32, *SHAPE)).astype(np.float32)
    losses = [float(of.step(x).auxiliary) for _ in range(120)]
    assert losses[0] == pytest.approx(np.log(CATEGORIES), rel=0.1)
    assert losses[-1] < 0.8 * losses[0]
