"""Write the measured tables and plots into README.md and docs/: `python -m benchmarks.report`, after `minigan bench`
or `python -m benchmarks.gpu`, whose results may be of another machine.

Everything comes from the JSON files in benchmarks/results alone; folders in it hold those of other machines. What
stands between `<!-- bench:NAME -->` and `<!-- /bench:NAME -->` is replaced, all else is left as it is.
"""

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import geometric_mean

from minigan.bench.results import Document, load, unfinished
from minigan.bench.tables import OURS, Table, columns, cpu_text, machine_text, tables, title_of
from minigan.errors import UserError
from minigan.training.files import atomic_write_bytes, atomic_write_text

from . import plots
from .gpu import plots as gpu_plots
from .gpu import tables as gpu_tables

ROOT = Path(__file__).parents[1]
ORDER = ("ceilings", "step", "breakdown", "layers", "matmul", "conv", "scaling")
NOT_YET = "*Not measured yet: `make bench`.*"
GPU, OTHERS = "gpu", "others"
NOT_ON_A_GPU = (
    "So far that is all the proof there is: no GPU has run these kernels yet, and nothing here says how fast they are. "
    "`make gpu` measures that, and writes it here."
)

Results = Mapping[str, Document]


def main(results: Path = ROOT / "benchmarks" / "results", root: Path = ROOT) -> None:
    """Write README.md, docs/benchmarks.md and docs/images/bench-*.png under `root`."""
    documents, on_gpu = read(results), read_gpu(results)
    others = [read(folder) for folder in sorted(results.glob("*/"))]
    for name, picture in (plots.pictures(documents) | ({} if on_gpu is None else gpu_plots.pictures(on_gpu))).items():
        atomic_write_bytes(root / "docs" / "images" / name, picture)
    readme = root / "README.md"
    text = readme.read_text(encoding="utf-8")
    for name, section in SECTIONS.items():
        text = fill(text, name, section(documents))
    text = fill(text, OTHERS, others_section(others))
    atomic_write_text(readme, fill(text, GPU, gpu_section(on_gpu)))
    atomic_write_text(root / "docs" / "benchmarks.md", all_tables(documents, on_gpu, others))


def read(folder: Path) -> dict[str, Document]:
    """The finished results of `minigan bench` in a folder by subject.

    Raises:
        UserError: one is of a quick or unfinished run, or they are not of one machine.
    """
    documents, on_gpu = {}, folder / f"{GPU}.json"
    for path in sorted(folder.glob("*.json")):
        if path not in (on_gpu, unfinished(on_gpu)):
            document = _finished(path)
            documents[document.subject] = document
    machines = {(document.machine["cpu"], document.machine["cores"]) for document in documents.values()}
    if len(machines) > 1:
        raise UserError(f"{folder} holds results of different machines: {sorted(machines)}")
    return documents


def read_gpu(folder: Path) -> Document | None:
    """The finished results of `python -m benchmarks.gpu` in a folder, None if there are none; UserError as `read`."""
    path = folder / f"{GPU}.json"
    return _finished(path) if path.exists() else None


def _finished(path: Path) -> Document:
    document = load(path)
    if document.quick or not document.complete:
        raise UserError(f"{path} is of {'a quick' if document.quick else 'an unfinished'} run: measure it again")
    return document


def fill(text: str, name: str, content: str) -> str:
    """Replace what stands between the markers of `name`.

    Raises:
        UserError: the text does not have each marker once.
    """
    start, end = f"<!-- bench:{name} -->", f"<!-- /bench:{name} -->"
    if text.count(start) != 1 or text.count(end) != 1:
        raise UserError(f"expected {start} and {end} once each")
    pattern = re.compile(f"{re.escape(start)}.*?{re.escape(end)}", re.DOTALL)
    return pattern.sub(lambda _: f"{start}\n{content}\n{end}", text)


def markdown(table: Table) -> str:
    """A table in Markdown, numbers to the right."""
    lines = [table.header, ["---:" for _ in table.header], *table.rows]
    body = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    return f"{body}\n\n{table.note}" if table.note else body


def all_tables(documents: Results, on_gpu: Document | None = None, others: Sequence[Results] = ()) -> str:
    """The whole of docs/benchmarks.md."""
    parts = ["# Benchmarks", "Every table of `make bench`; written by `python -m benchmarks.report`."]
    parts += _sections(documents) if documents else [NOT_YET]
    for other in others:
        parts += _sections(other, f" on {cpu_text(_any(other).machine)}")
    if on_gpu is not None:
        parts += [f"## {GPU}", gpu_machine(on_gpu)]
        parts += [f"### {table.title}\n\n{markdown(table)}" for table in gpu_tables.tables(on_gpu)]
        parts += [f"Without {who}: {why}" for who, why in on_gpu.missing.items()]
    return "\n\n".join(parts) + "\n"


