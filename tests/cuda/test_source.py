"""Reading .cu files: headers in place, lines that stay true, and no row without its kernel."""

import re
from pathlib import Path

import pytest

from kernels.cuda.instances import TABLE, compiled_with, row
from kernels.cuda.source import FOLDER, expand


def test_headers_are_put_in_place_once_and_lines_stay_true(tmp_path: Path) -> None:
    (tmp_path / "a.cuh").write_text('#pragma once\n#include "b.cuh"\nint a;\n')
    (tmp_path / "b.cuh").write_text("#pragma once\nint b;\n")
    (tmp_path / "k.cu").write_text('// first\n#include "a.cuh"\n#include "b.cuh"\nint k;\n')
    assert expand(tmp_path / "k.cu").splitlines() == [
        '#line 1 "k.cu"',
        "// first",
        '#line 1 "a.cuh"',
        "",
        '#line 1 "b.cuh"',
        "",
        "int b;",
        '#line 3 "a.cuh"',
        "int a;",
        '#line 3 "k.cu"',
        "",
        "int k;",
    ]


def test_a_header_beside_its_includer(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "a.cuh").write_text('#include "b.cuh"\n')
    (tmp_path / "inner" / "b.cuh").write_text("int b;\n")
    (tmp_path / "k.cu").write_text('#include "inner/a.cuh"\n')
    assert "int b;" in expand(tmp_path / "k.cu")


def test_a_missing_header_is_named(tmp_path: Path) -> None:
    (tmp_path / "k.cu").write_text('int k;\n#include "gone.cuh"\n')
    with pytest.raises(FileNotFoundError, match=r'k.cu:2: there is no header "gone.cuh"'):
        expand(tmp_path / "k.cu")


def test_kernels_include_nothing_but_the_project() -> None:
    for path in (*FOLDER.glob("*.cu"), *FOLDER.glob("*.cuh")):
        text = re.sub(r"//.*", "", path.read_text(encoding="utf-8"))
        assert "#include <" not in text, path.name
        assert "asm" not in text or path.name in ("ptx.cuh", "ptx_sm90.cuh"), path.name
        assert "INFINITY" not in text, path.name


def test_every_file_has_rows_and_every_row_has_its_file() -> None:
    assert {row.file for row in TABLE} == {path.name for path in FOLDER.glob("*.cu")}


def test_a_unit_is_compiled_together() -> None:
    for instance in TABLE:
        unit = compiled_with(instance)
        assert instance.expression in unit
        assert all(row(instance.file, expression).unit == instance.unit for expression in unit)
