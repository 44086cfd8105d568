"""The recurrent GAN: both steps gradient-checked, what a run of it leaves."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from PIL import Image

import kernels
from minigan import TrainConfig, Trainer
from minigan.gradcheck import Evaluation, check_update
from minigan.losses import LOSSES, get_loss
from minigan.presets import PRESETS, Options
from minigan.spectral_norm import SpectralNorm
from minigan.testing import random_params, seeds
from minigan.training import session
from minigan.training.gan import Gan
from minigan.training.updates import d_grad, g_grad


@pytest.mark.parametrize("loss", LOSSES)
@settings(max_examples=3)
@given(seed=seeds())
def test_both_steps_have_the_right_gradient(loss: str, seed: int) -> None:
    networks = PRESETS["rnn"].networks(Options((5, 2), 3, 0.07))
    p_g, p_d = (random_params(*network, seed) for network in networks.values())
    gan = Gan(*(network.layer for network in networks.values()), get_loss(loss))
    rng, ops = np.random.default_rng(seed), kernels.get_ops("numpy", dtype=np.float64)
    x, z = rng.standard_normal((3, 5, 2)), rng.standard_normal((3, 3))
    for step, own in ((d_grad, p_d), (g_grad, p_g)):

        def gradient(g: Any, step: Any = step) -> Evaluation:
            ops.begin_step(0)
            outcome = step(ops, gan, p_g, p_d, x, z, g)
            return Evaluation(float(outcome.value), outcome.notes)

        check_update(step.__name__, gradient, own, seed=seed, directions=2).require()


def test_spectral_normalisation_reaches_the_gates() -> None:
    trainer = Trainer(TrainConfig("rnn", weight_norm="spectral", width=0.1), (30, 1))
    assert isinstance(trainer.d.spectral_norm, SpectralNorm)
    assert "gru1/W/u" in trainer.d.spectral_norm.state


def test_a_run_draws_sequences_and_resumes(tmp_path: Path) -> None:
    config = TrainConfig("rnn", batch_size=8, width=0.1, steps=4, sample_every=2)
    run, code = session.start(config, tmp_path / "rnn")
    assert code == 0
    assert run.config["data"] == "sines"
    for step in (0, 2, 4):
        with Image.open(run.sample_path(step)) as picture:
            assert picture.size == (960, 672)
    assert {file.name for file in run.plots.iterdir()} == {"curves.png", "training.gif"}
    session.resume(run.path, steps=6)
    assert session.open_trained(run.path).sample(3).shape == (3, 30, 1)
