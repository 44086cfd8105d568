"""Every layer's gradients of first and second order, against difference quotients."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kernels
from kernels import activation
from minigan.gradcheck import check_against_first_order, check_layer
from minigan.layer import Layer
from minigan.layers import (
    AvgPool2d,
    BatchNorm,
    Concat,
    Conv2d,
    ConvTranspose2d,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    InstanceNorm,
    LayerNorm,
    LeakyReLU,
    MaxPool2d,
    MinibatchStddev,
    Pack,
    Parallel,
    Projection,
    Reshape,
    Residual,
    Sequential,
    SiLU,
    Softplus,
    Tanh,
    Upsample2d,
)
from minigan.testing import (
    KINDS,
    LayerAndShape,
    batches,
    layers,
    random_inputs,
    random_like,
    random_params,
    seeds,
    sequentials,
    whole_groups,
)

NO_SECOND_ORDER = {"BatchNorm", "GRU"}
"""In train mode a BatchNorm has none, a GRU never."""


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data(), n=batches(), seed=seeds())
def test_gradients(kind: str, data: st.DataObject, n: int, seed: int):
    layer, shape = data.draw(layers(kind, second_order=kind not in NO_SECOND_ORDER), label="layer")
    inputs = random_inputs(shape, whole_groups(layer, n), seed)
    report = check_layer(layer, shape, inputs=inputs, seed=seed).require()
    assert report.second_order or kind in NO_SECOND_ORDER


@pytest.mark.parametrize("train", [True, False])
@settings(max_examples=100)
@given(case=sequentials(), n=batches(), seed=seeds())
def test_networks(case: LayerAndShape, n: int, seed: int, train: bool):
    """Chains of anything, BatchNorm too; in eval mode all of them have a second order."""
    layer, shape = case
    report = check_layer(layer, shape, inputs=random_inputs(shape, n, seed), seed=seed, train=train).require()
    assert report.second_order or train


@given(data=st.data(), n=batches(), seed=seeds())
def test_batch_norm_in_eval_mode(data: st.DataObject, n: int, seed: int):
    """An affine map per channel, with a second order like any other."""
    layer, shape = data.draw(layers("BatchNorm"))
    assert check_layer(layer, shape, batch=n, seed=seed, train=False).require().second_order


NORM_SHAPES = [(6,), (3, 2, 4), (1, 5, 3)]
NORMS = [(norm, shape) for norm in (BatchNorm, LayerNorm) for shape in NORM_SHAPES]
NORMS += [(InstanceNorm, shape) for shape in NORM_SHAPES[1:]]


@pytest.mark.parametrize(("norm", "shape"), NORMS)
@pytest.mark.parametrize("act", [None, "tanh", "relu"])
def test_norms_with_the_eps_that_training_uses(norm: type[Layer], act: str | None, shape: tuple[int, ...]):
    check_layer(norm(shape[-1], eps=1e-5, activation=act), shape, batch=5).require()


CRITICS: dict[str, tuple[Layer, Any]] = {
    "DCGAN discriminator with LayerNorm": (
        Sequential(
            Conv2d(2, 3, 4, 2, 1, activation=activation("leaky_relu", 0.2)),
            Conv2d(3, 4, (3, 2), (2, 1), "same", bias=False),
            LayerNorm(4, activation="tanh"),
            Flatten(),
            Dense(24, 1),
        ),
        (8, 6, 2),
    ),
    "nested Residuals with fused tanh": (
        Sequential(
            Dense(3, 4, "tanh"),
            Residual(
                Sequential(Dense(4, 4, "tanh"), Residual(Dense(4, 4, "tanh")), LayerNorm(4)), Dense(4, 4, "softplus")
            ),
            Residual(Residual(Residual(Tanh()))),
            Dense(4, 1),
        ),
        (3,),
    ),
    "transposed convolution and max pool": (
        Sequential(
            Conv2d(2, 3, 3, activation="softplus"),
            ConvTranspose2d(3, 2, (4, 3), (2, 1), (1, 1, 0, 1), activation="tanh"),
            MaxPool2d((2, 3), (1, 2)),
            SiLU(),
            Flatten(),
            Dense(36, 1),
        ),
        (5, 4, 2),
    ),
    "pools and upsampling between curves": (
        Sequential(Upsample2d((1, 2)), SiLU(), AvgPool2d((2, 3), (1, 2)), Softplus(), Conv2d(2, 2, 2), Flatten()),
        (4, 4, 2),
    ),
    "projection of a label": (
        Sequential(
            Parallel(Sequential(Conv2d(2, 3, 3, 2, activation="tanh"), Flatten(), LayerNorm(12)), Embedding(3, 4)),
            Concat(),
            Dense(16, 5, "softplus"),
            Dense(5, 1),
        ),
        ((4, 3, 2), ()),
    ),
    "packs, their spread, and one norm a channel": (
        Sequential(
            Pack(2), MinibatchStddev(2, 0.01), Conv2d(5, 3, 3, activation="tanh"), InstanceNorm(3, activation="tanh"),
            MinibatchStddev(None, 0.01), Flatten(), Dense(24, 1), Softplus(),
        ),
        (3, 2, 2),
    ),
    "the inner product with a label": (
        Sequential(
            Parallel(Sequential(Conv2d(2, 3, 3, 2), InstanceNorm(3), Flatten(), Dense(12, 5, "tanh")), Sequential()),
            Projection(5, 3),
            Tanh(),
        ),
        ((4, 3, 2), ()),
    ),
    "two images that meet late": (
        Sequential(
            Parallel(Conv2d(1, 2, 3, activation="tanh"), Sequential(Dropout(0.3), Residual(Conv2d(2, 2, 3), SiLU()))),
            Concat(),
            LeakyReLU(),
            LayerNorm(4, activation="sigmoid"),
        ),
        ((3, 4, 1), (3, 4, 2)),
    ),
    "linear but for one curve at the very end": (
        Sequential(Reshape(2, 3, 2), Conv2d(2, 3, 2), Flatten(), Dense(18, 1), Tanh()),
        (12,),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("layer", "shape"), CRITICS.values(), ids=CRITICS)
def test_curved_critics_by_differences(layer: Layer, shape: Any):
    report = check_layer(layer, shape, inputs=random_inputs(shape, 4, seed=5), directions=10).require()
    assert report.second_order


@pytest.mark.parametrize(("layer", "shape"), CRITICS.values(), ids=CRITICS)
def test_curved_critics_by_first_order_sweeps_alone(layer: Layer, shape: Any):
    """Each entry of the penalty's parameter gradient, by an oracle that has no second order to be wrong in."""
    ops, p, x, dy, ddx = point(layer, shape)
    check_against_first_order(layer, ops, p, x, dy, ddx).require()


