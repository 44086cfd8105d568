"""The product family on CUDA kernels: every product is one launch, or two where its sums are split."""

from collections.abc import Sequence

import numpy as np

from ...activations import Activation
from ...choice import Choice
from ...contract.products import ProductOps
from ...types import Array
from ..activations import encode
from ..instances.products import MATMUL, SPLIT_SUM, SUM_THREADS, Rung, matmul_expression
from ..runtime import Argument
from .device import REALS, DeviceOps
from .plan import Plan, plan

TENSOR_CORES = (8, 0)
"""The compute capability from which on tensor cores multiply TF32."""


class CudaProducts(DeviceOps, ProductOps):
    """matmul and the three convolutions.

    Attributes:
        matmul_rung: "auto", or a rung of `kernels.cuda.instances.products.MATMUL` to compute every matmul on.
        tf32: whether "auto" may take tensor cores at their full rate. They round the factors to TF32, a relative error
            of up to 5e-4 each. By default products are as accurate as float32, on tensor cores too.

    Raises:
        ValueError: on assignment of an unknown name; on use of a rung that does not take the dtype.
    """

    matmul_rung = Choice("auto", *MATMUL)
    tf32 = False

    def _matmul(
        self,
        a: Array,
        b: Array,
        bias: Array | None,
        act: Activation | None,
        trans_a: bool,
        trans_b: bool,
        y: Array,
        accumulate: bool,
    ) -> None:
        """y = f(op(a) op(b) + bias), or y += op(a) op(b)."""
        if not y.size:
            return
        (m, n), k = y.shape, a.shape[0] if trans_a else a.shape[1]
        rung = self._rung("matmul", MATMUL, self._best("warp") if self.matmul_rung == "auto" else self.matmul_rung)
        how = plan(rung, REALS[self.dtype], m, k, n)
        expression = matmul_expression(rung.file, how.tile.arguments, trans_a, trans_b)
        sizes = np.int32(m), np.int32(k), np.int32(n)
        self._product(rung.file, expression, how, a, b, sizes, bias, act, y, accumulate)

    def _product(
        self,
        file: str,
        expression: str,
        how: Plan,
        a: Array,
        b: Array,
        sizes: Sequence[np.int32],
        bias: Array | None,
        act: Activation | None,
        y: Array,
        accumulate: bool,
    ) -> None:
        """Launch a product as planned; if its sums are split, add up the parts."""
        product = self.runtime.function(file, expression)
        threads, shared = (how.tile.threads,), how.tile.shared_bytes
        if how.splits == 1:
            product((how.blocks,), threads, (a, b, bias, y, *sizes, *self._epilogue(act, accumulate)), shared)
            return
        n = y.shape[-1]
        with self.scratch():
            parts = self.empty((how.splits, y.size // n, n))
            product((how.blocks, 1, how.splits), threads, (a, b, None, parts, *sizes, *self._epilogue()), shared)
            counts = tuple(map(np.int32, parts.shape))
            arguments = parts, bias, y, *counts, *self._epilogue(act, accumulate)
            total = self.runtime.function(SPLIT_SUM, f"split_sum<{REALS[self.dtype]}>")
            total((-(-y.size // SUM_THREADS),), (SUM_THREADS,), arguments)

    def _epilogue(self, act: Activation | None = None, accumulate: bool = False) -> tuple[Argument, ...]:
        """The last three arguments of every product."""
        code, parameter = encode(act)
        return code, self.real(parameter), np.int32(accumulate)

    def _best(self, without_tensor_cores: str) -> str:
        """The rung that "auto" stands for."""
        if self.dtype != np.float32 or self.runtime.capability < TENSOR_CORES:
            return without_tensor_cores
        return "tf32" if self.tf32 else "3xtf32"

    def _rung(self, op: str, ladder: dict[str, Rung], name: str) -> Rung:
        if REALS[self.dtype] not in ladder[name].tiles:
            raise ValueError(f"{op}: {name} multiplies float32 alone, this backend computes in {self.dtype}")
        return ladder[name]
