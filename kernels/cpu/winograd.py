"""The three products of a Winograd convolution: transforms, products, inverse transforms, in passes.

    y  = A^T [sum over K of U * V] A           U = B^T x B       V = G w G^T       Z = A dy A^T
    dx = B [sum over O of Z * V] B^T, overlapping tiles added
    dw = G^T [sum over tiles of U * Z] G

The three are adjoint to each other, so three transforms and their transposes serve all of them. Floor of the products:
2 K O FLOPs for each point and tile, e.g. 64 points instead of 196 products for a 7 x 7 output of a 4 x 4 filter with
stride 2. A transform of a tile takes n_v n_h (n_v + n_h) multiply-adds a channel more.

What lies between the transforms is larger than the images: for 64 of 14 x 14 x 64 with 128 filters U takes 4.2 MB, Z
2.1, the lines of dx 4.2. A pass is what is computed before the next begins, in the same memory, which then is still in
the third-level cache. It takes some images' tiles of one kind; for dx, where all kinds add to the same pixels, of all.
A phase of dx at a time would need a quarter of the memory, but reads Z as often as there are phases: it is no faster.
"""

from ..types import Array
from .fork import fork
from .jit import parallel_kernel
from .microkernel import TILE_ROWS, tile_width
from .row_blocks import rows_in_one
from .winograd_inverse import input_grad_of_image, output_of_image, weight_grad_of_channel
from .winograd_lines import BLOCK_ROWS, forward_line, input_grad_line, line_blocks, weight_grad_line
from .winograd_plan import N_V, TILES, Z_AT, Plan
from .winograd_scratch import Scratch
from .winograd_transforms import gradients_of_block, inputs_of_block, tile_blocks


@parallel_kernel
def forward(
    plan: Plan, x: Array, w: Array, bias: Array, slope: float, y: Array, u: Array, lines: Array, scratch: Scratch
) -> None:
    """y = f(conv2d(x, w) + bias).

    U has `Plan.u_size` numbers, the lines of y `Plan.y_size`.
    """
    g, blocks = plan.geometry, line_blocks(plan.geometry.filters // tile_width(y))
    for number, first, images in plan.passes:
        kind = plan.kinds[number]
        items = g.stride_v * tile_blocks(images * kind[TILES])
        fork(inputs_of_block, items, (plan, kind, first, images, TILE_ROWS, x, u, scratch.tiles))
        fork(forward_line, kind[N_V] * blocks, (plan, kind, images, u, w, lines, scratch))
        fork(output_of_image, images, (plan, kind, first, images, lines, bias, slope, y))


@parallel_kernel
def input_grad(
    plan: Plan, dy: Array, w: Array, bias: Array, slope: float, dx: Array, z: Array, lines: Array, scratch: Scratch
) -> None:
    """dx = f(conv2d_input_grad(dy, w) + bias); w in panels (C/W, KH, KW, O, W).

    Z has `Plan.group_z_size` numbers, the lines `Plan.x_size`.
    """
    g = plan.geometry
    items = plan.lines.shape[0] * line_blocks(g.patch // tile_width(dx))
    for first, images in plan.groups:
        for kind in plan.kinds:
            blocks = tile_blocks(images * kind[TILES])
            fork(gradients_of_block, blocks, (plan, kind, first, images, TILE_ROWS, dy, z, kind[Z_AT], scratch.tiles))
        fork(input_grad_line, items, (plan, images, z, w, lines, scratch))
        fork(input_grad_of_image, images * g.stride_v, (plan, first, images, lines, bias, slope, dx))


@parallel_kernel
def weight_grad(
    plan: Plan, x: Array, dy: Array, dw: Array, accumulate: bool, u: Array, z: Array, lines: Array, scratch: Scratch
) -> None:
    """dw (+)= conv2d_weight_grad(x, dy); U, Z and the lines have `Plan.u_size`, `z_size` and `w_size` numbers."""
    g, add = plan.geometry, accumulate
    blocks = (g.patch + BLOCK_ROWS - 1) // BLOCK_ROWS
    for number, first, images in plan.passes:
        kind = plan.kinds[number]
        tiles, tile_items = rows_in_one(images * kind[TILES]), tile_blocks(images * kind[TILES])
        fork(inputs_of_block, g.stride_v * tile_items, (plan, kind, first, images, tiles, x, u, scratch.tiles))
        fork(gradients_of_block, tile_items, (plan, kind, first, images, tiles, dy, z, 0, scratch.tiles))
        fork(weight_grad_line, kind[N_V] * blocks, (plan, kind, images, u, z, lines, scratch))
        fork(weight_grad_of_channel, g.patch, (plan, kind, lines, dw, add))
        add = True
