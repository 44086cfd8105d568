"""Steps that are recorded and launched on the CPU: those of eager steps, bit for bit, whatever happens in between."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from kernels.types import Array
from minigan import TrainConfig, Trainer
from minigan.data import ArrayDataset
from minigan.errors import UserError
from minigan.losses import LOSSES
from minigan.penalties import PENALTIES
from minigan.presets import PRESETS
from minigan.training.captured import MOST_SEEN
from minigan.training.checkpoint import Checkpoint
from minigan.training.health.monitor import HealthMonitor

pytest.importorskip("numba")

SHAPE, CLASSES, BATCH, STEPS = (8, 8, 1), 10, 4, 7
NARROW: dict[str, Any] = {"batch_size": BATCH, "width": 0.05, "backend": "numba"}
OFTEN: dict[str, Any] = {"n_critic": 1, **NARROW}
CONFIGURATIONS = {
    **{preset: TrainConfig(preset, **NARROW) for preset in PRESETS},
    **{f"loss {loss}": TrainConfig("mlp-small", loss=loss, **OFTEN) for loss in LOSSES},
    **{f"penalty {penalty}": TrainConfig("mlp-small", penalty=penalty, **OFTEN) for penalty in PENALTIES},
    "several updates of D": TrainConfig("mlp-small", n_critic=2, **NARROW),
    "lazy penalty": TrainConfig("wgan-gp", penalty_every=2, n_critic=2, schedule="cosine", **NARROW),
    "lazier penalty": TrainConfig("mlp-small", loss="hinge", penalty="r1", penalty_every=3, **OFTEN),
    "falling penalty": TrainConfig("mlp-small", penalty="r1", penalty_weight_end=0.5, penalty_weight_steps=3, **OFTEN),
    "cures": TrainConfig("dcgan", lecam=0.1, pack=2, minibatch_stddev=2, instance_noise=0.1, **NARROW),
    "falling noise": TrainConfig("dcgan", instance_noise=0.1, instance_noise_steps=3, **NARROW),
    "moving average": TrainConfig("dcgan", ema=0.9, **NARROW),
    "without norms": TrainConfig("dcgan", norm="none", **NARROW),
    "LayerNorm": TrainConfig("dcgan", norm="layer", **NARROW),
    "sgd": TrainConfig("mlp", optimizer="sgd", lr=0.01, momentum=0.5, nesterov=True, gradient_clip=1.0, **NARROW),
    "rmsprop": TrainConfig("mlp", optimizer="rmsprop", weight_clip=0.1, schedule="linear", **NARROW),
    "amsgrad": TrainConfig("mlp", amsgrad=True, weight_decay=0.1, gradient_clip=1e-3, **NARROW),
    "cross-entropy": TrainConfig("autoencoder", reconstruction="cross-entropy", **NARROW),
    "augment, which is not recorded": TrainConfig("dcgan", augment="cutout", **NARROW),
    "unrolled, which is not recorded": TrainConfig("mlp-small", unrolled_steps=2, **OFTEN),
}


def trainer(config: TrainConfig, capture: bool | None = None) -> Trainer:
    return Trainer(replace(config, capture=capture), SHAPE, total_steps=10, classes=CLASSES)


def batches(count: int, size: int = BATCH, shape: tuple[int, ...] = SHAPE) -> Iterator[tuple[Array, Array]]:
    """Noise for images, and labels."""
    rng = np.random.default_rng(0)
    for _ in range(count):
        yield rng.uniform(-1, 1, (size, *shape)).astype(np.float32), rng.integers(0, CLASSES, size)


def calls(one: Trainer) -> int:
    """Operations that Python has asked for."""
    return sum(player.ops.calls.total() for player in one.players.values())


def assert_same_state(found: Checkpoint, wanted: Checkpoint) -> None:
    assert found.extra == wanted.extra
    for path, tensor in found.tensors.items():
        np.testing.assert_array_equal(tensor, wanted.tensors[path], err_msg=path)


def assert_same_steps(one: Trainer, other: Trainer, steps: Iterator[tuple[Array, Array]]) -> None:
    """Losses of each step and what is told of it, and the state after the last."""
    for x, labels in steps:
        losses = [[None if loss is None else float(loss) for loss in each.step(x, labels)] for each in (one, other)]
        assert losses[0] == losses[1]
        assert one.algorithm.beliefs() == other.algorithm.beliefs()
        assert one.algorithm.signs() == other.algorithm.signs()
    assert_same_state(one.checkpoint(), other.checkpoint())


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_the_steps_are_the_eager_ones_bit_for_bit(name: str) -> None:
    config = CONFIGURATIONS[name]
    shape = (8, 2) if config.preset == "rnn" else SHAPE
    eager, default = (
        Trainer(replace(config, capture=capture), shape, total_steps=10, classes=CLASSES) for capture in (False, None)
    )
    assert_same_steps(default, eager, batches(STEPS, shape=shape))
    assert (calls(default) < calls(eager)) == ("not recorded" not in name)


def test_what_goes_on_between_steps_makes_no_difference() -> None:
    """Samples, the health monitor, an update evaluated again, a batch of another size, a checkpoint restored."""
    config = replace(CONFIGURATIONS["cgan"], ema=0.9)
    plain, busy = trainer(config, capture=False), trainer(config)
    pixels = np.random.default_rng(1).integers(0, 256, (16, *SHAPE)).astype(np.uint8)
    monitor = HealthMonitor(busy, ArrayDataset("noise", pixels, np.arange(16) % CLASSES))
    for step, (x, labels) in enumerate(batches(9)):
        monitor.before()
        losses, expected = (each.step(x, labels) for each in (busy, plain))
        monitor.after()
        assert list(map(float, losses)) == list(map(float, expected))
        for update in busy.algorithm.updates:
            busy.rewind(step)
            busy.evaluate(update, busy.batch(step, x, labels), replay=True)
        busy.sample(3)
        busy.restore(busy.checkpoint())
        if step in (2, 5):
            for size in (7, 2):
                for each in (busy, plain):
                    each.step(*next(batches(1, size)))
    assert_same_state(busy.checkpoint(), plain.checkpoint())


def test_losses_stay_what_they_were() -> None:
    """An eager step makes new ones, too."""
    config = CONFIGURATIONS["mlp"]
    kept, expected = ([each.step(*batch) for batch in batches(5)] for each in (trainer(config), trainer(config, False)))
    assert [list(map(float, losses)) for losses in kept] == [list(map(float, losses)) for losses in expected]
    assert len({float(losses.d) for losses in kept}) == 5


def test_a_bad_batch_is_left_out_as_in_eager_steps() -> None:
    both = trainer(CONFIGURATIONS["mlp"]), trainer(CONFIGURATIONS["mlp"], False)
    for step, (x, labels) in enumerate(batches(6)):
        x[0] = np.inf if step == 4 else x[0]
        with np.errstate(invalid="ignore", over="ignore"):
            for each in both:
                each.step(x, labels)
        assert both[0].skipped == both[1].skipped == ("discriminator" if step >= 4 else None)
    assert_same_state(*(each.checkpoint() for each in both))


def test_another_batch_size_is_refused_where_capture_was_asked_for() -> None:
    one = trainer(CONFIGURATIONS["cgan"], capture=True)
    one.step(*next(batches(1)))
    with pytest.raises(ValueError, match=r"^step: captured with x \(4, 8, 8, 1\), got \(5, 8, 8, 1\)"):
        one.step(*next(batches(1, size=5)))


@pytest.mark.parametrize("name", ["augment", "unrolled_steps"])
def test_capture_that_was_asked_for_is_refused_with_the_reason(name: str) -> None:
    config = next(config for key, config in CONFIGURATIONS.items() if key.startswith(name[:7]))
    with pytest.raises(UserError, match=f"^capture: {name} "):
        trainer(config, capture=True)


def test_two_threads_get_what_each_gets_alone() -> None:
    configurations = [CONFIGURATIONS[name] for name in ("mlp", "dcgan")]
    alone = [trainer(config) for config in configurations]
    together = [trainer(config) for config in configurations]
    threads = [threading.Thread(target=lambda each=each: [each.step(*b) for b in batches(STEPS)]) for each in together]
    for thread in threads:
        thread.start()
    for each in alone:
        for batch in batches(STEPS):
            each.step(*batch)
    for thread in threads:
        thread.join()
    for one, other in zip(alone, together, strict=True):
        assert_same_state(one.checkpoint(), other.checkpoint())


def test_an_interrupt_in_a_launch_or_in_a_recording_leaves_a_trainer_that_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An interrupted recording has done nothing; after a launch that broke off a checkpoint mends what it left."""
    one, same = trainer(CONFIGURATIONS["mlp"]), trainer(CONFIGURATIONS["mlp"])
    steps = list(batches(5))
    for x, labels in steps[:1]:
        for each in (one, same):
            each.step(x, labels)
    with monkeypatch.context() as once:
        once.setattr(one.g.network.__class__, "forward", _interrupted)
        with pytest.raises(KeyboardInterrupt):
            one.step(*steps[1])
    assert one.checkpoint().extra == same.checkpoint().extra
    for x, labels in steps[1:3]:
        for each in (one, same):
            each.step(x, labels)
    saved = one.checkpoint()
    saved = replace(saved, tensors={path: tensor.copy() for path, tensor in saved.tensors.items()})
    with monkeypatch.context() as once:
        once.setattr("kernels.cpu.updates.adam", _interrupted)
        with pytest.raises(KeyboardInterrupt):
            one.step(*steps[3])
    one.restore(saved)
    for x, labels in steps[3:]:
        for each in (one, same):
            each.step(x, labels)
    assert_same_state(one.checkpoint(), same.checkpoint())


def _interrupted(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


def test_updates_that_never_come_again_are_forgotten() -> None:
    """Noise that falls makes another update of each."""
    config = TrainConfig("mlp-small", n_critic=100, instance_noise=0.1, instance_noise_steps=1000, **NARROW)
    one = trainer(config)
    for x, labels in batches(MOST_SEEN + 5):
        one.step(x, labels)
    assert one._captured is not None
    assert len(one._captured._seen) == MOST_SEEN
    assert not one._captured._recorded
