"""What the tests of the command line share."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeAlias

SMALL = ("--batch-size", 4, "--width", 0.02, "--latent-dim", 4)
"""Flags that make any preset quick."""


class Result(NamedTuple):
    """What a command leaves behind on the terminal."""

    code: int
    out: str
    err: str


CommandLine: TypeAlias = Callable[..., Result]


def only_line(result: Result) -> str:
    """The one line on stderr of a command that failed with exit code 2."""
    assert (result.code, result.out) == (2, "")
    line, rest = result.err.split("\n", 1)
    assert rest == ""
    assert line.startswith("minigan: ")
    return line.removeprefix("minigan: ")


def contents(folder: Path) -> dict[str, bytes | None]:
    """Every file in a folder by its path with its content, and every folder."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}
