"""The presets that are GANs of images, and random conditions for those that take one."""

from typing import Any

import numpy as np

from minigan.auxiliary import CATEGORIES, CODES
from minigan.presets import PRESETS

CLASSES = 3
GANS = {
    name: preset for name, preset in PRESETS.items() if preset.algorithm == "adversarial" and "images" in preset.kinds
}


def random_condition(preset: str, count: int, rng: np.random.Generator, dtype: Any = np.float64) -> Any:
    """Labels in [0, CLASSES), infogan's codes, or None, as the preset wants."""
    match PRESETS[preset].condition:
        case "labels":
            return rng.integers(CLASSES, size=count)
        case "codes":
            return rng.integers(CATEGORIES, size=count), rng.uniform(-1, 1, (count, CODES)).astype(dtype)
    return None
