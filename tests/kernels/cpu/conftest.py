"""What tests of the CPU kernels share."""

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from kernels.cpu import direct, implicit_gemm, weight_grad
from kernels.cpu.sampling import Sampling

Runs = list[tuple[str, Any]]


@pytest.fixture(scope="module")
def general_kernels() -> Iterator[Runs]:
    """Whatever has a tap goes to the general kernels, however few; (kernel, division of its work) of each run."""
    runs: Runs = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(direct, "MOST_TAPS", 0)
        for module in (direct, implicit_gemm, weight_grad):
            for name in {"convolve", "weight_grad"} & vars(module).keys():
                patch.setattr(module, name, _recorded(runs, module, name))
        yield runs


def _recorded(runs: Runs, module: ModuleType, name: str):
    own = getattr(module, name)

    def run(s: Sampling, division: Any, *arguments: Any) -> None:
        if s.segments * s.length:
            runs.append((module.__name__.rpartition(".")[2], division))
        own(s, division, *arguments)

    return run
