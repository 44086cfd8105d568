"""Unrolled GANs, to first order: G learns against the D that comes of several more updates, which are then taken back.

A generator that moves to wherever the present D is fooled collapses; one that foresees D's answer spreads out (Metz,
Poole, Pfau and Sohl-Dickstein 2017). With w the weights of D now and w_K those after K more updates against the present
G, its gradient in G's weights t is

    d/dt L_G(t, w_K) = (partial in t, at w_K) + (partial in w_K) dw_K/dt

Deviation: the second term, how a change of G would change what D learns, is left out. It takes the derivative of weight
gradients; the layers' second order is that of input gradients alone.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from kernels.types import Array

from .player import Player


class Keeper:
    """Brings a player back to where it was. Its copies are made once."""

    def __init__(self, player: Player) -> None:
        self._player = player
        self._copies = [a.copy() for a in self._arrays()]

    def _arrays(self) -> list[Array]:
        """All that an update writes to."""
        player = self._player
        arrays = [player.params.flat, player.params.state, player.grads.flat, player.optimizer.skipped]
        arrays += [moment.flat for moment in player.optimizer.moments.values()]
        return arrays + ([] if player.spectral_norm is None else list(player.spectral_norm.state.values()))

    @contextmanager
    def taken_back(self) -> Iterator[None]:
        """What is done to the player inside is undone at the end, to the last bit."""
        count, arrays = self._player.optimizer.count, self._arrays()
        for copy, array in zip(self._copies, arrays, strict=True):
            copy[...] = array
        try:
            yield
        finally:
            for copy, array in zip(self._copies, arrays, strict=True):
                array[...] = copy
            self._player.optimizer.count = count
