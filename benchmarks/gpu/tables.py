"""What was measured on a GPU as tables: ours beside the peers, in float32 and with TF32."""

from collections.abc import Mapping
from statistics import geometric_mean
from typing import TypeAlias

from minigan.bench.results import Document, Record
from minigan.bench.tables import Table

from .products import EXACT, TF32
from .steps import EPOCH

Best: TypeAlias = Mapping[str, Record]

RIVALS = {EXACT: "PyTorch", TF32: "PyTorch TF32"}
STEPS = ("minigan", "minigan eager", "PyTorch eager", "PyTorch reduce-overhead", "PyTorch graph")


def tables(document: Document) -> list[Table]:
    """Those for which there are records."""
    made = [matmul_table(document), convolution_table(document), layer_table(document), step_table(document)]
    return [table for table in made if table.rows]


def cases(document: Document, *what: str) -> list[tuple[dict[str, str | int | float], dict[str, Record]]]:
    """Labels and the fastest variants of each contender, of these kinds of case."""
    return [(labels, best) for labels, best in document.cases() if labels["what"] in what]


def matmul_table(document: Document) -> Table:
    """TFLOP/s by size."""
    names = (EXACT, "PyTorch", "CuPy", TF32, "PyTorch TF32", "CuPy TF32")
    rows = [
        [str(labels["n"]), *(_tflops(best.get(name)) for name in names), *_ratios(best)]
        for labels, best in cases(document, "matmul")
    ]
    header = ["n", *names, "faster than PyTorch", "with TF32"]
    return Table("Square matrix products", header, rows, "TFLOP/s; of our rungs the fastest.")


def convolution_table(document: Document) -> Table:
    """TFLOP/s of each product of a dcgan's convolutions."""
    found = cases(document, "convolution")
    return Table("4x4 convolutions of stride 2, 128 images", *_products(found, ("shape", "product")))


def layer_table(document: Document) -> Table:
    """TFLOP/s of the presets' own products."""
    known = ("matmul", "convolution", "step", EPOCH)
    found = [(labels, best) for labels, best in document.cases() if labels["what"] not in known]
    return Table("Products of the presets' layers, batch 64", *_products(found, ("what", "shape", "product")))


def step_table(document: Document) -> Table:
    """Time of a step, and of an epoch."""
    epochs = {labels["preset"]: best.get("minigan") for labels, best in cases(document, EPOCH)}
    rows = []
    for labels, best in cases(document, "step"):
        cells = []
        for name in STEPS:
            record, own = best.get(name), best.get("minigan")
            against = f", {record.median / own.median:.1f}x" if record and own and record is not own else ""
            cells.append("" if record is None else f"{record.median * 1e6:.0f} us{against}")
        epoch = epochs.get(labels["preset"])
        rows.append([str(labels["preset"]), str(labels["batch"]), *cells, f"{epoch.median:.3f} s" if epoch else ""])
    header = ["preset", "batch", "minigan, captured", *STEPS[1:], "epoch of 60,000, ours"]
    return Table("Training steps of 28x28 images, float32", header, rows, "Median, and how many times ours it takes.")


def summary(document: Document) -> list[str]:
    """A sentence for each comparison of products."""
    lines = []
    for ours, rival in RIVALS.items():
        for what, title in (("matmul", "matrix products"), ("convolution", "convolutions")):
            ratios = [
                best[rival].median / best[ours].median
                for _, best in cases(document, what)
                if ours in best and rival in best
            ]
            if ratios:
                lines.append(
                    f"- {rival} takes {geometric_mean(ratios):.2f} times as long over {len(ratios)} {title} "
                    f"(geometric mean), from {min(ratios):.2f} to {max(ratios):.2f}."
                )
    return lines


def _products(
    found: list[tuple[dict[str, str | int | float], dict[str, Record]]], shown: tuple[str, ...]
) -> tuple[list[str], list[list[str]], str]:
    """Header, rows and note."""
    names = (EXACT, "PyTorch", TF32, "PyTorch TF32")
    rows = [
        [*(str(labels[name]) for name in shown), *(_tflops(best.get(name)) for name in names), *_ratios(best)]
        for labels, best in found
    ]
    return [*shown, *names, "faster than PyTorch", "with TF32"], rows, "TFLOP/s; PyTorch's images are channels-last."


def _ratios(best: Best) -> list[str]:
    """How many times as fast as PyTorch ours is, without and with TF32."""
    pairs = [(best.get(ours), best.get(rival)) for ours, rival in RIVALS.items()]
    return [f"{rival.median / ours.median:.2f}x" if ours and rival else "" for ours, rival in pairs]


def _tflops(record: Record | None) -> str:
    return "" if record is None else f"{record.gflops / 1e3:.3g}"
