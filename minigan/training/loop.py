"""The loop of a run: batches in, updates, and all that is logged, drawn and saved on the way."""

import time
from typing import Any

import numpy as np

from ..data import Batches
from ..errors import UserError
from .checkpoint import NonFiniteStateError, save
from .diagnose import NonFiniteError, first_non_finite
from .health.diagnosis import PAGE
from .health.monitor import HealthMonitor
from .interrupt import StopRequest
from .pictures import Pictures
from .progress import Progress
from .run_dir import RunDirectory
from .trainer import Trainer


@np.errstate(over="ignore", invalid="ignore")  # the optimizers' guard sees what overflows, NonFiniteError explains it
def train(
    trainer: Trainer,
    batches: Batches,
    run: RunDirectory,
    monitor: HealthMonitor,
    pictures: Pictures,
    progress: Progress,
    stop: StopRequest,
) -> None:
    """Train to the trainer's last step, or until a stop is requested; either way everything is saved.

    Raises:
        NonFiniteError: a gradient held a NaN or an infinity; the weights from before that update are saved. Or an
            update left one in the weights; earlier checkpoints stay.
        UserError: a file could not be written.
    """
    config, total = trainer.config, trainer.total_steps
    assert total is not None
    meter = _Meter(batches.batch_size, trainer.steps_done)
    saved = -1 if trainer.steps_done == 0 else trainer.steps_done
    if trainer.steps_done == 0:
        pictures.sample_grid()
    while trainer.steps_done < total and not stop.signal:
        try:
            x, labels = batches.at(trainer.steps_done)
        except UserError:
            _save(run, trainer)  # a data file that breaks in the middle of a run costs no step
            raise
        watched = monitor.due
        if watched:
            monitor.before()
        losses = trainer.step(x, labels)
        step, last = trainer.steps_done, trainer.steps_done == total
        progress.step(step)
        if last or step % config.log_every == 0:
            record = _record(trainer, batches, losses, meter.rate(step))
            run.metrics.append(record)
            progress.log(record)
        failed = trainer.skipped
        if failed is not None:
            _save(run, trainer, prune=False)
            explanation = _explain(run, trainer, monitor, failed, first_non_finite(trainer, x, labels))
            run.health.append({"step": step, "warnings": {"non-finite": explanation}, "over": []})
            pictures.curves()
            raise NonFiniteError(explanation)
        if watched:
            _watch(run, monitor, progress)
        if _due(config.sample_every, step, last):
            pictures.sample_grid()
        if _due(config.checkpoint_every, step, last):
            _save(run, trainer)
            saved = step
    if saved != trainer.steps_done:
        _save(run, trainer)
    if trainer.steps_done == total:
        pictures.final()
    else:
        pictures.curves()


class _Meter:
    """Images per second since it was last asked."""

    def __init__(self, batch_size: int, step: int) -> None:
        self._batch_size = batch_size
        self._time, self._step = time.perf_counter(), step

    def rate(self, step: int) -> float:
        now = time.perf_counter()
        rate = (step - self._step) * self._batch_size / max(now - self._time, 1e-9)
        self._time, self._step = now, step
        return rate


def _due(every: int, step: int, last: bool) -> bool:
    return last or (every > 0 and step % every == 0)


def _watch(run: RunDirectory, monitor: HealthMonitor, progress: Progress) -> None:
    """Record a measurement and tell what it changed."""
    record, verdict = monitor.after()
    run.health.append(record)
    for text in verdict.warnings.values():
        progress.message(f"step {record['step']}: warning: {text}")
    for name in verdict.over:
        progress.message(f"step {record['step']}: no longer: {name.replace('-', ' ')}")


def _save(run: RunDirectory, trainer: Trainer, prune: bool = True) -> None:
    """Write a checkpoint, the metrics before it first; a run that fails keeps its earlier ones, so prunes none."""
    try:
        run.metrics.sync()
        run.health.sync()
        save(run.checkpoints, trainer.checkpoint(), keep=trainer.config.keep_checkpoints if prune else None)
    except NonFiniteStateError as error:
        raise NonFiniteError(
            f"stopped: {error}; it is not saved, earlier checkpoints stay; start anew with a lower --lr. "
            f"Read {PAGE}#non-finite"
        ) from error


def _record(trainer: Trainer, batches: Batches, losses: Any, rate: float) -> dict[str, float | int | None]:
    """One line of metrics.jsonl."""
    named = {
        f"loss_{name}": None if value is None else float(trainer.read(value))
        for name, value in losses._asdict().items()
    }
    place = {"step": trainer.steps_done, "epoch": batches.epoch(trainer.steps_done - 1)}
    return {**place, **named, **trainer.algorithm.beliefs(), "images_per_second": rate}


def _explain(run: RunDirectory, trainer: Trainer, monitor: HealthMonitor, who: str, place: str) -> str:
    warned = ", ".join(name.replace("-", " ") for name in monitor.diagnosis.active)
    return (
        f"stopped at step {trainer.steps_done}: the {who}'s gradient is not finite; first seen in {place}. "
        "The weights from before that update are saved; start anew with a lower --lr or with --gradient-clip 1, or set "
        f"them in {run.config_path} and resume. {f'Before it came to that: {warned}. ' if warned else ''}"
        f"Read {PAGE}#non-finite"
    )
