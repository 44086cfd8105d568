"""The monitor of a run: when to measure, what to measure it with, and what to tell."""

import functools
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

import kernels
from kernels.types import Array

from ...data import Dataset
from ..trainer import Trainer
from .diagnosis import Diagnosis, Verdict
from .diversity import Diversity, diversity
from .layers import LayerWatch

SAMPLES = 64
"""Samples whose diversity is measured, always of the same latents, and real ones beside them; where D judges codes,
those of as many samples of the data, always the same, and latents beside them."""


class HealthMonitor:
    """Measures a trainer every so many steps, without changing what it learns.

        watched = monitor.due
        if watched: monitor.before()
        trainer.step(...)
        if watched: record, verdict = monitor.after()

    It computes in a workspace of its own, draws no number that training draws, and reads what the updates left behind.
    `health_every` is rounded up so that the steps which are measured update every network.
    """

    def __init__(self, trainer: Trainer, dataset: Dataset) -> None:
        self.trainer = trainer
        config = trainer.config
        turn = config.n_critic or 1
        self._every = -(-config.health_every // turn) * turn
        self._ops = kernels.get_ops(config.backend)
        self._watches = [LayerWatch(player) for player in trainer.players.values()] if self._every else []
        sizes = {f"{w.player.name}/{layer}": size for w in self._watches for layer, size in w.sizes.items()}
        self.diagnosis = Diagnosis(config, sizes)
        self._dataset = dataset
        self._real: Diversity | None = None

    @functools.cached_property
    def _data(self) -> Array:
        """Samples that lie evenly in the data set, which may be sorted by class."""
        count = len(self._dataset)
        return self._dataset.batch(np.linspace(0, count - 1, min(count, SAMPLES)).astype(np.int64))[0]

    @property
    def due(self) -> bool:
        """Whether the trainer's next step is to be measured."""
        return self.steps_before == 0

    @property
    def steps_before(self) -> int | None:
        """Steps before the next one that is to be measured; None if none is."""
        return -(self.trainer.steps_done + 1) % self._every if self._every else None

    def recall(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Take in what was measured before the run was interrupted."""
        for record in records:
            if any(key.startswith("gradient/") for key in record):  # else it says that the run failed
                self.diagnosis.observe(record)

    def before(self) -> None:
        """Just before the step that is to be measured."""
        for watch in self._watches:
            watch.before()

    def after(self) -> tuple[dict[str, Any], Verdict]:
        """Just after it: one record for health.jsonl, and what it changed."""
        self._ops.workspace.reset()
        signs: dict[str, Any] = {"step": self.trainer.steps_done}
        for watch in self._watches:
            signs |= watch.after(self._ops)
        signs |= self.trainer.algorithm.signs()
        if self.trainer.algorithm.has_prior:
            signs |= self._diversity()
        signs = {key: _known(value) for key, value in signs.items()}
        verdict = self.diagnosis.observe(signs)
        return signs | verdict._asdict(), verdict

    def _diversity(self) -> dict[str, float]:
        """Of what D judges, generated and real."""
        trainer, codes = self.trainer, self.trainer.algorithm.judges_codes
        latents = trainer.latents(SAMPLES)
        if self._real is None:
            self._real = diversity(latents if codes else self._data)
        made = diversity(
            trainer.encode(self._data) if codes else trainer.generate(latents, trainer.labels(SAMPLES), averaged=False)
        )
        names = ("distance", "rank")
        return dict(zip(names, made, strict=True)) | {
            f"{name}_real": value for name, value in zip(names, self._real, strict=True)
        }


def _known(value: float | None) -> float | None:
    """The value, None where it is not finite."""
    return value if value is not None and math.isfinite(value) else None
