"""Training on a data set that lies on the device: the steps of the host's batches, bit for bit, without the host."""

import gc
import signal
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pytest
from strict_device import StrictRuntime, as_backend

from kernels.cuda.emulator import why_not
from minigan import TrainConfig, Trainer
from minigan.data import ArrayDataset, Batches, StackedMnist
from minigan.training import loop, resident
from minigan.training.diagnose import NonFiniteError
from minigan.training.health.monitor import HealthMonitor
from minigan.training.interrupt import StopRequest
from minigan.training.pictures import Pictures
from minigan.training.progress import PlainProgress
from minigan.training.run_dir import RunDirectory

pytestmark = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))

SIZE, SAMPLES, CLASSES = 4, 22, 10
NARROW = {"batch_size": SIZE, "width": 0.05}
CONFIGURATIONS = {
    "mlp-small": TrainConfig("mlp-small", n_critic=2, **NARROW),
    "dcgan": TrainConfig("dcgan", schedule="linear", ema=0.9, **NARROW),
    "cgan": TrainConfig("cgan", **NARROW),
    "aae": TrainConfig("aae", **NARROW),
    "lazy penalty": TrainConfig("wgan-gp", penalty_every=2, n_critic=3, **NARROW),
}


class Counting(StrictRuntime):
    """Counts the copies to the device."""

    copies = 0

    def to_device(self, array: np.ndarray) -> Any:
        self.copies += 1
        return super().to_device(array)


@pytest.fixture
def runtime() -> Iterator[Counting]:
    with as_backend(Counting()) as counting:
        yield counting


def images() -> ArrayDataset:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (SAMPLES, 8, 8, 1), dtype=np.uint8)
    return ArrayDataset("noise", pixels, rng.integers(0, CLASSES, SAMPLES), tuple("0123456789"))


def points() -> ArrayDataset:
    return ArrayDataset("points", np.random.default_rng(0).standard_normal((SAMPLES, 2)).astype(np.float32))


def trainer_of(config: TrainConfig, data: Any, **settings: Any) -> Trainer:
    config = replace(config, backend="strict", **settings)
    return Trainer(config, data.shape, total_steps=20, classes=data.num_classes)


def read(trainer: Trainer, losses: Any) -> list[float | None]:
    return [None if loss is None else float(trainer.read(loss)) for loss in losses]


@pytest.mark.usefixtures("runtime")
@pytest.mark.parametrize("name", [*CONFIGURATIONS, "points"])
def test_the_steps_are_those_of_the_hosts_batches(name: str):
    """Over three epochs, in calls of one step and of many; losses of the last of each, and all state."""
    config, data = CONFIGURATIONS.get(name, TrainConfig("mlp", **NARROW)), points() if name == "points" else images()
    batches = Batches(data, SIZE, config.seed)
    eager, captured = (trainer_of(config, data, capture=capture) for capture in (False, True))
    assert captured.keep(batches) is None
    for count in (1, 2, 6, 1, 2):
        for _ in range(count):
            expected = eager.step(*batches.at(eager.steps_done))
        losses = captured.advance(batches, count)
        assert captured.steps_done == eager.steps_done
        assert read(captured, losses) == read(eager, expected)
        assert captured.algorithm.beliefs() == eager.algorithm.beliefs()
    found, wanted = captured.checkpoint(), eager.checkpoint()
    assert found.extra == wanted.extra
    for path, tensor in found.tensors.items():
        np.testing.assert_array_equal(tensor, wanted.tensors[path], err_msg=path)


@pytest.mark.parametrize("name", ["dcgan", "cgan", "lazy penalty"])
def test_many_steps_copy_no_more_than_one(name: str, runtime: Counting):
    """The samples' indices, and the numbers of both players' updates."""
    data = images()
    trainer, batches = trainer_of(CONFIGURATIONS[name], data, capture=True), Batches(data, SIZE, 0)
    trainer.keep(batches)
    for count in (8, 1, 11):
        before = runtime.copies
        trainer.advance(batches, count)
        assert runtime.copies - before == 3


