"""The command line: argument handling only. Each command is a dataclass whose fields are its flags."""

import contextlib
import dataclasses
import io
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import DisallowNone, FlagCreatePairsOff, Positional, arg, subcommand

from . import commands
from .errors import UserError
from .training.config import TrainConfig
from .training.diagnose import NonFiniteError

RESUMABLE = {"steps", "data_dir"}
"""What may be said anew when a run is resumed."""


@dataclass(frozen=True)
class Train(TrainConfig):
    """Train a GAN, or resume a run.

    $ minigan train dcgan                          on the bundled digits
    $ minigan train lsgan --data mnist --epochs 5  on full MNIST
    $ minigan train --resume runs/dcgan-mnist5k    where it stopped

    A default of None stands for the preset's own value, which `minigan presets NAME` shows. Ctrl-C saves and stops.
    """

    preset: Annotated[str, Positional, arg(metavar="PRESET")] = ""
    """Which GAN to train; `minigan presets` lists them."""
    resume: Path | None = None
    """Folder of a run to go on with, from its latest checkpoint; takes --steps (a new total) and --data-dir."""
    out: Path | None = None
    """Folder of the run; by default a new one in runs/."""
    overwrite: bool = False
    """Replace an earlier run in that folder."""
    no_capture: bool = False
    """The opposite of --capture."""

    def run(self) -> int:
        """Start or resume."""
        own = {f.name for f in dataclasses.fields(TrainConfig)}
        given = {f.name for f in dataclasses.fields(self) if getattr(self, f.name) != f.default}
        if self.resume is not None:
            extra = sorted(given - RESUMABLE - {"resume"})
            if extra:
                flags = ", ".join("PRESET" if name == "preset" else f"--{name.replace('_', '-')}" for name in extra)
                raise UserError(f"--resume takes the run's own configuration, --steps and --data-dir; got {flags}")
            return commands.resume(self.resume, self.steps, self.data_dir)
        if not self.preset:
            raise UserError("train: expected a preset or --resume RUN; `minigan presets` lists the presets")
        config = TrainConfig(**{name: getattr(self, name) for name in own})
        if self.no_capture:
            if self.capture:
                raise UserError("give --capture or --no-capture, not both")
            config = dataclasses.replace(config, capture=False)
        return commands.train(config, self.out, self.overwrite)


@dataclass(frozen=True)
class Sample:
    """Draw samples from a trained run, or walk between them.

    $ minigan sample runs/dcgan-mnist5k --count 64 --out digits.png
    $ minigan sample runs/dcgan-mnist5k --interpolate
    $ minigan sample runs/cgan-mnist5k --label 7

    Of a preset that takes labels the grid has a row for each, with the same latents in every row.
    """

    path: Annotated[Path, Positional, arg(metavar="RUN")]
    """Folder of the run."""
    count: int = 64
    """How many samples; with --interpolate in whole rows of eight, with a row for each label (16 at most) as near as
    rows of one length come."""
    out: Path | None = None
    """PNG to write; by default in the run's plots folder."""
    seed: int = 0
    """Of the latents."""
    interpolate: bool = False
    """Each row moves from one random image to another."""
    label: int | None = None
    """Only samples of this label, counted from 0; for infogan of this category."""
    overwrite: bool = False
    """Replace the PNG where it exists."""

    def run(self) -> int:
        """Draw."""
        return commands.sample(self.path, self.count, self.out, self.seed, self.interpolate, self.label, self.overwrite)


@dataclass(frozen=True)
class Presets:
    """List the presets, or show one: its source, recipe, layers, parameters, FLOPs and memory."""

    name: Annotated[str, Positional, arg(metavar="NAME")] = ""
    """Which one to show; all in short by default."""
    data: str | None = None
    """Data set for which the networks are laid out; by default the one that the preset trains on."""
    width: float = 1.0
    """Factor on the hidden units."""

    def run(self) -> int:
        """Show."""
        return commands.presets(self.name, self.data, self.width)


