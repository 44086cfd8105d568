"""How well the discriminator judges, and what of it the generator gets to learn from.

Logits differ in meaning from loss to loss, so everything here is told in units of an undecided discriminator: one that
gives every sample the logit u0 halfway between real and fake, 0.5 under least squares (whose targets are 0 and 1) and 0
under every other loss. Axes: N = batch.
"""

import math

import numpy as np

from kernels.types import Array

from ...losses import Loss, realness

FLAT = 0.01
"""A sample counts as saturated where D's loss is flatter than this times its slope for an undecided D: what is left to
learn from it is 1 % and less. Under a logistic loss that is |u| > 5.3 on the right side."""


def discriminator_signs(
    loss: Loss, label_smoothing: float, logits: tuple[Array, Array], feedback: tuple[Array, Array]
) -> dict[str, float | None]:
    """What the last step says about D.

    d_loss        L_D without penalties, from 0 (no error) to 1 (undecided) and above (worse); None for wasserstein,
                  whose critic has no best and no undecided score
    d_saturated   share of the logits, real and fake, at which D's loss is flat
    d_real, d_fake    see `realness`
    d_spread      standard deviation of all logits
    g_factor      mean |dL_G/du|, 1 for an undecided D: the factor by which the loss lets D's opinion through to G
    d_slope       mean |dL_G/dG(z)| / mean |dL_G/du|: norm of D's input gradient where G's samples lie, as G gets it;
                  unknown where D has a second head, whose gradient comes back in the same sum

    Args:
        loss: of the game.
        label_smoothing: of the game; L_D's least value is its entropy.
        logits: u_real and u_fake of D's update, (N, 1) each.
        feedback: of G's update: dL_G/du (N, 1), and dL_G/dG(z), shaped like the samples.
    """
    real, fake = logits
    du, dx = feedback
    u0 = np.full(real.shape, 0.5 if loss.name == "least-squares" else 0.0)
    undecided, du0_real, du0_fake = loss.d_loss(u0, u0)
    value, du_real, du_fake = loss.d_loss(real, fake)
    flat = [np.abs(d) < FLAT * np.abs(d0) for d, d0 in ((du_real, du0_real), (du_fake, du0_fake))]
    best = _entropy(label_smoothing)
    d_real, d_fake = realness(loss, real, fake)
    opinion = float(np.abs(du).mean())
    pull = float(np.sqrt(np.square(dx, dtype=np.float64).reshape(len(dx), -1).sum(axis=1)).mean())  # (N,) -> 0-d
    return {
        "d_loss": None if loss.name == "wasserstein" else (float(value) - best) / (float(undecided) - best),
        "d_saturated": float(np.concatenate(flat).mean()),
        "d_real": d_real,
        "d_fake": d_fake,
        "d_spread": float(np.concatenate([real, fake]).std()),
        "g_factor": opinion / float(np.abs(loss.g_loss(u0, u0)[1]).mean()),
        "d_slope": pull / opinion if opinion else None,
    }


def _entropy(p: float) -> float:
    """-p log p - (1 - p) log(1 - p)."""
    return -p * math.log(p) - (1 - p) * math.log(1 - p) if p else 0.0