@given(case=sequentials(second_order=True), seed=seeds())
def test_any_network_by_first_order_sweeps_alone(case: LayerAndShape, seed: int):
    layer, shape = case
    ops, p, x, dy, ddx = point(layer, shape, seed)
    check_against_first_order(layer, ops, p, x, dy, ddx).require()


def point(layer: Layer, shape: Any, seed: int = 1) -> tuple[Any, ...]:
    """(ops, p, x, dy, ddx) at random; labels have no ddx."""
    ops = kernels.get_ops("numpy", dtype=np.float64, seed=seed)
    p = random_params(layer, shape, seed)
    x = random_inputs(shape, 4, seed)
    dy = random_like(layer.forward(ops, p, x)[0], seed + 1)
    members = x if isinstance(x, tuple) else (x,)
    ddx = tuple(None if np.issubdtype(m.dtype, np.integer) else random_like(m, seed + 2) for m in members)
    return ops, p, x, dy, ddx if isinstance(x, tuple) else ddx[0]


@given(seed=seeds(), n=batches(), act=st.sampled_from((None, "tanh")))
def test_layer_norm_with_gains_of_zero(seed: int, n: int, act: str | None):
    """gamma = 0 hides nothing: dgamma of the second order is there though dx and dy are zero through this channel."""
    layer = LayerNorm(3, eps=0.05, activation=act)
    p = layer.init(0, (2, 3), np.float64)
    p["gamma"][:] = 0, 1.5, 0
    p["beta"][:] = 0.3, -0.2, 0.1
    assert check_layer(layer, (2, 3), batch=n, seed=seed, params=p).require().second_order
