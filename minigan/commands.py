"""What each command does; heavy imports happen inside, so that `minigan --help` answers at once."""

import functools
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import kernels
from kernels.compiling import telling

from .errors import UserError
from .presets import NO_PENALTY, get_preset
from .training.config import TrainConfig

if TYPE_CHECKING:
    from .training.run_dir import RunDirectory

GRADCHECK_COLUMNS = 40
MOST_SEQUENCES = 400


def train(config: TrainConfig, out: Path | None, overwrite: bool) -> int:
    """Start a run."""
    from .training.session import start

    run, code = start(config, out, overwrite)
    return _farewell(run, code)


def resume(path: Path, steps: int | None, data_dir: str | None) -> int:
    """Go on with a run."""
    from .training.session import resume

    run, code = resume(path, steps, data_dir)
    return _farewell(run, code)


def _farewell(run: "RunDirectory", code: int) -> int:
    program, path = _program(), run.path
    draws = get_preset(run.config["preset"]).algorithm != "autoencoder"  # which has learnt no distribution of codes
    if code:
        print(f"Stopped and saved. Go on with: {program} train --resume {path}")
    else:
        advice = f" Try: {program} sample {path}" if draws else ""
        print(f"Done: {path}/samples (grids), {path}/plots (curves, training.gif).{advice}")
    return code


def _program() -> str:
    """What to type to call minigan again: its name where that is on the PATH, else the way it was called."""
    if shutil.which("minigan"):
        return "minigan"
    called = Path(sys.argv[0])
    return f"{sys.executable} -m minigan" if called.name == "__main__.py" else str(called)


@contextmanager
def _compilation_told() -> Iterator[None]:
    """One line on stderr if kernels have to be compiled in this block."""
    from .training.progress import first_compilation

    told = False

    def tell(_: str, folder: Path) -> None:
        nonlocal told
        if not told:
            print(f"minigan: {first_compilation(folder)}", file=sys.stderr, flush=True)
        told = True

    with telling(tell):
        yield


