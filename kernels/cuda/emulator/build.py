"""Compiles a .cu file, together with the emulator's headers, to a shared library, and keeps it on disk.

The key of the cache holds all that the library depends on: the expanded source, the emulator's headers, the compiler's
version, its options and the CPU's features. Builds that run at the same time write to files of their own and rename.
"""

import ctypes
import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ...compiling import announce
from ..source import expand

HEADERS = Path(__file__).parent
COMPILERS = ("g++", "clang++")
OPTIONS = (
    "-std=c++20",
    "-shared",
    "-fPIC",
    "-march=native",
    "-Wno-unknown-pragmas",
    "-Wno-subobject-linkage",
)


class CompilerMissingError(RuntimeError):
    """There is no C++ compiler to build kernels with."""


def compiler() -> str | None:
    """The C++ compiler: the environment's CXX, else the first of COMPILERS that there is."""
    asked = os.environ.get("CXX")
    return next(filter(None, map(shutil.which, (asked,) if asked else COMPILERS)), None)


def why_not() -> str | None:
    """None if kernels can be built here, else the reason why not."""
    if compiler() is not None:
        return None
    if asked := os.environ.get("CXX"):
        return f"the environment's CXX names {asked!r}, which is not there"
    return f"it compiles kernels for the CPU and needs a C++ compiler ({' or '.join(COMPILERS)})"


def cache_folder() -> Path:
    """Where built libraries are kept: MINIGAN_EMULATOR_CACHE, else minigan/emulator in the user's cache."""
    if asked := os.environ.get("MINIGAN_EMULATOR_CACHE"):
        return Path(asked)
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "minigan" / "emulator"


@functools.cache
def build(path: Path, expressions: tuple[str, ...], flags: tuple[str, ...]) -> ctypes.CDLL:
    """The library of a .cu file with one launcher for each expression."""
    program = compiler()
    if program is None:
        raise CompilerMissingError(f"the CUDA emulator cannot run: {why_not()}")
    text = _translation_unit(path, expressions)
    command = [program, "-x", "c++", *OPTIONS, *flags, f"-I{HEADERS}", "-"]
    headers = [header.read_text() for header in sorted(HEADERS.glob("*.h"))]
    key = hashlib.sha256("\0".join([text, *headers, _version(program), _cpu(), *command]).encode()).hexdigest()[:32]
    folder = cache_folder()
    library = folder / f"{path.stem}-{key}.so"
    if not library.exists():
        announce(path.name, folder)
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            output = Path(temporary) / library.name
            run = subprocess.run([*command, "-o", str(output)], input=text, text=True, capture_output=True, check=False)
            if run.returncode:
                raise RuntimeError(f"{path.name} does not compile for the emulator:\n{run.stderr[:8000]}")
            output.replace(library)
    return ctypes.CDLL(str(library))


def _translation_unit(path: Path, expressions: Sequence[str]) -> str:
    exports = "".join(f"MG_EXPORT({i}, {expression})\n" for i, expression in enumerate(expressions))
    return f'#include "cuda_cpu.h"\nnamespace {{\n{expand(path)}\n}}\n{exports}'


@functools.cache
def _version(program: str) -> str:
    return subprocess.run([program, "--version"], text=True, capture_output=True, check=True).stdout


@functools.cache
def _cpu() -> str:
    """The CPU's features, which -march=native compiles for: a cache may be shared between machines."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line for line in lines if line.startswith(("flags", "Features"))), "")
