"""Draw what runs on the ring make: `python tools/ring_picture.py docs/images/ring.png plain=RUN pack=RUN r3gan=RUN`.

Each run is `minigan train ... --data ring --out RUN`; the README has the commands. For each it also prints the mode
scores of 2,500 samples.
"""

import io
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from minigan.data.mixtures import Mixture
from minigan.metrics import mode_scores
from minigan.metrics.modes import SAMPLES
from minigan.training.files import atomic_write_bytes
from minigan.training.session import load_data, open_trained
from minigan.viz import scatter_png

SHOWN = 1000
SIDE = 400  # pixels of a panel
COLOURS = 64


def main(target: Path, runs: dict[str, Path]) -> None:
    """Write one picture with a panel for each run."""
    panels = []
    for name, path in runs.items():
        trainer = open_trained(path)
        data = load_data(trainer.config)
        if not isinstance(data, Mixture):
            raise SystemExit(f"{path} is a run on {data.name}, expected one on ring or grid")
        samples = trainer.sample(SAMPLES)
        scores = mode_scores(samples, data.centers, data.std)
        print(f"{name}: {scores}")
        title = f"{name}: {scores.found} of {scores.modes} modes"
        panels.append(scatter_png(samples[:SHOWN], data.batch(np.arange(SHOWN))[0], title=title))
    row = Image.new("RGB", (SIDE * len(panels), SIDE), "white")
    for i, panel in enumerate(panels):
        picture = Image.open(io.BytesIO(panel)).convert("RGB")
        row.paste(picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS), (i * SIDE, 0))
    buffer = io.BytesIO()
    row.quantize(COLOURS).save(buffer, "PNG", optimize=True)
    atomic_write_bytes(target, buffer.getvalue())


if __name__ == "__main__":
    if len(sys.argv) < 3 or not all("=" in run for run in sys.argv[2:]):
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]), {name: Path(path) for name, path in (run.split("=", 1) for run in sys.argv[2:])})
