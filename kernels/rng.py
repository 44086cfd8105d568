"""Random numbers as a pure function of (seed, use, step, call, element).

A counter-based generator has no state to save: a resumed run, another backend or another number of threads draws the
same numbers. The function is Philox4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel Random Numbers: As Easy as 1, 2, 3,
SC 2011, section 3.3): ten rounds of 32x32 -> 64 bit products and exclusive-ors turn a 128-bit counter and a 64-bit key
into four 32-bit words.

    key     = seed (64 bits)
    counter = (element // 4, call, step, use)
"""

import enum
import math
from collections import Counter
from collections.abc import Mapping

import numpy as np

from .types import Array, Shape

ROUNDS = 10
MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
WEYL = (0x9E3779B9, 0xBB67AE85)  # golden ratio and sqrt(3) - 1: the key's steps from round to round
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


class Use(enum.IntEnum):
    """What a draw is for; each use has a stream of its own."""

    LATENT_D = 0
    LATENT_G = 1
    DROPOUT = 2
    SAMPLE = 3
    INTERPOLATION = 4
    PENALTY = 5
    CODE = 6
    INSTANCE_NOISE = 7
    AUGMENT = 8


def philox4x32(counter: tuple[Array, Array, Array, Array], key: tuple[int, int]) -> list[Array]:
    """Ten Philox rounds on arrays of counters (uint64 arrays that hold 32-bit values); four arrays of 32-bit words."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(ROUNDS):
        p0, p1 = MULTIPLIERS[0] * c0, MULTIPLIERS[1] * c2
        c0, c1, c2, c3 = (p1 >> _HALF) ^ c1 ^ np.uint64(k0), p1 & _LOW, (p0 >> _HALF) ^ c3 ^ np.uint64(k1), p0 & _LOW
        k0, k1 = (k0 + WEYL[0]) & 0xFFFFFFFF, (k1 + WEYL[1]) & 0xFFFFFFFF
    return [c0, c1, c2, c3]


class CounterRng:
    """The streams of one seed. `begin(step)` rewinds the call counters, so that any step can be replayed."""

    def __init__(self, seed: int) -> None:
        if not 0 <= seed < 1 << 64:
            raise ValueError(f"seed must lie in [0, 2**64), got {seed}")
        self.seed = seed
        self.step = 0
        self._calls: Counter[Use] = Counter()

    def begin(self, step: int) -> None:
        """Start step `step` (0 <= step < 2**32): the next draw of each use is its call 0 of that step."""
        if not 0 <= step < 1 << 32:
            raise ValueError(f"step must lie in [0, 2**32), got {step}")
        self.step = step
        self._calls.clear()

    @property
    def calls(self) -> dict[Use, int]:
        """How many draws of this step there were so far, by use."""
        return dict(self._calls)

    def skip_to(self, calls: Mapping[Use, int]) -> None:
        """As if the draws up to `calls` had been made: a captured launch has made them."""
        self._calls = Counter(calls)

    def next_call(self, use: Use) -> int:
        """Count a draw for `use`, and say which of this step it is."""
        call = self._calls[use]
        self._calls[use] += 1
        return call

    def words(self, count: int, use: Use) -> Array:
        """The next `count` 32-bit words of this step, as uint64."""
        blocks = np.arange(-(-count // 4), dtype=np.uint64)
        call, step, stream = (np.full_like(blocks, v) for v in (self.next_call(use), self.step, int(use)))
        words = philox4x32((blocks, call, step, stream), (self.seed & 0xFFFFFFFF, self.seed >> 32))
        return np.stack(words, axis=-1).reshape(-1)[:count]

    def uniform(self, shape: Shape, use: Use) -> Array:
        """float64 uniform in the open interval (0, 1): (word + 1/2)/2**32."""
        return ((self.words(math.prod(shape), use).astype(np.float64) + 0.5) / 2.0**32).reshape(shape)

    def normal(self, shape: Shape, use: Use) -> Array:
        """float64 standard normal by Box and Muller (1958): sqrt(-2 log u1) (cos, sin)(2 pi u2)."""
        count = math.prod(shape)
        u = self.uniform((-(-count // 2), 2), use)
        radius, angle = np.sqrt(-2 * np.log(u[:, 0])), 2 * np.pi * u[:, 1]
        return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1).reshape(-1)[:count].reshape(shape)
