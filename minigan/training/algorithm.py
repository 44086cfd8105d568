"""What an algorithm is: a list of updates, each the gradient of a loss in the parameters of some of the players.

A GAN has two updates, one of each player (`adversarial`). The Trainer knows no more of an algorithm than this page.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Hashable
from typing import Any, NamedTuple, TypeAlias

from kernels import Ops
from kernels.types import Array

from ..layer import Layer, Note, Params


class Batch(NamedTuple):
    """What an update learns from. N = batch."""

    step: int  # counted from 0
    x: Array  # (N, *data_shape)
    labels: Array | None  # (N,)


class Outcome(NamedTuple):
    """What an update leaves beside the gradients: its losses, what running statistics learn from, what it has seen."""

    losses: dict[str, Array]  # 0-d, by their names in the algorithm's `losses`
    caches: dict[str, Note]  # by player
    logits: tuple[Array, Array] | None = None  # D's, of real and of fake samples; None: not D's update
    feedback: tuple[Array, Array] | None = None  # gradients in D's logits and in the samples; None: not G's update


class Update(NamedTuple):
    """One update of an algorithm.

    `gradient(batch, replay)` adds to the gradients of the players, which are zero, in the memory of the first of them.
    `replay`: a repetition, to find what went wrong, which changes no state.
    """

    players: tuple[str, ...]
    gradient: Callable[[Batch, bool], Outcome]
    every: int = 1  # steps
    optimizer: str | None = None  # of the players; by default each one's own

    def due(self, step: int) -> bool:
        """Whether the update is part of a step, counted from 0."""
        return (step + 1) % self.every == 0


class Pass(NamedTuple):
    """A network's forward pass within an update."""

    path: str
    network: Layer
    params: Params
    x: Any
    remark: str = ""  # which of several passes through the network


Passes: TypeAlias = Generator[Pass, Any, None]
"""Passes one after the other; each is answered by its output, which later ones may need."""


class Algorithm(ABC):
    """How the players of a preset learn.

    Attributes:
        losses: named tuple type of what a step returns, None for a loss whose update was not due.
        maker: name of the player whose network turns latents into samples.
        has_prior: whether latents drawn from N(0, I) make samples, or codes of data alone.
        judges_codes: whether D compares an encoder's codes with latents, in place of samples with data.
        updates: in the order of a step.
        logits, feedback: of the last updates that had any, see `Outcome`; for `beliefs` and `signs`.
    """

    losses: Any
    maker: str
    has_prior = True
    judges_codes = False
    updates: tuple[Update, ...]
    logits: tuple[Array, Array] | None = None
    feedback: tuple[Array, Array] | None = None

    def variant(self, update: Update, step: int) -> Hashable:
        """What tells apart steps of which an update launches different kernels, or hands them other numbers."""
        return None

    def see(self, outcome: Outcome) -> None:
        """Keep what `beliefs` and `signs` read. Each graph of an update leaves it in memory of its own."""
        self.logits = outcome.logits or self.logits
        self.feedback = outcome.feedback or self.feedback

    @abstractmethod
    def passes(self, update: Update, batch: Batch) -> Passes:
        """The forward passes of an update, in the order in which they depend on each other."""

    def conditions(self, labels: Array | None, seed: int) -> Any:
        """What the maker is told beside its latents (N, Z) for samples of `labels` (N,); None for nothing."""
        return None

    def samples(self, ops: Ops, made: Array) -> Array:
        """Samples, from what the maker's network puts out."""
        return made

    def tensors(self) -> dict[str, Array]:
        """What a checkpoint must hold beside the players, by name."""
        return {}

    def beliefs(self) -> dict[str, float]:
        """What else a line of metrics says of the last step."""
        return {}

    def signs(self) -> dict[str, float | None]:
        """What else the health monitor can know of the last step, by key."""
        return {}
