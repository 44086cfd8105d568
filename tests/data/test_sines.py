import numpy as np

from minigan.data import load
from minigan.data.sines import NOISE, TIMES, WAVES


def test_each_is_a_wave_of_one_to_three_periods_under_noise() -> None:
    """A least-squares fit of the best of many frequencies leaves no more than the noise."""
    x, labels = load("sines", seed=1).batch(np.arange(200))
    assert labels is None
    assert (x.shape, x.dtype) == ((200, TIMES, 1), np.float32)
    frequencies, t = np.linspace(0.9, 3.1, 221), np.arange(TIMES) / TIMES
    left, best = np.full(200, np.inf), np.zeros(200)
    for frequency in frequencies:
        waves = np.stack([np.sin(2 * np.pi * frequency * t), np.cos(2 * np.pi * frequency * t)], axis=1)
        fit, *_ = np.linalg.lstsq(waves, x[..., 0].T.astype(np.float64), rcond=None)
        error = (x[..., 0].T - waves @ fit).std(axis=0)
        best, left = np.where(error < left, frequency, best), np.minimum(left, error)
    assert left.max() < 1.6 * NOISE
    assert 0.95 < best.min() < 1.2
    assert 2.8 < best.max() < 3.05


def test_seed_and_split_draw_other_waves() -> None:
    first, again, other = load("sines", seed=1), load("sines", seed=1), load("sines", seed=2)
    index = np.arange(5)
    np.testing.assert_array_equal(first.batch(index)[0], again.batch(index)[0])
    assert not np.array_equal(first.batch(index)[0], other.batch(index)[0])
    assert not np.array_equal(first.batch(index)[0], load("sines", seed=1, split="test").batch(index)[0])
    assert len(first) == WAVES
