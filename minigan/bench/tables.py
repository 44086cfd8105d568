"""Results as tables of text, which a terminal and a Markdown file show alike."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .results import Document, Record

TITLES = {
    "numba": "minigan (Numba)",
    "numpy": "minigan (NumPy)",
    "blas": "NumPy's BLAS",
    "torch": "PyTorch",
    "torch.compile": "torch.compile",
    "jax": "JAX",
}
"""Contenders as columns are headed; others, the rungs of a ladder, have their own names."""

OURS = "numba"


@dataclass(frozen=True)
class Table:
    """Cells by rows; `note` says how to read them."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


def tables(document: Document) -> list[Table]:
    """The tables of a document, by its subject."""
    makers: dict[str, Callable[[Document], list[Table]]] = {
        "ceilings": lambda document: ceiling_tables(document.ceilings),
        "matmul": lambda document: [ladder_table(document, "Square matrix products, float32")],
        "conv": lambda document: [ladder_table(document, "4x4 convolutions of stride 2, 16 images of 28x28, float32")],
        "layers": lambda document: [layer_table(document)],
        "step": lambda document: [step_table(document)],
        "scaling": scaling_tables,
        "breakdown": breakdown_tables,
    }
    return makers[document.subject](document)


def ceiling_tables(ceilings: Mapping[str, Any]) -> list[Table]:
    """Multiply-adds, and memory by size."""
    header = ["one thread", f"all {ceilings['threads']} threads"]
    flops = [
        [dtype, *(f"{rates[key]:.0f} GFLOP/s" for key in ("one", "all"))]
        for dtype, rates in ceilings["fma_gflops"].items()
    ]
    memory = [
        [bytes_text(row["bytes"]), *(f"{row[key]:.0f} GB/s" for key in ("one", "all"))] for row in ceilings["copy_gbs"]
    ]
    return [
        Table("Multiply-adds, at best", ["numbers", *header], flops),
        Table("Memory, read and written, at best", ["arrays of", *header], memory),
    ]


def ladder_table(document: Document, title: str) -> Table:
    """GFLOP/s of every rung by size."""
    names = columns(document)
    rows = [
        [*map(str, labels.values()), *(_gflops(best.get(name)) for name in names)] for labels, best in document.cases()
    ]
    return Table(title, [*_label_names(document), *map(title_of, names)], rows, "GFLOP/s; more is better.")


def layer_table(document: Document) -> Table:
    """GFLOP/s of each product, and how many times as fast as others we are."""
    names = columns(document)
    rivals = [name for name in names if name != OURS] if OURS in names else []
    rows = [
        [
            *map(str, labels.values()),
            *(_gflops(best.get(name)) for name in names),
            *(_ratio(best.get(rival), best.get(OURS)) for rival in rivals),
        ]
        for labels, best in document.cases()
    ]
    header = [*_label_names(document), *map(title_of, names), *(f"faster than {title_of(rival)}" for rival in rivals)]
    return Table("Products of the presets' layers", header, rows, "GFLOP/s; of PyTorch's two layouts the faster one.")


def step_table(document: Document) -> Table:
    """Milliseconds of each contender, with its spread, and how it compares with ours."""
    names = columns(document)
    rows = []
    for labels, best in document.cases():
        cells = []
        for name in names:
            record = best.get(name)
            against = f", {_ratio(record, best.get(OURS))}" if name != OURS and OURS in best and record else ""
            cells.append(_milliseconds(record) + against)
        rows.append([*map(str, labels.values()), *cells])
    note = (
        "Median, ± half of what the rounds' medians differ by, and how many times ours it takes. "
        "Of a contender's layouts and optimizers the fastest counts."
    )
    return Table("One training step", [*_label_names(document), *map(title_of, names)], rows, note)


def scaling_tables(document: Document) -> list[Table]:
    """One table for each thing that was varied."""
    names = columns(document)
    rows: dict[str, list[list[str]]] = {}
    for labels, best in document.cases():
        cells = [f"{labels['value']:g}", *(_milliseconds(best.get(name)) for name in names)]
        rows.setdefault(str(labels["varied"]), []).append(cells)
    return [Table(f"A step of dcgan by {varied}", [varied, *map(title_of, names)], own) for varied, own in rows.items()]


