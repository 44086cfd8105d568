"""The loop of a run: batches in, updates, and all that is logged, drawn and saved on the way."""

import time
from typing import Any

import numpy as np

from ..data import Batches
from ..errors import UserError
from .checkpoint import NonFiniteStateError, save
from .diagnose import NOTHING, NonFiniteError, first_non_finite
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
        begin, watched = trainer.steps_done, monitor.due
        if watched:
            monitor.before()
        try:
            losses = trainer.advance(batches, _undisturbed(trainer, total, monitor))
        except UserError:
            _save(run, trainer)  # a data file that breaks in the middle of a run costs no step
            raise
        step, last = trainer.steps_done, trainer.steps_done == total
        progress.step(step)
        if last or step % config.log_every == 0:
            record = _record(trainer, batches, losses, meter.rate(step))
            run.metrics.append(record)
            progress.log(record)
        failed = trainer.skipped
        if failed is not None:
            _save(run, trainer, prune=False)
            explanation = _explain(
                run, monitor, failed, range(begin, step), _place(trainer, batches, range(begin, step))
            )
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


def _undisturbed(trainer: Trainer, total: int, monitor: HealthMonitor) -> int:
    """Steps up to the next at which there is something to log, draw, save or measure; one that is measured is alone."""
    step, config = trainer.steps_done, trainer.config
    intervals = config.log_every, config.sample_every, config.checkpoint_every
    before = monitor.steps_before
    ahead = [every - step % every for every in intervals if every]
    return min(total - step, *ahead, *([] if before is None else [max(1, before)]))


def _place(trainer: Trainer, batches: Batches, steps: range) -> str:
    """Where one of the last steps first went wrong."""
    for step in steps:
        place = first_non_finite(trainer, *batches.at(step), step=step)
        if place != NOTHING:
            return place
    return NOTHING


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


def _explain(run: RunDirectory, monitor: HealthMonitor, who: str, steps: range, place: str) -> str:
    """What to tell when an update of one of the last steps was left out."""
    warned = ", ".join(name.replace("-", " ") for name in monitor.diagnosis.active)
    what, saved = "is not finite", "The weights from before that update"
    if len(steps) > 1:  # the device went on, and did the other updates
        what, saved = f"was not finite in one of the last {len(steps)} steps", "The weights without that update"
    return (
        f"stopped at step {steps.stop}: the {who}'s gradient {what}; first seen in {place}. "
        f"{saved} are saved; start anew with a lower --lr or with --gradient-clip 1, or set "
        f"them in {run.config_path} and resume. {f'Before it came to that: {warned}. ' if warned else ''}"
        f"Read {PAGE}#non-finite"
    )
