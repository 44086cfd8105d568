"""What imports what: downward only, and nothing heavy before it is needed."""

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import minigan
from minigan.training.config import TrainConfig
from minigan.training.trainer import Trainer

ROOT = Path(__file__).parents[1]

LEVELS = (
    {"kernels", "errors"},
    {"initializers", "data", "metrics", "viz"},
    {"params"},
    {"layer", "condition", "optim_back"},
    {"layers", "losses", "auxiliary", "reconstruction", "optim", "penalties", "spectral_norm"},
    {"lecam"},
    {"presets", "gradcheck", "summary", "testing"},
    {"training"},
    {"bench"},
    {"commands"},
    {"cli"},
    {"__main__"},
)
"""A part of the library imports from itself and from the levels above its line here."""
LEVEL = {part: number for number, parts in enumerate(LEVELS) for part in parts}
SELF_CONTAINED = {"kernels": set(), "viz": set(), "data": {"errors"}}
"""Parts that can be taken away and used elsewhere, with all that they may need of the rest."""


def part_of(module: str) -> str:
    """The part that a module belongs to: "minigan.data.idx" -> "data", "kernels.rng" -> "kernels"."""
    package, *inside = module.split(".")
    return package if package == "kernels" or not inside else inside[0]


def imports_of(path: Path) -> Iterator[str]:
    """Dotted names of our own modules that a file imports, wherever in the file it does."""
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*base, *(node.module or "").split("."))).strip(".")
            names = [f"{module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (name for name in names if name.split(".")[0] in ("minigan", "kernels"))


def test_the_reader_of_imports_understands_every_spelling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    path = tmp_path / "minigan" / "data" / "idx.py"
    path.parent.mkdir(parents=True)
    path.write_text(
        "import numpy, kernels.rng\nfrom . import files\nfrom ..errors import UserError\n"
        "def late():\n    from .. import viz\n    from minigan.cli import main\n"
    )
    assert {part_of(name) for name in imports_of(path)} == {"kernels", "data", "errors", "viz", "cli"}


@pytest.mark.parametrize(
    "path",
    [path for root in ("minigan", "kernels") for path in (ROOT / root).rglob("*.py")],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_imports_run_downward(path: Path) -> None:
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    if module == "minigan.__init__":
        return  # it names the Trainer, and imports it when asked
    own = part_of(module)
    assert own in LEVEL, f"{own} is new: say in LEVELS what it may import"
    others = {part_of(name) for name in imports_of(path)} - {own}
    assert {part for part in others if LEVEL.get(part, len(LEVELS)) >= LEVEL[own]} == set()
    if own in SELF_CONTAINED:
        assert others <= SELF_CONTAINED[own]


HEAVY = ("PIL", "cupy", "hypothesis", "matplotlib", "pooch", "requests", "rich", "safetensors", "tomli_w", "tyro")


def loaded_by(program: str) -> set[str]:
    """Which of HEAVY are loaded after a program."""
    report = f"import sys\n{program}\nprint(*(set({HEAVY}) & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, check=True, timeout=60)
    return set(run.stdout.split())


def test_everything_below_training_needs_numpy_and_numba_alone() -> None:
    below = ("kernels", "minigan", "minigan.layers", "minigan.losses", "minigan.optim", "minigan.gradcheck.catalogue")
    above = ("minigan.presets", "minigan.summary", "minigan.data", "minigan.viz")
    assert loaded_by(f"import {', '.join(below + above)}") == set()


def test_training_without_a_run_needs_numpy_and_numba_alone() -> None:
    """So the benchmarks of the GPU run where nothing else is installed."""
    assert loaded_by("from minigan import Trainer; import minigan.bench.results, minigan.bench.peers") == set()


def test_the_command_line_answers_before_it_loads_what_draws_and_downloads() -> None:
    parse = "from minigan.cli import parse; parse(['train', 'dcgan'])"
    assert loaded_by(parse) & {"PIL", "matplotlib", "pooch", "requests"} == set()


def test_the_trainer_is_imported_when_it_is_first_asked_for() -> None:
    names = "import minigan; print(sorted(m for m in sys.modules if m.startswith('minigan.')))"
    assert subprocess.run(
        [sys.executable, "-c", f"import sys; {names}"], capture_output=True, text=True, check=True, timeout=60
    ).stdout.split() == ["[]"]
    assert minigan.Trainer is Trainer
    assert minigan.TrainConfig is TrainConfig
    with pytest.raises(AttributeError, match="module 'minigan' has no attribute 'Trianer'"):
        _ = minigan.Trianer


def test_a_foreign_package_called_kernels_is_named_in_one_sentence(tmp_path: Path) -> None:
    foreign = tmp_path / "kernels" / "__init__.py"
    foreign.parent.mkdir()
    foreign.write_text("def matmul(): ...")
    program = f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(ROOT)!r}]; import minigan"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 1
    assert run.stderr.splitlines()[-1] == (
        "ImportError: minigan needs its own package `kernels`, but another one of that name is installed at "
        f"{foreign}: uninstall that one, or install minigan into an environment of its own"
    )


@pytest.mark.parametrize("name", ["kernels", "kernels.cpu", "minigan", "minigan.layers"])
def test_what_a_package_exports_is_there(name: str) -> None:
    package = importlib.import_module(name)
    assert [export for export in package.__all__ if not hasattr(package, export)] == []
