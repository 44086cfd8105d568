"""Compiling, the cache on disk, threads, forks: in processes of their own, with `jit.py` and `fork.py` in a toy."""

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import kernels

pytest.importorskip("numba")

SOURCES = {
    "__init__.py": "",
    "cpu/__init__.py": "",
    "cpu/helper.py": """
from .jit import kernel

@kernel
def answer(x):
    return x + 41.0
""",
    "cpu/main.py": """
from .fork import fork
from .helper import answer
from .jit import kernel, parallel_kernel

@kernel
def fill_one(i, y):
    y[i] = answer(1.0)

@parallel_kernel
def fill(y):
    fork(fill_one, y.size, (y,))
""",
}
FILL = """
import json
import numpy as np
from toy.compiling import telling

told = []
with telling(lambda kernel, folder: told.append([kernel, str(folder)])):
    from toy.cpu.main import fill
    y = np.zeros(3)
    fill(y)
print(json.dumps([y.tolist(), told]))
"""
TWO_THREADS = """
import threading
import numpy as np
from toy.cpu.main import fill

def work():
    y = np.zeros(1000)
    for _ in range(2000):
        fill(y)
    results.append(y.sum())

fill(np.zeros(3))
results = []
threads = [threading.Thread(target=work) for _ in range(2)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(int(sum(results)))
"""
FORK = """
import os
import numpy as np
from toy.cpu.main import fill

child = os.fork()
if child == 0:
    y = np.zeros(3)
    fill(y)
    os._exit(0 if y.sum() == 126 else 1)
print(os.waitpid(child, 0)[1])
"""


class Toy:
    """A package `toy` with one parallel kernel and one that it calls."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name, source in SOURCES.items():
            self.write(name, source)
        package = Path(kernels.__file__).parent
        for name in ("compiling.py", "cpu/apart.py", "cpu/calls.py", "cpu/fork.py", "cpu/jit.py"):
            shutil.copy(package / name, folder / "toy" / name)

    def write(self, name: str, source: str) -> None:
        file = self.folder / "toy" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source)

    def run(self, script: str, **environment: str) -> str:
        """Standard output of a new process."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
        ours |= {"PYTHONPATH": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1", **environment}
        done = subprocess.run([sys.executable, "-c", script], env=ours, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def fill(self, **environment: str) -> tuple[list[float], list[str]]:
        """What the kernel computes, and which kernels had to be compiled for it."""
        filled, told = json.loads(self.run(FILL, **environment))
        assert {folder for _, folder in told} <= {str(self.folder / "toy" / "cpu" / "__pycache__")}
        return filled, [name for name, _ in told]


@pytest.fixture
def toy(tmp_path: Path) -> Toy:
    return Toy(tmp_path)


def test_what_is_on_disk_is_not_compiled_again(toy: Toy):
    """Told is only the kernel that Python called, not the one that it calls."""
    assert toy.fill() == ([42, 42, 42], ["fill"])
    assert toy.fill() == ([42, 42, 42], [])


@pytest.mark.parametrize("name", ["cpu/helper.py", "constants.py"])
def test_an_edit_of_what_a_kernel_uses_compiles_it_again(toy: Toy, name: str):
    toy.write("constants.py", "ONE = 1.0")
    toy.write("cpu/main.py", SOURCES["cpu/main.py"].replace("(1.0)", "(ONE)") + "\nfrom ..constants import ONE\n")
    assert toy.fill() == ([42, 42, 42], ["fill"])
    old = (toy.folder / "toy" / name).read_text()
    toy.write(name, old.replace("41.0", "42.0").replace("ONE = 1.0", "ONE = 2.0"))
    assert toy.fill() == ([43, 43, 43], ["fill"])
    assert toy.fill() == ([43, 43, 43], [])


def test_another_cpu_has_code_of_its_own(toy: Toy):
    generic = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}
    assert toy.fill()[1] == ["fill"]
    assert toy.fill(**generic)[1] == ["fill"]
    assert (toy.fill()[1], toy.fill(**generic)[1]) == ([], [])


def test_kernels_can_be_run_by_python_alone(toy: Toy):
    assert toy.fill(NUMBA_DISABLE_JIT="1") == ([42, 42, 42], [])


@pytest.mark.parametrize(
    "environment",
    [
        {"NUMBA_THREADING_LAYER": "omp"},
        {"NUMBA_THREADING_LAYER": "workqueue"},
        {"NUMBA_THREADING_LAYER": "forksafe"},
        {"NUMBA_THREADING_LAYER_PRIORITY": "workqueue omp tbb"},
        {},
    ],
    ids=lambda environment: " ".join(environment.values()) or "default",
)
def test_two_threads_may_call_kernels_at_once(toy: Toy, environment: dict[str, str]):
    if environment.get("NUMBA_THREADING_LAYER") == "omp":
        pytest.importorskip("numba.np.ufunc.omppool")
    assert toy.run(TWO_THREADS, NUMBA_NUM_THREADS="2", **environment) == "84000\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_fork_of_a_process_that_has_only_imported_kernels_can_call_them(toy: Toy):
    """No thread has been started yet."""
    assert toy.run(FORK) == "0\n"


def test_what_was_compiled_of_old_sources_is_deleted(tmp_path: Path):
    from kernels.cpu import jit

    current = jit._sources_digest(Path(jit.__file__).with_name("gemm.py"))
    names = [f"gemm.matmul-1.py311.{digest}{end}" for digest in (current, "0" * 16) for end in (".nbi", ".1.nbc")]
    others = ["gemm.cpython-311.pyc", "of_another.f-1.py311.nbi"]
    for name in names + others:
        (tmp_path / name).touch()
    jit.forget_outdated(tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {*names[:2], *others}


def test_the_imports_that_a_pattern_finds_are_all_there_are():
    """A source that it missed could change and leave a stale kernel in the cache."""
    from kernels.cpu import jit

    for file in sorted(Path(jit.__file__).parent.rglob("*.py")):
        imported = {file}
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level:
                folder = file.parents[node.level - 1] / (node.module or "").replace(".", "/")
                paths = [folder.with_suffix(".py"), *(folder / f"{alias.name}.py" for alias in node.names)]
                imported |= {path for path in paths if path.exists()}
        assert imported <= jit._sources(file), file
