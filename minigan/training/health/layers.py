"""How large the gradient of each layer is, and by how much of itself an update changed the layer."""

from kernels import Ops
from kernels.types import Array

from ...params import ParamSet
from ..player import Player


class LayerWatch:
    """Watches a player through one update: `before` it and `after` it.

    Between them it keeps a copy of the weights, its only memory. A layer is what owns parameters: "conv2d1", or
    "residual1/conv2d2" inside a composite. Its norm is that of all its trainable arrays together.
    """

    def __init__(self, player: Player) -> None:
        self.player = player
        self._change = player.params.like()
        self.sizes = {path: sum(a.size for a in arrays) for path, arrays in _layers(player.params).items()}

    def before(self) -> None:
        """Remember the weights."""
        self._change.flat[...] = self.player.params.flat

    def after(self, ops: Ops) -> dict[str, float | None]:
        """What the update was, by key, for a player called p with a layer l.

        gradient/p     norm of the gradient as the optimizer got it, after any clipping
        gradient/p/l   the layer's part
        update/p/l     |change of the layer's weights| / |weights|; None where the weights are zero
        """
        name, params = self.player.name, self.player.params
        ops.axpy(-1.0, params.flat, self._change.flat)
        gradients, changes, weights = (_norms(ops, p) for p in (self.player.grads, self._change, params))
        signs: dict[str, float | None] = {f"gradient/{name}": sum(g * g for g in gradients.values()) ** 0.5}
        for layer, gradient in gradients.items():
            signs[f"gradient/{name}/{layer}"] = gradient
            signs[f"update/{name}/{layer}"] = changes[layer] / weights[layer] if weights[layer] else None
        return signs


def _layers(params: ParamSet) -> dict[str, list[Array]]:
    """The trainable arrays of each layer by its path."""
    layers: dict[str, list[Array]] = {}
    for path, array in params.trainable().items():
        layers.setdefault(path.rpartition("/")[0], []).append(array)
    return layers


def _norms(ops: Ops, params: ParamSet) -> dict[str, float]:
    """Euclidean norm of each layer."""
    with ops.scratch():
        return {
            path: sum(float(ops.to_host(ops.squared_norms(array.reshape(1, -1)))[0]) for array in arrays) ** 0.5
            for path, arrays in _layers(params).items()
        }
