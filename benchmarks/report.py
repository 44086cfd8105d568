"""Write the measured tables and plots into README.md and docs/: `python -m benchmarks.report`, after `minigan bench`.

Everything comes from the JSON files in benchmarks/results alone. What stands between `<!-- bench:NAME -->` and
`<!-- /bench:NAME -->` is replaced, all else is left as it is.
"""

import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import geometric_mean

from minigan.bench.results import Document, load
from minigan.bench.tables import OURS, Table, columns, machine_text, tables, title_of
from minigan.errors import UserError
from minigan.training.files import atomic_write_bytes, atomic_write_text

from . import plots

ROOT = Path(__file__).parents[1]
ORDER = ("ceilings", "step", "breakdown", "layers", "matmul", "conv", "scaling")
NOT_YET = "*Not measured yet: `make bench`.*"

Results = Mapping[str, Document]


def main(results: Path = ROOT / "benchmarks" / "results", root: Path = ROOT) -> None:
    """Write README.md, docs/benchmarks.md and docs/images/bench-*.png under `root`."""
    documents = read(results)
    for name, picture in plots.pictures(documents).items():
        atomic_write_bytes(root / "docs" / "images" / name, picture)
    readme = root / "README.md"
    text = readme.read_text(encoding="utf-8")
    for name, section in SECTIONS.items():
        text = fill(text, name, section(documents))
    atomic_write_text(readme, text)
    atomic_write_text(root / "docs" / "benchmarks.md", all_tables(documents))


def read(folder: Path) -> dict[str, Document]:
    """The finished results in a folder by subject.

    Raises:
        UserError: one is of a quick or unfinished run, or they are not of one machine.
    """
    documents = {}
    for path in sorted(folder.glob("*.json")):
        document = load(path)
        if document.quick or not document.complete:
            raise UserError(f"{path} is of a {'quick' if document.quick else 'unfinished'} run: measure it again")
        documents[document.subject] = document
    machines = {(document.machine["cpu"], document.machine["cores"]) for document in documents.values()}
    if len(machines) > 1:
        raise UserError(f"{folder} holds results of different machines: {sorted(machines)}")
    return documents


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


def all_tables(documents: Results) -> str:
    """The whole of docs/benchmarks.md."""
    parts = ["# Benchmarks", "Every table of `make bench`; written by `python -m benchmarks.report`."]
    for subject in ORDER:
        if subject in documents:
            document = documents[subject]
            parts += [f"## {subject}", machine_text(document.machine)]
            parts += [f"### {table.title}\n\n{markdown(table)}" for table in tables(document)]
    return "\n\n".join(parts if documents else [*parts, NOT_YET]) + "\n"


def machine_section(documents: Results) -> str:
    """Which machine, and what it can do."""
    document = next((documents[subject] for subject in ORDER if subject in documents), None)
    if document is None:
        return NOT_YET
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
    lines = []
    for rival in columns(documents["layers"]):
        ratios = {
            f"{labels['shape']}, {labels['product']}": best[rival].median / best[OURS].median
            for labels, best in documents["layers"].cases()
            if rival in best and OURS in best
        }
        if rival != OURS and ratios:
            least, most = min(ratios, key=ratios.__getitem__), max(ratios, key=ratios.__getitem__)
            lines.append(
                f"- {title_of(rival)} takes {geometric_mean(ratios.values()):.2f} times as long over {len(ratios)} "
                f"products (geometric mean), from {ratios[least]:.2f} ({least}) to {ratios[most]:.2f} "
                f"({most})."
            )
    lines.append("- FLOPs are those of the definition; Winograd's convolutions do fewer, and may lie above the roof.")
    picture = "![the products of all layers under the machine's roofline](docs/images/bench-roofline.png)"
    return "\n".join([*lines, "", picture])


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
