"""All CUDA kernels on the hardware: checked against NumPy, then timed beside CuPy's and PyTorch's. `make gpu`.

    python -m benchmarks.gpu              check and time; writes benchmarks/results/gpu.json
    python -m benchmarks.gpu --check      check only
    python -m benchmarks.gpu --unsound "the tests have failed"   the same, but gpu.json stays as it is
    python -m benchmarks.gpu --emulator   all of it in miniature, in the emulator: is this program itself in order?

It needs CuPy, NumPy, Numba and Matplotlib, uses PyTorch where it is installed, and no network.
"""

import argparse
import itertools
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from kernels.cuda import detect, emulator
from minigan.bench.machine import describe
from minigan.bench.results import Document, unfinished

from .checks import ROOT, Check, checks
from .measure import Case, Effort, measure
from .products import convolutions, layers, matmuls
from .sides import Ours
from .steps import images, steps

RESULT = ROOT / "benchmarks" / "results" / "gpu.json"

SECONDS = 300.0
"""For all timings; what has no turn by then is left out, so that the whole takes less than ten minutes."""

OURS = "minigan"
"""What the names of our contenders begin with."""

FULL, MINIATURE = Effort(rounds=5, seconds=0.05), Effort(rounds=1, seconds=0.0)


def cases(backend: str) -> Iterator[Case]:
    """What is timed, the most wanted first."""
    ours = Ours(backend)
    if backend == "cuda":
        yield from itertools.chain(
            steps(ours, "cuda", images()), matmuls(ours, "cuda"), convolutions(ours, "cuda"), layers(ours, "cuda")
        )
    else:
        yield from matmuls(ours, "cpu", (16,))
        yield from convolutions(ours, "cpu", ((4, 2, 3),), batch=2)
        yield from steps(ours, "cpu", images(8, (8, 8, 1)), batch=2, width=0.02, count=1)


def timed(
    backend: str, effort: Effort, document: Document, path: Path, seconds: float = SECONDS, sound: bool = True
) -> list[str]:
    """Fill a document with the cases of a backend, and write it after each, as `unfinished` beside `path`.

    Args:
        path: what is there is replaced once the document is complete.
        sound: whether all checks have passed.

    Returns:
        The contenders of ours that compute something wrong, "contender: case"; with one of them, or if not all is
        sound, the document is never complete.
    """
    own = unfinished(path)
    end, wrong = time.monotonic() + seconds, list[str]()
    for case in cases(backend):
        if time.monotonic() > end:
            document.missing[str(case)] = f"no time left after {seconds:.0f} s"
            continue
        records, missing, disagreeing = measure(case, effort)
        wrong += [who for who in disagreeing if who.startswith(OURS)]
        document.records += records
        document.missing |= missing
        document.save(own)
        times = ", ".join(f"{f'{r.contender} {r.variant}'.strip()} {1e6 * r.median:.1f} us" for r in records)
        print(f"{case}: {times or 'nobody'}", flush=True)
        for who, why in missing.items():
            print(f"  without {who}: {why}", flush=True)
    document.complete = sound and not wrong
    document.save(own)
    if document.complete:
        own.replace(path)
    return wrong


def main(arguments: list[str] | None = None) -> int:
    """0: all is well.  1: a check has failed, or a kernel of ours disagrees with others.  2: there is no device."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="time nothing")
    parser.add_argument("--emulator", action="store_true", help="everything in miniature, in the emulator")
    parser.add_argument("--out", type=Path, help="JSON to write; by default, on a GPU, benchmarks/results/gpu.json")
    parser.add_argument("--unsound", metavar="WHY", help="what has failed before: the results count as unfinished")
    asked = parser.parse_args(arguments)
    backend = "cuda-emulator" if asked.emulator else "cuda"
    if reason := (emulator if asked.emulator else detect).why_not():
        print(f"{backend} does not work here: {reason}", file=sys.stderr)
        return 2
    device = "emulator" if asked.emulator else detect.gpu()[1]
    print(device)
    count, failed = 0, list[Check]()
    for check in checks(backend):
        count += 1
        if not check.passed:
            failed.append(check)
            print(f"FAILED  {check}", flush=True)
    print(f"{count} checks, {len(failed)} failed", flush=True)
    if asked.check:
        return int(bool(failed))
    path = asked.out or (Path(tempfile.mkdtemp()) / "gpu.json" if asked.emulator else RESULT)
    missing = {check.name: f"a check has failed: {check}" for check in failed}
    missing |= {} if asked.unsound is None else {OURS: asked.unsound}
    document = Document("gpu", asked.emulator, describe() | {"gpu": device}, {}, missing=missing)
    wrong = timed(backend, MINIATURE if asked.emulator else FULL, document, path, sound=not missing)
    print(f"written: {path if document.complete else unfinished(path)}")
    for who in wrong:
        print(f"FAILED  {who}: {document.missing[who]}")
    return int(bool(failed or wrong))


if __name__ == "__main__":
    sys.exit(main())