@_compilation_told()
def sample(
    path: Path, count: int, out: Path | None, seed: int, interpolate: bool, label: int | None, overwrite: bool
) -> int:
    """Write one PNG of samples or of an interpolation."""
    from .training.files import atomic_write_bytes
    from .training.pictures import GRID_SIDE, grid_png, interpolation_png, label_rows, latent_grid
    from .training.session import open_trained
    from .viz import SEQUENCES_A_ROW, scatter_png, sequences_png

    if count < 1:
        raise UserError(f"--count: expected at least 1, got {count}")
    if not 0 <= seed < 1 << 64:
        raise UserError(f"--seed: expected 0 <= seed < 2**64, got {seed}")
    stem = ("interpolation" if interpolate else "sample") + ("" if label is None else f"-label{label}")
    target = out if out is not None else path / "plots" / f"{stem}-seed{seed}.png"
    if out is not None and out.suffix.lower() != ".png":
        raise UserError(f"--out: expected a name that ends in .png, got {out}")
    if target.exists() and not overwrite:
        raise UserError(f"{target} exists; name another file with --out, or pass --overwrite")
    trainer = open_trained(path)
    trainer.labels(1, label)
    kind = {1: "points", 2: "sequences", 3: "images"}[len(trainer.data_shape)]
    trainer.require_prior()
    if interpolate and kind != "images":
        raise UserError(f"--interpolate is for images; {path} makes {kind} of shape {trainer.data_shape}")
    if kind == "sequences" and count > MOST_SEQUENCES:
        raise UserError(f"--count: expected at most {MOST_SEQUENCES} sequences, a panel each, got {count}")
    rows = label_rows(trainer)
    if interpolate:
        picture = interpolation_png(trainer, max(1, count // GRID_SIDE), GRID_SIDE, seed, label)
    elif kind == "images" and rows is not None and label is None:
        columns = max(1, round(count / rows))
        picture = grid_png(trainer.generate(*latent_grid(trainer, columns, seed), seed), columns)
    else:
        samples = trainer.sample(count, seed, label)
        panels = functools.partial(sequences_png, rows=-(-count // SEQUENCES_A_ROW))
        draw = {"images": grid_png, "points": scatter_png, "sequences": panels}
        picture = draw[kind](samples)  # type: ignore[operator]
    atomic_write_bytes(target, picture)
    print(target)
    return 0


def presets(name: str, data: str | None, width: float) -> int:
    """List all presets, or lay one out for a data set."""
    from .data.registry import CLASSES, SHAPES
    from .presets import ALIASES, PRESETS, Options
    from .summary import table

    if not name:
        for preset in PRESETS.values():
            print(f"{preset.name:<12}{preset.summary}")
        print("aliases: " + ", ".join(f"{alias} = {target}" for alias, target in ALIASES.items()))
        print("more: minigan presets NAME; train one: minigan train NAME")
        return 0
    preset = get_preset(name)
    data = data or preset.recipe.data
    if data not in SHAPES:
        raise UserError(f"--data: expected one of {', '.join(SHAPES)}, got {data}")
    recipe = preset.recipe
    networks = preset.networks(Options(SHAPES[data], recipe.latent_dim, width, recipe.norm, CLASSES.get(data)))
    print(f"{preset.name}: {preset.summary}\nsource: {preset.source}")
    settings: dict[str, object] = {} if recipe.loss is None else {"loss": recipe.loss}
    settings |= {} if recipe.reconstruction is None else {"reconstruction": recipe.reconstruction}
    settings |= {} if recipe.divergence_weight is None else {"weight of the divergence": recipe.divergence_weight}
    settings |= {"optimizer": recipe.optimizer, "lr": recipe.lr}
    settings |= {} if recipe.lr_g is None else {"lr of the generator": recipe.lr_g}
    settings |= {"batch size": recipe.batch_size}
    if recipe.optimizer == "adam":
        settings |= {"betas": f"{recipe.beta1}, {recipe.beta2}"}
    settings |= {} if recipe.n_critic is None else {"discriminator updates per generator update": recipe.n_critic}
    settings |= {"epochs": recipe.epochs}
    clip = TrainConfig(preset.name).resolved().weight_clip
    settings |= {"weight clip": clip} if clip else {}
    if recipe.penalty not in (None, NO_PENALTY):
        settings |= {"penalty": recipe.penalty, "penalty weight": recipe.penalty_weight}
    if recipe.auxiliary_weight is not None and preset.auxiliary is not None:
        settings |= {f"weight of the {preset.auxiliary.name} term": recipe.auxiliary_weight}
    settings |= {"weight norm": recipe.weight_norm} if recipe.weight_norm not in (None, "none") else {}
    print("recipe: " + "; ".join(f"{key} {value}" for key, value in settings.items()) + "\n")
    tables = (table(player, *network, recipe.batch_size) for player, network in networks.items())
    print("\n\n".join(tables))
    return 0


@_compilation_told()
def gradcheck(seeds: int, directions: int, backend: str) -> int:
    """A line for every layer and loss with its worst relative error; 1 if any is wrong."""
    from .gradcheck import TOLERANCE, Report
    from .gradcheck.catalogue import check_all

    if seeds < 1 or directions < 1:
        raise UserError(f"--seeds and --directions: expected at least 1, got {seeds} and {directions}")
    if backend not in ("auto", *kernels.available()):
        raise UserError(f"--backend: expected auto, {', '.join(kernels.available())}, got {backend}")
    if backend == "cuda":
        raise UserError(
            "--backend cuda: checks look at every number; cuda-emulator runs the same kernels where they can"
        )
    if reason := kernels.available().get(backend):
        raise UserError(f"--backend: {backend} is not here: {reason}")
    reports = [
        functools.reduce(Report.joined, same_case)
        for same_case in zip(*(check_all(seed, directions, backend) for seed in range(seeds)), strict=True)
    ]
    print(f"{'layer or loss':<{GRADCHECK_COLUMNS}}{'order':<8}{'worst relative error':<24}{'directions':<14}redrawn")
    for report in reports:
        order = "1, 2" if report.second_order else "1"
        verdict = "" if report.ok else "   WRONG"
        print(
            f"{report.name:<{GRADCHECK_COLUMNS}}{order:<8}{report.error:<24.1e}{report.directions:<14}"
            f"{report.redraws}{verdict}"
        )
    wrong = [report.name for report in reports if not report.ok]
    print(
        f"{len(reports)} checked, {len(wrong)} wrong (tolerance {TOLERANCE:.0e}){': ' * bool(wrong)}{', '.join(wrong)}"
    )
    return 1 if wrong else 0


def bench(subject: str, quick: bool, out: Path | None) -> int:
    """Measure, print tables, write JSON."""
    from .bench.run import bench

    return bench(subject, quick, out)


def info() -> int:
    """Versions, backends, data."""
    from .data.files import roots

    print(f"minigan {_version('minigan')} on Python {platform.python_version()}")
    print(f"machine {platform.machine()}, {os.cpu_count()} CPUs")
    print(", ".join(f"{name} {_version(name)}" for name in ("numpy", "numba", "matplotlib", "safetensors")))
    for name, reason in kernels.available().items():
        print(f"backend {name}: {'works' if reason is None else f'not here: {reason}'}")
        if name == "numba" and reason is None:
            print(_numba_facts())
    print("data is sought in: " + ", ".join(str(root) for root in roots()))
    print(f"interpreter: {sys.executable}")
    return 0


def _numba_facts() -> str:
    """What the CPU kernels are compiled for, what they run on and where they are kept."""
    import numba

    from kernels.cpu.jit import cache_folder
    from kernels.cpu.target import describe

    facts = describe()
    threads = f"{facts['threads']} threads ({numba.threading_layer()})"  # known once `describe` has counted them
    return (
        f"  compiled for {facts['cpu']}, vectors of {facts['vector_bits']} bits; {threads}\n"
        f"  kernels are kept in {cache_folder()}"
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
