"""Noisy sine waves: short sequences on which a recurrent GAN can be seen to work.

Source: Esteban, Hyland and Raetsch, "Real-valued (medical) time series generation with recurrent conditional GANs",
2017, section 4.1, with amplitudes that can be told from the noise.
"""

import numpy as np

from .dataset import ArrayDataset
from .rng import philox

WAVES = 10_000
TIMES = 30
NOISE = 0.05


def sines(seed: int, split: str) -> ArrayDataset:
    """Return a sin(2 pi f t/30 + p) + 0.05 e for t = 0 .. 29.

    The amplitude a ~ U(0.3, 0.8), the frequency f ~ U(1, 3), the phase p ~ U(0, 2 pi), e ~ N(0, 1).
    """
    rng = np.random.Generator(philox(seed, f"sines/{split}"))
    ranges = ((0.3, 0.8), (1.0, 3.0), (0.0, 2 * np.pi))
    amplitude, frequency, phase = (rng.uniform(low, high, (WAVES, 1)) for low, high in ranges)
    t = np.arange(TIMES) / TIMES
    waves = amplitude * np.sin(2 * np.pi * frequency * t + phase) + NOISE * rng.standard_normal((WAVES, TIMES))
    return ArrayDataset("sines", waves[..., np.newaxis].astype(np.float32))  # (N, T) -> (N, T, 1)