@dataclass(frozen=True)
class Gradcheck:
    """Check the gradients of every layer and loss, first and second order, against differences in float64."""

    seeds: int = 3
    """How many random points for each layer and loss."""
    directions: int = 3
    """How many random directions at each point."""
    backend: str = "numpy"
    """Operations to check; `minigan info` lists the backends."""

    def run(self) -> int:
        """Check; exit code 1 if a gradient is wrong."""
        return commands.gradcheck(self.seeds, self.directions, self.backend)


@dataclass(frozen=True)
class Bench:
    """Measure how fast minigan is here: against the machine's limits, NumPy's BLAS, PyTorch and JAX.

    $ minigan bench step --quick            a training step, in about a minute
    $ minigan bench layers --out mine.json  every product of every preset, kept as JSON
    $ minigan bench                         everything, in about an hour

    What the machine can do at best (multiply-adds and bytes a second) is measured first. Contenders must compute the
    same before they are timed; they take turns, with rests between, and the median counts. PyTorch and JAX take part
    where they are installed (pip install 'minigan[peers]'). Let the machine do nothing else meanwhile.
    """

    subject: Annotated[str, Positional, arg(metavar="SUBJECT")] = "all"
    """ceilings (the machine's limits alone), matmul and conv (kernels from plain loops to the fastest, by size), layers
    (each product of each preset), step (whole training steps), breakdown (a step, operation by operation), scaling (a
    step by batch size, width and image size), or all of them."""
    quick: bool = False
    """Fewer cases and shorter turns: a first impression, not a result."""
    out: Path | None = None
    """JSON file to write after every case, Ctrl-C or not; with all subjects a folder for one file each."""

    def run(self) -> int:
        """Measure."""
        return commands.bench(self.subject, self.quick, self.out)


@dataclass(frozen=True)
class Info:
    """Tell what works on this machine: versions, backends and why not the others, where data is sought."""

    def run(self) -> int:
        """Tell."""
        return commands.info()


Command = (
    Annotated[Train, subcommand("train")]
    | Annotated[Sample, subcommand("sample")]
    | Annotated[Presets, subcommand("presets")]
    | Annotated[Gradcheck, subcommand("gradcheck")]
    | Annotated[Bench, subcommand("bench")]
    | Annotated[Info, subcommand("info")]
)


def parse(arguments: Sequence[str] | None = None) -> Command:
    """Turn arguments into a command; a mistake in them is one line on stderr and exit code 2."""
    problem = io.StringIO()
    try:
        with contextlib.redirect_stderr(problem):
            command: Command = tyro.cli(
                Command,
                prog="minigan",
                description="GANs from scratch on NumPy: train, look, and check every gradient.",
                args=arguments,
                config=(DisallowNone, FlagCreatePairsOff),
            )
    except SystemExit as stop:
        if stop.code == 2:
            fail(one_line(problem.getvalue()))
        sys.stderr.write(problem.getvalue())
        raise
    return command


def one_line(box: str) -> str:
    """The parser's framed message without frame, line breaks and title."""
    lines = [re.sub(r"[─╭╮╰╯│]|-{3,}|^[|+]|[|+]$", " ", line).strip() for line in box.splitlines()[1:]]
    return re.sub(r"\s+", " ", " ".join(lines)).strip()


def fail(message: str) -> None:
    """One line on stderr and exit code 2."""
    print(f"minigan: {message}", file=sys.stderr)
    raise SystemExit(2)


def main() -> None:
    """Entry point: exit code 0, 1 (training or a check failed), 2 (the user can mend it), 130 (Ctrl-C)."""
    command = parse()
    try:
        raise SystemExit(command.run())
    except UserError as error:
        fail(str(error))
    except NonFiniteError as error:
        print(f"minigan: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    except MemoryError as error:
        fail(f"not enough memory: {str(error) or 'a smaller --batch-size or --width needs less'}")
    except KeyboardInterrupt:
        print("minigan: interrupted", file=sys.stderr)
        raise SystemExit(130) from None
    except BrokenPipeError:
        sys.stderr.close()
        raise SystemExit(1) from None
