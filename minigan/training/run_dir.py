"""A run's folder: what it was asked to do, what it measured, what it drew, and where it can go on from.

    RUN/config.toml     the configuration, written first      RUN/samples/step_0000600.png
    RUN/metrics.jsonl   one JSON record a line                RUN/checkpoints/step_0000600.safetensors
    RUN/health.jsonl    as metrics, from the health monitor   RUN/plots/
    RUN/.lock           held while a process trains

A resumed run goes back to its checkpoint's step (`Records.rewind`, `rewind_samples`) before it goes on, so that its
files end up equal to those of a run that was never interrupted.
"""

import sys
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TextIO

import tomli_w

from ..errors import UserError
from .files import atomic_write_text, one_line_errors, remove_stale, step_files, step_path
from .records import Records

if sys.platform != "win32":
    import fcntl

HEADER = "# A run of minigan: its configuration."
OWN_FILES = (
    "metrics.jsonl",
    "health.jsonl",
    "samples/step_*.png",
    "checkpoints/step_*.safetensors",
    "plots/*.png",
    "plots/*.gif",
)
"""All that a run writes besides config.toml: starting over with `overwrite` removes these and nothing else."""


@dataclass(frozen=True)
class RunDirectory:
    """The folder `path` of a run that was started with `config`."""

    path: Path
    config: dict[str, Any]

    @classmethod
    def create(cls, path: Path, config: Mapping[str, Any], overwrite: bool = False) -> Self:
        """`creating`, without keeping the lock."""
        with cls.creating(path, config, overwrite) as run:
            return run

    @classmethod
    @contextmanager
    def creating(cls, path: Path, config: Mapping[str, Any], overwrite: bool = False) -> Iterator[Self]:
        """Start a run in a new or empty folder (hidden files apart), or with `overwrite` in that of an earlier run.

        The run's lock is held inside the block.

        `config` is what TOML can hold, nested if need be; TOML has no null, so entries that are None are left out.
        An earlier run's files go; files that a run does not write stay, and a folder that is not a run is never taken.
        """
        run = cls(path, _without_none(config))
        with one_line_errors(f"start a run in {path}"):
            path.mkdir(parents=True, exist_ok=True)
        _refuse_taken(path, overwrite)  # before the lock, which leaves a file even in a folder that is not ours
        with run.lock():
            _refuse_taken(path, overwrite)  # and under it, since another process may just have started here
            with one_line_errors(f"remove the earlier run in {path}"):
                for file in [file for pattern in OWN_FILES for file in path.glob(pattern)]:
                    file.unlink()
            run.write_config()
            yield run

    @classmethod
    def open(cls, path: Path) -> Self:
        """The run that `path` holds."""
        config_path = path / "config.toml"
        if not config_path.is_file():
            raise UserError(f"{path} holds no run: there is no config.toml")
        try:
            with one_line_errors(f"read {config_path}"):
                return cls(path, tomllib.loads(config_path.read_text(encoding="utf-8")))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UserError(f"{config_path} is not valid TOML: {error}") from error

    def write_config(self) -> None:
        """Write config.toml; a resumed run does so when it was given another number of steps."""
        atomic_write_text(self.config_path, f"{HEADER}\n{tomli_w.dumps(self.config)}")

    @property
    def config_path(self) -> Path:
        """Where the configuration is."""
        return self.path / "config.toml"

    @property
    def metrics(self) -> Records:
        """The metrics."""
        return Records(self.path / "metrics.jsonl")

    @property
    def health(self) -> Records:
        """What the health monitor measured. A file of its own: its records have other steps and many more keys."""
        return Records(self.path / "health.jsonl")

    @property
    def samples(self) -> Path:
        """The folder of sample grids."""
        return self.path / "samples"

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints."""
        return self.path / "checkpoints"

    @property
    def plots(self) -> Path:
        """The folder of plots."""
        return self.path / "plots"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep every other process from training here, and clear what a killed one left half-written.

        The kernel drops an `flock(2)` when its holder ends, kill -9 included, so no lock is ever left behind. Where
        there are no such locks (Windows, some network file systems) the run goes unguarded.
        """
        with one_line_errors(f"lock {self.path}"):
            handle = (self.path / ".lock").open("a")
        with handle:
            if not _take_lock(handle):
                raise UserError(f"another process is training in {self.path}")
            remove_stale(self.path)
            yield

    def sample_path(self, step: int) -> Path:
        """Where the sample grid of `step` goes."""
        return step_path(self.samples, step, ".png")

    def sample_files(self) -> list[Path]:
        """The sample grids, earliest step first."""
        return list(step_files(self.samples, ".png").values())

    def rewind_samples(self, step: int) -> None:
        """Remove the sample grids after `step`."""
        with one_line_errors(f"remove samples in {self.samples}"):
            for drawn_at, file in step_files(self.samples, ".png").items():
                if drawn_at > step:
                    file.unlink()


def fresh_path(root: Path, stem: str) -> Path:
    """The first of `root/stem`, `root/stem-2`, `root/stem-3` ... that does not exist."""
    path, number = root / stem, 1
    while path.exists():
        number += 1
        path = root / f"{stem}-{number}"
    return path


def _refuse_taken(path: Path, overwrite: bool) -> None:
    """Raise UserError if `path` holds anything that a new run may not take."""
    with one_line_errors(f"start a run in {path}"):
        taken = any(not entry.name.startswith(".") for entry in path.iterdir())
    if taken and not _is_run(path):
        raise UserError(f"{path} is not empty and not a run of minigan: name another folder")
    if taken and not overwrite:
        raise UserError(f"{path} already holds a run: resume it, name another folder or pass --overwrite")


def _is_run(path: Path) -> bool:
    """Whether `create` wrote the config.toml there; other programs have files of that name, too."""
    with suppress(OSError, UnicodeDecodeError):
        return (path / "config.toml").read_text(encoding="utf-8").startswith(HEADER)
    return False


def _take_lock(handle: TextIO) -> bool:
    """Whether nobody else holds the lock on this file, where the system has locks."""
    if sys.platform != "win32":
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            return not isinstance(error, BlockingIOError)
    return True


def _without_none(table: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _without_none(value) if isinstance(value, Mapping) else value
        for key, value in table.items()
        if value is not None
    }
