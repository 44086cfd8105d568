"""`minigan bench`: ceilings first, then every case of a subject, then its tables."""

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numba

from ..errors import UserError
from . import breakdown, ceilings, ladders, layers, machine, peers, steps
from .breakdown import Breakdown
from .case import Case, WrongResultError, verify
from .results import Document, Record
from .tables import Table, machine_text, tables, title_of
from .timing import FULL, QUICK, Effort, measure

SUBJECTS: dict[str, Callable[[bool], Iterator[Case] | Iterator[Breakdown]]] = {
    "ceilings": lambda _: iter(()),
    "matmul": ladders.matmul_cases,
    "conv": ladders.conv_cases,
    "layers": layers.cases,
    "step": steps.step_cases,
    "scaling": steps.scaling_cases,
    "breakdown": breakdown.cases,
}
"""What can be measured, and the cases of each; `ceilings` is measured before every other."""

PEERS = {"layers": ("torch",), "step": ("torch", "torch.compile", "jax"), "scaling": ("torch",)}
"""Who is asked to take part."""

BUSY = 0.25
"""Load per core from which on times are not to be trusted."""

WIDTH = 160
"""Columns of a table that goes to a file or a pipe."""


def bench(subject: str, quick: bool, out: Path | None) -> int:
    """Measure one subject, or all in turn ("all"), print the tables, and write `out` where given.

    Args:
        subject: a key of SUBJECTS, or "all".
        quick: fewer cases and fewer, shorter turns.
        out: a file for one subject's JSON; a folder of them for "all".

    Returns:
        Exit code: 0; 1 where a contender computes something wrong; 130 after Ctrl-C, with what was measured kept.
    """
    paths = output_paths(subject, out)
    if numba.config.DISABLE_JIT:
        raise UserError("bench measures compiled kernels: unset NUMBA_DISABLE_JIT")
    own = machine.describe()
    say(machine_text(own))
    for name, value in own["thread_settings"].items():
        say(f"note: {name}={value} is set, and holds back whoever heeds it")
    if own["load"] > BUSY * own["cores"]:
        say(f"note: the machine is busy with something else (load {own['load']}); times will mean little")
    say("measuring the machine's ceilings")
    effort = QUICK if quick else FULL
    measured = ceilings.measure(ceilings.QUICK_SIZES if quick else ceilings.SIZES)
    for name, path in paths.items():
        document = Document(name, quick, own, measured, missing(name, quick))
        code = _measure(document, list(SUBJECTS[name](quick)), effort, path)
        show(document)
        if code:
            return code
    return 0


def missing(subject: str, quick: bool) -> dict[str, str]:
    """Who should take part and does not, and why."""
    reasons = peers.missing()
    if quick:
        reasons = {"torch.compile": "not with --quick"} | reasons
    return {name: reasons[name] for name in PEERS.get(subject, ()) if name in reasons}


def output_paths(subject: str, out: Path | None) -> dict[str, Path | None]:
    """The file of each subject that is to be measured."""
    if subject != "all" and subject not in SUBJECTS:
        raise UserError(f"bench: expected all, {', '.join(SUBJECTS)}, got {subject!r}")
    if out is None:
        return dict.fromkeys(SUBJECTS if subject == "all" else [subject])
    if subject == "all":
        if out.is_file() or out.suffix == ".json":
            raise UserError(f"--out: all subjects need a folder for their files, got {out}")
        return {name: out / f"{name}.json" for name in SUBJECTS}
    if out.is_dir() or out.suffix != ".json":
        raise UserError(f"--out: expected a file name that ends in .json, got {out}")
    return {subject: out}


def _measure(document: Document, cases: Sequence[Case | Breakdown], effort: Effort, path: Path | None) -> int:
    """Fill the document, saving it after every case."""
    from rich.console import Console

    code = 0
    try:
        with Console(stderr=True).status("") as status:  # moves on a terminal only; the lines of `say` come anywhere
            for number, case in enumerate(cases, 1):
                status.update(f"{document.subject} {number}/{len(cases)}: {case}")
                own = case.records(effort) if isinstance(case, Breakdown) else time_case(case, effort)
                document.records += own
                if path is not None:
                    document.save(path)
                say(f"{number}/{len(cases)} {progress_line(document)}")
        document.complete = True
    except WrongResultError as error:
        print(f"minigan: {error}", file=sys.stderr)
        code = 1
    except KeyboardInterrupt:
        say("interrupted: what was measured so far is kept")
        code = 130
    if path is not None:
        document.save(path)
        say(f"written: {path}")
    return code


def time_case(case: Case, effort: Effort) -> list[Record]:
    """Check that all contenders agree, then time them in turn."""
    contenders = case.contenders()
    verify(case, contenders)
    timings = measure([contender.run for contender in contenders], effort)
    return [Record.of(case, contender, timing) for contender, timing in zip(contenders, timings, strict=True)]


def progress_line(document: Document) -> str:
    """The case that was measured last, in a line."""
    labels, best = list(document.cases())[-1]
    times = ", ".join(f"{name} {record.median * 1e3:.3g} ms" for name, record in best.items())
    return f"{document.subject} {' '.join(map(str, labels.values()))}: {times}"


def say(text: str) -> None:
    """A line of progress on stderr."""
    print(text, file=sys.stderr, flush=True)


def show(document: Document) -> None:
    """Print the tables of a document."""
    from rich.console import Console

    console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH)
    if document.records or document.subject == "ceilings":
        for table in tables(document):
            console.print(f"[bold]{table.title}[/bold]")
            console.print(_rich(table))
            if table.note:
                console.print(table.note, end="\n\n")
    if document.missing:
        reasons = ", ".join(f"{title_of(name)} ({reason})" for name, reason in document.missing.items())
        console.print(f"without {reasons}", markup=False)


def _rich(table: Table) -> object:
    """The table as rich draws it, numbers to the right."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table as RichTable

    drawn = RichTable(box=SIMPLE_HEAD)
    for title in table.header:
        drawn.add_column(title, justify="right")
    for row in table.rows:
        drawn.add_row(*row)
    return drawn
