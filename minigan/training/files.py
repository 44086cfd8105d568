"""Files that are whole or not there at all, and files that carry a step in their name.

A program may be killed between any two instructions. POSIX `rename(2)` is the one file operation that is atomic for
every observer, so a file is written beside its destination, flushed to the disk and then renamed over it: a reader, a
resumed run or a power cut finds the old file or the new one, never half of one.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import UserError


@contextmanager
def one_line_errors(task: str) -> Iterator[None]:
    """Turn an OSError of the block (disk full, no permission, read-only, not a folder) into `cannot TASK: reason`."""
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot {task}: {error.strerror or error}") from error


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a hidden sibling of `path` to write to and close; when the block ends well it becomes `path`.

    For libraries that open files themselves: the sibling keeps the suffix of `path`. Missing folders are made. If
    anything fails, the sibling goes, an earlier `path` stays as it was, and an OSError comes out as a UserError.
    """
    temp = path.with_name(f".tmp-{os.getpid()}-{path.name}")
    try:
        with one_line_errors(f"write {path} (an earlier file there is untouched)"):
            path.parent.mkdir(parents=True, exist_ok=True)
            temp.touch()
            mode = temp.stat().st_mode
            yield temp
            temp.chmod(mode & 0o777)
            with temp.open("rb+") as handle:
                os.fsync(handle.fileno())
            temp.replace(path)
    finally:
        with suppress(OSError):
            temp.unlink()
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut; systems that cannot sync a folder are left to their own pace."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def atomic_write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path` whole or not at all; what cannot be written is a UserError."""
    with atomic_path(path) as temp:
        temp.write_bytes(data)


def atomic_write_text(path: Path, text: str) -> None:
    """Write `text` to `path` as UTF-8, whole or not at all; what cannot be written is a UserError."""
    atomic_write_bytes(path, text.encode())


def remove_stale(folder: Path) -> None:
    """Remove the temporary files that killed processes left in `folder` and in its subfolders.

    `.tmp-PID-NAME` is ours, `.tmpXXXXXX` is safetensors', which writes beside itself once more. Those of a process that
    is writing at this moment would go, too.
    """
    with one_line_errors(f"remove temporary files in {folder}"):
        for pattern in (".tmp-[0-9]*", ".tmp[!-]?????", "*/.tmp-[0-9]*", "*/.tmp[!-]?????"):
            for temp in filter(Path.is_file, folder.glob(pattern)):
                temp.unlink()


def step_path(folder: Path, step: int, suffix: str) -> Path:
    """`folder/step_0000600.png` for step 600 and suffix ".png"."""
    return folder / f"step_{step:07d}{suffix}"


def step_files(folder: Path, suffix: str) -> dict[int, Path]:
    """The files in `folder` that `step_path` names, by step, the earliest first; none when there is no such folder."""
    numbers = {path.stem.removeprefix("step_"): path for path in folder.glob(f"step_*{suffix}")}
    return dict(sorted((int(number), path) for number, path in numbers.items() if number.isdecimal()))
