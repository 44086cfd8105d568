"""Runs that do not come to their end: Ctrl-C, SIGTERM, and weights that run away."""

import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from command_line import SMALL, CommandLine
from lives import outcome

from minigan import commands
from minigan.training.checkpoint import latest, load
from minigan.training.run_dir import RunDirectory

# The backend numpy: what the command line says must not depend on whether kernels were compiled before.
FLAGS = ("--backend", "numpy", "--steps", 200, "--log-every", 1, "--sample-every", 100, "--checkpoint-every", 0, *SMALL)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_the_step_reached_and_the_run_resumes(
    number: int, code: int, minigan: CommandLine, faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes on with the command that the stopped one prints."""
    arguments = ["train", "dcgan", "--data", str(faces), *map(str, FLAGS)]
    run = RunDirectory(tmp_path / "stopped", {})
    monkeypatch.setenv("PATH", str(tmp_path))  # without `minigan`, so that the command names this very Python
    with subprocess.Popen(
        [sys.executable, "-m", "minigan", *arguments, "--out", str(run.path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        while not run.metrics.read() and process.poll() is None:
            time.sleep(0.001)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == code
    said, command = out.rstrip("\n").split(": ")
    assert said == "Stopped and saved. Go on with"
    assert re.fullmatch(r"dcgan on .*: .* parameters, steps 0 to 200, .*\n", err)
    newest = latest(run.checkpoints)
    assert newest is not None
    assert 0 < load(newest).step == run.metrics.read()[-1]["step"] < 200

    subprocess.run(shlex.split(command), check=True, timeout=60, capture_output=True)
    assert minigan(*arguments, "--out", "whole").code == 0
    whole = outcome(tmp_path / "whole")
    assert {key: value for key, value in outcome(run.path).items() if key in whole} == whole


def test_ctrl_c_before_the_first_step_is_one_line(minigan: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "train", interrupted)
    assert minigan("train", "mlp") == (130, "", "minigan: interrupted\n")


def test_weights_that_run_away_stop_the_run_with_one_line(minigan: CommandLine, tmp_path: Path) -> None:
    """Exit code 1; what is saved is finite, and can be drawn."""
    code, out, err = minigan("train", "mlp", "--lr", 1e30, "--out", "run", *FLAGS)
    assert (code, out) == (1, "")
    started, line = err.splitlines()
    assert started.startswith("mlp on mnist5k")
    assert re.fullmatch(
        r"minigan: stopped at step \d: the \w+'s gradient is not finite; "
        r"first seen in the output of discriminator/dense\d, on \w+ data\. "
        r"The weights from before that update are saved; start anew with a lower --lr or with --gradient-clip 1, "
        r"or set them in run/config\.toml and resume\. Read docs/when-training-fails\.md#non-finite",
        line,
    )
    newest = latest(tmp_path / "run" / "checkpoints")
    assert newest is not None
    assert all(np.isfinite(tensor).all() for tensor in load(newest).tensors.values())
    assert minigan("sample", "run", "--count", 2).code == 0
