"""The monitor on runs: each known failure provoked and named, health left alone, and training untouched."""

from itertools import product
from typing import Any

import numpy as np
import pytest

from minigan import TrainConfig, Trainer
from minigan.data import ArrayDataset, Batches
from minigan.presets import PRESETS
from minigan.training.health.diversity import diversity
from minigan.training.health.monitor import HealthMonitor
from minigan.training.session import load_data

SHAPE = (8, 8, 1)
RING: dict[str, Any] = {"preset": "mlp", "data": "ring", "width": 0.1, "health_every": 10}
CODES: dict[str, Any] = {"preset": "aae", "width": 0.1, "batch_size": 32, "health_every": 20, "lr": 1e-3}


def watch(steps: int, **settings: Any) -> tuple[list[tuple[int, str]], list[dict[str, Any]]]:
    """[(step, name)] of the warnings of a run on the backend numpy, and its records."""
    config = TrainConfig(**({"backend": "numpy"} | settings)).resolved()
    dataset = load_data(config)
    batches = Batches(dataset, int(config.batch_size or 0), config.seed)
    trainer = Trainer(config, dataset.shape, steps)
    monitor = HealthMonitor(trainer, dataset)
    warnings, records = [], []
    with np.errstate(over="ignore", invalid="ignore"):
        for step in range(steps):
            watched = monitor.due
            if watched:
                monitor.before()
            trainer.step(*batches.at(step))
            if watched:
                record, verdict = monitor.after()
                records.append(record)
                warnings += [(step + 1, name) for name in verdict.warnings]
    return warnings, records


@pytest.mark.parametrize(
    ("name", "steps", "settings"),
    [
        ("vanishing-gradient", 200, RING | {"lr": 0.1}),  # ReLUs that an update pushed below 0 for good
        ("exploding-gradient", 60, RING | {"optimizer": "sgd", "lr": 10.0}),
        ("strong-discriminator", 300, RING | {"loss": "hinge", "lr_g": 1e-6, "lr_d": 5e-3}),
        ("strong-discriminator", 300, RING | {"loss": "least-squares", "lr_g": 1e-6, "lr_d": 5e-3}),
        ("weak-discriminator", 400, RING | {"loss": "relativistic-average", "lr_d": 1e-7}),
        ("weak-discriminator", 460, CODES | {"lr_d": 1e-4}),
        ("strong-discriminator", 320, CODES | {"latent_dim": 64, "lr_g": 1e-6, "lr_d": 2e-3}),
    ],
)
def test_a_failure_that_is_provoked_is_named(name: str, steps: int, settings: dict[str, Any]) -> None:
    """Besides those of docs/when-training-fails.md, which have a test of their own."""
    warnings, _ = watch(steps, **settings)
    assert [found for _, found in warnings if found == name] == [name], "named, and once"


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"preset": "dcgan", "width": 0.25},
        {"preset": "mlp", "width": 0.25, "batch_size": 32},
        {"preset": "lucic", "width": 0.1, "batch_size": 32, "lr": 1e-3, "label_smoothing": 0.1},
        {"preset": "wgan-gp", "width": 0.1, "batch_size": 16},
        {"preset": "sngan", "width": 0.1, "batch_size": 16},
        {"preset": "wgan", "width": 0.25, "batch_size": 32},
        {"preset": "aae", "width": 0.1, "batch_size": 32, "lr": 5e-4, "lr_d": 4e-3},
    ],
    ids=lambda settings: settings["preset"],
)
def test_a_healthy_run_raises_no_warning(settings: dict[str, Any]) -> None:
    warnings, records = watch(600, backend="auto", health_every=20, **settings)
    assert warnings == []
    assert len(records) == 30


def tiny(every: int = 5, **settings: Any) -> tuple[Trainer, HealthMonitor, Batches]:
    config = TrainConfig(
        **({"preset": "dcgan", "width": 0.05, "batch_size": 4, "ema": 0.9, "health_every": every} | settings)
    )
    pixels = np.random.default_rng(0).integers(0, 256, (40, *SHAPE), dtype=np.uint8)
    dataset = ArrayDataset("noise", pixels, np.arange(40) % 10)
    trainer = Trainer(config, SHAPE, 20, classes=10)
    return trainer, HealthMonitor(trainer, dataset), Batches(dataset, 4, 0)


def play(trainer: Trainer, monitor: HealthMonitor, batches: Batches, steps: int = 20) -> list[dict[str, Any]]:
    records = []
    for step in range(trainer.steps_done, trainer.steps_done + steps):
        watched = monitor.due
        if watched:
            monitor.before()
        trainer.step(*batches.at(step))
        if watched:
            records.append(monitor.after()[0])
    return records


