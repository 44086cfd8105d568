import gzip
from pathlib import Path

import pytest

from minigan.data.files import find, read, search_folders

CONTENT = b"some content " * 100


def test_folders_in_order_of_precedence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIGAN_DATA", "/env")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    roots = ["/given", "/env", "/cache/minigan"]
    assert search_folders("mnist", "/given") == [Path(f"{root}{sub}") for root in roots for sub in ("/mnist", "")]


def test_folders_without_data_dir_and_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    cache = Path.home() / ".cache" / "minigan"
    assert search_folders("mnist", None) == [cache / "mnist", cache]


def test_find_prefers_the_first_folder_then_the_first_name(tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    assert find(folders, ["a", "b"]) is None
    for file in ("two/a", "two/b", "one/b"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).touch()
    assert find(folders, ["a", "b"]) == tmp_path / "one" / "b"
    assert find(folders[1:], (name for name in ["a", "b"])) == tmp_path / "two" / "a"


@pytest.mark.parametrize("name", ["file", "file.gz"])
@pytest.mark.parametrize("stored", [CONTENT, gzip.compress(CONTENT)], ids=["plain", "gzip"])
def test_read_goes_by_the_content_not_by_the_name(tmp_path: Path, name: str, stored: bytes) -> None:
    (tmp_path / name).write_bytes(stored)
    assert read(tmp_path / name) == CONTENT


@pytest.mark.parametrize(
    "damage",
    [
        lambda packed: packed[:-20],
        lambda packed: packed[:-8] + bytes(8),
        lambda packed: packed[:15] + b"\xff\xff\xff" + packed[18:],
    ],
    ids=["truncated", "wrong checksum", "wrong bytes"],
)
def test_corrupt_gzip_names_the_file(tmp_path: Path, damage, user_error) -> None:
    path = tmp_path / "file.gz"
    path.write_bytes(damage(gzip.compress(CONTENT)))
    with user_error(path, "corrupt gzip"):
        read(path)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, user_error) -> None:
    with user_error(tmp_path / "absent", "No such file"):
        read(tmp_path / "absent")
