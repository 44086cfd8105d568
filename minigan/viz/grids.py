"""Many images as one, and an image as a PNG."""

import math
from io import BytesIO

import numpy as np

PAD_LEVEL = 96


def image_grid(images: np.ndarray, columns: int | None = None, pad: int = 2) -> np.ndarray:
    """Lay `images` (n, H, W, C), floats in [-1, 1], out row by row: uint8 (H', W') for C = 1, (H', W', 3) for C = 3.

    A value v becomes round(127.5 (v + 1)), what lies outside [-1, 1] (or is NaN) black or white at most. `pad` grey
    pixels go between and around the images, so H' = rows (H + pad) + pad; cells without an image are grey.
    """
    if images.ndim != 4 or images.shape[3] not in (1, 3) or len(images) == 0:
        raise ValueError(f"image_grid: expected images of shape (n, H, W, 1 or 3), n > 0, got {images.shape}")
    n, height, width, channels = images.shape
    columns = columns or math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    unit = np.clip(np.nan_to_num(images, nan=-1.0), -1.0, 1.0)
    cells = np.full((rows * columns, height + pad, width + pad, channels), PAD_LEVEL, np.uint8)
    cells[:n, pad:, pad:] = np.rint((unit + 1) * 127.5).astype(np.uint8)
    grid = cells.reshape(rows, columns, height + pad, width + pad, channels).swapaxes(1, 2)
    grid = grid.reshape(rows * (height + pad), columns * (width + pad), channels)
    grid = np.pad(grid, ((0, pad), (0, pad), (0, 0)), constant_values=PAD_LEVEL)
    return grid[:, :, 0] if channels == 1 else grid


def png(array: np.ndarray, scale: int = 1) -> bytes:
    """The PNG of a uint8 image (H, W) or (H, W, 3), each pixel drawn as `scale` x `scale` pixels."""
    from PIL import Image

    enlarged = array.repeat(scale, axis=0).repeat(scale, axis=1)
    buffer = BytesIO()
    Image.fromarray(enlarged).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
