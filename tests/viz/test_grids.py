import io

import numpy as np
import pytest
from PIL import Image

from minigan.viz import image_grid, png
from minigan.viz.grids import PAD_LEVEL


def test_every_pixel_of_a_grid_is_where_it_belongs() -> None:
    images = np.random.default_rng(0).uniform(-1, 1, (5, 3, 4, 3)).astype(np.float32)
    grid = image_grid(images, columns=2, pad=1)
    assert grid.shape == (3 * (3 + 1) + 1, 2 * (4 + 1) + 1, 3)
    assert grid.dtype == np.uint8
    expected = np.full_like(grid, PAD_LEVEL)
    for n in range(5):
        top, left = 1 + 4 * (n // 2), 1 + 5 * (n % 2)
        expected[top : top + 3, left : left + 4] = np.rint((images[n] + 1) * 127.5)
    np.testing.assert_array_equal(grid, expected)


def test_levels_of_a_grey_image() -> None:
    image = np.array([-1, -0.5, 0, 1, 7, -7, np.nan, np.inf]).reshape(1, 2, 4, 1)
    np.testing.assert_array_equal(image_grid(image, pad=0), [[0, 64, 128, 255], [255, 0, 0, 255]])


@pytest.mark.parametrize(("n", "rows", "columns"), [(1, 1, 1), (4, 2, 2), (5, 2, 3), (64, 8, 8)])
def test_a_grid_is_about_square(n: int, rows: int, columns: int) -> None:
    assert image_grid(np.zeros((n, 5, 5, 1)), pad=0).shape == (5 * rows, 5 * columns)


@pytest.mark.parametrize("shape", [(0, 4, 4, 1), (4, 4, 1), (2, 4, 4, 2)])
def test_what_is_no_stack_of_images_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected images of shape \(n, H, W, 1 or 3\)"):
        image_grid(np.zeros(shape))


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 3)])
def test_png_repeats_each_pixel(shape: tuple[int, ...]) -> None:
    array = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    decoded = np.asarray(Image.open(io.BytesIO(png(array, scale=4))))
    np.testing.assert_array_equal(decoded, np.kron(array, np.ones((4, 4) + (1,) * (len(shape) - 2), np.uint8)))
