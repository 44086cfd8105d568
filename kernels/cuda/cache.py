"""Files that are made once and kept: built libraries, the compiler's reports.

The key that is part of a file's name says all that its contents depend on. Processes that make the same file at the
same time write to files of their own and rename.
"""

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path


def folder() -> Path:
    """Where files are kept: MINIGAN_CUDA_CACHE, else minigan/cuda in the user's cache."""
    if asked := os.environ.get("MINIGAN_CUDA_CACHE"):
        return Path(asked).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "minigan" / "cuda"


def why_not_kept() -> str | None:
    """None if files can be kept, else the reason why not."""
    try:
        folder().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder()):
            return None
    except OSError as error:
        return f"nothing can be kept in {folder()} (MINIGAN_CUDA_CACHE): {error.strerror}"


def key_of(*parts: str) -> str:
    """A short text that is another one whenever one of the parts is."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def kept(stem: str, suffix: str, key: str, make: Callable[[Path], None]) -> Path:
    """The file of this name and key; `make` writes it, to the path that it is given, if it is not there yet."""
    path = folder() / f"{stem}-{key}{suffix}"
    if not path.exists():
        folder().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder()) as temporary:
            output = Path(temporary) / f"{stem}{suffix}"
            make(output)
            output.replace(path)
    return path
