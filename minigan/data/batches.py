"""Batches by step number: a run that resumes at step 1000 sees the batch that an uninterrupted run would see there."""

import numpy as np

from ..errors import UserError
from .dataset import Dataset, FloatArray, IntArray
from .rng import philox


def permutation(n: int, seed: int, epoch: int) -> IntArray:
    """Return a random order of 0 .. n-1, a function of its arguments alone: sort n random 64-bit keys."""
    return np.argsort(philox(seed, "epoch", epoch).random_raw(n), kind="stable").astype(np.int64, copy=False)


class Batches:
    """Random access to the batches of an endless run over `dataset`, in a new order each epoch.

    Step s lies in epoch s // steps_per_epoch. What is left of an epoch after its last full batch is dropped, so that
    every batch has the same shape.
    """

    def __init__(self, dataset: Dataset, batch_size: int, seed: int) -> None:
        if not 1 <= batch_size <= len(dataset):
            raise UserError(
                f"batch_size: expected 1 to {len(dataset)} (the samples in {dataset.name}), got {batch_size}"
            )
        self.dataset = dataset
        self.batch_size = batch_size
        self.seed = seed
        self.steps_per_epoch = len(dataset) // batch_size
        self._order = (0, permutation(len(dataset), seed, epoch=0))

    def epoch(self, step: int) -> int:
        """Return the epoch, from 0, that `step`, from 0, belongs to."""
        return step // self.steps_per_epoch

    def indices(self, step: int) -> IntArray:
        """Return the indices (batch_size,) of the samples that make the batch of `step`."""
        epoch, position = divmod(step, self.steps_per_epoch)
        if self._order[0] != epoch:
            self._order = (epoch, permutation(len(self.dataset), self.seed, epoch))
        start = position * self.batch_size
        return self._order[1][start : start + self.batch_size]

    def at(self, step: int) -> tuple[FloatArray, IntArray | None]:
        """Return the batch (x, labels) of `step`: x (batch_size, *shape), labels (batch_size,) or None."""
        return self.dataset.batch(self.indices(step))
