"""How CUDA sources are read: one text per .cu file, its project headers expanded in place.

CuPy's cache key covers the text that it is given, not the files that the text includes, and so does the emulator's.
Headers are therefore expanded here, and the compiler sees one text. `#line` directives keep its messages, and the
emulator's, true to the files that somebody wrote.
"""

import re
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parent
"""Where the .cu and .cuh files lie."""

_INCLUDE = re.compile(r'\s*#\s*include\s+"([^"]+)"')
_PRAGMA_ONCE = re.compile(r"\s*#\s*pragma\s+once\b")


class Instance(NamedTuple):
    """A kernel as it can be launched: a function, or one instantiation of a template.

    file: the .cu file, relative to `FOLDER`.
    expression: what CUDA calls it, such as "softmax_rows" or "gemm<float, 128, 128>"; launch code uses the same text.
    threads: the most threads per block that it is launched with.
    shared_bytes: the most dynamic shared memory that it is launched with.
    unit: rows of a file with the same unit are compiled together, when the first of them is asked for. By default a row
        is compiled by itself: right for large kernels, wasteful for many small ones.
    architecture: the only one that has its instructions, such as "sm_90a"; by default any.
    """

    file: str
    expression: str
    threads: int
    shared_bytes: int = 0
    unit: str = ""
    architecture: str = ""


def expand(path: Path) -> str:
    """The text of a source file with each `#include "..."` replaced, once, by the file that it names.

    Raises:
        FileNotFoundError: a header is missing; names the file and the line that include it.
    """
    return _expand(path, {path.resolve()})


def _expand(path: Path, seen: set[Path]) -> str:
    lines = [f'#line 1 "{path.name}"\n']
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        include = _INCLUDE.match(line)
        if include is None:
            lines.append("\n" if _PRAGMA_ONCE.match(line) else f"{line}\n")
            continue
        header = (path.parent / include[1]).resolve()
        if not header.is_file():
            raise FileNotFoundError(f'{path.name}:{number}: there is no header "{include[1]}" beside {path}')
        if header in seen:
            lines.append("\n")
            continue
        seen.add(header)
        lines += [_expand(header, seen), f'#line {number + 1} "{path.name}"\n']
    return "".join(lines)
