"""Start a run, resume one, or open one to sample from: what stands between the command line and the loop."""

import dataclasses
import sys
from pathlib import Path
from typing import Any

from kernels.compiling import telling

from ..data import NAMES, Batches, Dataset, load
from ..errors import UserError
from ..presets import get_preset
from .checkpoint import Checkpoint, latest
from .checkpoint import load as load_checkpoint
from .config import TrainConfig
from .health.monitor import HealthMonitor
from .interrupt import stop_on_signals
from .loop import train
from .pictures import Pictures
from .progress import progress
from .run_dir import RunDirectory, fresh_path
from .trainer import Trainer

RUNS = Path("runs")
HARMLESS = {
    "capture",
    "steps",
    "epochs",
    "data_dir",
    "log_every",
    "health_every",
    "sample_every",
    "checkpoint_every",
    "keep_checkpoints",
}
"""What may change on the way without changing what is learned; a schedule other than constant depends on the total."""

DEFAULTS = {field.name: field.default for field in dataclasses.fields(TrainConfig) if field.name != "preset"}
CHOSEN_LATER = ("penalty", "weight_norm")
"""What runs did without before there was a choice, in the presets that have it."""

LASTING = ("weight_norm", "pack", "minibatch_stddev")
"""What cannot change on the way, since other weights or vectors belong to it."""
LASTING_IF_ANY = ("instance_noise", "lecam")
"""What has a state, or none where it is 0."""


def start(config: TrainConfig, out: Path | None = None, overwrite: bool = False) -> tuple[RunDirectory, int]:
    """Train a new run; returns its folder and the exit code. All input is checked before anything is written."""
    config = _with_absolute_paths(config.resolved())
    trainer, batches = _prepare(config)
    path = out if out is not None else fresh_path(RUNS, f"{config.preset}-{batches.dataset.name}")
    with RunDirectory.creating(path, config.to_dict(), overwrite) as run:
        return run, _train(run, trainer, batches)


def resume(path: Path, steps: int | None = None, data_dir: str | None = None) -> tuple[RunDirectory, int]:
    """Go on with a run from its latest checkpoint (or from the start, if it was killed before the first).

    Args:
        path: the run's folder.
        steps: a new total; the run's own by default.
        data_dir: where the data set's files are now.
    """
    run = RunDirectory.open(path)
    config = TrainConfig.from_dict(run.config, run.config_path)
    if steps is not None:
        config = dataclasses.replace(config, steps=steps, epochs=None)
    if data_dir is not None:
        config = _with_absolute_paths(dataclasses.replace(config, data_dir=data_dir))
    trainer, batches = _prepare(config)
    with run.lock():
        newest = latest(run.checkpoints)
        if newest is not None:
            checkpoint = load_checkpoint(newest)
            _refuse_changes(checkpoint, trainer.config)
            trainer.restore(checkpoint)
            _tell_changes(checkpoint, trainer.config)
        assert trainer.total_steps is not None
        if trainer.steps_done > trainer.total_steps:
            raise UserError(
                f"{path} is at step {trainer.steps_done} already; --steps {trainer.total_steps} lies behind"
            )
        if trainer.config.to_dict() != run.config:
            run = dataclasses.replace(run, config=trainer.config.to_dict())
            run.write_config()
        run.metrics.rewind(_last_kept(trainer, trainer.config.log_every))
        run.health.rewind(trainer.steps_done)
        run.rewind_samples(_last_kept(trainer, trainer.config.sample_every))
        return run, _train(run, trainer, batches)


def _last_kept(trainer: Trainer, every: int) -> int:
    """The last step whose record stays: the present one, unless it was made only because the run was to end there."""
    done = trainer.steps_done
    return done if done == trainer.total_steps or (every and done % every == 0) else done - 1


def open_trained(path: Path) -> Trainer:
    """The trainer of a run at its latest checkpoint; needs no data set."""
    run = RunDirectory.open(path)
    config = TrainConfig.from_dict(run.config, run.config_path)
    newest = latest(run.checkpoints)
    if newest is None:
        raise UserError(f"{path} has no checkpoint yet: let it train to the first one")
    checkpoint = load_checkpoint(newest)
    if "data_shape" not in checkpoint.extra:
        raise UserError(f"{newest} does not say what shape its samples have")
    shape, classes = tuple(checkpoint.extra["data_shape"]), checkpoint.extra.get("classes")
    trainer = Trainer(dataclasses.replace(config, schedule="constant"), shape, classes=classes)
    trainer.restore(checkpoint)
    return trainer


