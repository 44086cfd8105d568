"""Unrolled discriminator steps against PyTorch's automatic differentiation through all of them, to 1e-8."""

from typing import Any

import numpy as np
import pytest
from foreseen import DISCRIMINATORS, LATENT, Foreseen, N, game

from kernels import Use
from minigan.params import ParamSet, walk

torch = pytest.importorskip("torch")

from torch_twin import Tensors, leaf, tensors, twin  # noqa: E402

F = torch.nn.functional
Tensor = torch.Tensor


def nested(p: ParamSet, flat: list[Tensor]) -> Tensors:
    """Parameters by name, where `flat` lists those that have a gradient; D has no others."""
    tree = Tensors()
    for (path, _), tensor in zip(walk(p.spec), flat, strict=True):
        *parents, name = path.split("/")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, Tensors())
        node[name] = tensor
    return tree


def adam(optimizer: Any, w: list[Tensor], g: list[Tensor], state: dict[str, list[Tensor]], step: int) -> list[Tensor]:
    """Kingma and Ba 2015, Algorithm 1; AMSGrad as Reddi et al. 2018, with PyTorch's bias correction of the maximum."""
    b1, b2 = optimizer.beta1, optimizer.beta2
    state["m"] = [b1 * m + (1 - b1) * own for m, own in zip(state["m"], g, strict=True)]
    state["v"] = [b2 * v + (1 - b2) * own**2 for v, own in zip(state["v"], g, strict=True)]
    top = state["v"]
    if "v_max" in state:
        top = state["v_max"] = [torch.maximum(a, b) for a, b in zip(state["v_max"], state["v"], strict=True)]
    moves = [
        (m / (1 - b1**step)) / ((v / (1 - b2**step)).sqrt() + optimizer.eps)
        for m, v in zip(state["m"], top, strict=True)
    ]
    return [p - optimizer.lr * move for p, move in zip(w, moves, strict=True)]


def rmsprop(
    optimizer: Any, w: list[Tensor], g: list[Tensor], state: dict[str, list[Tensor]], _step: int
) -> list[Tensor]:
    state["v"] = [optimizer.decay * v + (1 - optimizer.decay) * own**2 for v, own in zip(state["v"], g, strict=True)]
    moves = [own / (v.sqrt() + optimizer.eps) for own, v in zip(g, state["v"], strict=True)]
    return [p - optimizer.lr * move for p, move in zip(w, moves, strict=True)]


def sgd(optimizer: Any, w: list[Tensor], g: list[Tensor], state: dict[str, list[Tensor]], _step: int) -> list[Tensor]:
    if optimizer.momentum:
        g = state["velocity"] = [optimizer.momentum * v + own for v, own in zip(state["velocity"], g, strict=True)]
    return [p - optimizer.lr * own for p, own in zip(w, g, strict=True)]


RULES = {"adam": adam, "rmsprop": rmsprop, "sgd": sgd}


def by_autograd(at: Foreseen) -> tuple[float, np.ndarray]:
    """G's loss after the updates of D, which keep their graph, and its gradient in G's weights."""
    g, d = at.players["generator"], at.players["discriminator"]
    at.rng.begin(0)
    latents = [torch.tensor(at.rng.normal((N, LATENT), Use.LATENT_D)) for _ in range(at.config.unrolled_steps)]
    z_g = torch.tensor(at.rng.normal((N, LATENT), Use.LATENT_G))
    y = () if at.batch.labels is None else (torch.tensor(at.batch.labels),)
    tree_g, weights_g = tensors(g.params)
    x = torch.tensor(at.batch.x)

    def judge(w: list[Tensor], points: Tensor) -> Tensor:
        return twin(d.network, nested(d.params, w), (points, *y) if y else points, True)

    def made(z: Tensor) -> Tensor:
        for name, layer in g.network.children().items():
            z = twin(layer, tree_g[name], z, True)
        return z

    w = [leaf(view) for view in d.params.trainable().values()]
    state = {
        name: [torch.tensor(view) for view in moment.trainable().values()]
        for name, moment in d.optimizer.moments.items()
    }
    for number, z in enumerate(latents):
        loss = F.softplus(-judge(w, x)).mean() + F.softplus(judge(w, made(z))).mean()
        gradients = list(torch.autograd.grad(loss, w, create_graph=True))
        if at.config.gradient_clip:
            norm = torch.sqrt(sum((own**2).sum() for own in gradients))
            gradients = [own * torch.clamp(at.config.gradient_clip / norm, max=1.0) for own in gradients]
        w = RULES[str(at.config.optimizer)](d.optimizer, w, gradients, state, d.optimizer.count + number + 1)
    value = F.softplus(-judge(w, made(z_g))).mean()
    gradient = torch.autograd.grad(value, weights_g)
    return float(value.detach()), np.concatenate([own.numpy().ravel() for own in gradient])


OPTIMIZERS: dict[str, dict[str, Any]] = {
    "adam": {},
    "amsgrad": {"amsgrad": True},
    "rmsprop": {"optimizer": "rmsprop"},
    "sgd": {"optimizer": "sgd"},
    "momentum": {"optimizer": "sgd", "momentum": 0.5},
    "clipped": {"gradient_clip": 0.05},
}


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("steps", [1, 3, 5])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("discriminator", DISCRIMINATORS)
def test_the_whole_gradient(discriminator: str, optimizer: str, steps: int, backend: str) -> None:
    at = game(discriminator, steps, 1, backend, **OPTIMIZERS[optimizer])
    value, own = at.play()
    gradient = np.concatenate([view.ravel() for view in own.trainable().values()])
    expected_value, expected = by_autograd(at)
    assert value == pytest.approx(expected_value, rel=1e-10)
    assert np.linalg.norm(gradient - expected) <= 1e-8 * np.linalg.norm(expected)
