"""The README's Python runs as it stands, and its commands exist."""

import re
from pathlib import Path

import numpy as np
import pytest

from minigan.cli import parse
from minigan.layers import LayerNorm

README = Path(__file__).parents[1] / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
COMMANDS = re.findall(r"^    \.venv/bin/minigan (.*?)(?:\s+#.*)?$", README.read_text(encoding="utf-8"), re.MULTILINE)


def test_readme_has_its_snippets_and_commands():
    assert len(BLOCKS) == 3
    assert len(COMMANDS) >= 7


@pytest.mark.parametrize("code", BLOCKS, ids=["protocol", "gradcheck", "trainer"])
def test_readme_python_runs(code):
    names = {"MyLayer": lambda: LayerNorm(3), "x": np.zeros((64, 28, 28, 1), np.float32)}
    exec(code, names)
    if "trainer" in names:
        assert names["images"].shape == (16, 28, 28, 1)
        assert names["loss_g"] is not None
    if "report" in names:
        assert names["report"].second_order
    if "g" in names:
        assert np.isfinite(names["g"].flat).all()
        assert names["g"].flat.any()


@pytest.mark.parametrize("command", COMMANDS)
def test_readme_commands_parse(command):
    assert parse(command.split()) is not None
