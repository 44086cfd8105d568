import io
import tarfile
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from minigan.data import cifar10, load
from minigan.data.cifar10 import FILES, FOLDER, RECORD_BYTES, TARBALL, parse_cifar10
from minigan.data.registry import Split

RECORDS = 3


@pytest.fixture(autouse=True)
def few_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cifar10, "RECORDS_PER_FILE", RECORDS)


def bins(split: str) -> dict[str, bytes]:
    """Return files of noise in which the label of record k of file f is 3f + k modulo 10."""
    rng = np.random.default_rng(0)
    files = {}
    for number, name in enumerate(FILES[split]):
        records = rng.integers(0, 256, (RECORDS, RECORD_BYTES), dtype=np.uint8)
        records[:, 0] = (3 * number + np.arange(RECORDS)) % 10
        files[name] = records.tobytes()
    return files


def tarball(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def check(dataset, split: str) -> None:
    """Compare every pixel with record[1 + 1024*channel + 32*row + column]."""
    content = b"".join(bins(split).values())
    records = np.frombuffer(content, np.uint8).reshape(-1, RECORD_BYTES)
    x, labels = dataset.batch(np.arange(len(dataset)))
    assert x.shape == (len(records), 32, 32, 3)
    assert x.flags.c_contiguous
    pixels = np.rint((x + 1) * 127.5)
    row, column, channel = np.ogrid[:32, :32, :3]
    np.testing.assert_array_equal(pixels, records[:, 1 + 1024 * channel + 32 * row + column])
    np.testing.assert_array_equal(labels, records[:, 0])


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("folder", ["", FOLDER, "cifar10"])
def test_bin_files(tmp_path: Path, folder: str, split: Split) -> None:
    (tmp_path / folder).mkdir(exist_ok=True)
    for name, content in bins(split).items():
        (tmp_path / folder / name).write_bytes(content)
    check(load("cifar10", data_dir=tmp_path, split=split), split)


@pytest.mark.parametrize("split", ["train", "test"])
def test_tarball(tmp_path: Path, split: Split) -> None:
    files = {f"{FOLDER}/{name}": content for name, content in (bins("test") | bins("train")).items()}
    (tmp_path / TARBALL).write_bytes(tarball(files | {f"{FOLDER}/readme.html": b"", "../escaped": b"evil"}))
    check(load("cifar10", data_dir=tmp_path, split=split), split)
    assert [path.name for path in tmp_path.iterdir()] == [TARBALL]


def test_download(tmp_path: Path, mirror, monkeypatch: pytest.MonkeyPatch, user_error) -> None:
    body = tarball({f"{FOLDER}/{name}": content for name, content in bins("train").items()})
    monkeypatch.setattr(cifar10, "URL", mirror.put(TARBALL, body))
    with user_error(TARBALL, mirror.url, "wrong content"):
        load("cifar10", data_dir=tmp_path, progress=False)
    monkeypatch.setattr(cifar10, "TARBALL_SHA256", sha256(body).hexdigest())
    check(load("cifar10", data_dir=tmp_path, progress=False), "train")
    assert (tmp_path / "cifar10" / TARBALL).read_bytes() == body


def test_the_official_length(monkeypatch: pytest.MonkeyPatch, user_error) -> None:
    monkeypatch.undo()
    with user_error("some.bin", 10_000 * 3073, "got 3073"):
        parse_cifar10(bytes(3073), Path("some.bin"))


@pytest.mark.parametrize("change", [-1, 1])
def test_another_length_is_refused(tmp_path: Path, change: int, user_error) -> None:
    content = bins("test")["test_batch.bin"]
    (tmp_path / "test_batch.bin").write_bytes((content + b"\0")[: len(content) + change])
    with user_error(tmp_path / "test_batch.bin", f"expected {len(content)}", f"got {len(content) + change}"):
        load("cifar10", data_dir=tmp_path, split="test")


def test_a_label_beyond_nine_is_refused(tmp_path: Path, user_error) -> None:
    content = bytearray(bins("test")["test_batch.bin"])
    content[RECORD_BYTES] = 10
    (tmp_path / "test_batch.bin").write_bytes(content)
    with user_error(tmp_path / "test_batch.bin", "labels 0 to 9", "got 10"):
        load("cifar10", data_dir=tmp_path, split="test")


def test_a_missing_bin_is_named(tmp_path: Path, user_error) -> None:
    (tmp_path / "data_batch_1.bin").write_bytes(bins("train")["data_batch_1.bin"])
    with user_error(tmp_path / "data_batch_2.bin", "cannot be read"):
        load("cifar10", data_dir=tmp_path)


@pytest.mark.parametrize("cut", [-1000, 5])
def test_a_damaged_tarball_is_named(tmp_path: Path, cut: int, user_error) -> None:
    body = tarball({f"{FOLDER}/{name}": content for name, content in bins("train").items()})
    (tmp_path / TARBALL).write_bytes(body[:cut])
    with user_error(tmp_path / TARBALL, "cannot be read as a tarball"):
        load("cifar10", data_dir=tmp_path)


def test_a_tarball_without_the_files_is_named(tmp_path: Path, user_error) -> None:
    (tmp_path / TARBALL).write_bytes(tarball({f"{FOLDER}/data_batch_1.bin": bins("train")["data_batch_1.bin"]}))
    with user_error(tmp_path / TARBALL, f"{FOLDER}/data_batch_2.bin"):
        load("cifar10", data_dir=tmp_path)
    with user_error(tmp_path / TARBALL, f"{FOLDER}/test_batch.bin", "none"):
        load("cifar10", data_dir=tmp_path, split="test")
