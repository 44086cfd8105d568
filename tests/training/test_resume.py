"""A run that is interrupted and resumed, however it was, ends bit for bit like one that never stopped."""

import dataclasses
import random
import signal
import subprocess
import sys
import time
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lives import life, live, outcome
from PIL import Image

from minigan import TrainConfig, Trainer
from minigan.data import ArrayDataset, Batches
from minigan.errors import UserError
from minigan.presets import PRESETS
from minigan.training import session
from minigan.training.checkpoint import load, save
from minigan.training.pictures import Pictures
from minigan.training.run_dir import RunDirectory

SHAPE = (8, 12, 2)
GAMES = {
    "dcgan, averaged, five to one": TrainConfig("dcgan", ema=0.9, n_critic=5, steps=20),
    "wgan": TrainConfig("mlp-small", steps=20),
    "lucic with a schedule and AMSGrad": TrainConfig(
        "lucic", norm="layer", amsgrad=True, schedule="cosine", steps=20, loss="relativistic-average"
    ),
    "sgd with momentum": TrainConfig("lsgan", optimizer="sgd", momentum=0.9, nesterov=True, lr=0.01, steps=20),
    "cgan": TrainConfig("cgan", steps=20),
    "infogan": TrainConfig("infogan", norm="none", weight_norm="spectral", steps=20),
    "rmsprop": TrainConfig("mlp", optimizer="rmsprop", weight_decay=0.1, gradient_clip=0.1, steps=20),
}


@pytest.mark.parametrize("game", GAMES)
@pytest.mark.parametrize("stop", [1, 10, 13])
def test_a_trainer_restored_from_disk_goes_on_as_if_nothing_had_happened(game: str, stop: int, tmp_path: Path) -> None:
    config = dataclasses.replace(GAMES[game], width=0.05, batch_size=6, seed=3)
    pixels = np.random.default_rng(0).integers(0, 256, (40, *SHAPE), dtype=np.uint8)
    dataset = ArrayDataset("noise", pixels, np.arange(40) % 3, ("a", "b", "c"))
    batches = Batches(dataset, 6, config.seed)
    assert batches.steps_per_epoch < stop or stop == 1, "the second half begins in a later epoch"

    whole, first, second = (Trainer(config, SHAPE, classes=3) for _ in range(3))
    losses = [whole.step(*batches.at(step)) for step in range(20)]
    for step in range(stop):
        first.step(*batches.at(step))
    second.restore(load(save(tmp_path, first.checkpoint())))
    assert [second.step(*batches.at(step)) for step in range(stop, 20)] == losses[stop:]

    ours, theirs = second.checkpoint(), whole.checkpoint()
    assert (ours.step, ours.config, ours.extra) == (theirs.step, theirs.config, theirs.extra)
    assert ours.tensors.keys() == theirs.tensors.keys()
    for name, tensor in theirs.tensors.items():
        assert ours.tensors[name].tobytes() == tensor.tobytes(), name
    assert second.sample(5).tobytes() == whole.sample(5).tobytes()


def test_a_checkpoint_of_another_game_changes_nothing(tmp_path: Path) -> None:
    config = TrainConfig("mlp", width=0.05, steps=2)
    trainer = Trainer(config, SHAPE)
    before = {name: tensor.copy() for name, tensor in trainer.checkpoint().tensors.items()}
    others = {
        "is of preset mlp-small, this run is of mlp": (TrainConfig("mlp-small", width=0.05), SHAPE),
        "does not fit: different: generator/dense": (TrainConfig("mlp", width=0.06), SHAPE),
        r"\(6, 3072\) float32, expected \(51, 192\)|does not fit": (TrainConfig("mlp", width=0.05), (32, 32, 3)),
        "does not fit: unexpected: average/dense1/W": (TrainConfig("mlp", width=0.05, ema=0.9), SHAPE),
        "does not fit: missing: optimizer_generator/m/": (TrainConfig("mlp", width=0.05, optimizer="sgd"), SHAPE),
    }
    for complaint, (other, shape) in others.items():
        with pytest.raises(UserError, match=complaint):
            trainer.restore(Trainer(other, shape).checkpoint())
    assert trainer.steps_done == 0
    for name, tensor in trainer.checkpoint().tensors.items():
        np.testing.assert_array_equal(tensor, before[name])


@pytest.fixture
def noise(faces: Path) -> str:
    """Ten images: four epochs pass in ten steps of four."""
    return str(faces)


def tiny(data: str, preset: str = "dcgan", **settings: Any) -> TrainConfig:
    every = {"log_every": 1, "health_every": 2, "sample_every": 4, "checkpoint_every": 5, "lr": 0.01}
    size = {"batch_size": 4, "width": 0.02, "latent_dim": 4, "steps": 20}
    return TrainConfig(preset, data=data, **(every | size | settings))


