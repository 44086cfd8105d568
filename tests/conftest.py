"""Settings of the whole suite.

NumPy's floating-point warnings (overflow, invalid, division by zero) need no setting: pyproject makes warnings errors.
"""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Before NumPy is loaded: arrays in tests are tiny, so threads of BLAS would spend their time waiting for each other.
for library in ("OPENBLAS", "OMP", "MKL"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")
# Several processes share the cores (pytest -n): threads that wait must sleep, not spin.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

settings.register_profile(
    "deterministic",
    derandomize=True,  # the same cases in every run, so that a failure is somebody's change
    deadline=None,
    print_blob=True,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("search", settings.get_profile("deterministic"), derandomize=False, max_examples=2000)
settings.load_profile("deterministic")  # pytest --hypothesis-profile=search looks for new cases instead


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """A folder of ten images of noise, 8x8 RGB."""
    import numpy as np
    from PIL import Image

    folder = tmp_path / "faces"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (10, 8, 8, 3), dtype=np.uint8)
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(folder / f"{number}.png")
    return folder
