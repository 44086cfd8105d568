"""The pictures of a run: the grid of fixed latents, loss curves, interpolation and the animation at the end."""

import numpy as np

from kernels import Use
from kernels.types import Array

from .. import viz
from ..data import Dataset
from .files import atomic_write_bytes
from .run_dir import RunDirectory
from .trainer import Trainer

GRID_SIDE = 8  # images a side of the sample grid
MOST_ROWS = 16  # labels that have a row in it
POINTS = 2000  # samples shown of a 2-D data set
PIXELS = 480  # a grid of small images is enlarged to at least this width


class Pictures:
    """Draws for one run, at every time the same samples.

    Images become a grid of 64, or of a row for each label with the same latents in every row; of an autoencoder that
    has nothing to draw from, originals beside their reconstructions. Points become a scatter plot over real ones,
    sequences lines beside real ones.
    """

    def __init__(self, run: RunDirectory, trainer: Trainer, dataset: Dataset) -> None:
        self.run, self.trainer = run, trainer
        self.images, self.points = len(trainer.data_shape) == 3, len(trainer.data_shape) == 1
        self.latents, self.labels = latent_grid(trainer, GRID_SIDE)
        if self.points:
            self.latents, self.labels = trainer.latents(POINTS), trainer.labels(POINTS)
        count = POINTS if self.points else GRID_SIDE**2 // 2
        spread = np.linspace(0, len(dataset) - 1, min(count, len(dataset))).astype(int)
        encodes = "encoder" in trainer.players
        self._real = dataset.batch(spread)[0] if encodes or not self.images else None

    def sample_grid(self) -> None:
        """samples/step_*.png of the fixed latents."""
        step = self.trainer.steps_done
        atomic_write_bytes(self.run.sample_path(step), self._samples(f"step {step}"))

    def _samples(self, title: str) -> bytes:
        if not self.trainer.algorithm.has_prior:
            return self._reconstructions()
        samples = self.trainer.generate(self.latents, self.labels)
        if self.points:
            return viz.scatter_png(samples, self._real, title=title)
        return grid_png(samples, GRID_SIDE) if self.images else viz.sequences_png(samples, self._real)

    def _reconstructions(self) -> bytes:
        """A row of originals, below it their reconstructions, and so on."""
        assert self._real is not None
        again = self.trainer.generate(self.trainer.encode(self._real))
        rows = [
            part[start : start + GRID_SIDE] for start in range(0, len(again), GRID_SIDE) for part in (self._real, again)
        ]
        return grid_png(np.concatenate(rows), GRID_SIDE)

    def curves(self) -> None:
        """plots/curves.png, and plots/health.png if the health monitor has measured anything."""
        atomic_write_bytes(self.run.plots / "curves.png", viz.loss_curves_png(self.run.metrics.read()))
        records = self.run.health.read()
        if records:
            atomic_write_bytes(self.run.plots / "health.png", viz.health_png(records))

    def final(self) -> None:
        """plots/: curves, interpolation and reconstructions (of images only) and the animation of all sample grids."""
        self.curves()
        if self.images:
            codes = None if self.trainer.algorithm.has_prior else self._codes()
            picture = interpolation_png(self.trainer, GRID_SIDE, GRID_SIDE, endpoints=codes)
            atomic_write_bytes(self.run.plots / "interpolation.png", picture)
        if "encoder" in self.trainer.players:
            atomic_write_bytes(self.run.plots / "reconstructions.png", self._reconstructions())
        frames = [path.read_bytes() for path in self.run.sample_files()]
        atomic_write_bytes(self.run.plots / "training.gif", viz.gif(frames))

    def _codes(self) -> Array:
        """Those of real images, two a row of an interpolation."""
        assert self._real is not None
        codes = self.trainer.encode(self._real)
        return np.resize(codes, (2 * GRID_SIDE, codes.shape[1]))


def latent_grid(trainer: Trainer, columns: int, seed: int | None = None) -> tuple[Array, Array | None]:
    """Latents and labels of a grid of `columns`: as many rows, or a row a label, each of the same latents."""
    rows = label_rows(trainer)
    if rows is None:
        return trainer.latents(columns**2, seed), None
    return np.tile(trainer.latents(columns, seed), (rows, 1)), np.repeat(np.arange(rows), columns)


def label_rows(trainer: Trainer) -> int | None:
    """Labels that have a row in a grid; None where there are none."""
    return None if trainer.classes is None else min(trainer.classes, MOST_ROWS)


def grid_png(images: Array, columns: int | None = None) -> bytes:
    """Images (n, H, W, C) in [-1, 1] as one PNG, small ones enlarged."""
    grid = viz.image_grid(images, columns)
    return viz.png(grid, scale=max(1, -(-PIXELS // grid.shape[1])))


def interpolation_png(
    trainer: Trainer,
    rows: int,
    columns: int,
    seed: int | None = None,
    label: int | None = None,
    endpoints: Array | None = None,
) -> bytes:
    """Each row moves along the sphere from one latent to another, at a label of its own or all at `label`.

    `endpoints` (2 rows, Z): the latents; by default drawn.
    """
    if endpoints is None:
        endpoints = trainer.latents(2 * rows, seed, Use.INTERPOLATION)
    latents = viz.interpolation_latents(endpoints, columns)
    labels = trainer.labels(rows, label)
    return grid_png(trainer.generate(latents, None if labels is None else labels.repeat(columns)), columns)
