"""Every layer against PyTorch in float64: outputs, input and parameter gradients, and gradients of gradients."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kernels
from minigan.layer import Layer
from minigan.layers import (
    BatchNorm,
    Conv2d,
    ConvTranspose2d,
    Dense,
    Flatten,
    InstanceNorm,
    LayerNorm,
    MaxPool2d,
    MinibatchStddev,
    Pack,
    Residual,
    Sequential,
    SiLU,
    Softplus,
)
from minigan.testing import (
    KINDS,
    RANDOM,
    batches,
    layers,
    random_inputs,
    random_like,
    random_params,
    seeds,
    whole_groups,
)

torch = pytest.importorskip("torch")

from torch_twin import leaves, nchw, nhwc, tensors, twin  # noqa: E402

TWINS = tuple(kind for kind in KINDS if kind not in RANDOM)


def flat(value: Any) -> list[Any]:
    """The arrays or tensors of nested tuples that are neither None nor labels."""
    if isinstance(value, tuple):
        return [leaf for member in value for leaf in flat(member)]
    is_label = isinstance(value, np.ndarray) and not np.issubdtype(value.dtype, np.floating)
    is_label |= isinstance(value, torch.Tensor) and not value.is_floating_point()
    return [] if value is None or is_label else [value]


def gradients_of(x: Any, dx: Any) -> list[np.ndarray]:
    """dx of every array in x that is no label, zeros where it is None."""
    if isinstance(x, tuple):
        members = dx or (None,) * len(x)
        return [g for pair in zip(x, members, strict=True) for g in gradients_of(*pair)]
    return [np.zeros_like(x) if dx is None else dx] if np.issubdtype(x.dtype, np.floating) else []


def assert_agree(actual: list[np.ndarray], expected: list[Any], tolerance: float = 1e-9) -> None:
    """Relative to the largest entry of each array; below 1e-3, where gradients vanish but for rounding, absolute."""
    for ours, theirs in zip(actual, expected, strict=True):
        theirs = theirs.detach().numpy()
        assert ours.shape == theirs.shape
        scale = max(float(np.abs(theirs).max(initial=0)), 1e-3)
        assert float(np.abs(ours - theirs).max(initial=0)) <= tolerance * scale


def is_random(layer: Layer) -> bool:
    return type(layer).__name__ in RANDOM or any(map(is_random, layer.children().values()))


def assert_like_torch(layer: Layer, in_shape: Any, batch: int, seed: int, train: bool = True) -> None:
    """Forward and backward of ours and of the twin, at the same point."""
    ops = kernels.get_ops("numpy", dtype=np.float64)
    p, x = random_params(layer, in_shape, seed), random_inputs(in_shape, batch, seed)
    nested, trainable = tensors(p)
    y, cache = layer.forward(ops, p, x, train)
    dy, g = random_like(y, seed + 1), p.like()
    dx, _ = layer.backward(ops, p, cache, dy, g)
    inputs = leaves(x)
    outputs = twin(layer, nested, inputs, train)
    assert_agree(flat(y), flat(outputs))
    product = sum((torch.tensor(a) * b).sum() for a, b in zip(flat(dy), flat(outputs), strict=True))
    wanted = [*flat(inputs), *trainable]
    gradients = torch.autograd.grad(product, wanted, materialize_grads=True)
    assert_agree([*gradients_of(x, dx), *g.trainable().values()], list(gradients))


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("kind", TWINS)
@settings(max_examples=25)
@given(data=st.data(), n=batches(), seed=seeds())
def test_outputs_and_gradients(kind: str, train: bool, data: st.DataObject, n: int, seed: int):
    layer, in_shape = data.draw(layers(kind).filter(lambda drawn: not is_random(drawn[0])), label="layer")
    assert_like_torch(layer, in_shape, whole_groups(layer, n), seed, train)


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "output_padding"),
    [(4, 2, 1, 0), (3, 2, 1, 1), (5, 3, 2, 2), ((3, 4), (2, 3), 1, (1, 0)), (2, 3, 0, 2), (3, 1, 2, 0)],
)
def test_transposed_convolution_with_torchs_own_arguments(kernel, stride, padding, output_padding):
    """The same names mean the same thing, so that code can be carried over."""
    layer = ConvTranspose2d(3, 2, kernel, stride, padding, output_padding=output_padding)
    p, x = random_params(layer, (4, 5, 3), seed=0), random_inputs((4, 5, 3), 2, seed=0)
    theirs = torch.nn.ConvTranspose2d(3, 2, kernel, stride, padding, output_padding, dtype=torch.float64)
    with torch.no_grad():
        theirs.weight.copy_(torch.tensor(p["W"]).permute(3, 2, 0, 1))
        theirs.bias.copy_(torch.tensor(p["b"]))
    y, _ = layer.forward(kernels.get_ops("numpy", dtype=np.float64), p, x)
    assert_agree([y], [nhwc(theirs(nchw(torch.tensor(x))))])


@pytest.mark.parametrize("padding", ["same", "valid", 0, 1, 2])
def test_convolution_with_torchs_own_arguments(padding: str | int):
    layer = Conv2d(3, 2, (3, 5), 1, padding)
    p, x = random_params(layer, (6, 7, 3), seed=0), random_inputs((6, 7, 3), 2, seed=0)
    y, _ = layer.forward(kernels.get_ops("numpy", dtype=np.float64), p, x)
    w, b = torch.tensor(p["W"]).permute(3, 2, 0, 1), torch.tensor(p["b"])
    assert_agree([y], [nhwc(torch.nn.functional.conv2d(nchw(torch.tensor(x)), w, b, padding=padding))])


@pytest.mark.parametrize("shape", [(3,), (2, 4, 3)])
def test_running_statistics_over_several_updates(shape: tuple[int, ...]):
    """And what eval mode makes of them."""
    layer = BatchNorm(3, momentum=0.3, activation="tanh")
    ops, p = kernels.get_ops("numpy", dtype=np.float64), random_params(layer, shape, seed=0)
    theirs = torch.nn.BatchNorm1d(3, layer.eps, layer.momentum, dtype=torch.float64)
    with torch.no_grad():
        theirs.weight.copy_(torch.tensor(p["gamma"]))
        theirs.bias.copy_(torch.tensor(p["beta"]))
    for seed in range(5):
        x = 2 + 3 * random_inputs(shape, 4, seed)
        layer.update_state(ops, p, layer.forward(ops, p, x)[1])
        theirs(torch.tensor(x).reshape(-1, 3))
        assert_agree([p["mean"], p["var"]], [theirs.running_mean, theirs.running_var])
    theirs.eval()
    assert_agree(
        [layer.forward(ops, p, x, train=False)[0]],
        [torch.tanh(theirs(torch.tensor(x).reshape(-1, 3))).reshape(x.shape)],
    )


def test_softmax_cross_entropy():
    logits, labels = random_inputs((7,), 5, seed=0), np.array([0, 6, 3, 3, 1])
    value, gradient = kernels.get_ops("numpy", dtype=np.float64).softmax_cross_entropy(logits, labels)
    theirs = leaves(logits)
    loss = torch.nn.functional.cross_entropy(theirs, torch.tensor(labels))
    assert_agree([value, gradient], [loss, torch.autograd.grad(loss, theirs)[0]])


# --- second order ---


CRITICS: dict[str, tuple[Layer, tuple[int, ...]]] = {
    "tanh": (
        Sequential(Conv2d(2, 3, 3, 2, activation="tanh"), LayerNorm(3), Flatten(), Dense(12, 5, "tanh"), Dense(5, 1)),
        (4, 3, 2),
    ),
    "softplus": (
        Sequential(Conv2d(2, 3, (2, 3)), LayerNorm(3, activation="softplus"), Flatten(), Dense(36, 1), Softplus()),
        (4, 3, 2),
    ),
    "SiLU": (
        Sequential(Conv2d(2, 3, 4, 2, 1), LayerNorm(3), SiLU(), MaxPool2d(1, 2), Flatten(), Dense(3, 1)),
        (4, 3, 2),
    ),
    "packs, their spread, InstanceNorm": (
        Sequential(
            Pack(2), MinibatchStddev(2), Conv2d(5, 3, 3, activation="tanh"), InstanceNorm(3, activation="softplus"),
            MinibatchStddev(None), Flatten(), Dense(48, 1, "tanh"),
        ),
        (4, 3, 2),
    ),
    "nested Residuals": (
        Sequential(
            Residual(Sequential(Conv2d(2, 2, 3, activation="tanh"), Residual(Sequential(LayerNorm(2), SiLU())))),
            ConvTranspose2d(2, 2, 3, 2, activation="softplus"),
            Flatten(),
            Residual(Dense(96, 96, "tanh"), Dense(96, 96, "sigmoid")),
            Dense(96, 1),
        ),
        (4, 3, 2),
    ),
}  # fmt: skip


def gradient_penalty(layer: Layer, p: Any, x: Any) -> tuple[float, Any]:
    """mean((|dx| - 1)^2) and its gradient in all parameters, by our three sweeps."""
    ops, g = kernels.get_ops("numpy", dtype=np.float64), p.like()
    u, cache = layer.forward(ops, p, x)
    dx, tape = layer.backward(ops, p, cache, np.ones_like(u))
    norms = np.sqrt((dx.reshape(len(dx), -1) ** 2).sum(1)).reshape(-1, *[1] * (dx.ndim - 1))
    ddx = 2 * (norms - 1) / norms * dx / len(dx)
    _, extra = layer.double_backward(ops, p, tape, ddx, g)
    if extra is not None:
        layer.backward(ops, p, cache, None, g, extra=extra, need_dx=False)
    return float(((norms - 1) ** 2).mean()), g


def torch_gradient_penalty(layer: Layer, p: Any, x: Any) -> tuple[Any, list[Any]]:
    """The same by automatic differentiation of automatic differentiation."""
    nested, trainable = tensors(p)
    inputs = leaves(x)
    (dx,) = torch.autograd.grad(twin(layer, nested, inputs).sum(), inputs, create_graph=True)
    value = ((dx.flatten(1).norm(dim=1) - 1) ** 2).mean()
    return value, list(torch.autograd.grad(value, trainable, materialize_grads=True))


@pytest.mark.parametrize(("layer", "shape"), CRITICS.values(), ids=CRITICS)
@pytest.mark.parametrize("seed", range(3))
def test_gradient_penalty_of_a_critic(layer: Layer, shape: tuple[int, ...], seed: int):
    p, x = random_params(layer, shape, seed), random_inputs(shape, 4, seed)
    value, g = gradient_penalty(layer, p, x)
    expected, gradients = torch_gradient_penalty(layer, p, x)
    assert_agree([np.asarray(value)], [expected], 1e-8)
    assert_agree(list(g.trainable().values()), gradients, 1e-8)


@pytest.mark.parametrize(("layer", "shape"), CRITICS.values(), ids=CRITICS)
def test_without_the_third_sweep_it_is_far_off(layer: Layer, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch):
    """Why `extra` is there at all: a check that could not fail would prove nothing."""
    p, x = random_params(layer, shape, 0), random_inputs(shape, 4, 0)
    monkeypatch.setattr(layer, "double_backward", lambda *a: (type(layer).double_backward(layer, *a)[0], None))
    _, g = gradient_penalty(layer, p, x)
    _, gradients = torch_gradient_penalty(layer, p, x)
    exact = np.concatenate([a.numpy().ravel() for a in gradients])
    ours = np.concatenate([a.ravel() for a in g.trainable().values()])
    assert np.linalg.norm(ours - exact) > 0.1 * np.linalg.norm(exact)


@settings(max_examples=40)
@given(data=st.data(), n=batches(), seed=seeds())
def test_gradients_of_gradients_of_any_network(data: st.DataObject, n: int, seed: int):
    """s = <ddx, dx> for a random ddx: all of ds/dx, ds/ddy and ds/dp."""
    kinds = layers("Sequential", "Residual", "LayerNorm", "InstanceNorm", "MinibatchStddev", "Pack", second_order=True)
    layer, shape = data.draw(kinds.filter(lambda drawn: not is_random(drawn[0])), label="layer")
    ops = kernels.get_ops("numpy", dtype=np.float64)
    p, x = random_params(layer, shape, seed), random_inputs(shape, whole_groups(layer, n), seed)
    y, cache = layer.forward(ops, p, x)
    dy, g = random_like(y, seed + 1), p.like()
    dx, tape = layer.backward(ops, p, cache, dy)
    members = [None if d is None else random_like(d, seed + 2) for d in (dx if isinstance(dx, tuple) else (dx,))]
    ddx = tuple(members) if isinstance(dx, tuple) else members[0]
    ddy, extra = layer.double_backward(ops, p, tape, ddx, g)
    dx_extra = layer.backward(ops, p, cache, None, g, extra=extra)[0] if extra is not None else None
    nested, trainable = tensors(p)
    inputs, cotangent = leaves(x), leaves(dy)
    dxs = torch.autograd.grad(twin(layer, nested, inputs), flat(inputs), cotangent, create_graph=True)
    s = sum((torch.tensor(v) * d).sum() for v, d in zip(flat(ddx), dxs, strict=True))
    expected = torch.autograd.grad(s, [*flat(inputs), cotangent, *trainable], materialize_grads=True)
    assert_agree([*gradients_of(x, dx_extra), ddy, *g.trainable().values()], list(expected), 1e-8)
