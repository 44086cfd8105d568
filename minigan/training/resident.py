"""A data set in the device's memory: the host says which samples make the next batches, and hands over none of them.

A batch is gathered by a kernel, from indices that lie on the device for many steps to come. So a graph may begin with
the batch that it learns from, and many of its launches follow each other without the host.
"""

import numpy as np

from kernels import Ops

from ..data import ArrayDataset, Batches, Dataset
from .algorithm import Batch

MOST_STEPS = 128
"""Steps whose indices are handed over at once."""

SHARE = 0.5
"""Of the device's free memory that a data set may take: the workspaces of the first steps need theirs."""

MIB = 1 << 20


def why_not(ops: Ops, dataset: Dataset) -> str | None:
    """None if the data set can be kept on the device, else the reason why not."""
    if ops.on_host:
        return f"{ops.name} computes there"
    if not isinstance(dataset, ArrayDataset):
        return f"the samples of {dataset.name} come into being batch by batch"
    size = dataset.x.nbytes + (0 if dataset.labels is None else dataset.labels.nbytes)
    free = ops.free_bytes()
    if size > SHARE * free:
        return f"{dataset.name} takes {size / MIB:.0f} MiB, and {free / MIB:.0f} MiB of the device's memory are free"
    return None


class Resident:
    """The samples of a data set as it keeps them, pixels as bytes, and the batch that was gathered last.

    Args:
        ops: with a workspace that nobody else uses, in which the batch has its place.
        dataset: one that `why_not` has nothing against.
        batch_size: samples of a batch.
        labelled: whether labels are wanted, too.

    Attributes:
        dataset, batch_size: as given.
        batch: in the same memory each time; its step is not counted here.
    """

    def __init__(self, ops: Ops, dataset: ArrayDataset, batch_size: int, labelled: bool) -> None:
        self.dataset, self.batch_size = dataset, batch_size
        self._ops = ops
        self._x = ops.to_device(np.ascontiguousarray(dataset.x))
        self._labels = ops.to_device(dataset.labels) if labelled and dataset.labels is not None else None
        self._index = ops.allocate(batch_size * np.dtype(np.int64).itemsize).view(np.int64)
        self._tape = ops.tape(self._index, MOST_STEPS)
        self._index.fill(0)
        self.batch = self._gathered()

    def check(self, batches: Batches) -> None:
        """ValueError if they are not made of these samples, or not of as many."""
        if batches.dataset is self.dataset and batches.batch_size == self.batch_size:
            return
        whose = "it" if batches.dataset is self.dataset else f"another one, {batches.dataset.name}"
        raise ValueError(
            f"advance: expected batches of {self.batch_size} of the data set that was kept on the device, "
            f"{self.dataset.name}, got batches of {batches.batch_size} of {whose}"
        )

    def announce(self, batches: Batches, steps: range) -> None:
        """Hand over which samples the batches of these steps are made of, MOST_STEPS at most."""
        self._tape.write(np.stack([batches.indices(step) for step in steps]))

    def fetch(self) -> None:
        """Launch what makes the next batch; in a graph, the next one at each launch."""
        self._tape.next()
        self._gathered()

    def _gathered(self) -> Batch:
        self._ops.workspace.reset()
        x = self._ops.gather_samples(self._x, self._index)
        labels = None if self._labels is None else self._ops.gather_samples(self._labels, self._index)
        return Batch(0, x, labels)
