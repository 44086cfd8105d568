"""What each kernel takes of a GPU, as a committed table, and the check that it is still so.

    python -m kernels.cuda.resources            compile all kernels with NVRTC; print what differs from the table
    python -m kernels.cuda.resources --write    write the table anew

A kernel that suddenly needs more registers runs fewer threads at a time; one that spills moves registers through
memory; one that takes more than there is does not start. None of that changes a result, so tests of results do not see
it.
"""

import argparse
import functools
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeAlias

from . import nvrtc
from .cache import kept, key_of
from .instances import TABLE
from .nvrtc import Resources
from .source import FOLDER, Instance, expand

COMMITTED = Path(__file__).parent / "resources.json"

REGISTERS = 65536
"""Of a multiprocessor, and so of a block at most; all architectures here."""

SHARED = {"sm_80": 163 * 1024, "sm_90": 227 * 1024, "sm_90a": 227 * 1024}
"""Architecture -> bytes of shared memory that a block can have. Kernels are compiled for each of them, or for one."""

Report: TypeAlias = Mapping[str, Resources]
"""Architecture -> what the kernel takes there."""

Key: TypeAlias = tuple[str, str]
"""File and expression of a row."""


class Finding(NamedTuple):
    """A difference or a fault, for one line of output."""

    kernel: Key
    text: str

    def __str__(self) -> str:
        file, expression = self.kernel
        return f"{file}: {expression}: {self.text}"


def compiled() -> dict[Key, Report]:
    """What all rows of the table of kernels take; on two threads, for the compiler works outside of Python.

    Raises:
        nvrtc.CompileError: a file does not compile; with the compiler's messages.
    """
    files = list(dict.fromkeys(row.file for row in TABLE))
    jobs = [(file, architecture) for file in files for architecture in SHARED if _rows(file, architecture)]
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda job: _compile(*job), jobs))
    reports: dict[Key, dict[str, Resources]] = {(row.file, row.expression): {} for row in TABLE}
    for (file, architecture), result in zip(jobs, results, strict=True):
        for expression, resources in result.items():
            reports[file, expression][architecture] = resources
    return dict(reports)


def architectures(row: Instance) -> tuple[str, ...]:
    """That a kernel is compiled for."""
    return (row.architecture,) if row.architecture else tuple(SHARED)


def _rows(file: str, architecture: str) -> list[Instance]:
    return [row for row in TABLE if row.file == file and architecture in architectures(row)]


def _compile(file: str, architecture: str) -> dict[str, Resources]:
    text = expand(FOLDER / file)
    expressions = [row.expression for row in _rows(file, architecture)]
    key = key_of(nvrtc.version(), Path(nvrtc.__file__).read_text(encoding="utf-8"), architecture, text, *expressions)

    def compile_anew(output: Path) -> None:
        output.write_text(json.dumps(nvrtc.compile_kernels(text, file, expressions, architecture)), encoding="utf-8")

    report = json.loads(kept(Path(file).stem, ".json", key, compile_anew).read_text(encoding="utf-8"))
    return {expression: _resources(*row) for expression, row in report.items()}


def _resources(registers: int, spilled: int, stack: int, shared: int, parameters: Sequence[str]) -> Resources:
    return Resources(registers, spilled, stack, shared, tuple(parameters))


@functools.cache
def committed() -> dict[Key, Report]:
    """The committed table."""
    table = json.loads(COMMITTED.read_text(encoding="utf-8"))["kernels"]
    return {
        (file, expression): {
            architecture: _resources(*[*numbers, kernel["parameters"].split()])
            for architecture, numbers in kernel.items()
            if architecture != "parameters"
        }
        for file, kernels in table.items()
        for expression, kernel in kernels.items()
    }


def write(reports: Mapping[Key, Report]) -> None:
    """Make these the committed table; one line for each kernel, so that a difference reads well."""
    lines = []
    for file in sorted({file for file, _ in reports}):
        kernels = []
        for (of_file, expression), report in sorted(reports.items()):
            if of_file == file:
                anyone = next(iter(report.values()))
                row = {"parameters": " ".join(anyone.parameters)} | {a: list(r[:-1]) for a, r in report.items()}
                kernels.append(f"   {json.dumps(expression)}: {json.dumps(row)}")
        lines.append(f"  {json.dumps(file)}: {{\n" + ",\n".join(kernels) + "\n  }")
    head = {"compiler": f"NVRTC {nvrtc.version()}", "columns": list(Resources._fields[:-1])}
    text = json.dumps(head)[:-1] + ',\n "kernels": {\n' + ",\n".join(lines) + "\n }}\n"
    COMMITTED.write_text(text, encoding="utf-8")


def faults(reports: Mapping[Key, Report]) -> Iterator[Finding]:
    """Kernels that spill, or that a block of their row's size cannot have."""
    rows = {(row.file, row.expression): row for row in TABLE}
    for key, report in reports.items():
        for architecture, resources in report.items():
            for fault in _faults(rows[key], architecture, resources):
                yield Finding(key, f"{architecture}: {fault}")


def _faults(row: Instance, architecture: str, resources: Resources) -> Iterator[str]:
    if resources.spilled:
        yield f"spills {resources.spilled} bytes per thread"
    registers = -(-resources.registers // 8) * 8 * -(-row.threads // 32) * 32  # handed out by eights, to whole warps
    if registers > REGISTERS:
        yield f"{row.threads} threads of {resources.registers} registers are {registers}, of {REGISTERS}"
    shared = resources.shared + row.shared_bytes
    if shared > SHARED[architecture]:
        yield f"{shared} bytes of shared memory, of {SHARED[architecture]}"


def differences(reports: Mapping[Key, Report], table: Mapping[Key, Report]) -> Iterator[Finding]:
    """What `reports` say and `table` does not, and the other way round."""
    for key in sorted(reports.keys() | table.keys()):
        if key not in table:
            yield Finding(key, "is not in the committed table")
        elif key not in reports:
            yield Finding(key, "is in the committed table, but no kernel any more")
        else:
            for architecture in SHARED:
                now, then = reports[key].get(architecture), table[key].get(architecture)
                if now != then:
                    yield Finding(key, f"{architecture}: {_change(then, now)}")


def _change(then: Resources | None, now: Resources | None) -> str:
    if then is None or now is None:
        return "is in the committed table" if now is None else "is not in the committed table"
    changes = (f"{name} {a} -> {b}" for name, a, b in zip(Resources._fields, then, now, strict=True) if a != b)
    return ", ".join(changes)


def main() -> int:
    """The command line; 1 if there is anything to look at."""
    parser = argparse.ArgumentParser(prog="python -m kernels.cuda.resources", description=__doc__.split("\n")[0])
    parser.add_argument("--write", action="store_true", help="make what was found the committed table")
    arguments = parser.parse_args()
    if reason := nvrtc.why_not():
        print(reason, file=sys.stderr)
        return 2
    reports = compiled()
    findings = [*faults(reports), *differences(reports, committed() if COMMITTED.exists() else {})]
    print(*findings, sep="\n", end="\n" if findings else "")
    if arguments.write:
        write(reports)
        print(f"{COMMITTED}: {len(reports)} kernels, NVRTC {nvrtc.version()}")
        return 0
    print(f"{len(reports)} kernels, {len(findings)} differences and faults")
    return bool(findings)


if __name__ == "__main__":
    sys.exit(main())
