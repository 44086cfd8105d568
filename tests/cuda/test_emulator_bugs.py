"""The emulator's checks: programs that are right pass in every thread order, planted bugs are caught and named."""

import numpy as np
import pytest
from planted import DRIVERS, PROGRAMS

from kernels.cuda import emulator
from kernels.cuda.emulator import EmulatorRuntime

pytestmark = pytest.mark.skipif(bool(emulator.why_not()), reason=str(emulator.why_not()))
ORDERS = ("forward", "reverse", "random:3", "warps")


@pytest.mark.parametrize("guard", ["", "end", "front"])
@pytest.mark.parametrize("build", ["fast", "checked"])
@pytest.mark.parametrize("program", DRIVERS)
def test_a_right_program_passes_in_every_order(program: str, build: str, guard: str) -> None:
    for order in ORDERS:
        result, expected = DRIVERS[program](EmulatorRuntime(order, build, guard, folder=PROGRAMS))
        np.testing.assert_array_equal(result, expected)
