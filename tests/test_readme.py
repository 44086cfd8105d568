"""The README's Python runs as it stands, and its commands exist."""

import re
from pathlib import Path

import numpy as np
import pytest

from minigan.cli import parse
from minigan.gradcheck import relative_error
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
        assert gradient_of_critic_and_r1(names) < 1e-6


def gradient_of_critic_and_r1(names):
    """Error of the protocol snippet's g against differences of -mean(u) + mean |du/dx|^2/2 along a random direction."""
    ops, net, p, g, x = (names[name] for name in ("ops", "D", "p", "g", "x"))

    def objective():
        u, cache = net.forward(ops, p, x)
        dx, _ = net.backward(ops, p, cache, np.ones_like(u))
        return float(-u.mean() + 0.5 * (dx * dx).sum() / len(x))

    direction = np.where(p.flat == 0, 0, np.random.default_rng(1).standard_normal(p.flat.size))
    middle, sides = p.flat.copy(), []
    for eps in (1e-6, -1e-6):
        p.flat[...] = middle + eps * direction
        sides.append(objective())
    return relative_error(float(g.flat @ direction), (sides[0] - sides[1]) / 2e-6)


@pytest.mark.parametrize("command", COMMANDS)
def test_readme_commands_parse(command):
    assert parse(command.split()) is not None
