"""Compiles kernels with NVIDIA's run-time compiler, from its wheel: no GPU, no driver, no toolkit, no CuPy.

    pip install 'nvidia-cuda-nvrtc==13.0.88'

It is the compiler that CuPy uses on a GPU, so what it accepts, runs there; and its assembler tells what each kernel
takes of a multiprocessor.
"""

import ctypes
import functools
import importlib.metadata
import re
import site
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

WHEEL, VERSION = "nvidia-cuda-nvrtc", "13.0.88"

# What CuPy passes, besides the architecture, which is the only thing that a caller chooses.
OPTIONS = ("-std=c++17", "-ftz=true", "--device-as-default-execution-space")

_ENTRY = re.compile(r"Compiling entry function '(\w+)'")
_SPILLS = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
_USED = re.compile(r"Used (\d+) registers(?:.*?, (\d+) bytes smem)?")
_SLOWED = re.compile(r"Potential Performance Loss: (.+)")
_PARAMETERS = re.compile(r"\.entry (\w+)\((.*?)\)", re.DOTALL)
_PARAMETER = re.compile(r"\.param (?:\.align \d+ )?\.([a-z]\d+) \w+(\[\d+\])?")


class CompileError(RuntimeError):
    """NVRTC does not accept a source, or makes slow code of it; holds its messages."""


class Resources(NamedTuple):
    """What one kernel takes.

    registers: of a thread.
    spilled: bytes per thread that the registers had no room for, stores and loads together.
    stack: bytes per thread of local memory, spilled registers and arrays that are indexed by variables.
    shared: bytes per block of static shared memory.
    parameters: the width of each: "u64" for a pointer, "u32" for an int, "f32" for a float, "b8[128]" for a struct of
        128 bytes.
    """

    registers: int
    spilled: int
    stack: int
    shared: int
    parameters: tuple[str, ...]


def why_not() -> str | None:
    """None if NVRTC can be used here, else the reason why not."""
    try:
        _library()
    except OSError as error:
        return str(error)
    return None


def compile_kernels(text: str, name: str, expressions: Sequence[str], architecture: str) -> dict[str, Resources]:
    """Compile a source and tell what each of its kernels takes.

    Args:
        text: the source, its headers expanded.
        name: of the file, for messages.
        expressions: the kernels, as launch code names them.
        architecture: such as "sm_90".

    Raises:
        CompileError: with the compiler's messages. Also where the assembler makes one wgmma wait for the other, since
            the program uses their sums too early: it goes on then, after a remark.
        OSError: there is no NVRTC.
    """
    nvrtc = _library()
    program = ctypes.c_void_p()
    _check(nvrtc.nvrtcCreateProgram(ctypes.byref(program), text.encode(), name.encode(), 0, None, None))
    try:
        for expression in expressions:
            _check(nvrtc.nvrtcAddNameExpression(program, expression.encode()))
        options = [option.encode() for option in (*OPTIONS, f"-arch={architecture}", "-Xptxas=-v")]
        failed = nvrtc.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))
        log = _text(nvrtc, "ProgramLog", program)
        if failed:
            raise CompileError(f"{name} does not compile for {architecture}:\n{log[:8000]}")
        if slowed := _SLOWED.search(log):
            raise CompileError(f"{name} makes slow code for {architecture}: {slowed[1]}")
        lowered = {}
        for expression in expressions:
            mangled = ctypes.c_char_p()
            _check(nvrtc.nvrtcGetLoweredName(program, expression.encode(), ctypes.byref(mangled)))
            assert mangled.value is not None
            lowered[mangled.value.decode()] = expression
        return _resources(log, _text(nvrtc, "PTX", program), lowered)
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))


def _resources(log: str, ptx: str, lowered: dict[str, str]) -> dict[str, Resources]:
    parameters = {name: tuple(map("".join, _PARAMETER.findall(inside))) for name, inside in _PARAMETERS.findall(ptx)}
    found = {}
    for entry in log.split("ptxas info    : Compiling")[1:]:
        name = _ENTRY.search(f"Compiling{entry}")
        spills, used = _SPILLS.search(entry), _USED.search(entry)
        if not (name and spills and used):
            raise CompileError(f"the compiler's report is not as expected: {entry[:500]}")
        if name[1] in lowered:
            stack, stores, loads = map(int, spills.groups())
            registers, shared = int(used[1]), int(used[2] or 0)
            found[lowered[name[1]]] = Resources(registers, stores + loads, stack, shared, parameters[name[1]])
    return found


@functools.cache
def _library() -> Any:
    """NVRTC out of its wheel; OSError if it is not there, or cannot be loaded."""
    for folder in {sysconfig.get_paths()["purelib"], *site.getsitepackages()}:
        for library in sorted(Path(folder).glob("nvidia/cu13/lib/libnvrtc.so.*")):
            # NVRTC opens this one by its bare name when it first compiles: it has to be there already.
            for builtins in library.parent.glob("libnvrtc-builtins.so.*"):
                ctypes.CDLL(str(builtins), ctypes.RTLD_GLOBAL)
            return ctypes.CDLL(str(library))
    raise OSError(f"NVRTC is not installed: pip install '{WHEEL}=={VERSION}'")


def version() -> str:
    """Of the installed wheel, to the last digit: "13.0.88"."""
    return importlib.metadata.version(WHEEL)


def _text(nvrtc: Any, what: str, program: ctypes.c_void_p) -> str:
    size = ctypes.c_size_t()
    _check(getattr(nvrtc, f"nvrtcGet{what}Size")(program, ctypes.byref(size)))
    buffer = ctypes.create_string_buffer(size.value)
    _check(getattr(nvrtc, f"nvrtcGet{what}")(program, buffer))
    return buffer.value.decode()


def _check(status: int) -> None:
    if status:
        error = _library().nvrtcGetErrorString
        error.restype = ctypes.c_char_p
        raise RuntimeError(f"NVRTC: {error(status).decode()}")
