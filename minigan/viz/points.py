"""Generated points of a 2-D data set over the real ones."""

import numpy as np

from . import style


def scatter_png(
    points: np.ndarray,
    real: np.ndarray | None = None,
    limits: tuple[float, float] | None = None,
    title: str | None = None,
) -> bytes:
    """A PNG of `points` (n, 2) over `real` (m, 2); points that are not finite are left out.

    Both axes span `limits`, by default the square around `real`, or around `points` without it: frames drawn with the
    same limits, or the same real points, animate without jumping.
    """
    for name, array in (("points", points), ("real", real)):
        if array is not None and (array.ndim != 2 or array.shape[1] != 2):
            raise ValueError(f"scatter_png: {name} has shape {array.shape}, expected (n, 2)")
    figure = style.figure(5, 5)
    axes = figure.add_subplot()
    style.dress(axes, title)
    if real is not None:
        axes.scatter(real[:, 0], real[:, 1], s=9, color=style.REAL, alpha=0.35, linewidths=0, label="real")
    finite = points[np.isfinite(points).all(axis=1)]
    axes.scatter(finite[:, 0], finite[:, 1], s=9, color=style.FAKE, alpha=0.6, linewidths=0, label="generated")
    axes.set_aspect("equal")
    low, high = limits or _square_around(finite if real is None else real)
    axes.set(xlim=(low, high), ylim=(low, high))
    style.legend(axes)
    return style.figure_png(figure)


def _square_around(points: np.ndarray, margin: float = 0.2) -> tuple[float, float]:
    """Limits for both axes, symmetric about 0, that hold `points` with a margin."""
    reach = float(np.abs(points).max(initial=0.0)) or 1.0
    return -(1 + margin) * reach, (1 + margin) * reach