SHOWN = 0.01
"""Share of a step from which on an operation has a row of its own."""


def breakdown_tables(document: Document) -> list[Table]:
    """One table for each step: its operations, longest first, and the least time that the machine could take."""
    steps: dict[str, list[Record]] = {}
    for record in document.records:
        steps.setdefault(f"{record.labels['preset']}, batch {record.labels['batch']}", []).append(record)
    note = (
        "At best: the operation's FLOPs at the machine's peak, or its arrays once at the bandwidth of copies as large, "
        "whichever takes longer."
    )
    header = ["operation", "arrays", "how", "calls", "ms", "of the step", "at best, ms", "takes"]
    return [
        Table(f"Where a step goes: {title}", header, _breakdown_rows(records, document.ceilings), note)
        for title, records in steps.items()
    ]


def _breakdown_rows(records: Sequence[Record], ceilings: Mapping[str, Any]) -> list[list[str]]:
    total = sum(record.median for record in records)
    shown = [record for record in records if record.median >= SHOWN * total]
    rows = []
    for record in shown:
        best = least_seconds(record, ceilings)
        against = [f"{best * 1e3:.2f}", f"{record.median / best:.1f}x"] if best else ["", ""]
        what = [str(record.labels[name]) for name in ("operation", "shapes", "how", "calls")]
        rows.append([*what, f"{record.median * 1e3:.2f}", f"{record.median / total:.0%}", *against])
    hidden = [record for record in records if record not in shown]
    rest, best = sum(r.median for r in hidden), sum(least_seconds(r, ceilings) for r in hidden)
    share = f"{rest / total:.0%}"
    rows.append([f"{len(hidden)} others", "", "", "", f"{rest * 1e3:.2f}", share, f"{best * 1e3:.2f}", ""])
    best = sum(least_seconds(record, ceilings) for record in records)
    rows.append(["all", "", "", "", f"{total * 1e3:.2f}", "100%", f"{best * 1e3:.2f}", f"{total / best:.1f}x"])
    return rows


def least_seconds(record: Record, ceilings: Mapping[str, Any]) -> float:
    """What the machine needs at best for a record's FLOPs and bytes."""
    calls = int(record.labels["calls"])
    sizes = ceilings["copy_gbs"]
    row = next((row for row in sizes if row["bytes"] >= record.bytes / calls), sizes[-1])
    return max(record.flops / ceilings["fma_gflops"]["float32"]["all"], record.bytes / row["all"]) / 1e9


def columns(document: Document) -> list[str]:
    """The contenders in the order of their columns: rungs of a ladder, ours, the others."""
    known = list(TITLES)
    return sorted(document.contenders(), key=lambda name: known.index(name) if name in TITLES else -1)


def title_of(contender: str) -> str:
    """How a contender's column is headed."""
    return TITLES.get(contender, contender)


def bytes_text(count: int) -> str:
    """A power of two in KiB or MiB."""
    return f"{count >> 10} KiB" if count < 1 << 20 else f"{count >> 20} MiB"


def machine_text(machine: Mapping[str, Any]) -> str:
    """The machine and the versions in one line."""
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    return (
        f"{cpu_text(machine)}, {machine['memory_gib']} GiB, {machine['system']}; "
        f"Python {machine['python']}, {versions}, BLAS {machine['blas']}; {machine['date']}"
    )


def cpu_text(machine: Mapping[str, Any]) -> str:
    """The CPU, what kernels are compiled for (which older results do not say), and its cores."""
    target = f" ({machine['target']})" if "target" in machine else ""
    return f"{machine['cpu']}{target}, {machine['cores']} cores"


def _label_names(document: Document) -> list[str]:
    return list(document.records[0].labels) if document.records else []


def _gflops(record: Record | None) -> str:
    return "" if record is None else f"{record.gflops:.3g}"


def _ratio(theirs: Record | None, ours: Record | None) -> str:
    return "" if theirs is None or ours is None else f"{theirs.median / ours.median:.2f}x"


def _milliseconds(record: Record | None) -> str:
    return "" if record is None else f"{record.median * 1e3:.3g} ms ± {record.spread / 2:.0%}"
