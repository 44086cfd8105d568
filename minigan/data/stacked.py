"""Stacked MNIST: three random digits as the channels of one image, 1000 modes to lose.

Sources: Metz, Poole, Pfau, Sohl-Dickstein, "Unrolled generative adversarial networks", 2017, who stack on the fly;
Srivastava et al., "VEEGAN", 2017, whose 128,000 fixed stacks set the length.
"""

import numpy as np

from ..errors import UserError
from .dataset import ArrayDataset, FloatArray, IntArray, to_float
from .rng import philox

STACKS = 128_000


class StackedMnist:
    """Images (28, 28, 3) put together on the fly; digits a in red, b in green, c in blue have the label 100a + 10b + c.

    `picks` (128000, 3) holds for each image the indices of its three digits in `base`.
    """

    def __init__(self, name: str, base: ArrayDataset, seed: int) -> None:
        if base.labels is None:
            raise UserError(f"{name}: expected digits with labels to stack, got {base.name} without labels")
        self.name = name
        self.base = base
        self.shape: tuple[int, ...] = (*base.shape[:2], 3)
        self.num_classes: int | None = 1000
        self.class_names: tuple[str, ...] | None = tuple(f"{label:03d}" for label in range(1000))
        bits = philox(seed, "stacked-mnist").random_raw((STACKS, 3))
        self.picks: IntArray = (bits % np.uint64(len(base))).astype(np.int64)
        self.labels: IntArray = base.labels[self.picks] @ np.array([100, 10, 1])

    def __len__(self) -> int:
        return STACKS

    def batch(self, indices: IntArray) -> tuple[FloatArray, IntArray | None]:
        """Return x (N, 28, 28, 3) float32 and labels (N,) int64."""
        digits = self.base.x[self.picks[indices], :, :, 0]
        return to_float(digits.transpose(0, 2, 3, 1)), self.labels[indices]
