"""The known failures of training, and by which numbers each of them shows.

A finding is a sentence with the numbers, or None where a measurement does not show the failure. Every limit is a named
constant with its reason. `slack` moves the limits: 1 before a warning, RELEASE while it stands, so that a value which
trembles around a limit is one warning and not many.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ...presets import NO_PENALTY
from ..config import TrainConfig
from . import cures
from .cures import Cure

RELEASE = 2.0
"""A warning stands until the value has come back by this factor."""

FACTOR = 0.01
"""Share of an undecided D's |dL_G/du|, below which the loss itself has shut G off: under minimax D(fake) < 0.5 %."""

FLOOR = 1e-8
"""Of the root mean square of a layer's gradient: the eps of Adam and RMSprop. A smaller gradient no longer sets the
size of the step, it is swallowed; and 1e-8 times a rate below 1 is lost when added to a float32 weight of 0.1."""

EXPLODED = 100.0
"""Gradient norm, in units of what was usual. The norms of a healthy game wander by a factor of 10 to 40 while D learns
to tell the first samples from data; what explodes grows without end and passes 100 soon."""

FAINT = 0.1
"""A gradient norm below it counts as this: small initial weights make small gradients, and to grow out of them is no
explosion."""

OVERTURNED = 0.1
"""Change of a layer in one update, in units of the layer. 0.001 is usual, 0.02 the first updates of Adam on small
weights; a layer that changes by 0.1 keeps nothing of what it knew ten updates ago."""

CRITIC_SLOPE = 20.0
"""|dD/dx| of a Wasserstein critic, whose theory wants a bound of 1; clipped weights bound it by some other number."""

ALIKE = 0.25
"""Mean distance between two samples, in units of that of the data: of the median of the last measurements, since a
collapsed generator hops from mode to mode. Samples from half of all modes still reach 0.5."""

APART = 0.5
"""The same, of a generator that has left its beginnings, in which all samples are alike by nature."""

BEGINNINGS = 5000
"""Updates after which samples that were never APART have not just begun: the preset mlp makes one picture of all
digits for its first 2,500."""

FINISHED = 0.02
"""L_D, in units of an undecided D's. Under the logistic losses that is D(real) > 0.986 and D(fake) < 0.014."""

UNDECIDED = 0.95
"""L_D, in units of an undecided D's: above it D knows next to nothing. By itself that is no failure, since a G that
has learned everything leaves D there."""

LIKE_DATA = (0.75, 1.33)
"""Distance between samples, in units of the data's, of a generator that may well have arrived."""

SPREAD = 0.05
"""Standard deviation of the logits: an undecided D that also says the same of every sample has nothing to teach."""


@dataclass(frozen=True)
class Evidence:
    """One measurement, and what is needed to judge it.

    Attributes:
        signs: what the monitor measured, by key; None is unknown, or not finite.
        config: of the run.
        sizes: {"generator/dense1": number of parameters}.
        usual: {"generator": upper quartile of its gradient's norms in the last measurements}.
        update: how many updates the generator has had.
        distance: median of the samples' distance in the last measurements, in units of the data's; None at first.
        widest: largest such distance in any measurement so far.
        slack: factor on all limits, away from health.
    """

    signs: Mapping[str, Any]
    config: TrainConfig
    sizes: Mapping[str, int]
    usual: Mapping[str, float]
    update: int = 0
    distance: float | None = None
    widest: float = 0.0
    slack: float = 1.0

    @property
    def like_data(self) -> bool:
        """Whether samples differ about as much as the data do, by this measurement where there are few so far."""
        distance = self.distance
        if distance is None and self.get("distance_real"):
            distance = (self.get("distance") or 0.0) / self.signs["distance_real"]
        low, high = LIKE_DATA
        return distance is not None and low < distance < high

    @property
    def flat(self) -> bool:
        """Whether D is undecided and says the same of every sample."""
        return self.above(self.get("d_loss"), UNDECIDED) and self.below(self.get("d_spread"), SPREAD)

    @property
    def bounded(self) -> bool:
        """Whether D's slope is bounded, by a penalty or by its weights' norm."""
        return self.config.weight_norm == "spectral" or self.config.penalty not in (None, NO_PENALTY)

    @property
    def deceiver(self) -> str:
        """The player that learns from D: the generator, or an encoder, whose samples are codes."""
        players = {layer.partition("/")[0] for layer in self.sizes}
        return "encoder" if "encoder" in players else "generator"

    def below(self, value: float | None, limit: float) -> bool:
        """Whether a value is known and too small."""
        return value is not None and value < limit * self.slack

    def above(self, value: float | None, limit: float) -> bool:
        """Whether a value is known and too large."""
        return value is not None and value > limit / self.slack

    def get(self, key: str) -> float | None:
        """A measured value, None if unknown."""
        return self.signs.get(key)

    def told(self, key: str, form: str) -> str:
        """A measured value in words."""
        value = self.get(key)
        return "unknown" if value is None else format(value, form)

    def largest(self, prefix: str) -> tuple[str, float | None]:
        """(layer, value) of the largest value whose key starts with `prefix`."""
        values = {key[len(prefix) :]: value for key, value in self.signs.items() if key.startswith(prefix)}
        known = {layer: value for layer, value in values.items() if value is not None}
        layer = max(known, key=known.__getitem__, default="")
        return layer, known.get(layer)


