import gzip
from hashlib import sha256
from pathlib import Path

import pytest

from minigan.data.download import fetch

CONTENT = bytes(range(256)) * 2000
PACKED = gzip.compress(CONTENT)
DIGEST = sha256(CONTENT).hexdigest()
NOBODY = "http://127.0.0.1:9/file.gz"


def get(urls: list[str], target: Path) -> Path:
    return fetch(urls, target, DIGEST, unpack=True, progress=False)


def test_the_first_mirror_is_enough(mirror, tmp_path: Path) -> None:
    target = tmp_path / "new" / "folder" / "file"
    assert get([mirror.put("file.gz", PACKED), NOBODY], target) == target
    assert target.read_bytes() == CONTENT
    assert mirror.requests == ["/file.gz"]


def test_without_unpack_the_file_is_kept_as_it_came(mirror, tmp_path: Path) -> None:
    fetch([mirror.put("a", PACKED)], tmp_path / "a", sha256(PACKED).hexdigest(), progress=False)
    assert (tmp_path / "a").read_bytes() == PACKED


def bad_url(mirror, fault: str) -> str:
    match fault:
        case "down":
            return NOBODY
        case "404":
            return mirror.url + "absent"
        case "500":
            return mirror.put("bad", PACKED, status=500)
        case "truncated":
            return mirror.put("bad", PACKED[:-1000], length=len(PACKED))
        case "truncated gzip":
            return mirror.put("bad", PACKED[:-1000])
        case "other content":
            return mirror.put("bad", gzip.compress(CONTENT[::-1]))
        case _:
            return mirror.put("bad", b"<html>please log in</html>")


FAULTS = {
    "down": "ConnectionError",
    "404": "404",
    "500": "500",
    "truncated": "ChunkedEncodingError",
    "truncated gzip": "wrong content",
    "other content": "wrong content",
    "login page": "wrong content",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_bad_mirror_is_passed_over(mirror, tmp_path: Path, fault: str) -> None:
    get([bad_url(mirror, fault), mirror.put("file.gz", PACKED)], tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(("fault", "reason"), FAULTS.items())
def test_when_all_mirrors_are_bad_the_error_lists_them_and_no_file_is_left(
    mirror, tmp_path: Path, fault: str, reason: str, user_error
) -> None:
    url = bad_url(mirror, fault)
    with user_error("file", f"{NOBODY}: ConnectionError", f"{url}: ", reason, "--data-dir"):
        get([NOBODY, url], tmp_path / "file")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_no_mirrors_fault(mirror, tmp_path: Path, user_error) -> None:
    (tmp_path / "folder").touch()
    with user_error(tmp_path / "folder" / "file", "cannot be written"):
        get([mirror.put("file.gz", PACKED)], tmp_path / "folder" / "file")
    assert mirror.requests == []


def test_progress_goes_to_stderr(mirror, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fetch([mirror.put("file.gz", PACKED)], tmp_path / "file", DIGEST, unpack=True, progress=True)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "file" in captured.err
    assert "100%" in captured.err


def test_without_progress_nothing_is_printed(mirror, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    get([mirror.put("file.gz", PACKED)], tmp_path / "file")
    assert capsys.readouterr() == ("", "")
