"""`make gpu` on the stand-in for CuPy, in miniature, with nothing installed that it must do without.

python tests/stand_in/rehearsal.py FOLDER        writes FOLDER/results/gpu.json, and from it FOLDER/README.md
"""

import sys
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS.parent), str(TESTS), str(TESTS / "stand_in")]
for absent in ("hypothesis", "pooch", "pytest", "requests", "rich", "safetensors", "tomli_w", "tyro"):
    sys.modules[absent] = None  # type: ignore[assignment]

from benchmarks import report  # noqa: E402
from benchmarks.gpu import __main__ as gpu  # noqa: E402
from benchmarks.gpu import products, steps  # noqa: E402
from benchmarks.gpu.measure import Case  # noqa: E402
from benchmarks.gpu.sides import Ours  # noqa: E402
from kernels.cuda import detect, tensor_map  # noqa: E402


def small_cases(backend: str) -> Iterator[Case]:
    """Those of the benchmark, for the emulator's speed; `cases` would take weeks."""
    assert backend == "cuda"
    ours = Ours(backend)
    yield from steps.steps(ours, "cuda", steps.images(8, (8, 8, 1)), batch=2, width=0.02, count=1)
    yield from products.matmuls(ours, "cuda", (32,))
    yield from products.convolutions(ours, "cuda", ((4, 4, 8),), batch=2)


def main(folder: Path) -> int:
    """As the Makefile goes about it."""
    if reason := detect.why_not():
        sys.exit(f"no usable GPU: {reason}")
    tensor_map.of_driver = tensor_map.of_emulator  # the driver's needs one
    gpu.cases, gpu.FULL, steps.MOST_STEPS = small_cases, gpu.MINIATURE, 2
    results = folder / "results"
    results.mkdir()
    failed = gpu.main(["--out", str(results / "gpu.json")])
    (folder / "README.md").write_text((TESTS.parent / "README.md").read_text(encoding="utf-8"), encoding="utf-8")
    report.main(results, folder)
    return failed


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
