"""The look that all plots share, and how a figure becomes bytes without touching anyone's pyplot.

One colour means one thing in every plot: blue is what belongs to the data and the discriminator, vermillion what
belongs to the generator. Both are of the palette of Okabe and Ito (2008, https://jfly.uni-koeln.de/color/), made to be
told apart with any kind of colour vision.
"""

from io import BytesIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

REAL = "#0072B2"
FAKE = "#D55E00"
OTHERS = ("#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""What belongs to neither: bluish green, reddish purple, orange, sky blue."""
PLAYERS = {"discriminator": REAL, "generator": FAKE}
INK = "#333333"
FAINT_INK = "#8A8A8A"
GRID = "#E6E6E6"
DPI = 120


def figure(width: float, height: float) -> "Figure":
    """An empty figure of `width` x `height` inches, drawn by Agg and unknown to pyplot."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    result = Figure(figsize=(width, height), dpi=DPI, facecolor="white", layout="constrained")
    FigureCanvasAgg(result)
    return result


def dress(axes: "Axes", title: str | None = None, xlabel: str | None = None, ylabel: str | None = None) -> None:
    """Give `axes` the house style: titles at the left, a light grid behind the data, no box."""
    axes.set_title(title or "", loc="left", fontsize=11, color=INK, fontweight="bold")
    axes.set_xlabel(xlabel or "", fontsize=9, color=INK)
    axes.set_ylabel(ylabel or "", fontsize=9, color=INK)
    axes.set_facecolor("white")
    axes.set_axisbelow(True)
    axes.grid(True, color=GRID, linewidth=0.8, linestyle="-")
    axes.tick_params(labelsize=8, color=GRID, labelcolor=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GRID)


def legend(axes: "Axes") -> None:
    """Name what is drawn above the top right corner, where it hides no data."""
    axes.legend(
        loc="lower right", bbox_to_anchor=(1, 1), ncols=3, frameon=False, fontsize=8, labelcolor=INK, borderaxespad=0.2
    )


def note(axes: "Axes", text: str) -> None:
    """Write a remark in the middle of `axes`."""
    box = {"facecolor": "white", "edgecolor": "none"}
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", fontsize=9, color=INK, bbox=box)


def figure_png(figure: "Figure") -> bytes:
    """The PNG of a figure; its size depends on the figure alone, so that a series of them animates."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI)
    return buffer.getvalue()
