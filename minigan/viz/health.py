"""What the health monitor measured, and when it warned."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np

from . import style
from .curves import column

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ALARM = "#FBE3DC"
TALLEST = 2.0
"""Largest ratio to the data that is drawn: what lies above it is cut, else early steps would flatten all the rest."""


def health_png(records: Sequence[Mapping[str, Any]]) -> bytes:
    """A PNG of gradients, updates, the discriminator's judgement and the samples' diversity, over the steps.

    `records` have `step` and, as far as they were measured, the keys of `minigan.training.health`. Thin lines are
    layers, strong ones whole networks. Spans in which a warning stood are shaded and named above.
    """
    figure = style.figure(11, 7.5)
    (gradients, updates), (judgement, diversity) = figure.subplots(2, 2, sharex=True)
    steps = column(records, "step")
    players = sorted({key.split("/")[1] for record in records for key in record if key.startswith("gradient/")})
    spare = cycle(style.OTHERS)
    colors = {player: style.PLAYERS.get(player) or next(spare) for player in players}

    style.dress(gradients, "Gradient norms", ylabel="norm")
    style.dress(updates, "Updates", ylabel="|change| / |weights|")
    for axes, kind in ((gradients, "gradient"), (updates, "update")):
        axes.set_yscale("log")
        for player in players:
            for key in _keys(records, f"{kind}/{player}/"):
                _line(axes, steps, column(records, key), color=colors[player], linewidth=0.7, alpha=0.5)
    for player in players:
        _line(gradients, steps, column(records, f"gradient/{player}"), player, color=colors[player], linewidth=2)
        if _keys(records, f"update/{player}/"):
            updates.plot([], [], color=colors[player], label=player)
    slope = {"color": style.INK, "linewidth": 1.2, "linestyle": "--"}
    _line(gradients, steps, column(records, "d_slope"), "D in its input", **slope)
    if _keys(records, "update/"):
        updates.axhline(1e-3, color=style.FAINT_INK, linewidth=1, linestyle=":", label="usual")

    style.dress(judgement, "Discriminator", "step", "relative to an undecided one")
    judgement.set_ylim(-0.05, TALLEST)
    _line(judgement, steps, column(records, "d_loss"), "loss", color=style.REAL, linewidth=2)
    saturated = {"color": style.REAL, "linewidth": 1.2, "linestyle": "--"}
    _line(judgement, steps, column(records, "d_saturated"), "share saturated", **saturated)
    _line(judgement, steps, column(records, "g_factor"), "lets through to G", color=style.FAKE, linewidth=2)

    style.dress(diversity, "Samples", "step", "relative to the data")
    diversity.set_ylim(-0.05, TALLEST)
    diversity.axhline(1, color=style.FAINT_INK, linewidth=1, linestyle=":")
    for key, label, look in (("distance", "distance between two", "-"), ("rank", "effective rank", "--")):
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = column(records, key) / column(records, f"{key}_real")
        _line(diversity, steps, ratio, label, color=style.FAKE, linewidth=2, linestyle=look)

    spans = warning_spans(records)
    for axes in (gradients, updates, judgement, diversity):
        for _, first, last in spans:
            axes.axvspan(first, last, color=ALARM, zorder=0)
        axes.set_xlim(0, 1.02 * max([1.0, *steps]))
        if axes.get_legend_handles_labels()[1]:
            style.legend(axes)
        else:
            style.note(axes, "nothing measured")
    named = ", ".join(f"{name.replace('-', ' ')} (steps {first:g} to {last:g})" for name, first, last in spans)
    figure.suptitle(f"Warnings: {named}" if spans else "No warning", fontsize=10, color=style.INK)
    return style.figure_png(figure)


def warning_spans(records: Sequence[Mapping[str, Any]]) -> list[tuple[str, float, float]]:
    """(name, first step, last step) of each warning; one that still stands ends with the records."""
    spans, standing = [], {}
    for record in records:
        for name in record.get("warnings") or ():
            standing[name] = record["step"]
        for name in record.get("over") or ():
            if name in standing:
                spans.append((name, standing.pop(name), record["step"]))
    return spans + [(name, first, records[-1]["step"]) for name, first in standing.items()]


def _keys(records: Sequence[Mapping[str, Any]], prefix: str) -> list[str]:
    return sorted({key for record in records for key in record if key.startswith(prefix)})


def _line(axes: "Axes", steps: np.ndarray, values: np.ndarray, label: str | None = None, **look: Any) -> None:
    """Draw what is known, and on a logarithmic axis above 0."""
    known = np.isfinite(values) & ((values > 0) | (axes.get_yscale() != "log"))
    if known.any():
        marker = "o" if known.sum() == 1 else None
        axes.plot(steps[known], values[known], label=label, marker=marker, markersize=4, **look)
