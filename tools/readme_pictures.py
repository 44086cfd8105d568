"""Make the README's pictures from a finished demo run: `python tools/readme_pictures.py runs/demo docs/images`.

They are the run's own files, made small: the last sample grid as it is, the animation with fewer frames, the curves
with a palette. Together they stay below a megabyte.
"""

import io
import sys
from pathlib import Path

from PIL import Image

from minigan.training.files import atomic_write_bytes
from minigan.training.run_dir import RunDirectory
from minigan.viz import gif

FRAMES = 16
COLOURS = 64
LIMIT = 1_000_000


def main(run_path: Path, target: Path) -> None:
    """Write demo-grid.png, demo.gif and demo-curves.png into `target`."""
    run = RunDirectory.open(run_path)
    frames = [path.read_bytes() for path in run.sample_files()]
    curves = io.BytesIO()
    Image.open(run.plots / "curves.png").convert("RGB").quantize(COLOURS).save(curves, "PNG", optimize=True)
    pictures = {
        "demo-grid.png": frames[-1],
        "demo.gif": gif(frames, frame_ms=250, max_frames=FRAMES),
        "demo-curves.png": curves.getvalue(),
    }
    total = sum(map(len, pictures.values()))
    if total > LIMIT:
        raise SystemExit(f"the pictures take {total} bytes, expected at most {LIMIT}")
    for name, data in pictures.items():
        atomic_write_bytes(target / name, data)
        print(f"{target / name}: {len(data)} bytes")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
