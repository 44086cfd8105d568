"""Training with CudaOps: the step that NumPy takes, without a look into the device's memory, and a run that resumes."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar, NoReturn

import numpy as np
import pytest
from strict_device import StrictRuntime, as_backend

import kernels
from kernels import CounterRng
from kernels.cuda.emulator import why_not
from minigan import TrainConfig, Trainer
from minigan.errors import UserError
from minigan.losses import LOSSES
from minigan.params import ParamSet
from minigan.penalties import PENALTIES
from minigan.presets import Options, get_preset
from minigan.training.adversarial import Adversarial
from minigan.training.algorithm import Batch
from minigan.training.player import Player

pytestmark = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))

SHAPE, CLASSES = (8, 8, 1), 10
NARROW = {"batch_size": 4, "width": 0.05}
CONFIGURATIONS = {
    "mlp-small": TrainConfig("mlp-small", n_critic=1, **NARROW),
    "dcgan": TrainConfig("dcgan", ema=0.9, **NARROW),
    "wgan-gp": TrainConfig("wgan-gp", n_critic=1, **NARROW),
    "sngan": TrainConfig("sngan", **NARROW),
    "sgd": TrainConfig("dcgan", optimizer="sgd", momentum=0.5, gradient_clip=1.0, **NARROW),
    "cgan": TrainConfig("cgan", **NARROW),
    "acgan": TrainConfig("acgan", **NARROW),
    "infogan": TrainConfig("infogan", **NARROW),
    "falling penalty": TrainConfig(
        "mlp-small", n_critic=1, penalty="r1", penalty_weight_end=0.5, penalty_weight_steps=3, **NARROW
    ),
    "cures": TrainConfig("dcgan", lecam=0.1, pack=2, minibatch_stddev=2, instance_noise=0.1, **NARROW),
    "falling noise": TrainConfig("dcgan", instance_noise=0.1, instance_noise_steps=3, **NARROW),
    "augment": TrainConfig("dcgan", augment="translation,cutout,brightness", **NARROW),
    "autoencoder": TrainConfig("autoencoder", **NARROW),
    "vae": TrainConfig("vae", **NARROW),
    "aae": TrainConfig("aae", **NARROW),
    "unrolled": TrainConfig("mlp-small", unrolled_steps=2, n_critic=1, **NARROW),
    "unrolled, with Adam and cures": TrainConfig(
        "mlp", unrolled_steps=2, amsgrad=True, gradient_clip=1e-4, lecam=0.1, loss="relativistic-average", **NARROW
    ),
    "rmsprop": TrainConfig("dcgan", optimizer="rmsprop", weight_clip=0.1, schedule="linear", **NARROW),
    **{f"loss {loss}": TrainConfig("mlp-small", n_critic=1, loss=loss, **NARROW) for loss in LOSSES},
    **{f"penalty {penalty}": TrainConfig("mlp-small", n_critic=1, penalty=penalty, **NARROW) for penalty in PENALTIES},
}


def batch(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Noise for images, and labels."""
    return rng.uniform(-1, 1, (4, *SHAPE)).astype(np.float32), rng.integers(0, CLASSES, 4)


def trained(config: TrainConfig, backend: str, steps: int = 2) -> tuple[Trainer, list[np.ndarray]]:
    """A trainer after some steps, and the losses of each."""
    trainer = Trainer(replace(config, backend=backend), SHAPE, total_steps=10, classes=CLASSES)
    rng, losses = np.random.default_rng(0), []
    for _ in range(steps):
        step = trainer.step(*batch(rng))
        losses += [np.array(trainer.read(loss)) for loss in step if loss is not None]
    return trainer, losses


def assert_near(actual: np.ndarray, expected: np.ndarray, what: str) -> None:
    """To 1e-5, of each number or of the largest in the array."""
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max(), err_msg=what)


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_losses_and_gradients_are_those_of_numpy(name: str):
    ours, losses = trained(CONFIGURATIONS[name], "cuda-emulator", steps=1)
    reference, expected = trained(CONFIGURATIONS[name], "numpy", steps=1)
    np.testing.assert_allclose(losses, expected, rtol=1e-5, atol=1e-6)
    for player, same in zip(ours.players.values(), reference.players.values(), strict=True):
        for path, wanted in same.grads.trainable().items():
            assert_near(ours.read(player.grads.named[path]), wanted, path)


@pytest.mark.parametrize("name", ["mlp-small", "dcgan", "wgan-gp"])
def test_a_step_is_that_of_numpy(name: str):
    """Weights, statistics and moments; in other settings a step may follow the rounding of a gradient near 0."""
    ours, _ = trained(CONFIGURATIONS[name], "cuda-emulator", steps=1)
    reference, _ = trained(CONFIGURATIONS[name], "numpy", steps=1)
    wanted = reference.checkpoint().tensors
    for path, tensor in ours.checkpoint().tensors.items():
        assert_near(tensor, wanted[path], path)


