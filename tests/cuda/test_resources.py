"""Every kernel compiles for every architecture with NVIDIA's compiler, spills nothing, fits, and takes what it took."""

from collections.abc import Mapping

import pytest

from kernels.cuda import nvrtc, resources
from kernels.cuda.instances import TABLE
from kernels.cuda.nvrtc import CompileError, Resources, compile_kernels
from kernels.cuda.resources import Key, Report, architectures, committed, compiled, differences, faults
from kernels.cuda.source import FOLDER, Instance, expand

needs_nvrtc = pytest.mark.skipif(bool(nvrtc.why_not()), reason=str(nvrtc.why_not()))

SPILLING = """
extern "C" __global__ void __launch_bounds__(1024) spilling(const float* x, float* y, int n) {
  float v[96];
  #pragma unroll
  for (int e = 0; e < 96; e++) v[e] = x[e * n + threadIdx.x];
  for (int i = 1; i < n; i++) {
    #pragma unroll
    for (int e = 0; e < 96; e++) v[e] = v[e] * v[(e * 7 + 1) % 96] + x[i];
  }
  #pragma unroll
  for (int e = 0; e < 96; e++) y[e * n + threadIdx.x] = v[e];
}
"""


@pytest.fixture(scope="module")
def reports() -> Mapping[Key, Report]:
    return compiled()


@needs_nvrtc
def test_every_kernel_compiles_spills_nothing_and_fits(reports: Mapping[Key, Report]) -> None:
    assert {key: set(report) for key, report in reports.items()} == {
        (row.file, row.expression): set(architectures(row)) for row in TABLE
    }
    assert "\n".join(map(str, faults(reports))) == ""


@needs_nvrtc
def test_every_kernel_takes_what_the_committed_table_says(reports: Mapping[Key, Report]) -> None:
    told = "\n".join(map(str, differences(reports, committed())))
    assert told == "", "if this is meant to be so: python -m kernels.cuda.resources --write"


def test_the_table_has_each_kernel_once() -> None:
    keys = [(row.file, row.expression) for row in TABLE]
    assert len(set(keys)) == len(keys)


@needs_nvrtc
def test_a_spill_is_seen() -> None:
    report = compile_kernels(SPILLING, "spilling.cu", ["spilling"], "sm_90")["spilling"]
    assert report.spilled > 0
    assert report.parameters == ("u64", "u64", "u32")


@needs_nvrtc
def test_what_does_not_compile_is_told_with_its_line() -> None:
    with pytest.raises(
        CompileError, match=r'(?s)wrong.cu does not compile for sm_90:.*wrong.cu\(2\): error: .*"INFINITY"'
    ):
        compile_kernels("__global__ void wrong(float* x) {\n  *x = INFINITY; }", "wrong.cu", ["wrong"], "sm_90")


def test_a_kernel_is_compiled_for_all_architectures_or_for_the_one_that_has_its_instructions() -> None:
    assert architectures(Instance("a.cu", "a", 1)) == ("sm_80", "sm_90", "sm_90a")
    assert architectures(Instance("a.cu", "a", 1, architecture="sm_90a")) == ("sm_90a",)


@needs_nvrtc
def test_instructions_of_one_architecture_are_not_those_of_its_family() -> None:
    row = next(row for row in TABLE if row.architecture)
    text = expand(FOLDER / row.file)
    assert (
        compile_kernels(text, row.file, [row.expression], "sm_90a")[row.expression].parameters[:2] == ("b8[128]",) * 2
    )
    with pytest.raises(CompileError, match=r"not supported on \.target 'sm_90'"):
        compile_kernels(text, row.file, [row.expression], "sm_90")


@needs_nvrtc
def test_products_of_a_warp_group_that_wait_for_one_another_are_refused() -> None:
    """The assembler finds the sums used while instructions are under way, makes them wait, and goes on."""
    row = next(row for row in TABLE if row.file == "gemm_wgmma.cu")
    text = expand(FOLDER / row.file).replace("wgmma_wait<0>(sums);", "")
    with pytest.raises(CompileError, match=r"^gemm_wgmma.cu makes slow code for sm_90a: wgmma\.\S+ .* are serialized"):
        compile_kernels(text, row.file, [row.expression], "sm_90a")


def test_what_does_not_fit_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    row = Instance("a.cu", "a<1>", threads=1000, shared_bytes=100_000)
    monkeypatch.setattr(resources, "TABLE", (row,))
    takes = Resources(registers=65, spilled=8, stack=8, shared=80_000, parameters=())
    assert [str(finding) for finding in faults({("a.cu", "a<1>"): {"sm_80": takes, "sm_90": takes}})] == [
        "a.cu: a<1>: sm_80: spills 8 bytes per thread",
        "a.cu: a<1>: sm_80: 1000 threads of 65 registers are 73728, of 65536",
        "a.cu: a<1>: sm_80: 180000 bytes of shared memory, of 166912",
        "a.cu: a<1>: sm_90: spills 8 bytes per thread",
        "a.cu: a<1>: sm_90: 1000 threads of 65 registers are 73728, of 65536",
    ]


def test_a_difference_is_told_both_ways() -> None:
    then = Resources(32, 0, 0, 512, ("u64", "u32"))
    now = then._replace(registers=40, shared=0)
    report = dict.fromkeys(resources.SHARED, then)
    found = differences(
        {("a.cu", "a"): report | {"sm_80": now}, ("a.cu", "new"): report},
        {("a.cu", "a"): report, ("a.cu", "gone"): report},
    )
    assert [str(finding) for finding in found] == [
        "a.cu: a: sm_80: registers 32 -> 40, shared 512 -> 0",
        "a.cu: gone: is in the committed table, but no kernel any more",
        "a.cu: new: is not in the committed table",
    ]
