"""Compiles a .cu file, together with the emulator's headers, to a shared library, and keeps it on disk.

There are three builds of a kernel, from the same source:

    fast      optimised
    checked   optimised, and every access to memory and every piece of arithmetic is watched; see engine/memory_check.h
              and engine/undefined.h
    debug     not optimised, for a debugger

The key of the cache holds all that a library depends on: the expanded source, the emulator's headers, the compiler's
version, its options and the CPU's features.
"""

import ctypes
import functools
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from ...compiling import announce
from ..cache import folder, kept, key_of, why_not_kept
from ..source import expand

ENGINE = Path(__file__).parent / "engine"
COMPILERS = ("g++", "clang++")
MACHINES = ("x86_64", "aarch64")

OPTIONS = (
    "-std=c++20",
    "-fPIC",
    "-fvisibility=hidden",
    "-march=native",
    "-Wno-unknown-pragmas",  # #pragma unroll
    "-Wno-subobject-linkage",
)
# Those that g++ and clang++ both have.
UNDEFINED = (
    "alignment,bool,bounds,enum,integer-divide-by-zero,null,pointer-overflow,return,shift,signed-integer-overflow,"
    "unreachable,vla-bound"
)
# -g1: which line each instruction came from, for messages; in a version of the format that all of addr2line reads.
BUILDS = {
    "fast": ("-O2", "-g1", "-gdwarf-4"),
    "checked": ("-O2", "-g1", "-gdwarf-4", f"-fsanitize=thread,{UNDEFINED}", "-DMG_CHECKED=true"),
    "debug": ("-O0", "-g"),
}

_LOCK = threading.Lock()


class CompilerMissingError(RuntimeError):
    """There is no C++ compiler to build kernels with."""


def compiler() -> tuple[str, ...] | None:
    """The command of the C++ compiler: the environment's CXX, "ccache g++" say, else the first of COMPILERS.

    None: its program is not there.
    """
    asked = os.environ.get("CXX", "").strip()
    try:
        commands = [shlex.split(asked)] if asked else [[name] for name in COMPILERS]
    except ValueError:  # a quote that nothing closes: no program has such a name
        return None
    for program, *arguments in commands:
        if found := shutil.which(program):
            return found, *arguments
    return None


def why_not() -> str | None:
    """None if kernels can be built and run here, else the reason why not."""
    if sys.platform != "linux" or platform.machine() not in MACHINES:
        return f"the emulator runs on Linux on {' or '.join(MACHINES)}, and this is {sys.platform} {platform.machine()}"
    program = compiler()
    if program is None:
        if asked := os.environ.get("CXX"):
            return f"the environment's CXX names {asked!r}, which is not there"
        return f"the emulator compiles kernels with a C++ compiler, and there is none ({' or '.join(COMPILERS)})"
    return why_not_kept() or _why_no_engine(program)


def _why_no_engine(program: tuple[str, ...]) -> str | None:
    """None if the compiler makes the engine, which every kernel runs on, else what it complains of, in a line."""
    try:
        _engine(program)
    except RuntimeError as error:
        first, *others = str(error).splitlines()
        return " ".join([first, *[line for line in others if "error" in line][:1]])
    return None


class Library:
    """A shared library of kernels.

    Attributes:
        handle: its functions `mg_launch_I` and `mg_parameter_I`, where I is the place in `expressions`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.handle = ctypes.CDLL(str(path))
        self.handle.mg_message.restype = ctypes.c_char_p

    def message(self) -> str:
        """What the last launch failed with; its places in the machine code are written as lines of the source."""
        return re.sub(r"@([0-9a-f]+)@:0", lambda place: self._line(place[1]), self.handle.mg_message().decode())

    def _line(self, offset: str) -> str:
        tool = shutil.which("addr2line")
        if tool is None:
            return f"instruction 0x{offset} (install binutils to see the line)"
        command = [tool, "-i", "-e", str(self.path), offset]
        lines = subprocess.run(command, text=True, capture_output=True, check=False).stdout.splitlines()
        for line in lines:  # from the function that was inlined last to the one that it was inlined into
            name = Path(line.split(" ")[0]).name
            if ".cu" in name:
                return name
        return f"instruction 0x{offset}"


@functools.cache
def build(path: Path, expressions: tuple[str, ...], kind: str) -> Library:
    """The library of a .cu file with one launcher for each expression.

    Raises:
        CompilerMissingError: there is nothing to compile it with.
        RuntimeError: it does not compile.
    """
    program = compiler()
    if reason := why_not():
        raise CompilerMissingError(f"the CUDA emulator cannot run: {reason}")
    assert program is not None
    with _LOCK:
        text = _translation_unit(path, expressions)
        engine = _engine(program)
        command = [*program, *OPTIONS, *BUILDS[kind]]
        # A debugger looks for the sources in the folder that the compiler ran in: that of the .cu file.
        place = path.parent.resolve()
        key = key_of(text, _engine_key(program), *command, str(place) if kind == "debug" else "")

        def compile_and_link(output: Path) -> None:
            announce(path.name, folder())
            why = f"{path.name} does not compile for the CUDA emulator"
            objects = output.with_suffix(".o")
            _run([*command, "-x", "c++", "-c", "-", f"-I{ENGINE}"], objects, text, why, place)
            # Without the options of `kind`: the sanitizers' libraries are not wanted, the engine takes their place.
            _run([*program, "-shared", str(objects), str(engine)], output, "", why)

        return Library(kept(path.stem, ".so", key, compile_and_link))


def _engine(program: tuple[str, ...]) -> Path:
    """The engine, as an object file."""
    command = [*program, *OPTIONS, "-O2", "-g1", "-c", str(ENGINE / "engine.cpp")]
    why = f"{shlex.join(program)} does not compile the emulator's engine"
    return kept("engine", ".o", _engine_key(program), lambda output: _run(command, output, "", why))


def _run(command: Sequence[str], output: Path, text: str, why: str, cwd: Path | None = None) -> None:
    run = subprocess.run(
        [*command, "-o", str(output)], input=text, text=True, capture_output=True, check=False, cwd=cwd
    )
    if run.returncode or not output.exists():
        raise RuntimeError(f"{why}:\n{run.stderr[:8000] or 'no error, and no file'}")


def _translation_unit(path: Path, expressions: Sequence[str]) -> str:
    """In an anonymous namespace, so that what is not exported is not compiled either."""
    exports = "".join(f"MG_EXPORT({i}, {expression})\n" for i, expression in enumerate(expressions))
    return f'#include "emulator.h"\nnamespace {{\n{expand(path)}\n}}\n#line 1 "exports"\n{exports}'


@functools.cache
def _engine_key(program: tuple[str, ...]) -> str:
    version = subprocess.run([*program, "--version"], text=True, capture_output=True, check=False)
    if version.returncode:
        told = version.stderr.strip() or "without a word"
        raise CompilerMissingError(f"{shlex.join(program)} is no compiler: --version fails, {told}")
    sources = [path.read_text(encoding="utf-8") for path in sorted(ENGINE.iterdir()) if path.is_file()]
    return key_of(*program, version.stdout, _cpu(), *OPTIONS, *sources)


@functools.cache
def _cpu() -> str:
    """The CPU's features, which -march=native compiles for: a cache may be shared between machines."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line for line in lines if line.startswith(("flags", "Features"))), "")
