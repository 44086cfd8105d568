import numpy as np
import pytest

from minigan.data import Mixture, load

ALL = np.arange(100_000)


def mixture(name: str) -> tuple[Mixture, np.ndarray, np.ndarray]:
    dataset = load(name, seed=1)
    assert isinstance(dataset, Mixture)
    x, labels = dataset.batch(ALL)
    assert labels is not None
    return dataset, x, labels


def test_ring_has_8_distinct_modes_45_degrees_apart() -> None:
    centers = mixture("ring")[0].centers
    angles = np.sort(np.arctan2(centers[:, 1], centers[:, 0]))
    np.testing.assert_allclose(np.diff(angles), np.pi / 4, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(centers, axis=1), 1, atol=1e-6)
    assert centers.shape == (8, 2)


def test_grid_has_25_modes_at_even_coordinates() -> None:
    centers = mixture("grid")[0].centers
    assert {tuple(center) for center in centers.tolist()} == {(i, j) for i in range(-4, 5, 2) for j in range(-4, 5, 2)}


@pytest.mark.parametrize(("name", "modes", "std"), [("ring", 8, 0.01), ("grid", 25, 0.05)])
def test_points_are_round_gaussians_about_their_modes(name: str, modes: int, std: float) -> None:
    dataset, x, labels = mixture(name)
    assert (len(dataset), dataset.shape, dataset.num_classes, dataset.std) == (100_000, (2,), modes, std)
    errors = x - dataset.centers[labels]
    nearest = np.linalg.norm(x[:, None] - dataset.centers, axis=2).argmin(axis=1)
    np.testing.assert_array_equal(nearest, labels)
    np.testing.assert_allclose(np.cov(errors.T), std**2 * np.eye(2), atol=0.02 * std**2)
    np.testing.assert_allclose(errors.mean(axis=0), 0, atol=0.02 * std)
    counts = np.bincount(labels, minlength=modes)
    np.testing.assert_allclose(counts / 100_000, 1 / modes, rtol=0.08)


def test_three_standard_deviations_hold_98_89_percent() -> None:
    """Of a 2-D Gaussian 1 - exp(-9/2) lies within 3 std: the ceiling of the "high quality" score."""
    dataset, x, labels = mixture("ring")
    within = np.linalg.norm(x - dataset.centers[labels], axis=1) < 3 * dataset.std
    assert abs(within.mean() - 0.98889) < 0.0015


def test_swiss_roll_lies_on_its_spiral() -> None:
    dataset = load("swiss-roll")
    x, labels = dataset.batch(ALL)
    assert (labels, dataset.num_classes, dataset.shape) == (None, None, (2,))
    t = np.linspace(1.5 * np.pi, 4.5 * np.pi, 2000)
    spiral = np.stack([t * np.cos(t), t * np.sin(t)], axis=1) / 7.5
    distances = np.linalg.norm(x[:500, None] - spiral, axis=2)
    assert distances.min(axis=1).max() < 5 * 0.25 / 7.5
    quarters = np.histogram(distances.argmin(axis=1), bins=4, range=(0, 2000))[0]
    np.testing.assert_allclose(quarters, 125, atol=45)


@pytest.mark.parametrize("name", ["ring", "grid", "swiss-roll"])
def test_points_are_a_function_of_seed_and_split(name: str) -> None:
    x = load(name, seed=1).batch(ALL)[0]
    assert x.dtype == np.float32
    np.testing.assert_array_equal(x, load(name, seed=1).batch(ALL)[0])
    assert not np.isin(load(name, seed=2).batch(ALL)[0][:10], x).all()
    assert not np.isin(load(name, seed=1, split="test").batch(ALL)[0][:10], x).all()
