"""The plots of what was measured on a GPU, in the style of minigan.viz."""

import numpy as np

from minigan.bench.results import Document
from minigan.viz import style

from ..plots import legend_beside, logarithmic
from .products import EXACT, TF32
from .tables import STEPS, cases

COLORS = {
    EXACT: style.REAL,
    TF32: style.REAL,
    "PyTorch": style.FAKE,
    "PyTorch TF32": style.FAKE,
    "CuPy": style.FAINT_INK,
    "CuPy TF32": style.FAINT_INK,
}
"""With TF32 the lines are dashed."""


def pictures(document: Document) -> dict[str, bytes]:
    """A PNG by file name for every plot that has records."""
    made = {}
    if cases(document, "matmul"):
        made["bench-gpu-matmul.png"] = matmul(document)
    if cases(document, "step"):
        made["bench-gpu-step.png"] = step(document)
    return made


def matmul(document: Document) -> bytes:
    """TFLOP/s by size."""
    figure = style.figure(7.5, 4)
    axes = figure.subplots()
    style.dress(axes, "Square matrix products", "rows = columns = inner size", "TFLOP/s")
    logarithmic(axes)
    found = cases(document, "matmul")
    for name, color in COLORS.items():
        points = [(float(labels["n"]), best[name].gflops / 1e3) for labels, best in found if name in best]
        if points:
            line = "--" if "TF32" in name else "-"
            axes.plot(*zip(*points, strict=True), color=color, linestyle=line, marker="o", markersize=3, label=name)
    sizes = [float(labels["n"]) for labels, _ in found]
    axes.set_xticks(sizes, [f"{size:g}" for size in sizes])
    legend_beside(axes)
    return style.figure_png(figure)


def step(document: Document) -> bytes:
    """Microseconds of a step, a group of bars for each preset."""
    figure = style.figure(7.5, 3.5)
    axes = figure.subplots()
    style.dress(axes, "A training step of 28x28 images", None, "microseconds")
    found = cases(document, "step")
    places = np.arange(len(found))
    for number, name in enumerate(STEPS):
        times = [best[name].median * 1e6 if name in best else np.nan for _, best in found]
        color = style.REAL if name == "minigan" else style.OTHERS[number % len(style.OTHERS)]
        axes.bar(places + number / 6, times, 1 / 6, color=color, label=name)
    axes.set_yscale("log")
    axes.set_xticks(places + 2 / 6, [f"{labels['preset']}, batch {labels['batch']}" for labels, _ in found])
    legend_beside(axes)
    return style.figure_png(figure)
