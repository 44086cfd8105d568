"""The loop of a run: what is written when, and how it stops."""

import dataclasses
import io
import os
import re
import signal
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kernels import Ops
from kernels.activations import sigmoid
from minigan import TrainConfig, Trainer
from minigan.data import ArrayDataset, Batches
from minigan.errors import UserError
from minigan.layer import Params
from minigan.losses import Loss
from minigan.training import loop
from minigan.training.checkpoint import latest, load
from minigan.training.diagnose import NonFiniteError, first_non_finite
from minigan.training.files import step_files
from minigan.training.health.diagnosis import Verdict
from minigan.training.health.monitor import HealthMonitor
from minigan.training.interrupt import StopRequest, stop_on_signals
from minigan.training.pictures import Pictures
from minigan.training.progress import PlainProgress
from minigan.training.run_dir import RunDirectory

SHAPE = (8, 8, 1)


class Shown(PlainProgress):
    """Keeps what it should show, and requests a stop after a step."""

    def __init__(self, total: int, stop_after: int | None) -> None:
        super().__init__(0, total)
        self.stop, self.stop_after = StopRequest(), stop_after
        self.steps: list[int] = []
        self.logged: list[Mapping[str, Any]] = []
        self.messages: list[str] = []

    def step(self, step: int) -> None:
        self.steps.append(step)
        if step == self.stop_after:
            self.stop.signal = signal.SIGINT

    def log(self, record: Mapping[str, Any]) -> None:
        self.logged.append(record)

    def message(self, text: str) -> None:
        self.messages.append(text)


class Run:
    """A run of a small game on noise, ready to go."""

    def __init__(
        self, folder: Path, *, stop_after: int | None = None, x: np.ndarray | None = None, **settings: Any
    ) -> None:
        config = TrainConfig(**({"preset": "mlp", "batch_size": 4, "width": 0.05, "steps": 10} | settings)).resolved()
        pixels = np.random.default_rng(0).integers(0, 256, (14, *SHAPE), dtype=np.uint8)
        self.dataset = ArrayDataset("noise", pixels if x is None else x)
        self.trainer = Trainer(config, self.dataset.shape)
        self.batches = Batches(self.dataset, 4, config.seed)
        self.directory = RunDirectory.create(folder / "run", config.to_dict())
        self.shown = Shown(10, stop_after)

    def train(self) -> None:
        pictures = Pictures(self.directory, self.trainer, self.dataset)
        monitor = HealthMonitor(self.trainer, self.dataset)
        loop.train(self.trainer, self.batches, self.directory, monitor, pictures, self.shown, self.shown.stop)

    @property
    def written(self) -> tuple[list[int], list[int], list[int]]:
        """Steps of the metrics, sample grids and checkpoints."""
        samples, checkpoints = self.directory.samples, self.directory.checkpoints
        return (
            [record["step"] for record in self.directory.metrics.read()],
            list(step_files(samples, ".png")),
            list(step_files(checkpoints, ".safetensors")),
        )

    @property
    def plots(self) -> set[str]:
        return {file.name for file in self.directory.plots.iterdir()}


@pytest.mark.parametrize(
    ("settings", "metrics", "samples", "checkpoints"),
    [
        ({"log_every": 3, "sample_every": 4, "checkpoint_every": 5}, [3, 6, 9, 10], [0, 4, 8, 10], [5, 10]),
        ({"log_every": 5, "sample_every": 0, "checkpoint_every": 3}, [5, 10], [0, 10], [9, 10]),
        ({"checkpoint_every": 3, "keep_checkpoints": 9, "log_every": 7}, [7, 10], [0, 10], [3, 6, 9, 10]),
        ({"checkpoint_every": 0, "sample_every": 1}, [10], list(range(11)), [10]),
    ],
)
def test_what_is_written_when(
    settings: dict[str, int], metrics: list[int], samples: list[int], checkpoints: list[int], tmp_path: Path
) -> None:
    run = Run(tmp_path, lr=0.01, **settings)
    run.train()
    assert run.written == (metrics, samples, checkpoints)
    assert run.shown.steps == list(range(1, 11))
    assert run.plots == {"curves.png", "interpolation.png", "training.gif"}
    with Image.open(run.directory.plots / "training.gif") as animation:
        assert animation.n_frames == len(samples)


