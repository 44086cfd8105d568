"""Mode counts: on samples made by hand, and on a perfect sampler, whose scores are known on paper."""

import math

import numpy as np
import pytest

from minigan.data import load
from minigan.metrics import mode_scores
from minigan.metrics.modes import SAMPLES

CENTERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])


def test_what_is_counted() -> None:
    """Within 3 standard deviations in the plane, not along each axis; far samples count for the KL alone."""
    samples = np.array([[0.2, 0.2], [0.0, -0.29], [0.22, 0.22], [1.0, 0.0], [5.0, 0.0], [5.0, -1.0]])
    scores = mode_scores(samples, CENTERS, 0.1)
    assert (scores.found, scores.modes, scores.quality) == (2, 3, 3 / 6)
    np.testing.assert_array_equal(scores.counts, [2, 1, 0])
    assert scores.reverse_kl == pytest.approx(2 * 0.5 * math.log(3 * 0.5))
    assert str(scores) == "2 of 3 modes, 50.0% of high quality, reverse KL 0.405"


@pytest.mark.parametrize(("name", "modes"), [("ring", 8), ("grid", 25)])
def test_a_perfect_sampler(name: str, modes: int) -> None:
    """Quality 1 - exp(-9/2), reverse KL (K - 1)/(2 n), both with the spread that 2,500 draws have."""
    data = load(name, seed=3)
    scores = mode_scores(data.batch(np.arange(SAMPLES))[0], data.centers, data.std)
    assert scores.found == modes
    assert scores.quality == pytest.approx(1 - math.exp(-4.5), abs=5 * 0.0021)
    assert scores.reverse_kl == pytest.approx((modes - 1) / (2 * SAMPLES), rel=1)


def test_a_collapsed_generator_has_the_largest_kl() -> None:
    scores = mode_scores(np.tile(CENTERS[1], (10, 1)), CENTERS, 0.1)
    assert (scores.found, scores.quality) == (1, 1.0)
    assert scores.reverse_kl == pytest.approx(math.log(3))


def test_samples_that_are_not_finite_are_near_no_mode() -> None:
    scores = mode_scores(np.array([[0.0, 0.0], [np.nan, 0.0], [np.inf, 0.0]]), CENTERS, 0.1)
    assert (scores.found, scores.quality, scores.reverse_kl) == (1, pytest.approx(1 / 3), pytest.approx(math.log(3)))
    nowhere = mode_scores(np.full((2, 2), np.nan), CENTERS, 0.1)
    assert (nowhere.found, nowhere.quality, nowhere.reverse_kl) == (0, 0.0, math.inf)


@pytest.mark.parametrize(
    ("samples", "std", "complaint"),
    [
        (np.zeros((0, 2)), 0.1, r"expected samples \(n, 2\), got \(0, 2\)"),
        (np.zeros((3, 3)), 0.1, r"expected samples \(n, 2\), got \(3, 3\)"),
        (np.zeros(2), 0.1, r"expected samples \(n, 2\), got \(2,\)"),
        (np.zeros((3, 2)), 0.0, "the standard deviation must be above 0, got 0.0"),
    ],
)
def test_what_cannot_be_counted(samples: np.ndarray, std: float, complaint: str) -> None:
    with pytest.raises(ValueError, match=f"mode_scores: {complaint}"):
        mode_scores(samples, CENTERS, std)
