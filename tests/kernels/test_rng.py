"""Random numbers are a function of (seed, use, step, call, element), and that function is Philox4x32-10."""

import itertools
import math

import numpy as np
import pytest

from kernels import CounterRng, Ops, Use
from kernels.rng import philox4x32

SAMPLES = 40_000
SEEDS = (0, 1, 2**32, 2**64 - 1)

# Known answers of Random123 (Salmon et al. 2011), its file kat_vectors: counter, key, the four words of the result.
KNOWN_ANSWERS = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


def words(text: str) -> list[int]:
    return [int(word, 16) for word in text.split()]


@pytest.mark.parametrize(("counter", "key", "result"), KNOWN_ANSWERS, ids=["zeros", "ones", "pi"])
def test_known_answers(counter: str, key: str, result: str):
    c = tuple(np.array([word], np.uint64) for word in words(counter))
    k0, k1 = words(key)
    assert [int(word[0]) for word in philox4x32(c, (k0, k1))] == words(result)


def test_the_counter_is_element_call_step_use_and_the_key_the_seed():
    """The whole assignment in one place: the third word of block 2, call 1, step 5, of a 64-bit seed."""
    rng = CounterRng(seed=(7 << 32) + 3)
    rng.begin(5)
    rng.words(1, Use.DROPOUT)
    drawn = rng.words(12, Use.DROPOUT)[10]
    counter = tuple(np.array([v], np.uint64) for v in (2, 1, 5, Use.DROPOUT))
    assert drawn == philox4x32(counter, (3, 7))[2][0]


def test_a_step_can_be_replayed_whatever_was_drawn_before():
    rng, other = CounterRng(1), CounterRng(1)
    rng.begin(3)
    expected = [rng.normal((5,), Use.LATENT_G) for _ in range(2)]
    other.normal((100,), Use.LATENT_D)
    other.begin(9)
    other.uniform((7,), Use.DROPOUT)
    other.begin(3)
    np.testing.assert_array_equal([other.normal((5,), Use.LATENT_G) for _ in range(2)], expected)


def test_a_longer_draw_begins_with_the_shorter_one():
    """An element does not depend on how many there are, so batches can be cut."""
    short, long = (CounterRng(4).uniform((n,), Use.SAMPLE) for n in (6, 1001))
    np.testing.assert_array_equal(long[:6], short)


@pytest.mark.parametrize("draw", ["uniform", "normal"])
@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 3, 5), (0,)])
def test_any_shape_is_filled_in_order(draw: str, shape: tuple[int, ...]):
    """Also one that does not fill a block of four words or a pair of normals."""
    values, flat = (getattr(CounterRng(0), draw)(s, Use.SAMPLE) for s in (shape, (60,)))
    assert (values.shape, values.dtype) == (shape, np.float64)
    np.testing.assert_array_equal(values.ravel(), flat[: values.size])


def streams() -> dict[str, np.ndarray]:
    """Uniform draws that differ in one coordinate each from the first."""
    drawn = {}
    for seed, step, use, call in itertools.product((0, 1), (0, 1), (Use.LATENT_D, Use.LATENT_G), (0, 1)):
        rng = CounterRng(seed)
        rng.begin(step)
        for _ in range(call + 1):
            values = rng.uniform((SAMPLES,), use)
        drawn[f"seed {seed}, step {step}, {use.name}, call {call}"] = values
    return drawn


def test_streams_are_independent():
    """All pairs, also shifted by one element: no correlation beyond four standard errors."""
    values = np.stack(list(streams().values()))
    lagged = np.concatenate([values[:, 1:], values[:, :-1]])
    correlation = np.corrcoef(lagged) - np.eye(len(lagged))
    assert np.abs(correlation).max() < 4.5 / math.sqrt(SAMPLES)


@pytest.mark.parametrize("seed", SEEDS)
def test_uniform_is_uniform(seed: int):
    u = CounterRng(seed).uniform((SAMPLES,), Use.SAMPLE)
    assert distance(u, np.sort(u)) < KOLMOGOROV


def test_the_outermost_words_stay_inside_the_interval(monkeypatch: pytest.MonkeyPatch):
    """A uniform of exactly 0 would be a normal of infinity, once in four billion draws."""
    extremes = np.array([0, 2**32 - 1, 2**32 - 1, 0], np.uint64)
    monkeypatch.setattr(CounterRng, "words", lambda _, count, _use: extremes[:count])
    rng = CounterRng(0)
    assert rng.uniform((2,), Use.SAMPLE).tolist() == [2.0**-33, 1 - 2.0**-33]
    assert np.isfinite(rng.normal((4,), Use.SAMPLE)).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_normal_is_normal(seed: int):
    z = CounterRng(seed).normal((SAMPLES,), Use.SAMPLE)
    cumulative = np.array([0.5 * (1 + math.erf(v / math.sqrt(2))) for v in np.sort(z)])
    assert distance(z, cumulative) < KOLMOGOROV
    standard_error = 1 / math.sqrt(SAMPLES)
    assert abs(z.mean()) < 4 * standard_error
    assert abs(z.var() - 1) < 4 * math.sqrt(2) * standard_error
    assert abs((z**4).mean() - 3) < 4 * math.sqrt(96) * standard_error
    assert abs((z[::2] * z[1::2]).mean()) < 4 * math.sqrt(2) * standard_error, "the two of a Box-Muller pair"


KOLMOGOROV = 1.95 / math.sqrt(SAMPLES)
"""Distance that a right distribution exceeds once in a thousand."""


def distance(values: np.ndarray, cumulative: np.ndarray) -> float:
    """Kolmogorov and Smirnov's: between the empirical distribution and the true one at the sorted values."""
    ranks = np.arange(len(values) + 1) / len(values)
    return float(max(np.abs(cumulative - ranks[1:]).max(), np.abs(cumulative - ranks[:-1]).max()))


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_seeds_are_64_bits(seed: int):
    with pytest.raises(ValueError, match=rf"seed must lie in \[0, 2\*\*64\), got {seed}"):
        CounterRng(seed)


class TestOps:
    """The operations draw from the same stream, rounded to their dtype."""

    def test_normal_and_uniform(self, ops: Ops):
        ops.begin_step(6)
        rng = CounterRng(0)
        rng.begin(6)
        for draw, expected in ((ops.random_normal, rng.normal), (ops.random_uniform, rng.uniform)):
            drawn = draw((3, 5), Use.INTERPOLATION)
            np.testing.assert_allclose(drawn, expected((3, 5), Use.INTERPOLATION), rtol=4 * np.finfo(ops.dtype).eps)

    @pytest.mark.parametrize("rate", [0.0, 0.25, 0.9])
    def test_dropout_mask_keeps_the_mean(self, ops: Ops, rate: float):
        mask = ops.dropout_mask((SAMPLES,), rate)
        assert set(np.unique(mask)) <= {0, ops.dtype.type(1 / (1 - rate))}
        standard_error = math.sqrt(rate * (1 - rate) / SAMPLES)
        assert abs((mask == 0).mean() - rate) <= 4 * standard_error


def test_uses_draw_independently_within_a_step():
    """One more draw for dropout leaves the latents of the same step alone; a second draw for the same use is new."""
    alone, disturbed = CounterRng(3), CounterRng(3)
    for rng in (alone, disturbed):
        rng.begin(5)
    disturbed.uniform((7,), Use.DROPOUT)
    first = disturbed.normal((4,), Use.LATENT_G)
    np.testing.assert_array_equal(alone.normal((4,), Use.LATENT_G), first)
    assert not np.array_equal(disturbed.normal((4,), Use.LATENT_G), first)
