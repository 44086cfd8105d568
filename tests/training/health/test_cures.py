"""What a warning advises can be done: the flags exist and go with the run.

Of networks that play no game only gradients are judged, the first two failures.
"""

import dataclasses

import pytest

from minigan import TrainConfig, Trainer
from minigan.cli import Train, parse
from minigan.losses import LOSSES
from minigan.presets import PRESETS
from minigan.training.health.failures import FAILURES

SHAPE = (8, 8, 1)
STARTS = [TrainConfig(name) for name in PRESETS] + [TrainConfig("dcgan", loss=loss) for loss in LOSSES]


@pytest.mark.parametrize("start", STARTS, ids=lambda config: f"{config.preset}-{config.loss}")
def test_every_cure_is_a_command_that_works(start: TrainConfig) -> None:
    config = start.resolved()
    given = [start.preset, *(["--loss", start.loss] if start.loss else [])]
    named = FAILURES if "generator" in Trainer(config, SHAPE, 10, classes=10).players else FAILURES[:2]
    for failure in named:
        for cure in failure.cures:
            flags = cure(config)
            if flags is None:
                continue
            command = parse(["train", *given, *flags.split()])
            assert isinstance(command, Train)
            fields = {f.name: getattr(command, f.name) for f in dataclasses.fields(TrainConfig)}
            cured = TrainConfig(**fields | {"width": 0.02, "backend": "numpy"})
            assert cured.resolved() != dataclasses.replace(config, width=0.02, backend="numpy"), "nothing changes"
            Trainer(cured, SHAPE, 10, classes=10)


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
