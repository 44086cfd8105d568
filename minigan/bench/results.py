"""What was measured, as JSON: one document a subject, with the machine and its ceilings in it.

{"format": 1, "subject": "step", "quick": false, "complete": true,
 "machine": {"cpu": ..., "cores": ..., "versions": {...}, "date": ...},
 "ceilings": {"threads": ..., "fma_gflops": {...}, "copy_gbs": [...]},
 "missing": {"jax": "not installed"},
 "records": [{"labels": {"preset": "dcgan", "batch": 64}, "contender": "torch", "variant": "NCHW", "flops": ...,
              "bytes": ..., "median": seconds, "fastest": seconds, "spread": ..., "readings": ...}]}
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..training.files import atomic_write_text
from .case import Case, Contender, Label
from .timing import Timing

FORMAT = 1


@dataclass(frozen=True)
class Record:
    """One contender's time for one case; fields as in `Case`, `Contender` and `Timing`."""

    labels: dict[str, Label]
    contender: str
    variant: str
    flops: int
    bytes: int
    median: float
    fastest: float
    spread: float
    readings: int

    @classmethod
    def of(cls, case: Case, contender: Contender, timing: Timing) -> "Record":
        """Case, contender and timing in one."""
        return cls(dict(case.labels), contender.name, contender.variant, case.flops, case.bytes, **asdict(timing))

    @property
    def gflops(self) -> float:
        """Billions of multiplications and additions a second, by the median."""
        return self.flops / self.median / 1e9


@dataclass
class Document:
    """All that was measured on one subject; attributes as in the JSON above."""

    subject: str
    quick: bool
    machine: dict[str, Any]
    ceilings: dict[str, Any]
    missing: dict[str, str] = field(default_factory=dict)
    records: list[Record] = field(default_factory=list)
    complete: bool = False

    def cases(self) -> Iterator[tuple[dict[str, Label], dict[str, Record]]]:
        """Labels of each case, and by contender the record of its fastest variant."""
        groups: dict[str, list[Record]] = {}
        for record in self.records:
            groups.setdefault(json.dumps(record.labels), []).append(record)
        for group in groups.values():
            best: dict[str, Record] = {}
            for record in group:
                if record.contender not in best or record.median < best[record.contender].median:
                    best[record.contender] = record
            yield group[0].labels, best

    def contenders(self) -> list[str]:
        """Names, in the order in which they first occur."""
        return list(dict.fromkeys(record.contender for record in self.records))

    def save(self, path: Path) -> None:
        """Write the JSON, whole or not at all."""
        atomic_write_text(path, json.dumps({"format": FORMAT} | asdict(self), indent=1) + "\n")


def unfinished(path: Path) -> Path:
    """Where the results of a run are until they are complete and take the place of what is at `path`."""
    return path.with_stem(f"{path.stem}-unfinished")


def load(path: Path) -> Document:
    """Read a document.

    Raises:
        UserError: there is none, or it is not of this format.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        found = content.pop("format")
        if found != FORMAT:
            raise ValueError(f"format {found}, expected {FORMAT}")
        content["records"] = [Record(**record) for record in content["records"]]
        return Document(**content)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} holds no results of minigan bench: {error}") from error
