import io
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image, ImageSequence

from minigan.viz import gif, png


def frames_of(data: bytes) -> list[np.ndarray]:
    return [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(Image.open(io.BytesIO(data)))]


def durations_of(data: bytes) -> list[int]:
    return [frame.info["duration"] for frame in ImageSequence.Iterator(Image.open(io.BytesIO(data)))]


def grey_frames(n: int) -> list[np.ndarray]:
    return [np.full((6, 8), 17 * (i % 16), np.uint8) for i in range(n)]


def test_grey_frames_come_back_in_order_and_loop() -> None:
    data = gif(grey_frames(10), frame_ms=50, hold_last_ms=900)
    decoded = frames_of(data)
    assert len(decoded) == 10
    for expected, frame in zip(grey_frames(10), decoded, strict=True):
        np.testing.assert_array_equal(frame, np.repeat(expected[:, :, np.newaxis], 3, axis=2))
    assert durations_of(data) == [50] * 9 + [900]
    assert Image.open(io.BytesIO(data)).info["loop"] == 0


def test_grey_becomes_sixteen_levels_from_black_to_white() -> None:
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)
    (decoded,) = frames_of(gif([ramp]))
    assert np.abs(decoded[:, :, 0].astype(int) - ramp).max() <= 8
    np.testing.assert_array_equal(np.unique(decoded), np.arange(0, 256, 17))


def test_colour_frames_keep_their_colours() -> None:
    rng = np.random.default_rng(0)
    frames = [np.kron(rng.integers(0, 256, (2, 2, 3)), np.ones((5, 5, 1))).astype(np.uint8) for _ in range(3)]
    for expected, frame in zip(frames, frames_of(gif(frames)), strict=True):
        np.testing.assert_array_equal(frame, expected)


def test_png_frames_are_the_same_as_arrays() -> None:
    frames = grey_frames(4)
    assert gif([png(frame) for frame in frames]) == gif(frames)


def test_many_frames_are_thinned_evenly_with_both_ends() -> None:
    frames = [np.full((4, 4), 255 * (i % 2), np.uint8) for i in range(241)]
    frames[0][:], frames[-1][:] = 34, 51
    decoded = frames_of(gif(frames, max_frames=50))
    assert decoded[0][0, 0, 0] == 34
    assert decoded[-1][0, 0, 0] == 51
    assert len(decoded) <= 50


def test_thinning_takes_sixty_distinct_frames_by_default() -> None:
    frames = [np.array([[(i % 16) * 17, (i // 16) * 17]], np.uint8) for i in range(200)]
    indices = [int(f[0, 0, 0]) // 17 + 16 * (int(f[0, 1, 0]) // 17) for f in frames_of(gif(frames))]
    assert len(indices) == 60
    assert (indices[0], indices[-1]) == (0, 199)
    assert {b - a for a, b in pairwise(indices)} <= {3, 4}


def test_no_frames_and_uneven_frames_are_refused() -> None:
    with pytest.raises(ValueError, match="expected 1 or more frames"):
        gif([])
    with pytest.raises(ValueError, match=r"different sizes .*\(8, 6\), \(9, 9\)"):
        gif([*grey_frames(2), np.zeros((9, 9), np.uint8)])
