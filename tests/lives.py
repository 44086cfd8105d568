"""Runs in processes of their own, for tests that kill them, and what a run leaves, for comparison.

A fork server imports the library once; each life is then a fork of it, which costs milliseconds instead of a second.
"""

import multiprocessing
import os
import signal
import sys
from hashlib import sha256
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from minigan.training import session
from minigan.training.checkpoint import load
from minigan.training.config import TrainConfig
from minigan.training.run_dir import RunDirectory

FORK_SERVER = multiprocessing.get_context("forkserver")
FORK_SERVER.set_forkserver_preload(
    ["__main__", "minigan.training.session", "matplotlib.figure", "matplotlib.backends.backend_agg", "PIL.Image"]
)
CHANGES = {"open", "os.mkdir", "os.rename", "os.remove", "os.chmod"}
"""Audit events before which something in the run's folder may change."""


def life(config: TrainConfig, path: Path, last_change: int | None = None) -> BaseProcess:
    """A process that starts the run in `path` or, where there is one, resumes it; `last_change` as in `live`."""
    process = FORK_SERVER.Process(target=live, args=(config, path, last_change))
    process.start()
    return process


def live(config: TrainConfig, path: Path, last_change: int | None = None) -> None:
    """Start the run or, where there is one, resume it; die by kill -9 just before the `last_change`-th change."""
    if last_change is not None:
        _die_before(path, last_change)
    if (path / "config.toml").exists():
        session.resume(path)
    else:
        session.start(config, path)


def _die_before(path: Path, last_change: int) -> None:
    left = last_change

    def watch(event: str, args: tuple[object, ...]) -> None:
        nonlocal left
        if event in CHANGES and str(args[0]).startswith(str(path)):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)


def outcome(path: Path) -> dict[str, Any]:
    """All that a run leaves and that does not depend on time; files as digests."""
    run = RunDirectory.open(path)
    metrics = run.metrics.read()
    for record in metrics:
        assert record.pop("images_per_second") > 0
    found: dict[str, Any] = {"config": run.config, "metrics": metrics, "health": run.health.read()}
    for file in sorted(path.rglob("*.*")):
        if file.suffix == ".safetensors":
            checkpoint = load(file)
            found |= {f"{file.name}: {name}": digest(tensor.tobytes()) for name, tensor in checkpoint.tensors.items()}
            found[file.name] = (checkpoint.step, checkpoint.preset, checkpoint.config, checkpoint.extra)
        elif file.suffix in (".png", ".gif") and file.name != "curves.png":
            found[str(file.relative_to(path))] = digest(file.read_bytes())
        else:
            assert file.name in ("config.toml", "metrics.jsonl", "health.jsonl", "curves.png", ".lock"), (
                f"{file} is left over"
            )
    return found


def digest(content: bytes) -> str:
    return sha256(content).hexdigest()[:12]
