"""Pictures of a run, as bytes for a file: grids of samples, point clouds, curves, interpolations, animations.

matplotlib and Pillow are imported by the functions that draw with them, so that importing this package costs nothing.
"""

from .animation import gif
from .curves import loss_curves_png
from .grids import image_grid, png
from .health import health_png
from .interpolate import interpolation_latents, slerp
from .points import scatter_png
from .sequences import SEQUENCES_A_ROW, sequences_png

__all__ = [
    "SEQUENCES_A_ROW",
    "gif",
    "health_png",
    "image_grid",
    "interpolation_latents",
    "loss_curves_png",
    "png",
    "scatter_png",
    "sequences_png",
    "slerp",
]