@pytest.mark.parametrize("preset", ["dcgan", "mlp", "wgan-gp", "sngan"])
def test_training_is_the_same_to_the_bit_with_and_without(preset: str) -> None:
    watched, unwatched = (tiny(every, preset=preset) for every in (1, 0))
    assert len(play(*watched)) == 20 // int(watched[0].config.n_critic or 1)
    assert play(*unwatched) == []
    ours, theirs = (game[0].checkpoint().tensors for game in (watched, unwatched))
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        assert ours[name].tobytes() == tensor.tobytes(), name


def test_nothing_is_taken_from_the_memory_of_a_step() -> None:
    """After two steps the players' workspaces are frozen: a measurement that asked them for more would raise."""
    trainer, monitor, batches = tiny(every=1)
    play(trainer, monitor, batches, 2)
    for player in trainer.players.values():
        player.ops.workspace.freeze()
    held = [player.ops.workspace.nbytes for player in trainer.players.values()]
    assert len(play(trainer, monitor, batches, 5)) == 5
    assert [player.ops.workspace.nbytes for player in trainer.players.values()] == held


@pytest.mark.parametrize(("every", "n_critic"), list(product((1, 7, 10), (1, 5, 3))))
def test_what_is_measured_is_a_step_that_updates_everybody(every: int, n_critic: int) -> None:
    trainer, monitor, batches = tiny(every, n_critic=n_critic)
    records = play(trainer, monitor, batches, 32)
    interval = -(-every // n_critic) * n_critic
    assert [record["step"] for record in records] == list(range(interval, 33, interval))
    assert all(record["update/generator/dense1"] > 0 for record in records)


@pytest.mark.parametrize("preset", sorted(set(PRESETS) - {"dense-wide", "rnn"}))
def test_every_preset_can_be_measured(preset: str) -> None:
    trainer, monitor, batches = tiny(every=1, preset=preset)
    record = play(trainer, monitor, batches, int(trainer.config.n_critic or 1))[0]
    for name, player in trainer.players.items():
        layers = {path.rpartition("/")[0] for path in player.params.trainable()}
        assert {key for key in record if key.startswith(f"gradient/{name}/")} == {
            f"gradient/{name}/{x}" for x in layers
        }
    assert ("distance" in record) == trainer.algorithm.has_prior
    assert ("d_loss" in record) == ("discriminator" in trainer.players)
    assert all(isinstance(value, int | float | dict | list | None) for value in record.values())


@pytest.mark.parametrize("preset", ["cgan", "acgan", "infogan"])
def test_the_slope_is_unknown_where_two_heads_send_gradients_back(preset: str) -> None:
    trainer, monitor, batches = tiny(every=1, preset=preset, backend="numpy")
    record = play(trainer, monitor, batches, 1)[0]
    assert (record["d_slope"] is None) == (PRESETS[preset].auxiliary is not None)
    assert record["g_factor"] > 0


def test_in_the_game_of_codes_the_codes_are_compared_with_the_prior() -> None:
    trainer, monitor, batches = tiny(every=1, preset="aae", backend="numpy")
    record = play(trainer, monitor, batches, 1)[0]
    latents, data = trainer.latents(64), batches.dataset.batch(np.arange(40))[0]
    assert (record["distance_real"], record["rank_real"]) == diversity(latents)
    assert (record["distance"], record["rank"]) == diversity(trainer.encode(data))
    x, labels = batches.at(1)
    trainer.step(x, labels)
    signs, (real, fake) = trainer.algorithm.signs(), trainer.algorithm.logits
    assert signs["d_real"] == pytest.approx(np.mean(1 / (1 + np.exp(-real))))
    assert signs["d_fake"] == pytest.approx(np.mean(1 / (1 + np.exp(-fake))))
    assert signs["d_slope"] > 0


def test_the_samples_are_those_of_the_weights_that_learn_not_of_their_average() -> None:
    trainer, monitor, batches = tiny(every=1, ema=0.999)
    distance = play(trainer, monitor, batches, 3)[-1]["distance"]
    assert trainer.average is not None
    trainer.average.params.flat[...] = trainer.params_g.flat
    averaged = play(trainer, monitor, batches, 1)[-1]["distance"]
    assert distance != 0
    z = trainer.latents(64)
    made = trainer.generate(z, averaged=False)
    trainer.average.params.flat[...] = 0
    np.testing.assert_array_equal(trainer.generate(z, averaged=False), made)
    assert averaged == pytest.approx(distance, rel=0.5)


def test_a_monitor_that_recalls_the_records_warns_as_one_never_interrupted() -> None:
    settings = RING | {"lr_d": 1e-7}
    whole, records = watch(400, **settings)
    assert whole
    trainer = Trainer(TrainConfig(**settings, backend="numpy"), (2,), 400)
    dataset = load_data(trainer.config)
    for cut in range(0, len(records), 7):
        monitor = HealthMonitor(trainer, dataset)
        monitor.recall(records[:cut])
        later = [(r["step"], name) for r in records[cut:] for name in monitor.diagnosis.observe(r).warnings]
        assert later == [(step, name) for step, name in whole if step > (records[cut - 1]["step"] if cut else 0)]
