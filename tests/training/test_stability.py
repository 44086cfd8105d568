"""The cures that a configuration names, as the Trainer applies them: what changes on the way, and what is refused."""

from typing import Any

import numpy as np
import pytest

import kernels
from kernels import Use
from minigan import TrainConfig, Trainer
from minigan.errors import UserError
from minigan.training.updates import d_grad, g_grad

SHAPE = (8, 8, 1)
SMALL: dict[str, Any] = {"width": 0.05, "backend": "numpy", "batch_size": 8, "latent_dim": 4}


def images(n: int = 8) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (n, *SHAPE)).astype(np.float32)


def test_instance_noise_falls_in_a_straight_line() -> None:
    trainer = Trainer(TrainConfig("mlp", instance_noise=0.4, instance_noise_steps=4, **SMALL), SHAPE)
    stds = []
    for _ in range(6):
        trainer.step(images())
        stds.append(float(trainer.params_d["noise"]["std"][0]))
    np.testing.assert_allclose(stds, [0.4, 0.3, 0.2, 0.1, 0, 0], rtol=1e-6, atol=1e-7)
    constant = Trainer(TrainConfig("mlp", instance_noise=0.4, **SMALL), SHAPE)
    for _ in range(2):
        constant.step(images())
    assert constant.params_d["noise"]["std"][0] == np.float32(0.4)


def test_the_penaltys_weight_follows_half_a_cosine() -> None:
    config = TrainConfig("r3gan", penalty_weight=2.0, penalty_weight_end=1.0, penalty_weight_steps=4, **SMALL)
    algorithm = Trainer(config, SHAPE).algorithm
    weights = [algorithm.penalised(step).penalty.weight for step in range(6)]
    np.testing.assert_allclose(weights, [2, 1.5 + 0.5**1.5, 1.5, 1.5 - 0.5**1.5, 1, 1])


def test_a_lazy_penalty_keeps_its_factor_on_the_way() -> None:
    config = TrainConfig(
        "r3gan", penalty_weight=2.0, penalty_weight_end=1.0, penalty_weight_steps=4, penalty_every=2, **SMALL
    )
    algorithm = Trainer(config, SHAPE).algorithm
    weights = [getattr(algorithm.penalised(step).penalty, "weight", None) for step in range(5)]
    assert weights == [pytest.approx(4), None, pytest.approx(3), None, pytest.approx(2)]


def test_a_penalty_may_end_at_nothing() -> None:
    config = TrainConfig("r3gan", penalty_weight_end=0.0, penalty_weight_steps=2, **SMALL)
    trainer = Trainer(config, SHAPE)
    for _ in range(4):
        losses = trainer.step(images())
    assert np.isfinite(losses.d)


CURES: dict[str, dict[str, Any]] = {
    "noise": {"instance_noise": 0.1, "instance_noise_steps": 3},
    "augment": {"augment": "translation,cutout,brightness"},
    "pack": {"pack": 4},
    "stddev": {"minibatch_stddev": 4},
    "lecam": {"lecam": 0.3},
    "unrolled": {"unrolled_steps": 2, "penalty": "none"},
    "all with a penalty": {
        "instance_noise": 0.1, "augment": "cutout", "pack": 2, "minibatch_stddev": 2, "lecam": 0.3, "penalty": "r1+r2",
        "weight_norm": "spectral",
    },
    "all with unrolled steps": {
        "instance_noise": 0.1, "augment": "cutout", "pack": 2, "minibatch_stddev": 2, "lecam": 0.3, "penalty": "none",
        "unrolled_steps": 2, "gradient_clip": 1.0,
    },
}  # fmt: skip


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("cure", CURES)
@pytest.mark.parametrize("preset", ["mlp", "dcgan", "r3gan"])
def test_training_goes_on_bit_for_bit_after_a_checkpoint(preset: str, cure: str, backend: str) -> None:
    settings = {**SMALL, **CURES[cure], "backend": backend}
    settings |= {"norm": "none"} if preset == "dcgan" else {}
    settings |= {"weight_norm": "none"} if preset == "r3gan" else {}
    trainer, other = (Trainer(TrainConfig(preset, **settings), SHAPE) for _ in range(2))
    for _ in range(2):
        trainer.step(images())
    other.restore(trainer.checkpoint())
    before = trainer.params_d.flat.copy()
    for own in (trainer, other):
        own.step(images())
    assert trainer.skipped is None
    assert not np.array_equal(trainer.params_d.flat, before)
    for name, tensor in trainer.checkpoint().tensors.items():
        np.testing.assert_array_equal(tensor, other.checkpoint().tensors[name], err_msg=name)


@pytest.mark.parametrize("settings", [{}, {"lecam": 0.3, "gradient_clip": 0.1, "amsgrad": True}])
def test_updates_ahead_are_taken_back(settings: dict[str, Any]) -> None:
    """D is after a step what it is without them, moments too; G is not."""
    plain, ahead = (Trainer(TrainConfig("mlp", unrolled_steps=k, lr=0.01, **SMALL, **settings), SHAPE) for k in (0, 3))
    for own in (plain, ahead):
        own.step(images())
    assert plain.d.optimizer.count == ahead.d.optimizer.count == 1
    np.testing.assert_array_equal(plain.d.grads.flat, ahead.d.grads.flat)
    for name, tensor in plain.d.tensors().items():
        np.testing.assert_array_equal(tensor, ahead.d.tensors()[name], err_msg=name)
    assert not np.array_equal(plain.params_g.flat, ahead.params_g.flat)