def test_the_metrics_are_those_of_the_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against a Trainer led by hand through the same batches; a clock that moves on by 2 s at each look."""
    clock = iter(range(0, 100, 2))
    monkeypatch.setattr(loop, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    run = Run(tmp_path, log_every=3, n_critic=2)
    run.train()
    by_hand, expected = Run(tmp_path / "by-hand", n_critic=2).trainer, []
    for step in range(10):
        losses = by_hand.step(*run.batches.at(step))
        logits = by_hand.algorithm.logits
        assert logits is not None
        real, fake = (float(sigmoid(u).mean()) for u in logits)
        record = {"step": step + 1, "epoch": step // 3, "loss_d": float(losses.d), "d_real": real, "d_fake": fake}
        record["loss_g"] = None if losses.g is None else float(losses.g)
        expected.append(record)
    rates = [3 * 4 / 2, 3 * 4 / 2, 3 * 4 / 2, 1 * 4 / 2]
    assert run.directory.metrics.read() == [
        expected[step - 1] | {"images_per_second": rate} for step, rate in zip((3, 6, 9, 10), rates, strict=True)
    ]
    assert run.shown.logged == run.directory.metrics.read()
    np.testing.assert_array_equal(run.trainer.params_g.flat, by_hand.params_g.flat)


def test_health_is_recorded_told_and_drawn(tmp_path: Path) -> None:
    """SGD at a rate of 10 overturns the layers at once: the warning comes with the update that makes 20."""
    run = Run(tmp_path, health_every=2, optimizer="sgd", lr=10.0, steps=40)
    run.train()
    records = run.directory.health.read()
    assert [record["step"] for record in records] == list(range(2, 41, 2))
    warned = [(record["step"], text) for record in records for text in record["warnings"].values()]
    assert run.shown.messages == [f"step {step}: warning: {text}" for step, text in warned]
    assert "exploding gradient: one update changes" in run.shown.messages[0]
    assert run.plots == {"curves.png", "health.png", "interpolation.png", "training.gif"}


def test_what_is_over_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(tmp_path, health_every=1, steps=12)
    monitor = HealthMonitor(run.trainer, run.dataset)
    verdicts = {3: Verdict({"mode-collapse": "mode collapse: ..."}, []), 7: Verdict({}, ["mode-collapse"])}
    nothing = Verdict({}, [])
    monkeypatch.setattr(monitor.diagnosis, "observe", lambda signs: verdicts.get(signs["step"], nothing))
    pictures = Pictures(run.directory, run.trainer, run.dataset)
    loop.train(run.trainer, run.batches, run.directory, monitor, pictures, run.shown, run.shown.stop)
    assert run.shown.messages == ["step 3: warning: mode collapse: ...", "step 7: no longer: mode collapse"]


def test_the_end_of_a_run_that_fails_names_what_the_monitor_had_seen(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.trainer.algorithm.gan = run.trainer.algorithm.gan._replace(
        loss=broken_loss(run.trainer.algorithm.gan.loss, "g_terms")
    )
    monitor = HealthMonitor(run.trainer, run.dataset)
    monitor.diagnosis._alarms["exploding-gradient"].active = True
    pictures = Pictures(run.directory, run.trainer, run.dataset)
    with pytest.raises(NonFiniteError, match=r"and resume\. Before it came to that: exploding gradient\. Read docs/"):
        loop.train(run.trainer, run.batches, run.directory, monitor, pictures, run.shown, run.shown.stop)


def test_points_become_a_scatter_plot_and_no_interpolation(tmp_path: Path) -> None:
    points = np.random.default_rng(0).standard_normal((14, 2)).astype(np.float32)
    run = Run(tmp_path, x=points, steps=2)
    run.train()
    assert run.written[1] == [0, 2]
    assert run.plots == {"curves.png", "training.gif"}


def test_sample_grids_show_the_same_latents_through_the_weights_of_their_step(tmp_path: Path) -> None:
    run = Run(tmp_path, sample_every=5, lr=0.01)
    run.trainer.params_g.flat *= 12
    before = run.trainer.sample(64)
    assert before.std() > 0.1, "images that could be told apart"
    run.train()
    for step, samples in ((0, before), (10, run.trainer.sample(64))):
        with Image.open(io.BytesIO(run.directory.sample_path(step).read_bytes())) as image:
            pixels, scale = np.asarray(image), image.width // (8 * (8 + 2) + 2)
        shown = pixels[2 * scale : 10 * scale : scale, 2 * scale : 10 * scale : scale]
        np.testing.assert_array_equal(shown, np.rint((samples[0, :, :, 0] + 1) * 127.5))


@pytest.mark.parametrize("step", [4, 5])
def test_a_stop_saves_the_step_in_progress_and_draws_the_curves(step: int, tmp_path: Path) -> None:
    run = Run(tmp_path, stop_after=step, checkpoint_every=5, log_every=1)
    run.train()
    assert run.shown.steps[-1] == step
    assert run.written == (list(range(1, step + 1)), [0], [step])
    assert run.plots == {"curves.png"}


def test_a_stop_before_the_first_step_saves_the_beginning(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.shown.stop.signal = signal.SIGTERM
    run.train()
    assert run.written == ([], [0], [0])


def test_nan_in_the_data_stops_the_run_with_the_weights_from_before(tmp_path: Path) -> None:
    """Step 3's batch holds one NaN: D was updated twice, and the third update is left out."""
    run = Run(
        tmp_path, log_every=1, checkpoint_every=2, keep_checkpoints=1
    )  # the good one at 2 must outlive the failure
    twice = Run(tmp_path / "twice").trainer
    for step in range(2):
        twice.step(*run.batches.at(step))
    sound = run.dataset.batch

    def batch(indices: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        x, labels = sound(indices)
        if np.array_equal(indices, run.batches.indices(2)):
            x[1, 2, 3, 0] = np.nan
        return x, labels

    run.dataset.batch = batch  # type: ignore[method-assign]
    with pytest.raises(NonFiniteError) as caught:
        run.train()
    assert str(caught.value) == (
        "stopped at step 3: the discriminator's gradient is not finite; first seen in the batch of real data itself. "
        "The weights from before that update are saved; start anew with a lower --lr or with --gradient-clip 1, or set "
        f"them in {run.directory.config_path} and resume. Read docs/when-training-fails.md#non-finite"
    )
    assert run.written == ([1, 2, 3], [0], [2, 3])
    assert run.directory.metrics.read()[-1]["loss_d"] is None
    assert run.directory.health.read() == [{"step": 3, "warnings": {"non-finite": str(caught.value)}, "over": []}]
    assert run.plots == {"curves.png", "health.png"}
    saved = load(run.directory.checkpoints / "step_0000003.safetensors")
    for name, view in twice.params_d.named.items():
        np.testing.assert_array_equal(saved.tensors[f"discriminator/{name}"], view)


def test_a_generator_whose_gradient_fails_stops_the_run_too(tmp_path: Path) -> None:
    run = Run(tmp_path)
    gan = run.trainer.algorithm.gan
    run.trainer.algorithm.gan = gan._replace(loss=broken_loss(gan.loss, "g_terms"))
    expected = (
        "stopped at step 1: the generator's gradient is not finite; first seen in the gradient of generator/dense5/b"
    )
    with pytest.raises(NonFiniteError, match=expected):
        run.train()


def test_a_rate_that_throws_the_weights_out_of_range_stops_the_run(tmp_path: Path) -> None:
    run = Run(tmp_path, lr=1e30)
    with pytest.raises(NonFiniteError, match=r"stopped at step \d: .* first seen in the output of discriminator/dense"):
        run.train()
    newest = latest(run.directory.checkpoints)
    assert newest is not None
    saved = load(newest)
    assert all(np.isfinite(tensor).all() for tensor in saved.tensors.values())


def test_weights_that_an_update_made_infinite_are_not_saved(tmp_path: Path) -> None:
    run = Run(tmp_path, checkpoint_every=1, optimizer="sgd", schedule="linear", lr=1e-3)
    step = run.trainer.step

    def step_with_a_burst(x: np.ndarray, labels: np.ndarray | None) -> Any:
        if run.trainer.steps_done == 2:
            run.trainer.d.optimizer.lr = 1e300
        return step(x, labels)

    run.trainer.step = step_with_a_burst  # type: ignore[method-assign]
    expected = r"^stopped: discriminator/dense1/W holds NaN or infinity at step 3; it is not saved, earlier checkpoints"
    with pytest.raises(NonFiniteError, match=expected):
        run.train()
    assert run.written[2] == [1, 2]
    assert load(run.directory.checkpoints / "step_0000002.safetensors").step == 2


def broken_loss(loss: Loss, part: str) -> Loss:
    """A loss whose gradients are NaN, its values not; `part` is "d_terms" or "g_terms"."""
    terms = getattr(loss, part)

    def broken(u_real: np.ndarray, u_fake: np.ndarray) -> Any:
        value, *gradients = terms(u_real, u_fake)
        return value, *(np.full_like(du, np.nan) for du in gradients)

    return dataclasses.replace(loss, **{part: broken})


def stepped(preset: str = "mlp") -> tuple[Trainer, np.ndarray]:
    """A trainer after one step, and the batch of it."""
    trainer = Trainer(TrainConfig(preset, width=0.05, batch_size=4), SHAPE)
    x = np.random.default_rng(0).uniform(-1, 1, (4, *SHAPE)).astype(np.float32)
    trainer.step(x)
    return trainer, x


@pytest.mark.parametrize(
    ("player", "path", "place"),
    [
        ("g", "dense2/W", "the output of generator/dense2"),
        ("g", "dense5/b", "the output of generator/dense5"),
        ("d", "dense3/W", "the output of discriminator/dense3, on real data"),
    ],
)
def test_the_first_layer_whose_output_is_not_finite_is_named(player: str, path: str, place: str) -> None:
    trainer, x = stepped()
    getattr(trainer, player).params.named[path][...] = np.nan
    assert first_non_finite(trainer, x) == place


def test_a_layer_that_fails_on_fakes_alone_is_named_so() -> None:
    """Real images are 0 everywhere, so that only the fakes, 1 everywhere, meet the huge weights of D."""
    trainer, x = stepped()
    trainer.params_g.named["dense5/b"][...] = 100
    weight = trainer.params_d.named["dense1/W"]
    weight[...] = 3e38 / len(weight) * 2
    with np.errstate(over="ignore"):
        assert first_non_finite(trainer, np.zeros_like(x)) == "the output of discriminator/dense1, on fake data"


@pytest.mark.parametrize(
    ("part", "place"),
    [("d_terms", "the gradient of discriminator/dense4/b"), ("g_terms", "the gradient of generator/dense5/b")],
)
def test_a_gradient_that_fails_behind_finite_outputs_is_named(part: str, place: str) -> None:
    trainer, x = stepped()
    gan = trainer.algorithm.gan
    trainer.algorithm.gan = gan._replace(loss=broken_loss(gan.loss, part))
    assert first_non_finite(trainer, x) == place


def test_a_finite_gradient_that_stops_the_optimizer_is_named() -> None:
    """Its square would make Adam's second moment infinite: the update is left out, and here is why."""
    trainer, x = stepped()
    gan = trainer.algorithm.gan

    def steep(u_real: np.ndarray, u_fake: np.ndarray) -> Any:
        value, *gradients = gan.loss.d_terms(u_real, u_fake)
        return value, *(np.float32(1e22) * du for du in gradients)

    trainer.algorithm.gan = gan._replace(loss=dataclasses.replace(gan.loss, d_terms=steep))
    trainer.step(x)
    assert trainer.skipped == "discriminator"
    place = first_non_finite(trainer, x)
    assert re.fullmatch(r"the gradient of discriminator/dense\d/\w, finite but too large to be squared", place)


def test_a_sound_step_is_not_accused_and_is_replayed_with_its_own_latents(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer, x = stepped("dcgan")
    seen: list[np.ndarray] = []
    dense = trainer.generator.children()["dense1"]
    forward = dense.forward

    def watched(ops: Ops, p: Params, z: np.ndarray, train: bool = True) -> Any:
        seen.append(z.copy())
        return forward(ops, p, z, train)

    monkeypatch.setattr(dense, "forward", watched)
    trainer.step(x)
    in_the_step = seen.copy()
    assert first_non_finite(trainer, x) == "nothing that shows again when the step is repeated"
    np.testing.assert_array_equal(seen[2:], in_the_step * 2)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_first_signal_is_a_request_the_second_interrupts(number: int, code: int) -> None:
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with stop_on_signals() as request:
        assert (request.signal, request.exit_code) == (0, 0)
        os.kill(os.getpid(), number)
        assert (request.signal, request.exit_code) == (number, code)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers


def test_a_data_set_that_breaks_on_the_way_costs_no_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(tmp_path, checkpoint_every=0)
    whole = run.dataset.batch

    def breaks(indices: np.ndarray) -> Any:
        if run.trainer.steps_done == 7:
            raise UserError("digit.png is broken")
        return whole(indices)

    monkeypatch.setattr(run.dataset, "batch", breaks)
    with pytest.raises(UserError, match=r"^digit\.png is broken$"):
        run.train()
    saved = latest(run.directory.checkpoints)
    assert saved is not None
    assert load(saved).step == 7
