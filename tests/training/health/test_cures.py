"""What a warning advises can be done: the flags exist, go with the run, and change it.

Of networks that play no game only gradients are judged, the first two failures.
"""

import dataclasses

import pytest

from minigan import TrainConfig, Trainer
from minigan.cli import Train, parse
from minigan.losses import LOSSES
from minigan.presets import PRESETS
from minigan.training.health.cures import Cure, rates
from minigan.training.health.failures import FAILURES, Failure

IMAGES, SEQUENCES = (8, 8, 1), (6, 1)
STARTS = [
    *PRESETS,
    *(f"dcgan --loss {loss}" for loss in LOSSES),
    *("mlp --batch-size 63", "mlp --batch-size 6 --minibatch-stddev 2", "mlp --batch-size 6 --minibatch-stddev 3"),
    *("mlp --lr-g 1e-3", "mlp --lr-g 1e-3 --lr-d 1e-4", "infogan --lr 1e-3", "mlp --unrolled-steps 2"),
]
"""What comes behind `minigan train`."""


def started(line: str) -> TrainConfig:
    """The configuration that a command line gives, of narrow networks on the plain backend."""
    command = parse(["train", *line.split(), "--width", "0.02", "--backend", "numpy"])
    assert isinstance(command, Train)
    return TrainConfig(**{field.name: getattr(command, field.name) for field in dataclasses.fields(TrainConfig)})


def trainer_of(config: TrainConfig) -> Trainer:
    shape = IMAGES if "images" in PRESETS[config.resolved().preset].kinds else SEQUENCES
    return Trainer(config, shape, 10, classes=10)


def judged(config: TrainConfig) -> tuple[Failure, ...]:
    """The failures that a run can be warned of."""
    return FAILURES if "discriminator" in trainer_of(config).players else FAILURES[:2]


@pytest.mark.parametrize("start", STARTS)
def test_every_cure_is_a_command_that_works(start: str) -> None:
    config = started(start).resolved()
    cures: set[Cure] = {cure for failure in judged(config) for cure in failure.cures}
    for flags in {cure(config) for cure in cures} - {None}:
        cured = started(f"{start} {flags}")
        assert cured.resolved() != config, f"{flags}: nothing changes"
        trainer_of(cured)


@pytest.mark.parametrize("start", [start for start in STARTS if "loss" not in start])
def test_lower_rates_are_lower_for_every_player_and_by_as_much(start: str) -> None:
    before = trainer_of(started(start))
    after = trainer_of(started(f"{start} {rates(0.1)(before.config)}"))
    for name, player in after.players.items():
        assert player.optimizer.lr == pytest.approx(0.1 * before.players[name].optimizer.lr, rel=1e-6)


@pytest.mark.parametrize(
    ("start", "offered"),
    [
        ("mlp --batch-size 6", True),
        ("mlp --batch-size 63", False),
        ("mlp --batch-size 8 --minibatch-stddev 2", True),
        ("mlp --batch-size 6 --minibatch-stddev 2", False),
        ("acgan", False),
    ],
)
def test_packs_are_offered_where_they_fit(start: str, offered: bool) -> None:
    config = started(start).resolved()
    assert ("--pack 2" in {cure(config) for failure in FAILURES for cure in failure.cures}) == offered


def test_what_a_run_has_already_is_not_offered() -> None:
    config = TrainConfig(
        "mlp", penalty="r1", label_smoothing=0.1, n_critic=5, gradient_clip=1.0, pack=2, instance_noise=0.1
    ).resolved()
    offered = {flags for failure in FAILURES for cure in failure.cures if (flags := cure(config))}
    assert offered == {"--lr 2e-05", "--lr-d 5e-05", "--lr-d 0.002", "--lr-g 5e-05"}


def test_every_failure_has_a_cure_for_the_presets_that_people_start_with() -> None:
    for preset in ("mlp", "dcgan", "wgan"):
        config = TrainConfig(preset).resolved()
        assert all(any(cure(config) for cure in failure.cures) for failure in FAILURES)
