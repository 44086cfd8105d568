import io
import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from PIL import Image

from minigan.viz import curves, loss_curves_png, scatter_png, style


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def count_of(colour: str, png: bytes) -> int:
    """How many pixels have about this colour."""
    rgb = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return int((np.abs(pixels(png) - rgb).max(axis=2) < 40).sum())


def record(step: int, **values: Any) -> dict[str, Any]:
    return {
        "step": step,
        "loss_d": 1.0,
        "loss_g": 2.0,
        "d_real": 0.7,
        "d_fake": 0.2,
        "images_per_second": 100.0,
    } | values


EMPTY = loss_curves_png([])


@pytest.mark.parametrize(
    "records",
    [
        [record(1)],
        [record(1), record(2)],
        [record(i, loss_g=None if i % 5 else 1.0) for i in range(50)],
        [record(1), record(2, loss_d=math.nan, d_real=math.nan), record(3)],
        [record(1), record(2, loss_d=1e308, loss_g=-1e308), record(3, loss_d=math.inf)],
        [record(i, loss_d=1.7**i) for i in range(1000)],
        [{"step": 1, "loss_d": 0.5}, {"step": 2, "loss_g": 0.25}],
    ],
    ids=["one", "two", "G-every-fifth", "nan", "huge", "diverging", "missing keys"],
)
def test_curves_draw_both_players(records: list[dict[str, Any]]) -> None:
    drawn = loss_curves_png(records)
    assert pixels(drawn).shape == (720, 960, 3)
    for colour in (style.REAL, style.FAKE):
        assert count_of(colour, drawn) > count_of(colour, EMPTY)


def test_nothing_known_is_an_empty_plot() -> None:
    unknown = [record(1, loss_d=None, loss_g=math.nan, d_real=None, d_fake=None, images_per_second=None)]
    for colour in (style.REAL, style.FAKE):
        assert count_of(colour, loss_curves_png(unknown)) == count_of(colour, EMPTY)


def test_limits_ignore_a_spike_but_not_the_ordinary_spread() -> None:
    values = np.sin(np.arange(500.0))
    low, high = curves._limits(values)
    assert low < values.min()
    assert high > values.max()
    assert high - low < 2.5
    spiked = np.append(values, [1e30, np.nan])
    assert curves._limits(spiked)[1] < 10
    assert curves._limits(np.array([3.0])) == (2.5, 3.5)


def test_running_mean_is_centred_and_keeps_constants() -> None:
    np.testing.assert_allclose(curves._running_mean(np.full(100, 7.0)), 7)
    impulse = np.zeros(201)
    impulse[100] = 1
    smooth = curves._running_mean(impulse)
    np.testing.assert_allclose(smooth, smooth[::-1])
    assert smooth.argmax() == 100
    assert smooth.sum() == pytest.approx(1)
    np.testing.assert_array_equal(curves._running_mean(np.array([1.0, 5.0])), [1, 5])


def test_scatter_frames_share_their_axes() -> None:
    rng = np.random.default_rng(0)
    real = rng.normal(size=(200, 2))
    near, far = scatter_png(0.1 * real, real), scatter_png(50 * real, real)
    assert pixels(near).shape == pixels(far).shape == (600, 600, 3)
    np.testing.assert_array_equal(pixels(near)[-40:], pixels(far)[-40:])
    only_nan = scatter_png(np.full((5, 2), np.nan), real)
    assert count_of(style.FAKE, near) > count_of(style.FAKE, only_nan)


def test_scatter_limits_are_obeyed() -> None:
    point = np.array([[0.5, 0.5]])
    wide, narrow = scatter_png(point, limits=(-1, 1)), scatter_png(point, limits=(0, 1))
    mask = np.abs(pixels(wide) - pixels(narrow)).max(axis=2) > 0
    assert mask.any()
    assert pixels(scatter_png(np.empty((0, 2)))).shape == (600, 600, 3)


def test_scatter_refuses_other_shapes() -> None:
    with pytest.raises(ValueError, match=r"points has shape \(4, 3\), expected \(n, 2\)"):
        scatter_png(np.zeros((4, 3)))
    with pytest.raises(ValueError, match=r"real has shape \(4,\)"):
        scatter_png(np.zeros((4, 2)), real=np.zeros(4))


def test_importing_is_cheap_and_drawing_leaves_pyplot_alone() -> None:
    code = """
import sys
from minigan.viz import loss_curves_png
assert not {"matplotlib", "PIL"} & set(sys.modules), "imported before it was needed"
import matplotlib
before = matplotlib.rcParams.copy()
loss_curves_png([{"step": 1, "loss_d": 1.0}])
assert "matplotlib.pyplot" not in sys.modules
assert matplotlib.rcParams.copy() == before
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
