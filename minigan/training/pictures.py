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
    """Draws for one run. Images become grids of 64, or of a row for each label, with the same latents in every row.

    Points of 2-D data become a scatter plot over real ones.
    """

    def __init__(self, run: RunDirectory, trainer: Trainer, dataset: Dataset) -> None:
        self.run, self.trainer = run, trainer
        self.points = len(trainer.data_shape) != 3
        self.latents, self.labels = trainer.latents(POINTS if self.points else GRID_SIDE**2), trainer.labels(POINTS)
        if not self.points:
            self.latents, self.labels = latent_grid(trainer, GRID_SIDE)
        self._real = dataset.batch(np.arange(min(POINTS, len(dataset))))[0] if self.points else None

    def sample_grid(self) -> None:
        """samples/step_*.png of the fixed latents."""
        samples = self.trainer.generate(self.latents, self.labels)
        step = self.trainer.steps_done
        title = f"step {step}"
        picture = viz.scatter_png(samples, self._real, title=title) if self.points else grid_png(samples, GRID_SIDE)
        atomic_write_bytes(self.run.sample_path(step), picture)

    def curves(self) -> None:
        """plots/curves.png."""
        atomic_write_bytes(self.run.plots / "curves.png", viz.loss_curves_png(self.run.metrics.read()))

    def final(self) -> None:
        """plots/: curves, interpolation (images only) and the animation of all sample grids."""
        self.curves()
        if not self.points:
            picture = interpolation_png(self.trainer, GRID_SIDE, GRID_SIDE)
            atomic_write_bytes(self.run.plots / "interpolation.png", picture)
        frames = [path.read_bytes() for path in self.run.sample_files()]
        atomic_write_bytes(self.run.plots / "training.gif", viz.gif(frames))


def latent_grid(trainer: Trainer, columns: int, seed: int | None = None) -> tuple[Array, Array | None]:
    """Latents and labels of a grid of `columns`: as many rows, or a row a label, each of the same latents."""
    if trainer.classes is None:
        return trainer.latents(columns**2, seed), None
    rows = min(trainer.classes, MOST_ROWS)
    return np.tile(trainer.latents(columns, seed), (rows, 1)), np.repeat(np.arange(rows), columns)


def grid_png(images: Array, columns: int | None = None) -> bytes:
    """Images (n, H, W, C) in [-1, 1] as one PNG, small ones enlarged."""
    grid = viz.image_grid(images, columns)
    return viz.png(grid, scale=max(1, -(-PIXELS // grid.shape[1])))


def interpolation_png(
    trainer: Trainer, rows: int, columns: int, seed: int | None = None, label: int | None = None
) -> bytes:
    """Each row moves along the sphere from one latent to another, at a label of its own or all at `label`."""
    latents = viz.interpolation_latents(trainer.latents(2 * rows, seed, Use.INTERPOLATION), columns)
    labels = trainer.labels(rows, label)
    return grid_png(trainer.generate(latents, None if labels is None else labels.repeat(columns)), columns)
