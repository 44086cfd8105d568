"""From measurements to warnings: each failure once for each time that it comes."""

from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from statistics import median, quantiles
from typing import Any, NamedTuple

from ..config import TrainConfig
from .alarms import Alarm
from .failures import FAILURES, RELEASE, Evidence, Failure

PAGE = "docs/when-training-fails.md"
NORMS = 40
"""Gradient norms of which the upper quartile is what is usual: enough to be calm, few enough to follow a game that
slowly grows. The quartile, since a saturated hinge loss gives D no gradient at all for a while."""

DISTANCES = 10
"""Distances between samples that are judged together."""

FEWEST = 3
"""Norms from which on a quartile means something."""


class Verdict(NamedTuple):
    """What a measurement changed: warnings that begin {name: text}, and the names of those that end."""

    warnings: dict[str, str]
    over: list[str]


class Diagnosis:
    """Follows a run; a function of its records alone, so that a resumed run is warned as one never interrupted.

    Args:
        config: of the run, resolved.
        sizes: number of parameters of each layer, {"generator/dense1": 12_800}.
    """

    def __init__(self, config: TrainConfig, sizes: Mapping[str, int]) -> None:
        self.config, self.sizes = config, sizes
        self._alarms = {failure.name: Alarm(failure.duration) for failure in FAILURES}
        self._norms: dict[str, deque[float]] = {}
        self._distances: deque[float] = deque(maxlen=DISTANCES)
        self._widest = 0.0

    def observe(self, signs: Mapping[str, Any]) -> Verdict:
        """Take in the next measurement."""
        update = signs["step"] // (self.config.n_critic or 1)
        usual = {player: quantiles(norms)[2] for player, norms in self._norms.items() if len(norms) >= FEWEST}
        self._measure_distance(signs)
        distance = median(self._distances) if len(self._distances) == DISTANCES else None
        evidence = Evidence(signs, self.config, self.sizes, usual, update, distance, self._widest)
        warnings, over = {}, []
        for failure in FAILURES:
            alarm = self._alarms[failure.name]
            finding = failure.find(replace(evidence, slack=RELEASE) if alarm.active else evidence)
            change = alarm.look(finding is not None, update)
            if change == "begins":
                warnings[failure.name] = f"{failure.title}: {finding}. {self._advice(failure)}"
            elif change == "ends":
                over.append(failure.name)
        self._remember(signs)
        return Verdict(warnings, over)

    @property
    def active(self) -> list[str]:
        """Names of the warnings that stand."""
        return [name for name, alarm in self._alarms.items() if alarm.active]

    def _measure_distance(self, signs: Mapping[str, Any]) -> None:
        distance, real = signs.get("distance"), signs.get("distance_real")
        if distance is not None and real:
            self._distances.append(distance / real)
            self._widest = max(self._widest, self._distances[-1])

    def _remember(self, signs: Mapping[str, Any]) -> None:
        for player in {layer.partition("/")[0] for layer in self.sizes}:
            norm = signs.get(f"gradient/{player}")
            if norm is not None:
                self._norms.setdefault(player, deque(maxlen=NORMS)).append(norm)

    def _advice(self, failure: Failure) -> str:
        flags = [flags for cure in failure.cures if (flags := cure(self.config)) is not None]
        cures = f"What usually helps: {', or '.join(flags)}. " if flags else ""
        return f"{cures}Read {PAGE}#{failure.name}"
