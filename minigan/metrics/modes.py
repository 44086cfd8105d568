"""Mode counts on mixtures of Gaussians: how many of the modes a generator has found, and how well.

The protocol of Lin, Khetan, Fanti and Oh, "PacGAN", 2018, section 4.1: 2,500 samples; one is of high quality if it
lies within 3 standard deviations of a mode's centre (the Euclidean norm of the standardised distance in the plane); a
mode is found if such a sample is near it. A perfect sampler has 98.9 % of high quality: exp(-9/2) lie farther out.
"""

import math
from typing import NamedTuple

import numpy as np

from kernels.types import Array

SAMPLES = 2500
NEAR = 3.0
"""Standard deviations from a centre."""


class ModeScores(NamedTuple):
    """What `mode_scores` counts."""

    found: int  # modes with at least one sample of high quality
    modes: int
    quality: float  # share of samples of high quality
    reverse_kl: float  # sum_k q_k log(K q_k), q the shares of samples that lie nearest to each mode: 0 if all are equal
    counts: Array  # (K,): samples of high quality near each mode

    def __str__(self) -> str:
        share, kl = f"{self.quality:.1%} of high quality", f"reverse KL {self.reverse_kl:.3f}"
        return f"{self.found} of {self.modes} modes, {share}, {kl}"


def mode_scores(samples: Array, centers: Array, std: float) -> ModeScores:
    """Scores of samples (n, 2) against equally likely round Gaussians around centers (K, 2).

    With n samples a perfect sampler has a reverse KL of about (K - 1)/(2 n), no less. A sample that is not finite is
    near no mode.

    Raises:
        ValueError: no samples, shapes that do not fit, or a std that is not above 0.
    """
    if samples.ndim != 2 or not len(samples) or samples.shape[1:] != centers.shape[1:]:
        raise ValueError(f"mode_scores: expected samples (n, {centers.shape[-1]}), got {samples.shape}")
    if not std > 0:
        raise ValueError(f"mode_scores: the standard deviation must be above 0, got {std}")
    finite = samples[np.isfinite(samples).all(axis=1)].astype(np.float64)
    distances = np.linalg.norm(finite[:, None] - centers[None].astype(np.float64), axis=2)  # (n, K)
    nearest = distances.argmin(axis=1)
    good = distances.min(axis=1) < NEAR * std
    k = len(centers)
    counts, shares = np.bincount(nearest[good], minlength=k), np.bincount(nearest, minlength=k) / max(len(finite), 1)
    reverse_kl = sum(q * math.log(k * q) for q in shares.tolist() if q > 0) if len(finite) else math.inf
    return ModeScores(int((counts > 0).sum()), k, float(good.sum()) / len(samples), reverse_kl, counts)
