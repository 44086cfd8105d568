import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from minigan.viz import health_png
from minigan.viz.health import warning_spans
from minigan.viz.style import FAKE, REAL


def records(count: int = 12, **more: Any) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    keys = [f"{kind}/{player}" for kind in ("gradient", "update") for player in ("generator/dense1", "discriminator/d")]
    keys += ["gradient/generator", "gradient/discriminator", "d_loss", "d_saturated", "g_factor", "d_slope"]
    keys += ["distance", "distance_real", "rank", "rank_real"]
    return [{"step": 50 * n} | {key: float(rng.uniform(0.1, 1)) for key in keys} | more for n in range(1, count + 1)]


def pixels(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def count(picture: np.ndarray, color: str) -> int:
    """Pixels of exactly a colour."""
    return int((picture == [int(color[i : i + 2], 16) for i in (1, 3, 5)]).all(axis=2).sum())


def test_both_players_are_drawn_in_their_colours() -> None:
    picture = pixels(health_png(records()))
    assert count(picture, REAL) > 500
    assert count(picture, FAKE) > 500
    assert count(picture, "#FBE3DC") == 0, "no warning, nothing shaded"


def test_a_warning_is_shaded_for_as_long_as_it_stood() -> None:
    def shaded(first: int, last: int | None) -> int:
        some = records()
        some[first]["warnings"] = {"mode-collapse": "..."}
        if last is not None:
            some[last]["over"] = ["mode-collapse"]
        return count(pixels(health_png(some)), "#FBE3DC")

    short, long, standing = shaded(2, 4), shaded(2, 8), shaded(2, None)
    assert short > 1000
    assert 2.4 < long / short < 3.6
    assert standing > long


def test_spans_of_warnings() -> None:
    some = records(6)
    some[0]["warnings"] = {"a": ""}
    some[2] |= {"warnings": {"b": ""}, "over": ["a"]}
    some[4] |= {"warnings": {"a": ""}, "over": ["never-begun"]}
    assert warning_spans(some) == [("a", 50, 150), ("b", 150, 300), ("a", 250, 300)]


@pytest.mark.parametrize(
    "some",
    [
        [],
        [{"step": 3, "warnings": {"non-finite": "..."}, "over": []}],
        records(1),
        records(3, d_loss=None, d_slope=None, distance=None, **{"gradient/generator": 0.0}),
        [{"step": 1, "gradient/encoder": 1.0, "gradient/decoder": 1.0, "gradient/critic": 2.0, "gradient/q": 2.0}],
        records(3, **{"gradient/generator": 1e300}, distance_real=0.0),
    ],
    ids=["none", "failed at once", "one", "unknown", "no game", "huge"],
)
def test_whatever_was_measured_is_drawn(some: list[dict[str, Any]]) -> None:
    assert pixels(health_png(some)).shape == pixels(health_png(records())).shape