def in_double_precision(preset: str, backend: str, steps: int) -> tuple[ParamSet, dict[str, Player]]:
    """The generator's start, and the players after some steps in float64 from a point where every weight matters."""
    config = TrainConfig(preset, backend=backend, latent_dim=4, **NARROW).resolved()
    options, random = Options(SHAPE, 4, config.width, config.norm, CLASSES), np.random.default_rng(0)
    rng, players = CounterRng(0), {}
    for name, network in get_preset(preset).networks(options).items():
        start = network.layer.init(0, network.in_shape, np.float64, player=name)
        for view in start.trainable().values():
            view += 0.1 * random.standard_normal(view.shape)
        ops = kernels.get_ops(backend, dtype=np.float64, rng=rng)
        players[name] = Player(name, network.layer, network.in_shape, ops, config, float(config.lr or 0))
        players[name].params.flat[...] = ops.to_device(start.flat)
    before, algorithm = players["generator"].params.copy(), Adversarial(config, players)
    for step in range(steps):
        rng.begin(step)
        batch = Batch(step, ops.to_device(random.uniform(-1, 1, (4, *SHAPE))), None)
        for update in algorithm.updates:
            (player,) = (players[name] for name in update.players)
            player.ops.workspace.reset()
            player.zero_grad()
            player.apply(step, steps, update.gradient(batch, False).caches[player.name])
    return before, players


def test_steps_of_r3gan_are_those_of_numpy_weight_by_weight() -> None:
    """In float32 Adam makes whole steps of a gradient that is 0 but for rounding; in float64 that is far below eps.

    Moments are compared in units of the largest, of which a gradient that cancels is the difference.
    """
    before, ours = in_double_precision("r3gan", "cuda-emulator", steps=3)
    _, reference = in_double_precision("r3gan", "numpy", steps=3)
    assert ours["generator"].ops.calls["conv2d"] > 0
    moved = reference["generator"].params.flat != before.flat
    assert moved[before.flat != 0].all()
    for name, player in reference.items():
        pairs = [(ours[name].params, player.params), (ours[name].grads, player.grads)]
        pairs += [(ours[name].optimizer.moments[moment], values) for moment, values in player.optimizer.moments.items()]
        for actual, wanted in pairs:
            scale = np.abs(wanted.flat).max()
            assert scale > 0
            for path, view in wanted.trainable().items():
                found = ours[name].ops.to_host(actual.named[path])
                np.testing.assert_allclose(found, view, rtol=0, atol=1e-11 * scale, err_msg=path)


@pytest.fixture
def strict() -> Iterator[str]:
    """The name of a backend whose arrays cannot be read by accident."""
    with as_backend(StrictRuntime()):
        yield "strict"


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_step_reads_nothing_back(strict: str, name: str):
    """And gives the bits of the emulator's arrays."""
    guarded, losses = trained(CONFIGURATIONS[name], strict)
    plain, expected = trained(CONFIGURATIONS[name], "cuda-emulator")
    np.testing.assert_array_equal(losses, expected)
    wanted = plain.checkpoint().tensors
    for path, tensor in guarded.checkpoint().tensors.items():
        np.testing.assert_array_equal(tensor, wanted[path], err_msg=path)


