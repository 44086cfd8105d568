"""Points in the plane on which mode collapse can be seen and counted: a ring and a grid of Gaussians, and a swiss roll.

Sources: ring and grid are those of Srivastava et al., "VEEGAN", 2017, with the numbers of Lin, Khetan, Fanti, Oh,
"PacGAN", 2018; the swiss roll is that of Gulrajani et al., "Improved training of Wasserstein GANs", 2017.
"""

import numpy as np

from .dataset import ArrayDataset, FloatArray
from .rng import philox

POINTS = 100_000


class Mixture(ArrayDataset):
    """Equally likely round Gaussians: x = centers[k] + std*e, e ~ N(0, I), k uniform; the label is the mode k.

    `centers` (K, 2) and `std` stay readable, for the scores that ask which mode a sample belongs to.
    """

    def __init__(self, name: str, centers: FloatArray, std: float, rng: np.random.Generator) -> None:
        modes = rng.integers(len(centers), size=POINTS)
        points = centers[modes] + np.float32(std) * rng.standard_normal((POINTS, 2), dtype=np.float32)
        super().__init__(name, points, modes, tuple(str(mode) for mode in range(len(centers))))
        self.centers = centers
        self.std = std


def ring(seed: int, split: str) -> Mixture:
    """Return 8 modes of std 0.01 on the unit circle, at the angles 2*pi*k/8, k = 0 .. 7 (k = 8 would repeat k = 0)."""
    angles = 2 * np.pi * np.arange(8) / 8
    centers = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    return Mixture("ring", centers, 0.01, _rng(seed, "ring", split))


def grid(seed: int, split: str) -> Mixture:
    """Return 25 modes of std 0.05 at the points with both coordinates in -4, -2, 0, 2, 4."""
    axis = np.arange(-4, 5, 2, dtype=np.float32)
    centers = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    return Mixture("grid", centers, 0.05, _rng(seed, "grid", split))


def swiss_roll(seed: int, split: str) -> ArrayDataset:
    """Return points ((t*cos t, t*sin t) + e/4) / 7.5 with t ~ U(1.5*pi, 4.5*pi), e ~ N(0, I); they have no labels."""
    rng = _rng(seed, "swiss-roll", split)
    t = rng.uniform(1.5 * np.pi, 4.5 * np.pi, POINTS)
    spiral = np.stack([t * np.cos(t), t * np.sin(t)], axis=1)
    return ArrayDataset("swiss-roll", ((spiral + rng.standard_normal((POINTS, 2)) / 4) / 7.5).astype(np.float32))


def _rng(seed: int, name: str, split: str) -> np.random.Generator:
    """Return the generator of one set; its splits are independent draws from the same distribution."""
    return np.random.Generator(philox(seed, f"{name}/{split}"))