def test_the_generator_plays_against_the_discriminator_of_later() -> None:
    """Its loss by hand: D's updates by plain descent on the latents of the step, then G's loss there.

    That its gradient is that of this loss is shown in `test_unrolled`.
    """
    settings = {**SMALL, "optimizer": "sgd", "lr": 0.1, "unrolled_steps": 2}
    trainer, start = (Trainer(TrainConfig("mlp", **settings), SHAPE) for _ in range(2))
    for own in (trainer, start):  # from small initial weights D would not go anywhere
        rng = np.random.default_rng(0)
        for view in (*own.params_d.trainable().values(), *own.params_g.trainable().values()):
            view += 0.3 * rng.standard_normal(view.shape)
    x, ops, gan = images(), kernels.get_ops("numpy"), start.algorithm.gan
    p_g, p_d = start.params_g, start.params_d.copy()
    losses = trainer.step(x)
    ops.begin_step(0)
    z, values = ops.random_normal((8, 4), Use.LATENT_G), []
    for _ in range(3):  # its own update, and two ahead
        g_d = p_d.like()
        d_grad(ops, gan, p_g, p_d, x, ops.random_normal((8, 4), Use.LATENT_D), g_d)
        p_d.flat -= np.float32(0.1) * g_d.flat
        values.append(float(g_grad(ops, gan, p_g, p_d, x, z).value))
    assert float(losses.g) == pytest.approx(values[2], rel=1e-6)
    assert abs(values[2] - values[0]) > 1e-4, "the D of now would not do"


@pytest.mark.parametrize("cure", [cure for cure in CURES if cure.startswith("all")])
def test_a_warm_step_needs_no_new_memory(monkeypatch: pytest.MonkeyPatch, cure: str) -> None:
    """It makes the same requests as the step before, finds them at the same addresses, and reads none unwritten."""
    settings = {**SMALL, **CURES[cure], "preset": "dcgan", "norm": "none"}
    trainer, poisoned = (Trainer(TrainConfig(**settings), SHAPE) for _ in range(2))
    requests: list[tuple[Any, ...]] = []

    def watched(name: str, workspace: kernels.Workspace) -> None:
        empty = workspace.empty

        def recorded(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
            buffer = empty(shape, dtype)
            requests.append((name, shape, dtype, buffer.ctypes.data))
            return buffer

        monkeypatch.setattr(workspace, "empty", recorded)

    for name, player in trainer.players.items():
        watched(name, player.ops.workspace)
    steps, held = [], []
    for _ in range(4):
        trainer.step(images())
        steps.append(requests.copy())
        held.append([player.ops.workspace.nbytes for player in trainer.players.values()])
        requests.clear()
    assert steps[1]
    assert steps[1] == steps[2] == steps[3]
    assert held[1] == held[2] == held[3]
    for number in range(4):
        if number == 2:
            for player in poisoned.players.values():
                player.ops.workspace.freeze()
        for player in poisoned.players.values():
            player.ops.workspace.poison()
        poisoned.step(images())
    for name, player in trainer.players.items():
        np.testing.assert_array_equal(poisoned.players[name].params.flat, player.params.flat)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pack": 3}, r"batch_size: 8 samples cannot be cut into groups of 3 \(pack 3\)$"),
        ({"minibatch_stddev": 5}, r"batch_size: 8 samples cannot be cut into groups of 5 \(minibatch_stddev 5\)$"),
        ({"pack": 2, "minibatch_stddev": 8}, r"groups of 16 \(pack 2 times minibatch_stddev 8\)$"),
        ({"pack": 0}, "pack: expected a whole number of at least 1, got 0"),
        ({"instance_noise": -0.1}, "instance_noise: expected a number of at least 0 and below 1e\\+06, got -0.1"),
        ({"instance_noise_steps": 5}, "instance_noise_steps belongs to instance_noise, which is 0"),
        ({"lecam": -1.0}, "lecam: expected a number of at least 0 and below 1e\\+06, got -1.0"),
        ({"augment": "blur"}, "augment: DiffAugment: expected some of translation, cutout, brightness, got 'blur'"),
        ({"unrolled_steps": 1, "penalty": "r1"}, "unrolled_steps 1: would take third derivatives of penalty r1"),
        (
            {"unrolled_steps": 1, "weight_norm": "spectral"},
            "unrolled_steps 1: takes second .* weight_norm spectral's singular vectors",
        ),
        (
            {"preset": "dcgan", "unrolled_steps": 3},
            r"unrolled_steps 3: takes second .* its batchnorm1 are not written \(--norm layer, --norm none\)$",
        ),
        (
            {"preset": "acgan", "unrolled_steps": 1},
            "unrolled_steps 1: takes second .* that of acgan has those of its first head alone",
        ),
        (
            {"preset": "dcgan", "unrolled_steps": 1, "penalty": "r1"},
            "unrolled_steps 1: would take third derivatives of penalty r1",
        ),
        (
            {"preset": "dcgan", "unrolled_steps": 1, "weight_norm": "spectral"},
            "unrolled_steps 1: takes second .* weight_norm spectral's singular vectors",
        ),
        ({"penalty_weight_end": 0.1}, "penalty_weight_end and penalty_weight_steps go together: give both or neither"),
        ({"penalty_weight_steps": 3}, "penalty_weight_end and penalty_weight_steps go together: give both or neither"),
        (
            {"preset": "r3gan", "weight_norm": "spectral"},
            "weight_norm spectral: the discriminator's residual1/branch/conv2d2/W starts at 0",
        ),
        (
            {"penalty_weight_end": 0.1, "penalty_weight_steps": 3},
            "penalty_weight_end belongs to a penalty, and there is none",
        ),
    ],
)
def test_mistakes_are_told_before_the_run(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Trainer(TrainConfig(**{"preset": "mlp", **SMALL, **settings}), SHAPE, classes=10)
