"""Records of a run: a file with one JSON object a line, which grows while the run goes on."""

import json
import math
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UserError
from .files import atomic_write_text, one_line_errors


@dataclass(frozen=True)
class Records:
    """The records in the file `path`, each with the key `step`."""

    path: Path

    def append(self, record: Mapping[str, Any]) -> None:
        """Add one record of numbers, texts, and lists or tables of texts; numbers that are not finite become null."""
        with one_line_errors(f"write {self.path}"), self.path.open("a", encoding="utf-8") as handle:
            handle.write(_json_line(record))

    def sync(self) -> None:
        """Put the records so far on the disk, so that no power cut leaves a checkpoint without them."""
        if self.path.exists():
            with one_line_errors(f"write {self.path}"), self.path.open("rb") as handle:
                os.fsync(handle.fileno())

    def read(self) -> list[dict[str, Any]]:
        """Every record so far, without a last line that a kill cut short; none when nothing was logged yet."""
        if not self.path.exists():
            return []
        with one_line_errors(f"read {self.path}"):
            *lines, _cut = self.path.read_bytes().split(b"\n")
        return [_parse(line, f"{self.path} line {number}") for number, line in enumerate(lines, start=1)]

    def rewind(self, step: int) -> None:
        """Forget the records after `step`, and a last line that a kill cut short."""
        if self.path.exists():
            kept = [record for record in self.read() if record["step"] <= step]
            atomic_write_text(self.path, "".join(_json_line(record) for record in kept))


def _parse(line: bytes, where: str) -> dict[str, Any]:
    with suppress(ValueError):
        record = json.loads(line)
        if isinstance(record, dict) and isinstance(record.get("step"), int):
            return record
    raise UserError(f"{where} is not a JSON record with a step: remove that line")


def _json_line(record: Mapping[str, Any]) -> str:
    return json.dumps({key: _plain(value) for key, value in record.items()}, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    """A NumPy scalar or 0-d array as a Python number, a number that JSON cannot write as None."""
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value
