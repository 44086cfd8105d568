import io

import numpy as np
import pytest
from PIL import Image

from minigan.viz import sequences_png, style


def count_of(color: str, png: bytes) -> int:
    rgb = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)
    return int((np.abs(pixels - rgb).max(axis=2) < 40).sum())


WAVES = np.sin(np.arange(20 * 30).reshape(20, 30, 1) / 3)


def test_generated_and_real_sequences_have_their_colours() -> None:
    both, alone = sequences_png(WAVES, WAVES), sequences_png(WAVES)
    assert count_of(style.REAL, alone) == 0
    assert count_of(style.REAL, both) > 500
    assert count_of(style.FAKE, alone) > count_of(style.FAKE, both) > 500


def test_few_sequences_several_features_and_nan_are_drawn() -> None:
    odd = np.concatenate([WAVES, -WAVES], axis=-1)[:3]
    odd[1, 5] = np.nan
    assert count_of(style.FAKE, sequences_png(odd)) > 100
    assert sequences_png(np.full((1, 5, 1), np.nan))


def test_the_size_does_not_depend_on_what_is_drawn() -> None:
    sizes = {Image.open(io.BytesIO(sequences_png(10.0**k * WAVES, WAVES))).size for k in range(-3, 4)}
    assert len(sizes) == 1


def test_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"sequences has shape \(3, 2\), expected \(n, T, F\)"):
        sequences_png(np.zeros((3, 2)))
