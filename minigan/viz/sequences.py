"""Generated sequences beside real ones."""

import numpy as np

from . import style

SEQUENCES_A_ROW = 4


def sequences_png(
    sequences: np.ndarray, real: np.ndarray | None = None, limits: tuple[float, float] | None = None, rows: int = 4
) -> bytes:
    """A PNG of `sequences` (n, T, F), each in a panel of its own over time, a line for each of the F features.

    Of `rows` rows of four panels the upper half shows the first of `real` (m, T, F), where there are any. All share
    `limits`, by default those of what is real, else of what is generated: frames of one run animate without jumping.
    """
    for name, array in (("sequences", sequences), ("real", real)):
        if array is not None and array.ndim != 3:
            raise ValueError(f"sequences_png: {name} has shape {array.shape}, expected (n, T, F)")
    of_real = 0 if real is None else rows // 2
    shown = [(sequence, style.REAL) for sequence in ([] if real is None else real[: of_real * SEQUENCES_A_ROW])]
    shown += [(sequence, style.FAKE) for sequence in sequences[: (rows - of_real) * SEQUENCES_A_ROW]]
    low, high = limits or _limits(sequences if real is None else real)
    figure = style.figure(8, 1.4 * rows)
    panels = figure.subplots(rows, SEQUENCES_A_ROW, sharex=True, sharey=True)
    for axes, (sequence, color) in zip(panels.flat, shown, strict=False):
        axes.plot(np.where(np.isfinite(sequence), sequence, np.nan), color=color, linewidth=1.2)
    for axes in panels.flat:
        style.dress(axes)
        axes.set_ylim(low, high)
    figure.suptitle("blue: real, orange: generated" if of_real else "generated", fontsize=9, color=style.INK)
    return style.figure_png(figure)


def _limits(values: np.ndarray, margin: float = 0.1) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    room = margin * (high - low) or 0.5
    return low - room, high + room