def test_twenty_steps_are_ten_and_ten_more(noise: str, tmp_path: Path) -> None:
    config = tiny(noise, ema=0.9, n_critic=5, sample_every=5)
    session.start(config, tmp_path / "whole")
    run, code = session.start(dataclasses.replace(config, steps=10), tmp_path / "halves")
    assert code == 0
    session.resume(run.path, steps=20)
    assert outcome(run.path) == outcome(tmp_path / "whole")
    assert outcome(run.path)["config"]["steps"] == 20


@pytest.mark.parametrize("stop", [3, 14, 15])
def test_what_was_done_after_the_last_checkpoint_is_undone(
    stop: int, noise: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Checkpoints at 5, 10, 15: a run that dies in a step goes back to the last one, its metrics and samples too."""
    config = tiny(noise)
    session.start(config, tmp_path / "whole")
    step = Trainer.step

    def dying_step(self: Trainer, *batch: Any) -> Any:
        if self.steps_done == stop:
            raise RuntimeError("power cut")
        return step(self, *batch)

    monkeypatch.setattr(Trainer, "step", dying_step)
    with pytest.raises(RuntimeError, match="power cut"):
        session.start(config, tmp_path / "cut")
    run = RunDirectory.open(tmp_path / "cut")
    assert run.metrics.read()[-1]["step"] == stop
    with run.metrics.path.open("a") as metrics:
        metrics.write('{"step": 16, "loss_')
    monkeypatch.setattr(Trainer, "step", step)
    session.resume(run.path)
    assert outcome(run.path) == outcome(tmp_path / "whole")


def test_a_sample_grid_of_steps_that_were_lost_goes(noise: str, tmp_path: Path) -> None:
    """Of a run whose last checkpoint, at step 10, is older than its grid of step 12."""
    run, _ = session.start(tiny(noise, steps=12, checkpoint_every=10), tmp_path / "run")
    (run.checkpoints / "step_0000012.safetensors").unlink()
    session.resume(run.path, steps=11)
    assert [file.stem for file in run.sample_files()] == [f"step_{step:07d}" for step in (0, 4, 8, 11)]
    assert [record["step"] for record in run.metrics.read()] == list(range(1, 12))


def test_a_finished_run_stays_as_it_is(noise: str, tmp_path: Path) -> None:
    run, _ = session.start(tiny(noise, steps=5), tmp_path / "run")
    before = outcome(run.path)
    session.resume(run.path)
    assert outcome(run.path) == before
    with pytest.raises(UserError, match="is at step 5 already; --steps 4 lies behind"):
        session.resume(run.path, steps=4)
    assert outcome(run.path) == before


@pytest.mark.slow
def test_killed_before_any_change_of_any_file_a_run_resumes(
    noise: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run of two steps is killed before its first change in the folder, another before its second ... up to plots."""
    config = tiny(noise, "mlp", steps=2, checkpoint_every=1, sample_every=2)
    session.start(config, tmp_path / "whole")
    expected = {key: value for key, value in outcome(tmp_path / "whole").items() if not key.startswith("plots")}
    monkeypatch.setattr(Pictures, "final", Pictures.sample_grid)  # plots take longest, and no part in this
    phases = set()
    for change in count(1):
        path = tmp_path / f"killed-{change}"
        killed = life(config, path, change)
        killed.join(60)
        assert killed.exitcode == -signal.SIGKILL
        phases.add((path.exists(), (path / "config.toml").exists(), (path / "checkpoints").exists()))
        live(config, path)
        found = {key: value for key, value in outcome(path).items() if not key.startswith("plots")}
        assert found == expected, f"killed before change {change}"
        if (path / "plots").exists():
            break
    assert phases == {(False, False, False), (True, False, False), (True, True, False), (True, True, True)}


@pytest.mark.slow
def test_killed_fifty_times_at_random_moments_a_run_resumes(noise: str, tmp_path: Path) -> None:
    """When a run has done its last step between the kills it is compared, and another one begins."""
    config = tiny(noise, steps=12, checkpoint_every=1, sample_every=4)
    session.start(config, tmp_path / "whole")
    expected = outcome(tmp_path / "whole")
    moments, paths, kills = random.Random(0), (tmp_path / f"run-{number}" for number in count()), 0
    path = next(paths)
    while kills < 50:
        process = life(config, path)
        process.join(0.3 * moments.random() ** 2)
        process.kill()
        process.join()
        assert process.exitcode in (0, -signal.SIGKILL)
        kills += process.exitcode != 0
        if (path / "checkpoints" / "step_0000012.safetensors").exists():
            live(config, path)
            assert outcome(path) == expected
            path = next(paths)
    live(config, path)
    assert outcome(path) == expected


@pytest.mark.parametrize("sign", ["config.toml", "metrics.jsonl", "checkpoints/step_0000010.safetensors"])
def test_kill_9_of_the_program_itself(sign: str, noise: str, tmp_path: Path) -> None:
    """Killed as soon as a file appears; then `minigan train --resume`."""
    config = tiny(noise)
    flags = [
        f"--{name.replace('_', '-')}={value}" for name, value in config.to_dict().items() if name != "preset" and value
    ]
    command = [sys.executable, "-m", "minigan", "train"]
    path = tmp_path / "killed"
    with subprocess.Popen(
        [*command, "dcgan", "--out", str(path), *(part for flag in flags for part in flag.split("=", 1))],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        while not (path / sign).exists() and process.poll() is None:
            time.sleep(0.001)
        process.kill()
    resumed = subprocess.run([*command, "--resume", str(path)], capture_output=True, text=True, timeout=60, check=True)
    assert resumed.stdout.startswith("Done: ")
    session.start(config, tmp_path / "whole")
    assert outcome(path) == outcome(tmp_path / "whole")


def edited(run: RunDirectory, **changes: Any) -> None:
    """What a user does to config.toml between two starts."""
    dataclasses.replace(run, config=run.config | changes).write_config()


@pytest.mark.parametrize(
    ("first", "changes", "complaint"),
    [
        ({}, {"weight_norm": "spectral"}, "weight_norm was none up to step 5 and cannot become spectral within a run"),
        ({}, {"pack": 2}, "pack was 1 up to step 5 and cannot become 2"),
        ({"minibatch_stddev": 2}, {"minibatch_stddev": 0}, "minibatch_stddev was 2 up to step 5 and cannot become 0"),
        ({"lecam": 0.1}, {"lecam": 0.0}, "lecam was 0.1 up to step 5 and cannot become 0.0"),
        ({}, {"instance_noise": 0.1}, "instance_noise was 0.0 up to step 5 and cannot become 0.1"),
    ],
)
def test_what_cannot_change_within_a_run_is_told_in_a_line(
    first: dict[str, Any], changes: dict[str, Any], complaint: str, noise: str, tmp_path: Path
) -> None:
    run, _ = session.start(tiny(noise, "mlp", steps=5, **first), tmp_path / "run")
    edited(run, **changes, steps=6)
    before = outcome(run.path)
    with pytest.raises(UserError, match=f"{complaint}.*: set it back, or start a new run$"):
        session.resume(run.path)
    assert outcome(run.path) == before


def test_amounts_may_change_within_a_run(noise: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, _ = session.start(tiny(noise, "mlp", steps=5, lecam=0.1, instance_noise=0.1), tmp_path / "run")
    edited(run, lecam=0.2, instance_noise=0.3)
    session.resume(run.path, steps=6)
    told = "minigan: changed since step 5: instance_noise 0.1 -> 0.3, lecam 0.1 -> 0.2"
    assert told in capsys.readouterr().err.splitlines()


def test_another_penalty_with_the_old_ones_weight_is_told(
    noise: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, _ = session.start(tiny(noise, "mlp", steps=5, penalty="wgan-gp"), tmp_path / "run")
    edited(run, penalty="r1")
    session.resume(run.path, steps=6)
    line = "minigan: changed since step 5: penalty wgan-gp -> r1, but penalty_weight, still the 10 of wgan-gp"
    assert line in capsys.readouterr().err.splitlines()
    edited(RunDirectory.open(run.path), penalty="r2", penalty_weight=0.5)
    session.resume(run.path, steps=7)
    line = "minigan: changed since step 6: penalty r1 -> r2, penalty_weight 10.0 -> 0.5"
    assert line in capsys.readouterr().err.splitlines()


def test_a_run_from_before_there_was_a_choice_resumes_without_a_word(
    noise: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its checkpoint does not name the newer fields; their defaults are what it did."""
    newer = ("pack", "minibatch_stddev", "lecam", "augment", "instance_noise", "penalty_every", "weight_norm")
    run, _ = session.start(tiny(noise, "mlp", steps=5), tmp_path / "run")
    path = next(run.checkpoints.iterdir())
    checkpoint = load(path)
    config = {name: value for name, value in checkpoint.config.items() if name not in newer}
    tensors = {name: tensor.copy() for name, tensor in checkpoint.tensors.items()}
    save(run.checkpoints, dataclasses.replace(checkpoint, config=config, tensors=tensors))
    session.resume(run.path, steps=6)
    assert "changed since" not in capsys.readouterr().err


@pytest.fixture
def two_kinds(tmp_path: Path) -> str:
    """A folder of eight grey images, 8x8, of two classes."""
    rng = np.random.default_rng(0)
    for number in range(8):
        file = tmp_path / "images" / "ab"[number % 2] / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (8, 8), dtype=np.uint8)).save(file)
    return str(tmp_path / "images")


@pytest.mark.parametrize("preset", PRESETS)
def test_a_run_of_every_preset_resumes_without_a_word(
    preset: str,
    two_kinds: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Presets differ in which fields of the configuration they have at all."""
    monkeypatch.setattr(Pictures, "final", Pictures.sample_grid)  # plots take longest, and no part in this
    data = two_kinds if "images" in PRESETS[preset].kinds else "sines"
    run, _ = session.start(tiny(data, preset, steps=2, backend="numpy"), tmp_path / "run")
    resumed, code = session.resume(run.path, steps=3)
    assert (code, resumed.metrics.read()[-1]["step"]) == (0, 3)
    assert "changed since" not in capsys.readouterr().err
