"""The page on CUDA kernels: its program runs, its message and its debugger session are true."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import planted
import planted_ring
import pytest

from kernels.cuda import emulator

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "cuda-kernels.md").read_text(encoding="utf-8")
PROGRAM = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0]
pytestmark = pytest.mark.skipif(bool(emulator.why_not()), reason=str(emulator.why_not()))


def test_the_program_gets_the_message() -> None:
    names: dict[str, object] = {}
    exec(PROGRAM, names)
    assert f"    {names['message']}\n" in PAGE


def test_the_bugs_are_counted() -> None:
    modules = (planted, planted_ring)
    bugs, programs, unseen = (
        sum(len(getattr(m, name)) for m in modules) for name in ("BUGS", "DRIVERS", "CHECKED_ONLY")
    )
    page = " ".join(PAGE.split())
    assert f"hold {bugs} bugs planted in {programs} small programs" in page
    assert f"list the {unseen} that the fast build does not notice" in page


@pytest.mark.skipif(shutil.which("gdb") is None, reason="gdb is not installed")
def test_a_debugger_stops_in_a_thread_of_the_kernel(tmp_path: Path) -> None:
    (tmp_path / "reverse.py").write_text(PROGRAM.replace("checked", "debug"))
    commands = re.findall(r"\(gdb\) (.*)", PAGE)
    options = [word for command in commands for word in ("-ex", command)]
    run = subprocess.run(
        ["gdb", "-q", "-batch", "-nx", *options, "-ex", "kill", "--args", sys.executable, str(tmp_path / "reverse.py")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if "ptrace" in run.stderr:
        pytest.skip("the system does not let gdb trace")
    assert re.search(r"\$1 = {0, 1, 2, 3, -?nan\(0x[0-9a-f]+\) <repeats 60 times>}", run.stdout), (
        run.stdout + run.stderr
    )
    assert "$2 = {x = 3, y = 0, z = 0}" in run.stdout