def vanishing_gradient(e: Evidence) -> str | None:
    """The loss has shut G off, or a layer gets less than the optimizer sees."""
    factor, d_fake = e.get("g_factor"), e.get("d_fake")
    if e.below(factor, FACTOR) and e.below(d_fake, 0.5 / e.slack):  # where G has won the factor is small as well
        return (
            f"the {e.config.loss} loss lets {factor:.2g} of the gradient through to the {e.deceiver}, D(fake) is "
            f"{d_fake:.2g}; the norm of its gradient is {e.told(f'gradient/{e.deceiver}', '.2g')}"
        )
    rms = {
        layer: e.signs[f"gradient/{layer}"] / size**0.5
        for layer, size in e.sizes.items()
        if not layer.startswith("discriminator/") and e.get(f"gradient/{layer}") is not None
    }
    layer = min(rms, key=rms.__getitem__, default="")
    if rms and not rms[layer]:
        return f"no gradient at all reaches {layer}"
    # A flat D has nothing to send: it is the failure to name, or none where the samples are like the data.
    sends = not e.flat or (e.bounded and not e.like_data)
    if e.below(rms.get(layer), FLOOR) and sends:
        return f"the gradient of {layer} is {rms[layer]:.1e} an element (rms), less than an optimizer sees ({FLOOR:g})"
    return None


def exploding_gradient(e: Evidence) -> str | None:
    """A gradient far above its past, an update that overturns a layer, or a critic without bound."""
    layer, ratio = e.largest("update/")
    if e.above(ratio, OVERTURNED):
        return f"one update changes {layer} by {ratio:.2g} of itself (usual is 0.001)"
    for player, usual in e.usual.items():
        norm = e.get(f"gradient/{player}")
        if norm is not None and e.above(norm, EXPLODED * max(usual, FAINT)):
            layer, part = e.largest(f"gradient/{player}/")
            return f"the {player}'s gradient has norm {norm:.2g}, {usual:.2g} was usual; most is in {layer}: {part:.2g}"
    slope = e.get("d_slope")
    if e.config.loss == "wasserstein" and e.above(slope, CRITIC_SLOPE):
        return f"the slope of the critic is {slope:.2g}, where the theory wants at most 1"
    return None


def strong_discriminator(e: Evidence) -> str | None:
    """D has nothing left to learn. A D whose slope is bounded passes gradients on all the same."""
    if e.bounded or not e.below(e.get("d_loss"), FINISHED):
        return None
    return (
        f"its loss is {e.told('d_loss', '.2g')} of an undecided one's: D(real) {e.told('d_real', '.3f')}, D(fake) "
        f"{e.told('d_fake', '.3f')}, and {e.told('d_saturated', '.0%')} of its logits are where the loss is flat"
    )


def weak_discriminator(e: Evidence) -> str | None:
    """D has learned nothing, or has forgotten it: undecided, and the same of every sample.

    A D whose slope is bounded may be as flat and teach all the same.
    """
    if e.bounded or e.like_data or not e.flat:
        return None
    return (
        f"its loss is {e.told('d_loss', '.2f')} of an undecided one's, and it says the same of every sample: "
        f"its logits spread by {e.told('d_spread', '.2g')} (standard deviation)"
    )


def mode_collapse(e: Evidence) -> str | None:
    """Samples that hardly differ, in a game that goes on: where D leads G nowhere, that is the failure to name."""
    if "d_real" not in e.signs or not e.below(e.distance, ALIKE) or strong_discriminator(e) or weak_discriminator(e):
        return None
    if e.widest < APART and e.update < BEGINNINGS:
        return None
    made, real = ("codes", "the prior") if e.deceiver == "encoder" else ("samples", "the data")
    return (
        f"two {made} are {e.distance:.2g} times as far apart as two of {real} (median of the last measurements); "
        f"their effective rank is {e.told('rank', '.1f')}, that of {real} {e.told('rank_real', '.1f')}"
    )


@dataclass(frozen=True)
class Failure:
    """A way in which training goes wrong.

    Attributes:
        name: in the records, and of its section in docs/when-training-fails.md.
        title: what the user reads.
        find: the finding of one measurement.
        duration: updates of the generator that it must have shown before it is a warning.
        cures: what usually helps, the first to try first.
    """

    name: str
    title: str
    find: Callable[[Evidence], str | None]
    duration: int
    cures: tuple[Cure, ...]


FAILURES = (
    Failure("vanishing-gradient", "vanishing gradient", vanishing_gradient, 150, cures.VANISHING),
    Failure("exploding-gradient", "exploding gradient", exploding_gradient, 20, cures.EXPLODING),
    Failure("strong-discriminator", "discriminator too strong", strong_discriminator, 200, cures.STRONG),
    Failure("weak-discriminator", "discriminator too weak", weak_discriminator, 300, cures.WEAK),
    Failure("mode-collapse", "mode collapse", mode_collapse, 300, cures.COLLAPSE),
)