class TestCapture:
    """Updates as graphs on fixed buffers, the learning rate, the count and the random numbers in device memory."""

    CONFIGURATIONS: ClassVar = {
        **CONFIGURATIONS,
        "lazy penalty": TrainConfig("wgan-gp", penalty_every=2, n_critic=2, schedule="cosine", **NARROW),
        "lazier penalty": TrainConfig(
            "mlp-small", loss="non-saturating", n_critic=1, penalty="r1", penalty_every=3, **NARROW
        ),
    }

    @pytest.mark.parametrize(
        "name",
        [
            "mlp-small",
            "dcgan",
            "sngan",
            "sgd",
            "rmsprop",
            "loss relativistic-average",
            "infogan",
            "aae",
            "falling penalty",
            "cures",
            "falling noise",
            "penalty dragan",
            "lazy penalty",
            "lazier penalty",
        ],
    )
    def test_the_steps_are_the_eager_ones_bit_for_bit(self, strict: str, name: str):
        """Losses, logits and feedback of each step and what is told of them, and the state after the last one."""
        config, rng = self.CONFIGURATIONS[name], np.random.default_rng(0)
        eager, captured = (
            Trainer(replace(config, backend=strict, capture=capture), SHAPE, total_steps=10, classes=CLASSES)
            for capture in (False, True)
        )
        for _ in range(9):
            x, labels = batch(rng)
            losses, expected = captured.step(x, labels), eager.step(x, labels)
            for loss, wanted_loss in zip(losses, expected, strict=True):
                assert (loss is None) == (wanted_loss is None)
                assert loss is None or captured.read(loss) == eager.read(wanted_loss)
            assert captured.algorithm.beliefs() == eager.algorithm.beliefs()
            assert captured.algorithm.signs() == eager.algorithm.signs()
            for kind in ("logits", "feedback"):
                seen, wanted_seen = getattr(captured.algorithm, kind), getattr(eager.algorithm, kind)
                for array, wanted_array in zip(seen or (), wanted_seen or (), strict=True):
                    np.testing.assert_array_equal(captured.read(array), eager.read(wanted_array), err_msg=kind)
        found, wanted = captured.checkpoint(), eager.checkpoint()
        assert found.extra == wanted.extra
        for path, tensor in found.tensors.items():
            np.testing.assert_array_equal(tensor, wanted.tensors[path], err_msg=path)
        assert captured.d.ops.calls.total() < eager.d.ops.calls.total(), "nothing was launched as a graph"

    def test_a_run_goes_on_from_a_checkpoint(self, strict: str):
        """The graphs of another trainer, at another step, on other memory."""
        config = replace(CONFIGURATIONS["cgan"], capture=True)
        whole, _ = trained(config, strict, steps=6)
        start, _ = trained(config, strict, steps=3)
        rng = np.random.default_rng(0)
        batches = [batch(rng) for _ in range(6)]
        resumed = Trainer(start.config, SHAPE, total_steps=10, classes=CLASSES)
        resumed.restore(start.checkpoint())
        for x, labels in batches[3:]:
            resumed.step(x, labels)
        wanted = whole.checkpoint().tensors
        for path, tensor in resumed.checkpoint().tensors.items():
            np.testing.assert_array_equal(tensor, wanted[path], err_msg=path)

    def test_another_batch_size_is_refused_and_the_training_goes_on(self, strict: str):
        config = replace(CONFIGURATIONS["mlp-small"], capture=True)
        trainer, _ = trained(config, strict, steps=3)
        same, _ = trained(config, strict, steps=3)
        with pytest.raises(ValueError, match=r"^step: captured with x \(4, 8, 8, 1\), got \(5, 8, 8, 1\)"):
            trainer.step(np.zeros((5, *SHAPE), np.float32))
        for each in (trainer, same):
            each.step(np.ones((4, *SHAPE), np.float32))
        np.testing.assert_array_equal(trainer.read(trainer.params_d.flat), same.read(same.params_d.flat))

    def test_a_capture_that_fails_may_be_asked_for_again(self, strict: str, monkeypatch: pytest.MonkeyPatch):
        """It leaves the counts of updates and of random numbers as they were: nothing has run."""
        config, x = replace(CONFIGURATIONS["dcgan"], capture=True), np.ones((4, *SHAPE), np.float32)
        trainer, _ = trained(config, strict, steps=1)
        same, _ = trained(config, strict, steps=1)
        counts, end = trainer.checkpoint().extra, StrictRuntime.end_capture

        def fails(runtime: StrictRuntime) -> NoReturn:
            end(runtime)
            raise RuntimeError("no graph")

        with monkeypatch.context() as once:
            once.setattr(StrictRuntime, "end_capture", fails)
            with pytest.raises(RuntimeError, match="no graph"):
                trainer.step(x)
        assert trainer.checkpoint().extra == counts
        for each in (trainer, same):
            each.step(x)
        for path, tensor in trainer.checkpoint().tensors.items():
            np.testing.assert_array_equal(tensor, same.checkpoint().tensors[path], err_msg=path)

    @pytest.mark.parametrize("backend", ["numpy", "cuda-emulator"])
    def test_is_refused_where_nothing_is_recorded(self, backend: str):
        with pytest.raises(UserError, match=f"^capture: {backend} "):
            Trainer(TrainConfig("mlp-small", backend=backend, capture=True), SHAPE)

    @pytest.mark.parametrize("cure", [{"augment": "cutout"}, {"unrolled_steps": 2, "norm": "none"}])
    def test_is_refused_for_what_the_host_decides(self, strict: str, cure: dict[str, Any]):
        with pytest.raises(UserError, match=f"^capture: {next(iter(cure))} "):
            Trainer(TrainConfig("dcgan", backend=strict, capture=True, **cure, **NARROW), SHAPE)


def test_what_is_read_comes_from_the_device(strict: str):
    """Samples and beliefs are NumPy's arrays and numbers; a checkpoint goes from one backend to another."""
    trainer, _ = trained(CONFIGURATIONS["dcgan"], strict)
    reference, _ = trained(CONFIGURATIONS["dcgan"], "numpy")
    samples = trainer.sample(3)
    assert isinstance(samples, np.ndarray)
    np.testing.assert_allclose(samples, reference.sample(3), atol=1e-4)
    assert trainer.algorithm.beliefs() == pytest.approx(reference.algorithm.beliefs(), rel=1e-4)
    assert trainer.skipped is None
    reference.restore(trainer.checkpoint())
    np.testing.assert_array_equal(reference.params_g.flat, trainer.read(trainer.params_g.flat))
