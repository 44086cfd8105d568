import errno
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from minigan.errors import UserError
from minigan.training.files import (
    atomic_path,
    atomic_write_bytes,
    atomic_write_text,
    remove_stale,
    step_files,
    step_path,
)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "file.txt"
    path.write_text("old")
    return path


def assert_untouched(target: Path) -> None:
    assert target.read_text() == "old"
    assert list(target.parent.iterdir()) == [target]


def test_writes_and_replaces_without_leftovers(tmp_path: Path) -> None:
    target = tmp_path / "new" / "folder" / "file.txt"
    atomic_write_bytes(target, b"\x00\xff")
    assert target.read_bytes() == b"\x00\xff"
    atomic_write_text(target, "grün")
    assert target.read_bytes() == "grün".encode()
    assert list(target.parent.iterdir()) == [target]


def test_a_written_file_is_as_readable_as_any_other(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    with atomic_path(tmp_path / "file") as temp:
        temp.unlink()
        temp.touch(0o600)
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_the_file_is_synced_before_it_gets_its_name_and_the_folder_after(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, int]] = []
    sync = os.fsync

    def watch(descriptor: int) -> None:
        seen.append((target.read_text(), os.fstat(descriptor).st_ino))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", watch)
    atomic_write_text(target, "new")
    assert seen == [("old", target.stat().st_ino), ("new", target.parent.stat().st_ino)]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failing_disk_is_one_line_and_keeps_the_old_file(
    target: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    def fail(*args: object) -> NoReturn:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(UserError) as caught:
        atomic_write_text(target, "new")
    expected = f"cannot write {target} (an earlier file there is untouched): {os.strerror(code)}"
    assert str(caught.value) == expected
    assert_untouched(target)


def test_a_real_short_write_keeps_the_old_file(target: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(UserError, match="File too large"):
            atomic_write_bytes(target, bytes(10_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert_untouched(target)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_other_exceptions_pass_and_keep_the_old_file(target: Path, error: type[BaseException]) -> None:
    def interrupted() -> None:
        with atomic_path(target) as temp:
            temp.write_text("half")
            raise error

    with pytest.raises(error):
        interrupted()
    assert_untouched(target)


def test_a_file_in_the_place_of_a_folder(target: Path) -> None:
    with pytest.raises(UserError, match=r"cannot write .*below"):
        atomic_write_text(target / "below" / "file.txt", "new")
    assert_untouched(target)


def test_a_folder_in_the_place_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises(UserError, match="Is a directory"):
        atomic_write_text(tmp_path / "file", "new")
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


@pytest.fixture
def endless_writer(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that overwrites one file without end, with 3 MB of one letter each time."""
    code = f"""
from itertools import cycle
from pathlib import Path
from minigan.training.files import atomic_write_bytes
for letter in cycle([b"a", b"b"]):
    atomic_write_bytes(Path({str(tmp_path / "file")!r}), 3_000_000 * letter)
"""
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        yield process
        process.kill()


@pytest.mark.parametrize("delay", [0.0, 0.003, 0.011])
def test_kill_9_leaves_a_whole_file(tmp_path: Path, endless_writer: subprocess.Popen[bytes], delay: float) -> None:
    file = tmp_path / "file"
    deadline = time.monotonic() + 60
    while not file.exists() and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(delay)
    endless_writer.kill()
    endless_writer.wait()
    content = file.read_bytes()
    assert content in (3_000_000 * b"a", 3_000_000 * b"b")
    remove_stale(tmp_path)
    assert list(tmp_path.iterdir()) == [file]


def test_stale_files_go_and_others_stay(tmp_path: Path) -> None:
    (tmp_path / "samples").mkdir()
    stale = [tmp_path / ".tmp-12-config.toml", tmp_path / "samples" / ".tmp-7-a.png", tmp_path / ".tmpX8s_aZ"]
    others = [tmp_path / "config.toml", tmp_path / ".lock", tmp_path / ".tmp-notes", tmp_path / "tmp-12-a"]
    for file in stale + others:
        file.touch()
    remove_stale(tmp_path)
    assert not any(file.exists() for file in stale)
    assert all(file.exists() for file in others)


def test_step_files_are_found_in_the_order_of_their_steps(tmp_path: Path) -> None:
    steps = [20_000_000, 5, 600, 1_234_567]
    for step in steps:
        step_path(tmp_path, step, ".png").touch()
    for other in ("step_.png", "step_x.png", "step_0000007.txt", "last.png", ".step_0000001.png"):
        (tmp_path / other).touch()
    assert step_path(tmp_path, 600, ".png").name == "step_0000600.png"
    assert step_files(tmp_path, ".png") == {step: step_path(tmp_path, step, ".png") for step in sorted(steps)}
    assert list(step_files(tmp_path, ".png")) == sorted(steps)
    assert step_files(tmp_path / "none", ".png") == {}
