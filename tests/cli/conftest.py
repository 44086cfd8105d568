import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import CommandLine, Result, contents, only_line

from minigan import TrainConfig, cli
from minigan.training import session


@pytest.fixture(autouse=True)
def isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command runs in an empty folder, and sees no data sets of this machine."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MINIGAN_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("COLUMNS", "120")


@pytest.fixture
def minigan(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    """Run a command line in this process, which saves the start of Python; exceptions other than exit come out."""

    def run(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["minigan", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            cli.main()
        return Result(stop.value.code or 0, *capsys.readouterr())

    return run


@pytest.fixture
def refused(minigan: CommandLine, tmp_path: Path) -> Callable[..., str]:
    """Run a command line that must fail: one line on stderr, exit code 2, no file changed; returns the line."""

    def run(*arguments: object) -> str:
        before = contents(tmp_path)
        line = only_line(minigan(*arguments))
        assert contents(tmp_path) == before
        return line

    return run


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of dcgan that has done 4 steps, with checkpoints at 2 and 4; its samples are not all grey."""
    path = tmp_path_factory.mktemp("trained") / "run"
    session.start(
        TrainConfig("dcgan", batch_size=4, width=0.02, latent_dim=4, steps=4, checkpoint_every=2, lr=0.1), path
    )
    return path


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy of `trained` of the test's own."""
    return Path(shutil.copytree(trained, tmp_path / "run"))
