"""When a finding becomes a warning: not by one bad measurement, and once for each time that the failure comes."""

from dataclasses import dataclass
from typing import Literal

CONSECUTIVE = 3
"""Measurements in a row before a warning begins or ends. A batch of 64 logits says little: a healthy game crosses any
line now and then, and goes back."""


@dataclass
class Alarm:
    """Follows one failure through the measurements of a run.

    Args:
        duration: updates of the generator that the failure must have shown before it is a warning.
    """

    duration: int
    active: bool = False
    _since: int | None = None  # update at which the measurements began to contradict the present state
    _count: int = 0  # measurements since then

    def look(self, found: bool, update: int) -> Literal["begins", "ends"] | None:
        """Take in whether a measurement at an `update` shows the failure; says if the warning begins or ends by it."""
        if found == self.active:
            self._since, self._count = None, 0
            return None
        if self._since is None:
            self._since = update
        self._count += 1
        if self._count < CONSECUTIVE or (found and update - self._since < self.duration):
            return None
        self.active, self._since, self._count = found, None, 0
        return "begins" if found else "ends"
