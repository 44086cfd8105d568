"""The plots of the benchmarks, in the style of minigan.viz."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from minigan.bench.results import Document
from minigan.bench.tables import columns, title_of
from minigan.viz import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLORS = {
    "numba": style.REAL,
    "numpy": style.FAINT_INK,
    "blas": style.FAKE,
    "torch": style.FAKE,
    "torch.compile": "#CC79A7",
    "jax": "#009E73",
}
"""Of Okabe and Ito's palette, as in minigan.viz; the rungs of a ladder go from light to dark blue."""


def pictures(documents: Mapping[str, Document]) -> dict[str, bytes]:
    """A PNG by file name for every plot whose results are there."""
    makers: dict[str, Callable[[Document], bytes]] = {
        "matmul": lambda document: ladder(document, "Square matrix products", "rows = columns = inner size"),
        "conv": lambda document: ladder(document, "4x4 convolutions of stride 2", "channels"),
        "layers": roofline,
        "scaling": scaling,
    }
    names = {"layers": "bench-roofline.png"}
    return {
        names.get(subject, f"bench-{subject}.png"): maker(documents[subject])
        for subject, maker in makers.items()
        if subject in documents
    }


def ladder(document: Document, title: str, xlabel: str) -> bytes:
    """GFLOP/s of every rung by size, under the multiply-adds that one thread and all can do."""
    figure = style.figure(7.5, 4.5)
    axes = figure.subplots()
    style.dress(axes, title, xlabel, "GFLOP/s, float32")
    logarithmic(axes)
    cases = list(document.cases())
    names = columns(document)
    rungs = [name for name in names if name not in COLORS]
    for name in names:
        points = [(next(iter(labels.values())), best[name].gflops) for labels, best in cases if name in best]
        color = COLORS.get(name) or _blue((rungs.index(name) + 1) / len(rungs))
        axes.plot(
            *zip(*points, strict=True), color=color, marker="o", markersize=3, linewidth=1.5, label=title_of(name)
        )
    sizes = [float(next(iter(labels.values()))) for labels, _ in cases]
    axes.set_xticks(sizes, [f"{size:g}" for size in sizes])
    for key, text in (("one", "one thread's limit"), ("all", "all threads' limit")):
        rate = document.ceilings["fma_gflops"]["float32"][key]
        axes.axhline(rate, color=style.INK, linewidth=1, linestyle="--")
        axes.annotate(text, (sizes[0], rate), xytext=(0, 3), textcoords="offset points", fontsize=7, color=style.INK)
    axes.set_ylim(top=1.6 * document.ceilings["fma_gflops"]["float32"]["all"])  # room for the highest limit's name
    legend_beside(axes)
    return style.figure_png(figure)


def roofline(document: Document) -> bytes:
    """GFLOP/s of every layer's products by FLOPs per byte, under what memory, caches and multiply-adds allow.

    Williams, Waterman and Patterson 2009. Bytes are those that have to be moved at least, every array once.
    """
    figure = style.figure(7.5, 4.5)
    axes = figure.subplots()
    style.dress(axes, "Products of all layers, batch 64", "FLOPs per byte", "GFLOP/s, float32")
    logarithmic(axes)
    cases = list(document.cases())
    for name in reversed(columns(document)):  # ours last, on top
        records = [best[name] for _, best in cases if name in best]
        x, y = [record.flops / record.bytes for record in records], [record.gflops for record in records]
        axes.scatter(x, y, s=14, color=COLORS.get(name), label=title_of(name), alpha=0.8, linewidths=0)
    peak = document.ceilings["fma_gflops"]["float32"]["all"]
    rates = [row["all"] for row in document.ceilings["copy_gbs"]]
    low, high = axes.get_xlim()
    intensity = np.geomspace(low, high, 200)
    for rate, line, text in ((rates[-1], "-", "from memory"), (max(rates), "--", "from the caches")):
        label = f"limit {text}: {rate:.0f} GB/s"
        axes.plot(
            intensity, np.minimum(peak, rate * intensity), color=style.INK, linewidth=1, linestyle=line, label=label
        )
    axes.set_xlim(low, high)
    legend_beside(axes)
    return style.figure_png(figure)


def scaling(document: Document) -> bytes:
    """Time of a step of dcgan by batch size, width and image size, side by side."""
    panels: dict[str, list[tuple[float, Mapping[str, float]]]] = {}
    for labels, best in document.cases():
        times = {name: record.median * 1e3 for name, record in best.items()}
        panels.setdefault(str(labels["varied"]), []).append((float(labels["value"]), times))
    figure = style.figure(9, 3.2)
    for axes, (varied, points) in zip(np.atleast_1d(figure.subplots(1, len(panels))), panels.items(), strict=True):
        style.dress(axes, f"By {varied}", varied, "ms a step")
        logarithmic(axes)
        for name in columns(document):
            own = [(value, times[name]) for value, times in points if name in times]
            axes.plot(*zip(*own, strict=True), color=COLORS.get(name), marker="o", markersize=3, label=title_of(name))
        axes.set_xticks([value for value, _ in points], [f"{value:g}" for value, _ in points])
    legend_beside(axes)
    return style.figure_png(figure)


def logarithmic(axes: "Axes") -> None:
    """Logarithmic axes with plain numbers at 1, 2, 5, 10, ..."""
    from matplotlib.ticker import LogLocator, NullLocator

    axes.set(xscale="log", yscale="log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter("{x:g}")


def _blue(strength: float) -> tuple[float, float, float]:
    """From nearly white (0) to the house's blue (1)."""
    full = np.array([int(style.REAL[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    red, green, blue = 1 - (0.25 + 0.75 * strength) * (1 - full)
    return float(red), float(green), float(blue)


def legend_beside(axes: "Axes") -> None:
    """Name what is drawn to the right of the axes: too many names for a line above."""
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=8, labelcolor=style.INK)
