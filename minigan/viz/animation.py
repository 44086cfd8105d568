"""Pictures in a row as one looping GIF."""

from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image


def gif(
    frames: Sequence[np.ndarray | bytes], frame_ms: int = 120, hold_last_ms: int = 2000, max_frames: int = 60
) -> bytes:
    """An animated GIF that loops for ever; each frame is a uint8 image (H, W) or (H, W, 3), or the bytes of a PNG.

    Of more than `max_frames` frames, that many are taken, evenly, the first and the last among them. Grey frames get 16
    levels, black and white among them: a file of samples of digits is then a sixth of the size that 256 levels need.
    Coloured frames get the 256 colours that fit each best. A frame equal to the one before it only prolongs that one.
    """
    if not frames or max_frames < 2:
        raise ValueError(f"gif: expected 1 or more frames and max_frames >= 2, got {len(frames)} and {max_frames}")
    chosen = np.linspace(0, len(frames) - 1, min(len(frames), max_frames)).round().astype(int)
    first, *rest = images = [_palette_image(frames[index]) for index in chosen]
    sizes = {image.size for image in images}
    if len(sizes) > 1:
        raise ValueError(f"gif: the frames have different sizes (width, height): {sorted(sizes)}")
    durations = [frame_ms] * len(rest) + [hold_last_ms]
    buffer = BytesIO()
    first.save(buffer, format="GIF", save_all=True, append_images=rest, duration=durations, loop=0, optimize=True)
    return buffer.getvalue()


def _palette_image(frame: np.ndarray | bytes) -> "Image":
    """A frame in Pillow's mode L if it is grey, rounded to multiples of 255 / 15 = 17, and in mode P if it is not."""
    from PIL import Image

    image = Image.open(BytesIO(frame)) if isinstance(frame, bytes) else Image.fromarray(frame)
    if image.mode == "L":
        return image.point([round(level / 17) * 17 for level in range(256)])
    return image.convert("RGB").quantize(256)
