"""What a run measured, over its steps."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from . import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HUGE = 1e30


COLORS = {"loss_d": style.REAL, "loss_g": style.FAKE, "d_real": style.REAL, "d_fake": style.FAKE}
NAMES = {"loss_d": "D", "loss_g": "G", "d_real": "D(real)", "d_fake": "D(fake)"}


def loss_curves_png(records: Sequence[Mapping[str, Any]]) -> bytes:
    """A PNG of the losses and, below them, of what the discriminator makes of real and of generated images.

    Each record has `step` and, as far as they were measured, `loss_d`, `loss_g` or losses of other names, `d_real`,
    `d_fake` (probabilities) and `images_per_second`; what is missing, None or NaN is skipped. The faint line is what
    was measured, the strong one its running mean. Losses far from all others run out of the picture, and count in the
    mean as if just outside it. Where there are losses but no discriminator, the lower half is left out.
    """
    keys = list(dict.fromkeys(key for record in records for key in record if key.startswith("loss_")))
    keys = keys or ["loss_d", "loss_g"]
    judged = "loss_d" in keys
    figure = style.figure(8, 6 if judged else 3.5)
    losses, *below = figure.subplots(1 + judged, 1, squeeze=False)[:, 0]
    steps = column(records, "step")
    columns = {key: column(records, key) for key in keys}
    style.dress(losses, "Losses", ylabel="loss")
    low, high = _limits(np.concatenate(list(columns.values())))
    losses.set_ylim(low, high)
    reach = (low - 0.1 * (high - low), high + 0.1 * (high - low))
    _curves(losses, steps, {key: np.clip(values, *reach) for key, values in columns.items()})

    for beliefs in below:
        style.dress(beliefs, "What D believes", ylabel="probability of being real")
        beliefs.set_ylim(0, 1)
        beliefs.axhline(0.5, color=style.FAINT_INK, linewidth=1, linestyle="--", label="undecided")
        _curves(beliefs, steps, {key: column(records, key) for key in ("d_real", "d_fake")})

    speed = column(records, "images_per_second")
    lowest = below[0] if judged else losses
    lowest.set_xlabel(f"step ({np.nanmedian(speed):,.0f} images/s)" if np.isfinite(speed).any() else "step")
    return style.figure_png(figure)


def column(records: Sequence[Mapping[str, Any]], key: str) -> np.ndarray:
    """The values of one key, float64 (n,): NaN where there is none, and never so large that drawing overflows."""
    values = [record.get(key) for record in records]
    return np.clip(np.array([np.nan if value is None else value for value in values], np.float64), -HUGE, HUGE)


def _curves(axes: "Axes", steps: np.ndarray, curves: dict[str, np.ndarray]) -> None:
    """Draw curves by the keys of their records, or say that there is nothing to draw."""
    others = iter(style.OTHERS)
    for key, values in curves.items():
        color, name = COLORS.get(key) or next(others), NAMES.get(key, key.removeprefix("loss_"))
        known = np.isfinite(values)
        marker = "o" if known.sum() == 1 else None
        axes.plot(steps[known], values[known], color=color, linewidth=0.8, alpha=0.3)
        axes.plot(steps[known], _running_mean(values[known]), color=color, linewidth=2, marker=marker, label=name)
    axes.set_xlim(0, 1.02 * max([1.0, *steps]))
    style.legend(axes)
    if not any(np.isfinite(values).any() for values in curves.values()):
        style.note(axes, "nothing recorded")


def _running_mean(values: np.ndarray) -> np.ndarray:
    """The mean over a tenth of the curve around each value, weighted by a Hann window; (n,) -> (n,), not delayed."""
    if values.size == 0:
        return values
    weights = np.hanning(len(values) // 20 * 2 + 3)[1:-1]
    total = np.convolve(values, weights, mode="same")
    return total / np.convolve(np.ones_like(values), weights, mode="same")


def _limits(values: np.ndarray) -> tuple[float, float]:
    """Limits that show every value, save those more than twice the spread of the middle 96 % away from them."""
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return 0.0, 1.0
    core_low, core_high = np.quantile(finite, [0.02, 0.98])
    spread = core_high - core_low
    low, high = max(finite.min(), core_low - 2 * spread), min(finite.max(), core_high + 2 * spread)
    margin = 0.05 * (high - low) or 0.5
    return float(low - margin), float(high + margin)