def load_data(config: TrainConfig) -> Dataset:
    """The data set that a configuration names."""
    return load(
        str(config.data),
        data_dir=config.data_dir,
        seed=config.seed,
        image_size=config.image_size,
        channels=config.channels,
    )


def _with_absolute_paths(config: TrainConfig) -> TrainConfig:
    """So that the run can be resumed from another folder."""
    name = str(config.data)
    data = name if name in NAMES else str(Path(name).expanduser().resolve())
    if data != name and not Path(data).is_dir():
        data = name  # a misspelt name, which `load` explains
    data_dir = None if config.data_dir is None else str(Path(config.data_dir).expanduser().resolve())
    return dataclasses.replace(config, data=data, data_dir=data_dir)


def _recorded(checkpoint: Checkpoint) -> dict[str, Any]:
    """What the run was trained with; where its checkpoint does not name a field, what it did before there was one."""
    recipe = get_preset(checkpoint.preset).recipe
    without = {name: "none" for name in CHOSEN_LATER if getattr(recipe, name) is not None}
    return DEFAULTS | without | checkpoint.config


def _refuse_changes(checkpoint: Checkpoint, config: TrainConfig) -> None:
    """Raise UserError if config.toml asks for something that the run's tensors are not for."""
    now, then = config.to_dict(), _recorded(checkpoint)
    for name in (*LASTING, *LASTING_IF_ANY):
        before, after = then.get(name), now.get(name)
        if before != after and (name in LASTING or not (before and after)):
            raise UserError(
                f"{name} was {before} up to step {checkpoint.step} and cannot become {after} within a run: "
                "set it back, or start a new run"
            )


def _tell_changes(checkpoint: Checkpoint, config: TrainConfig) -> None:
    """A line on stderr if config.toml no longer says what the run was trained with so far."""
    now, then = config.to_dict(), _recorded(checkpoint)
    harmless = HARMLESS if config.schedule == "constant" else HARMLESS - {"steps", "epochs"}
    names = sorted((set(now) | set(then)) - harmless)
    changes = [f"{name} {then.get(name)} -> {now.get(name)}" for name in names if then.get(name) != now.get(name)]
    kept = config.penalty_weight is not None and then.get("penalty_weight") == config.penalty_weight
    if kept and then["penalty"] != config.penalty:
        changes.append(f"but penalty_weight, still the {config.penalty_weight:g} of {then['penalty']}")
    if changes:
        print(f"minigan: changed since step {checkpoint.step}: {', '.join(changes)}", file=sys.stderr)


def _prepare(config: TrainConfig) -> tuple[Trainer, Batches]:
    """Load the data and build the networks."""
    config = config.resolved()
    assert config.batch_size is not None
    if config.data_dir is not None and not Path(config.data_dir).is_dir():
        raise UserError(f"--data-dir: there is no folder {config.data_dir}")
    batches = Batches(load_data(config), config.batch_size, config.seed)
    total = config.steps if config.steps is not None else (config.epochs or 1) * batches.steps_per_epoch
    return Trainer(config, batches.dataset.shape, total, batches.dataset.num_classes), batches


def _train(run: RunDirectory, trainer: Trainer, batches: Batches) -> int:
    """Run the loop; 0 when it got to its end, 130 after Ctrl-C. The caller holds the run's lock."""
    assert trainer.total_steps is not None
    sizes = " + ".join(f"{player.params.count:,}" for player in trainer.players.values())
    with (
        stop_on_signals() as stop,
        progress(trainer.steps_done, trainer.total_steps) as shown,
        telling(shown.compiling),
    ):
        shown.message(
            f"{trainer.config.preset} on {batches.dataset.name}: {sizes} parameters, steps {trainer.steps_done} to "
            f"{trainer.total_steps}, {run.path}"
        )
        if trainer.config.capture and (reason := trainer.keep(batches)) is not None:
            shown.message(f"the data stays in the host's memory: {reason}")
        monitor = HealthMonitor(trainer, batches.dataset)
        monitor.recall(run.health.read())
        train(trainer, batches, run, monitor, Pictures(run, trainer, batches.dataset), shown, stop)
    return stop.exit_code if trainer.steps_done < trainer.total_steps else 0