def _sections(documents: Results, where: str = "") -> list[str]:
    """The tables of every subject."""
    parts = []
    for subject in ORDER:
        if subject in documents:
            document = documents[subject]
            parts += [f"## {subject}{where}", machine_text(document.machine)]
            parts += [f"### {table.title}\n\n{markdown(table)}" for table in tables(document)]
    return parts


def _any(documents: Results) -> Document:
    """One of them, which all say the same of their machine."""
    return next(documents[subject] for subject in ORDER if subject in documents)


def machine_section(documents: Results) -> str:
    """Which machine, and what it can do."""
    if not documents:
        return NOT_YET
    document = _any(documents)
    fma, copy = document.ceilings["fma_gflops"]["float32"], document.ceilings["copy_gbs"]
    return (
        f"Measured on: {machine_text(document.machine)}. This machine does at best {fma['all']:.0f} GFLOP/s in float32 "
        f"({fma['one']:.0f} on one core) and moves {copy[-1]['all']:.0f} GB/s between memory and cores, "
        f"{max(row['all'] for row in copy):.0f} GB/s in the caches."
    )


def step_section(documents: Results) -> str:
    """The table of training steps."""
    return markdown(tables(documents["step"])[0]) if "step" in documents else NOT_YET


def layers_section(documents: Results) -> str:
    """How the products of the layers compare, in a sentence for each rival, and the roofline."""
    if "layers" not in documents:
        return NOT_YET
    lines = layer_lines(documents["layers"])
    lines.append(
        "- FLOPs are those of the definition; convolutions by Winograd or kn2row do fewer, and may lie above the roof."
    )
    picture = "![the products of all layers under the machine's roofline](docs/images/bench-roofline.png)"
    return "\n".join([*lines, "", picture])


def layer_lines(document: Document) -> list[str]:
    """A line for each rival: how its products compare."""
    lines = []
    for rival in columns(document):
        ratios = {
            f"{labels['shape']}, {labels['product']}": best[rival].median / best[OURS].median
            for labels, best in document.cases()
            if rival in best and OURS in best
        }
        if rival != OURS and ratios:
            least, most = min(ratios, key=ratios.__getitem__), max(ratios, key=ratios.__getitem__)
            lines.append(
                f"- {title_of(rival)} takes {geometric_mean(ratios.values()):.2f} times as long over {len(ratios)} "
                f"products (geometric mean), from {ratios[least]:.2f} ({least}) to {ratios[most]:.2f} "
                f"({most})."
            )
    return lines


def others_section(others: Sequence[Results]) -> str:
    """For each other machine: what it can do, its steps, and how the products compare."""
    parts = []
    for documents in others:
        document = _any(documents)
        flops, memory = document.ceilings["fma_gflops"]["float32"]["all"], document.ceilings["copy_gbs"][-1]["all"]
        parts += [f"On {cpu_text(document.machine)}, at best {flops:.0f} GFLOP/s, {memory:.0f} GB/s from memory:"]
        parts += [markdown(tables(documents["step"])[0])] if "step" in documents else []
        parts += ["\n".join(layer_lines(documents["layers"]))] if "layers" in documents else []
    return "\n\n".join(parts)


def ladders_section(documents: Results) -> str:
    """The plots of both ladders."""
    if not {"matmul", "conv"} <= documents.keys():
        return NOT_YET
    return (
        "| matrix product | convolution |\n|---|---|\n"
        "| ![GFLOP/s of every rung by size](docs/images/bench-matmul.png) "
        "| ![GFLOP/s of every rung by channels](docs/images/bench-conv.png) |"
    )


def scaling_section(documents: Results) -> str:
    """The plot of a step's time."""
    if "scaling" not in documents:
        return NOT_YET
    return "![time of a step by batch size, width and image size](docs/images/bench-scaling.png)"


def gpu_section(document: Document | None) -> str:
    """Steps, and how products compare; or that nothing was measured on hardware."""
    if document is None:
        return NOT_ON_A_GPU
    parts = [f"Measured on: {gpu_machine(document)}."]
    steps = gpu_tables.step_table(document)
    parts += [markdown(steps)] if steps.rows else []
    parts += ["\n".join(gpu_tables.summary(document))]
    names = list(gpu_plots.pictures(document))
    parts += [f"![{name.removesuffix('.png')}](docs/images/{name})" for name in names]
    missing = f"{len(document.missing)} contenders took no part; `docs/benchmarks.md` has the reasons, and all tables."
    return "\n\n".join([*filter(None, parts), missing if document.missing else "All tables: `docs/benchmarks.md`."])


def gpu_machine(document: Document) -> str:
    """The device first."""
    return f"{document.machine['gpu']}; {machine_text(document.machine)}"


SECTIONS: dict[str, Callable[[Results], str]] = {
    "machine": machine_section,
    "step": step_section,
    "layers": layers_section,
    "ladders": ladders_section,
    "scaling": scaling_section,
}
"""The README's sections by the name in their markers."""


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"benchmarks.report: {error}")
