"""Where the files of a data set are sought on this machine, and how one is read."""

import gzip
import os
import zlib
from collections.abc import Iterable
from pathlib import Path

from ..errors import UserError


def roots(data_dir: str | Path | None = None) -> list[Path]:
    """Return where data sets may lie, best first.

    That is `data_dir`, the folder that MINIGAN_DATA names, and the user's cache ($XDG_CACHE_HOME/minigan, or
    ~/.cache/minigan).
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "minigan"
    return [Path(root).expanduser() for root in (data_dir, os.environ.get("MINIGAN_DATA"), cache) if root]


def search_folders(name: str, data_dir: str | Path | None) -> list[Path]:
    """Return the folders that may hold the data set `name`, best first; a download goes into the first.

    In each of the `roots` it is first the sub-folder `name`, then the folder itself.
    """
    return [folder for root in roots(data_dir) for folder in (root / name, root)]


def find(folders: Iterable[Path], names: Iterable[str]) -> Path | None:
    """Return the first file that exists: each name in the first folder, then in the next one; None if there is none."""
    names = tuple(names)
    return next((folder / name for folder in folders for name in names if (folder / name).is_file()), None)


def gunzip(content: bytes, source: Path) -> bytes:
    """Return `content` uncompressed if it starts as gzip does, whatever the file is called; else as it is."""
    if not content.startswith(b"\x1f\x8b"):
        return content
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{source}: corrupt gzip: {error}") from error


def read(path: Path) -> bytes:
    """Return the uncompressed content of `path`, plain or gzip."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    return gunzip(content, path)
