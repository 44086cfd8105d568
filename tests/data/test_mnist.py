import gzip
import os
import struct
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from minigan.data import load
from minigan.data.mnist import SOURCES, Source
from minigan.data.registry import Split

MINIGAN_DATA = os.environ.get("MINIGAN_DATA", "")
STEMS = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, mirror) -> dict[str, bytes]:
    """Let "mnist" be a set of 6 + 4 images of noise, at one mirror that has nothing yet; return its files."""
    rng = np.random.default_rng(0)
    contents = {}
    for stem, count in zip(STEMS, (6, 6, 4, 4), strict=True):
        shape = (count, 28, 28) if "images" in stem else (count,)
        contents[stem] = idx(rng.integers(0, 10, shape, dtype=np.uint8))
    digests = {stem: sha256(content).hexdigest() for stem, content in contents.items()}
    monkeypatch.setitem(SOURCES, "mnist", Source(tuple("0123456789"), (mirror.url,), digests))
    return contents


def expected(contents: dict[str, bytes], split: str) -> tuple[np.ndarray, np.ndarray]:
    images, labels = (contents[stem] for stem in STEMS if stem.startswith(split))
    return np.frombuffer(images, np.uint8, offset=16).reshape(-1, 28, 28, 1), np.frombuffer(labels, np.uint8, offset=8)


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize("infix", ["-idx", ".idx"])
@pytest.mark.parametrize("folder", ["", "mnist"])
def test_every_spelling_in_data_dir_is_read(small, tmp_path: Path, folder: str, infix: str, ending: str) -> None:
    (tmp_path / folder).mkdir(exist_ok=True)
    for stem, content in small.items():
        file = tmp_path / folder / (stem.replace("-idx", infix) + ending)
        file.write_bytes(gzip.compress(content) if ending else content)
    x, labels = load("mnist", data_dir=tmp_path).batch(np.arange(6))
    images, digits = expected(small, "train")
    np.testing.assert_array_equal(np.rint((x + 1) * 127.5), images)
    np.testing.assert_array_equal(labels, digits)


def test_the_test_split_is_another_one(small, tmp_path: Path) -> None:
    for stem, content in small.items():
        (tmp_path / stem).write_bytes(content)
    dataset = load("mnist", data_dir=tmp_path, split="test")
    images, digits = expected(small, "t10k")
    x, labels = dataset.batch(np.arange(len(dataset)))
    np.testing.assert_array_equal(np.rint((x + 1) * 127.5), images)
    np.testing.assert_array_equal(labels, digits)


def test_the_environment_names_the_folder(small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIGAN_DATA", str(tmp_path))
    for stem, content in small.items():
        (tmp_path / stem).write_bytes(content)
    assert len(load("mnist")) == 6


def test_what_is_missing_is_downloaded_once_into_the_cache(small, mirror, tmp_path: Path) -> None:
    for stem, content in small.items():
        mirror.put(f"{stem}.gz", gzip.compress(content))
    first = load("mnist", progress=False).batch(np.arange(6))
    assert sorted(path.name for path in (tmp_path / "cache" / "minigan" / "mnist").iterdir()) == sorted(STEMS[:2])
    assert sorted(mirror.requests) == [f"/{stem}.gz" for stem in STEMS[:2]]
    mirror.files.clear()
    again = load("mnist", progress=False).batch(np.arange(6))
    np.testing.assert_array_equal(first[0], again[0])


def test_a_download_goes_into_data_dir_if_there_is_one(small, mirror, tmp_path: Path) -> None:
    for stem, content in small.items():
        mirror.put(f"{stem}.gz", gzip.compress(content))
    load("mnist", data_dir=tmp_path / "mine", progress=False)
    assert (tmp_path / "mine" / "mnist" / STEMS[0]).read_bytes() == small[STEMS[0]]


def test_without_file_and_mirror_the_error_says_where_to_put_it(small, mirror, user_error) -> None:
    with user_error(STEMS[0], f"{mirror.url}{STEMS[0]}.gz", "404", "--data-dir"):
        load("mnist", progress=False)


def test_a_file_with_one_changed_pixel_is_refused_and_kept(small, tmp_path: Path, user_error) -> None:
    changed = bytearray(small[STEMS[0]])
    changed[100] ^= 1
    (tmp_path / STEMS[0]).write_bytes(changed)
    digests = SOURCES["mnist"].digests[STEMS[0]], sha256(changed).hexdigest()
    with user_error(tmp_path / STEMS[0], "expected SHA-256 " + digests[0], "got " + digests[1]):
        load("mnist", data_dir=tmp_path)
    assert (tmp_path / STEMS[0]).read_bytes() == changed


def test_a_truncated_file_is_refused(small, tmp_path: Path, user_error) -> None:
    (tmp_path / STEMS[0]).write_bytes(small[STEMS[0]][:-1])
    with user_error(tmp_path / STEMS[0], "truncated"):
        load("mnist", data_dir=tmp_path)


def test_mnist5k_is_what_its_attribution_says() -> None:
    dataset = load("mnist5k")
    x, labels = dataset.batch(np.arange(5000))
    assert labels is not None
    pixels = np.rint((x + 1) * 127.5).astype(np.uint8)
    assert sha256(pixels.tobytes() + labels.astype(np.uint8).tobytes()).hexdigest() == (
        "809ec085d551285cf9efad12c42a6aead98c62f96eb9936cc5b778870773e50d"
    )
    assert np.bincount(labels).tolist() == [500] * 10
    assert (x.shape, x.dtype, x.min(), x.max()) == ((5000, 28, 28, 1), np.float32, -1, 1)


def test_mnist5k_has_no_test_split(user_error) -> None:
    with user_error("mnist5k", "test"):
        load("mnist5k", split="test")


def full(name: str) -> Path:
    """Return the folder that holds the whole set `name` on this machine, or skip."""
    folders = [Path(MINIGAN_DATA, name)] + [Path(MINIGAN_DATA)] * (name == "mnist")
    for folder in folders:
        if MINIGAN_DATA and list(folder.glob("train-images*")):
            return folder
    pytest.skip(f"MINIGAN_DATA names no folder with {name}")


@pytest.mark.parametrize(("split", "count"), [("train", 60_000), ("test", 10_000)])
@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_the_whole_set_has_the_published_digests(name: str, split: Split, count: int) -> None:
    dataset = load(name, data_dir=full(name), split=split)
    _, labels = dataset.batch(np.arange(count))
    assert len(dataset) == count
    assert labels is not None
    assert set(labels.tolist()) == set(range(10))


def test_mnist5k_is_the_first_500_of_each_class_of_mnist() -> None:
    x, labels = load("mnist", data_dir=full("mnist")).batch(np.arange(6000))
    small_x, _ = load("mnist5k").batch(np.arange(5000))
    assert labels is not None
    first = np.concatenate([np.flatnonzero(labels == digit)[:500] for digit in range(10)])
    np.testing.assert_array_equal(x[first], small_x)