@pytest.mark.usefixtures("runtime")
def test_a_call_does_as_many_steps_as_there_is_room_for(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(resident, "MOST_STEPS", 3)
    monkeypatch.setattr("minigan.training.trainer.MOST_STEPS", 3)
    data = images()
    trainer, batches = trainer_of(CONFIGURATIONS["dcgan"], data, capture=True), Batches(data, SIZE, 0)
    trainer.keep(batches)
    trainer.advance(batches, 10)
    assert trainer.steps_done == 3


@pytest.mark.usefixtures("runtime")
def test_batches_by_hand_and_those_on_the_device_take_turns():
    """Each kind has graphs of its own, on memory of its own."""
    data = images()
    batches = Batches(data, SIZE, 0)
    eager, captured = (trainer_of(CONFIGURATIONS["cgan"], data, capture=capture) for capture in (False, True))
    captured.keep(batches)
    for turn in range(4):
        for _ in range(3):
            eager.step(*batches.at(eager.steps_done))
            if turn % 2:
                captured.step(*batches.at(captured.steps_done))
        if not turn % 2:
            captured.advance(batches, 3)
    np.testing.assert_array_equal(captured.read(captured.params_d.flat), eager.read(eager.params_d.flat))


@pytest.mark.usefixtures("runtime")
@pytest.mark.parametrize("name", ["dcgan", "aae"])
def test_a_data_set_leaves_the_device_when_another_one_is_kept(name: str):
    """Also where graphs have read it, whichever update's they are; at once, not when Python looks for cycles."""
    data = images()
    batches = Batches(data, SIZE, 0)
    trainer = trainer_of(CONFIGURATIONS[name], data, capture=True)
    trainer.keep(batches)
    trainer.advance(batches, 6)
    assert trainer._resident is not None
    memory = [weakref.ref(array._memory) for array in (trainer._resident._x, trainer._resident.batch.x)]
    gc.collect()
    gc.disable()
    try:
        trainer.keep(batches)
        assert [reference() for reference in memory] == [None, None]
    finally:
        gc.enable()


@pytest.mark.usefixtures("runtime")
def test_another_data_set_can_be_kept_later():
    """Its graphs are its own."""
    config, (first, second) = CONFIGURATIONS["mlp-small"], (images(), images())
    second.x[...] = 255 - second.x
    eager, captured = (trainer_of(config, first, capture=capture) for capture in (False, True))
    for data in (first, second, first):
        batches = Batches(data, SIZE, 0)
        assert captured.keep(batches) is None
        for _ in range(6):
            eager.step(*batches.at(eager.steps_done))
        captured.advance(batches, 6)
    np.testing.assert_array_equal(captured.read(captured.params_d.flat), eager.read(eager.params_d.flat))


class TestWhatIsRefused:
    @pytest.mark.usefixtures("runtime")
    def test_batches_of_something_else_than_was_kept(self):
        data, other = images(), images()
        other.name = "other"
        trainer = trainer_of(CONFIGURATIONS["dcgan"], data, capture=True)
        trainer.keep(Batches(data, SIZE, 0))
        kept = "advance: expected batches of 4 of the data set that was kept on the device, noise, got batches of "
        with pytest.raises(ValueError, match=f"^{kept}4 of another one, other$"):
            trainer.advance(Batches(other, SIZE, 0), 2)
        with pytest.raises(ValueError, match=f"^{kept}5 of it$"):
            trainer.advance(Batches(data, 5, 0), 2)
        assert trainer.steps_done == 0
        trainer.advance(Batches(data, SIZE, 1), 2)  # the same samples in another order
        assert trainer.steps_done == 2

    @pytest.mark.usefixtures("runtime")
    @pytest.mark.parametrize("kept", [True, False])
    @pytest.mark.parametrize("most", [0, -1])
    def test_no_step_at_all(self, kept: bool, most: int):
        data = images()
        trainer, batches = trainer_of(CONFIGURATIONS["dcgan"], data, capture=True), Batches(data, SIZE, 0)
        if kept:
            trainer.keep(batches)
        with pytest.raises(ValueError, match=rf"^advance: expected 1 step or more, got {most}$"):
            trainer.advance(batches, most)


class TestWhatIsNotKept:
    @pytest.mark.usefixtures("runtime")
    def test_a_data_set_that_is_too_large(self, monkeypatch: pytest.MonkeyPatch):
        """And the training goes on with batches of the host's."""
        monkeypatch.setattr(Counting, "free_bytes", lambda _: 2000)
        data = images()
        trainer, batches = trainer_of(CONFIGURATIONS["dcgan"], data, capture=True), Batches(data, SIZE, 0)
        assert trainer.keep(batches) == "noise takes 0 MiB, and 0 MiB of the device's memory are free"
        trainer.advance(batches, 10)
        assert trainer.steps_done == 1

    @pytest.mark.usefixtures("runtime")
    def test_samples_that_are_made_one_by_one(self):
        base = ArrayDataset("digits", np.zeros((5, 8, 8, 1), np.uint8), np.arange(5))
        data = StackedMnist("stacked", base, 0)
        data.shape = (8, 8, 3)
        trainer = trainer_of(CONFIGURATIONS["dcgan"], data, capture=True)
        assert trainer.keep(Batches(data, SIZE, 0)) == "the samples of stacked come into being batch by batch"

    def test_without_capture_there_is_no_need(self):
        data = images()
        trainer = Trainer(TrainConfig("mlp-small", backend="numpy", **NARROW), data.shape, total_steps=3)
        batches = Batches(data, SIZE, 0)
        assert trainer.keep(batches) == "without capture the host hands over every batch"
        trainer.advance(batches, 3)
        assert trainer.steps_done == 1

    @pytest.mark.usefixtures("runtime")
    def test_labels_out_of_range_are_refused(self):
        data = images()
        assert data.labels is not None
        data.labels[3] = CLASSES
        trainer = trainer_of(CONFIGURATIONS["cgan"], data, capture=True)
        with pytest.raises(ValueError, match=r"^keep: expected labels in \[0, 10\), got \d to 10"):
            trainer.keep(Batches(data, SIZE, 0))


class Shown(PlainProgress):
    """Keeps where the calls ended, and requests a stop after a step."""

    def __init__(self, stop_after: int | None) -> None:
        super().__init__(0, 20)
        self.stop, self.stop_after, self.steps = StopRequest(), stop_after, list[int]()

    def step(self, step: int) -> None:
        self.steps.append(step)
        if step == self.stop_after:
            self.stop.signal = signal.SIGINT


def run(folder: Path, data: ArrayDataset, stop_after: int | None = None, **settings: Any) -> Shown:
    """A run of 20 steps on a data set on the device."""
    trainer, batches = trainer_of(TrainConfig("mlp", **NARROW), data, capture=True, **settings), Batches(data, SIZE, 0)
    trainer.keep(batches)
    directory = RunDirectory.create(folder / "run", trainer.config.to_dict())
    monitor, pictures = HealthMonitor(trainer, data), MagicMock(Pictures)
    shown = Shown(stop_after)
    loop.train(trainer, batches, directory, monitor, pictures, shown, shown.stop)
    return shown


@pytest.mark.usefixtures("runtime")
@pytest.mark.parametrize(
    ("intervals", "ends"),
    [
        ((7, 0, 0, 0), [7, 14, 20]),
        ((20, 6, 0, 0), [6, 12, 18, 20]),
        ((20, 0, 9, 0), [9, 18, 20]),
        ((20, 0, 0, 8), [7, 8, 15, 16, 20]),  # a step that is measured is alone
        ((10, 5, 0, 10), [5, 9, 10, 15, 19, 20]),
    ],
)
def test_a_call_ends_where_there_is_something_to_do(intervals: tuple[int, ...], ends: list[int], tmp_path: Path):
    names = ("log_every", "sample_every", "checkpoint_every", "health_every")
    assert run(tmp_path, images(), **dict(zip(names, intervals, strict=True))).steps == ends


@pytest.mark.usefixtures("runtime")
def test_a_stop_is_heard_after_the_call(tmp_path: Path):
    shown = run(tmp_path, images(), stop_after=14, log_every=7, health_every=0)
    assert shown.steps == [7, 14]
    assert (tmp_path / "run" / "checkpoints" / "step_0000014.safetensors").exists()


@pytest.mark.usefixtures("runtime")
def test_nan_among_many_steps_is_found(tmp_path: Path):
    """A point that is NaN comes in the second step of five."""
    data = points()
    data.x[Batches(data, SIZE, 0).indices(1)[2]] = np.nan
    with pytest.raises(
        NonFiniteError,
        match=r"^stopped at step 5: the discriminator's gradient was not finite in one of the last 5 steps; first seen "
        r"in the batch of real data itself\. The weights without that update are saved; ",
    ):
        run(tmp_path, data, log_every=5, health_every=0)
    assert (tmp_path / "run" / "checkpoints" / "step_0000005.safetensors").exists()
