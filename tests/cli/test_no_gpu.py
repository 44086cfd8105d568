"""What a user without a usable GPU is told: by `minigan info`, and by every command that asks for one."""

import sys
from collections.abc import Callable, Iterator

import pytest
from command_line import SMALL, CommandLine
from fake_cupy import STATES, without_cupy

import kernels
from kernels.cuda import detect

REASONS = {state: reason for state, (_, reason) in STATES.items()} | {
    "no CuPy": "CuPy is not installed: pip install 'minigan[gpu]'",
    "forbidden": "MINIGAN_DEVICE=cpu",
}


@pytest.fixture(params=REASONS)
def reason(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """Why there is none, in this state."""
    state: str = request.param
    monkeypatch.delenv(detect.OVERRIDE, raising=False)
    without_cupy(monkeypatch)
    if state == "no CuPy":
        monkeypatch.setitem(sys.modules, "cupy", None)
    elif state == "forbidden":
        monkeypatch.setenv(detect.OVERRIDE, "cpu")
    else:
        folder = tmp_path_factory.mktemp("site")
        (folder / "cupy.py").write_text(STATES[state][0])
        monkeypatch.syspath_prepend(folder)
    detect.gpu.cache_clear()
    yield REASONS[state]
    sys.modules.pop("cupy", None)
    detect.gpu.cache_clear()


def test_the_reason_is_told(reason: str, minigan: CommandLine, refused: Callable[..., str]) -> None:
    assert f"backend cuda: not here: {reason}" in minigan("info").out.splitlines()
    assert refused("train", "mlp", "--backend", "cuda", *SMALL) == f"backend: cuda is not here: {reason}"
    assert kernels.fastest() != "cuda"
