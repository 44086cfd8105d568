"""Walks through latent space.

In many dimensions a normal sample lies close to the sphere of radius sqrt(dim). The straight line between two samples
cuts through the inside of that sphere, where the generator was never trained; the great circle stays on it.
"""

import numpy as np


def slerp(z0: np.ndarray, z1: np.ndarray, t: float | np.ndarray) -> np.ndarray:
    """Spherical interpolation, z0 at t = 0, z1 at t = 1 (Shoemake 1985, https://doi.org/10.1145/325165.325242).

        slerp(t) = sin((1 - t) w) / sin(w) z0 + sin(t w) / sin(w) z1,   w the angle between z0 and z1

    Vectors (..., dim) broadcast against each other and against t (..., 1). Where they point the same way, opposite ways
    (no great circle is the shortest) or nowhere, sin(w) vanishes and the straight line takes over.
    """
    t = np.asarray(t, dtype=np.float64)
    norms = np.linalg.norm(z0, axis=-1, keepdims=True) * np.linalg.norm(z1, axis=-1, keepdims=True)
    dots = np.sum(z0 * z1, axis=-1, keepdims=True, dtype=np.float64)
    angle = np.arccos(np.clip(dots / np.where(norms == 0, 1, norms), -1, 1))
    straight = (np.sin(angle) < 1e-4) | (norms == 0)
    sine = np.where(straight, 1, np.sin(angle))
    from_z0 = np.where(straight, 1 - t, np.sin((1 - t) * angle) / sine)
    from_z1 = np.where(straight, t, np.sin(t * angle) / sine)
    return (from_z0 * z0 + from_z1 * z1).astype(np.result_type(z0, z1))


def interpolation_latents(endpoints: np.ndarray, columns: int) -> np.ndarray:
    """The latents (rows * columns, dim) of a grid whose row r walks from endpoint 2r to endpoint 2r + 1.

    `endpoints` is (2 * rows, dim); the first and the last column are the endpoints themselves.
    """
    if endpoints.ndim != 2 or len(endpoints) % 2 or columns < 2:
        raise ValueError(f"expected endpoints (2 rows, dim) and 2+ columns, got {endpoints.shape} and {columns}")
    t = np.linspace(0, 1, columns)[:, np.newaxis]
    walks = slerp(endpoints[0::2, np.newaxis], endpoints[1::2, np.newaxis], t)
    return walks.reshape(-1, endpoints.shape[1])
