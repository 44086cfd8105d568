"""How much samples differ from each other: the two numbers by which mode collapse shows.

Axes: n = samples, F = all elements of a sample.
"""

import math
from typing import NamedTuple

import numpy as np

from kernels.types import Array


class Diversity(NamedTuple):
    """Of a batch: mean distance between two samples, and effective rank (1 to n - 1; 0 where all are alike)."""

    distance: float
    rank: float


def diversity(samples: Array) -> Diversity:
    """Mean pairwise distance and effective rank of samples (n, ...), n at least 2.

    With x the samples as rows, their mean taken off, both follow from the n x n matrix x x^T:

        |x_i - x_j|^2 = (x x^T)_ii + (x x^T)_jj - 2 (x x^T)_ij,     singular values s_k = sqrt(eigenvalues of x x^T)
        effective rank = exp(-sum_k p_k log p_k),  p_k = s_k / sum_j s_j     (Roy and Vetterli 2007, eq. 2 to 4)

    The effective rank is k where k singular values are equal and the others 0: the number of directions in which the
    samples differ, each counted by how much they do. NaN for samples that are not finite.
    """
    n = len(samples)
    if n < 2:
        raise ValueError(f"diversity: expected at least 2 samples, got {samples.shape}")
    x = np.asarray(samples, np.float64).reshape(n, -1)
    if not np.isfinite(x).all():
        return Diversity(math.nan, math.nan)
    x = x - x.mean(axis=0)
    products = x @ x.T
    squares = products.diagonal()
    distances = np.sqrt(np.maximum(squares[:, None] + squares - 2 * products, 0)[np.triu_indices(n, 1)])
    singular = np.sqrt(np.maximum(np.linalg.eigvalsh(products), 0))
    singular = singular[singular > singular.max() * math.sqrt(n * np.finfo(np.float64).eps)]  # the rest is rounding
    if not singular.size:
        return Diversity(float(distances.mean()), 0.0)
    p = singular / singular.sum()
    return Diversity(float(distances.mean()), float(np.exp(-(p * np.log(p)).sum())))
