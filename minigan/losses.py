"""GAN losses on logits: value and gradient, by hand.

Convention: the discriminator ends in a logit of realness u (positive = real), shape (N, 1); both players minimise; a
loss is a mean over the batch. With s the sigmoid, sp(t) = log(1 + e^t), N samples a batch, r = u_real, f = u_fake:

    name                  L_D                              L_G
    minimax               sp(-r) + sp(f)                   -sp(f)
    non-saturating        sp(-r) + sp(f)                   sp(-f)
    least-squares         (r - 1)^2/2 + f^2/2              (f - 1)^2/2
    wasserstein           -r + f                           -f
    hinge                 relu(1 - r) + relu(1 + f)        -f
    relativistic-average  sp(-(r - mean f)) + sp(f - mean r)      sp(r - mean f) + sp(-(f - mean r))
    relativistic-paired   sp(-(r - f))                     sp(-(f - r))

Everything is written with sp and s in a form that overflows for no u, so gradients stay exact far out (|u| up to 1e4),
where log(sigmoid(u) + 1e-8) has lost them. Gradients below are per sample, before the division by N.

Unrolled GANs differentiate D's updates, and so the gradient of L_D once more, along a direction (ddr, ddf) of the
logits: with s' = s (1 - s) that is s'(u) times the direction for the logistic losses, the direction itself for
least-squares, and 0 for those that are linear by pieces.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from kernels.activations import sigmoid, softplus
from kernels.types import Array


@dataclass(frozen=True)
class Loss:
    """A pair of losses.

    d_loss(u_real, u_fake) -> (value, du_real, du_fake)         g_loss(u_real or None, u_fake) -> (value, du_fake)
    d_curvature(u_real, u_fake, ddu_real, ddu_fake) -> (du_real, du_fake)     g_slope(u_real, u_fake) -> du_real

    `value` is 0-d, the gradients have the shape (N, 1) of the logits; any other shape raises ValueError.

    Attributes:
        d_terms, g_terms: (r, f) -> each sample's loss, and the gradients in the logits.
        d_curve: (r, f, ddr, ddf) -> derivatives of both gradients along the direction; None where they are 0.
        g_real: (r, f) -> gradient of G's loss in the real logits; None where it does not depend on them.
    """

    name: str
    source: str
    d_terms: Callable[[Array, Array], tuple[Array, Array, Array]]
    g_terms: Callable[[Array | None, Array], tuple[Array, Array]]
    d_curve: Callable[[Array, Array, Array, Array], tuple[Array, Array]] | None = None
    g_real: Callable[[Array, Array], Array] | None = None

    @property
    def g_needs_real(self) -> bool:
        """Whether g_loss depends on u_real."""
        return self.g_real is not None

    def d_loss(self, u_real: Array, u_fake: Array) -> tuple[Array, Array, Array]:
        """Discriminator's loss and its gradients in both logits."""
        _check(self.name, u_real=u_real, u_fake=u_fake)
        terms, du_real, du_fake = self.d_terms(u_real, u_fake)
        return mean(terms), du_real / len(u_real), du_fake / len(u_fake)

    def g_loss(self, u_real: Array | None, u_fake: Array) -> tuple[Array, Array]:
        """Generator's loss and its gradient in the fake logits."""
        _check(self.name, u_fake=u_fake)
        if self.g_needs_real:
            if u_real is None:
                raise ValueError(f"{self.name}: the generator's loss needs the real logits, got None")
            _check(self.name, u_real=u_real, u_fake=u_fake)
        terms, du_fake = self.g_terms(u_real, u_fake)
        return mean(terms), du_fake / len(u_fake)

    def d_curvature(self, u_real: Array, u_fake: Array, ddu_real: Array, ddu_fake: Array) -> tuple[Array, Array]:
        """The Hessian of the discriminator's loss in both logits, times a direction: what its two gradients become."""
        _check(self.name, u_real=u_real, u_fake=u_fake, ddu_real=ddu_real, ddu_fake=ddu_fake)
        if self.d_curve is None:
            return np.zeros_like(u_real), np.zeros_like(u_fake)
        dr, df = self.d_curve(u_real, u_fake, ddu_real, ddu_fake)
        return dr / len(u_real), df / len(u_fake)

    def g_slope(self, u_real: Array, u_fake: Array) -> Array:
        """Gradient of the generator's loss in the real logits; they do not move with G, but with D."""
        _check(self.name, u_real=u_real, u_fake=u_fake)
        return np.zeros_like(u_real) if self.g_real is None else self.g_real(u_real, u_fake) / len(u_real)


def mean(terms: Array) -> Array:
    """The mean as a 0-d array, on the device where the terms are: reading it would wait for all that was launched."""
    total = terms.sum(keepdims=True) / terms.size  # NumPy's own mean takes three times as long for a batch
    return total.reshape(())


def _check(name: str, **logits: Array) -> None:
    for what, u in logits.items():
        if u.ndim != 2 or u.shape[1] != 1 or not len(u):
            raise ValueError(f"{name}: {what} must be (N, 1) logits, got {u.shape}")
    if len({u.shape for u in logits.values()}) > 1:
        raise ValueError(f"{name}: real and fake batches differ, {[u.shape for u in logits.values()]}")


def _d_logistic(smoothing: float) -> Callable[[Array, Array], tuple[Array, Array, Array]]:
    """t sp(-r) + (1 - t) sp(r) + sp(f) with the real target t = 1 - smoothing;  s(r) - t,  s(f).

    t sp(-r) + (1 - t) sp(r) = sp(-r) + smoothing r, since sp(r) = sp(-r) + r.
    """

    if not 0 <= smoothing < 0.5:
        raise ValueError(f"label smoothing must lie in [0, 0.5), got {smoothing}")

    def d_terms(r: Array, f: Array) -> tuple[Array, Array, Array]:
        return softplus(-r) + smoothing * r + softplus(f), smoothing - sigmoid(-r), sigmoid(f)

    return d_terms


def _curve(u: Array) -> Array:
    """s'(u) = s(u) s(-u)."""
    return sigmoid(u) * sigmoid(-u)


def _logistic_curve(r: Array, f: Array, ddr: Array, ddf: Array) -> tuple[Array, Array]:
    """s'(r) ddr, s'(f) ddf; label smoothing is linear."""
    return _curve(r) * ddr, _curve(f) * ddf


def minimax(label_smoothing: float = 0.0) -> Loss:
    """The saturating game of Goodfellow et al. 2014, eq. 1: du_real = -s(-r), du_fake = s(f); G: -s(f).

    label_smoothing in [0, 0.5): the real target is 1 - label_smoothing (one-sided: Salimans et al. 2016, section 3.4).

    Deviation: TF-GAN's label_smoothing of 0.25 is a real target of 0.875; here it is 0.75.
    """
    return Loss(
        "minimax",
        "Goodfellow et al. 2014, eq. 1",
        _d_logistic(label_smoothing),
        lambda _, f: (-softplus(f), -sigmoid(f)),
        _logistic_curve,
    )


def non_saturating(label_smoothing: float = 0.0) -> Loss:
    """Goodfellow et al. 2014, section 3, "maximise log D(G(z))": D as in minimax; G: -s(-f)."""
    return Loss(
        "non-saturating",
        "Goodfellow et al. 2014, section 3",
        _d_logistic(label_smoothing),
        lambda _, f: (softplus(-f), -sigmoid(-f)),
        _logistic_curve,
    )


def least_squares() -> Loss:
    """Mao et al. 2017, eq. 9, on the raw logits: du_real = r - 1, du_fake = f; G: f - 1."""
    return Loss(
        "least-squares",
        "Mao et al. 2017, eq. 9",
        lambda r, f: (0.5 * (r - 1) ** 2 + 0.5 * f * f, r - 1, f),
        lambda _, f: (0.5 * (f - 1) ** 2, f - 1),
        lambda _r, _f, ddr, ddf: (ddr, ddf),
    )


def wasserstein() -> Loss:
    """Arjovsky, Chintala and Bottou 2017, eq. 2 and 3: du_real = -1, du_fake = 1; G: -1.

    The critic must be kept Lipschitz by other means (weight clipping, a gradient penalty, spectral normalisation).
    """
    return Loss(
        "wasserstein",
        "Arjovsky et al. 2017, eq. 2",
        lambda r, f: (f - r, -np.ones_like(r), np.ones_like(f)),
        lambda _, f: (-f, -np.ones_like(f)),
    )


def hinge() -> Loss:
    """Lim and Ye 2017; Miyato et al. 2018, eq. 16 and 17: du_real = -[r < 1], du_fake = [f > -1]; G: -1."""
    return Loss(
        "hinge",
        "Lim and Ye 2017; Miyato et al. 2018, eq. 16",
        lambda r, f: (
            np.maximum(1 - r, 0) + np.maximum(1 + f, 0),
            -(r < 1).astype(r.dtype),
            (f > -1).astype(f.dtype),
        ),
        lambda _, f: (-f, -np.ones_like(f)),
    )


def relativistic_average() -> Loss:
    """RaSGAN (Jolicoeur-Martineau 2019, eq. 7 and 8), with a = s(-(r - mean f)) and b = s(f - mean r):

    D: du_real = -a - mean b,   du_fake = b + mean a      G: the same with the roles of r and f exchanged

    Along (ddr, ddf), a moves by -a (1 - a) (ddr - mean ddf) and b by b (1 - b) (ddf - mean ddr).
    """

    def one_side(r: Array, f: Array) -> tuple[Array, Array, Array]:
        over, under = r - f.mean(), f - r.mean()
        a, b = sigmoid(-over), sigmoid(under)
        return softplus(-over) + softplus(under), -a - b.mean(), b + a.mean()

    def g_terms(r: Array | None, f: Array) -> tuple[Array, Array]:
        assert r is not None
        terms, du_fake, _ = one_side(f, r)
        return terms, du_fake

    def curve(r: Array, f: Array, ddr: Array, ddf: Array) -> tuple[Array, Array]:
        da = -_curve(r - f.mean()) * (ddr - ddf.mean())
        db = _curve(f - r.mean()) * (ddf - ddr.mean())
        return -da - db.mean(), db + da.mean()

    source = "Jolicoeur-Martineau 2019, eq. 7 and 8"
    return Loss("relativistic-average", source, one_side, g_terms, curve, lambda r, f: one_side(f, r)[2])


def relativistic_paired() -> Loss:
    """RpGAN (Jolicoeur-Martineau 2019; R3GAN, Huang et al. 2024): du_real = -s(f - r), du_fake = -du_real; G: -s(r-f).

    Deviation: the R3GAN paper's eq. 2 is a zero-sum game; its code, like this, gives G the non-saturating form.
    """

    def d_terms(r: Array, f: Array) -> tuple[Array, Array, Array]:
        s = sigmoid(f - r)
        return softplus(f - r), -s, s

    def g_terms(r: Array | None, f: Array) -> tuple[Array, Array]:
        assert r is not None
        return softplus(r - f), -sigmoid(r - f)

    def curve(r: Array, f: Array, ddr: Array, ddf: Array) -> tuple[Array, Array]:
        ds = _curve(f - r) * (ddf - ddr)
        return -ds, ds

    source = "Jolicoeur-Martineau 2019; Huang et al. 2024"
    return Loss("relativistic-paired", source, d_terms, g_terms, curve, lambda r, f: sigmoid(r - f))


LOSSES: dict[str, Callable[..., Loss]] = {
    "minimax": minimax,
    "non-saturating": non_saturating,
    "least-squares": least_squares,
    "wasserstein": wasserstein,
    "hinge": hinge,
    "relativistic-average": relativistic_average,
    "relativistic-paired": relativistic_paired,
}
SMOOTHABLE = ("minimax", "non-saturating")
SHIFT_INVARIANT_LOSSES = ("wasserstein", "relativistic-average", "relativistic-paired")
"""They do not change when a constant is added to all logits: a last bias has gradient zero, and a logit alone says
nothing, only its difference to others does."""


def realness(loss: Loss, u_real: Array, u_fake: Array) -> tuple[float, float]:
    """(D(real), D(fake)): how real D finds each batch on average, from 0 to 1, where 0.5 is undecided.

    That is s(u), the probability of being real; for least-squares, whose targets are 0 and 1, u clipped to [0, 1]; for
    SHIFT_INVARIANT_LOSSES the probability of being more real than the average of the other batch.
    """
    if loss.name == "least-squares":
        return float(u_real.clip(0, 1).mean()), float(u_fake.clip(0, 1).mean())
    relative = loss.name in SHIFT_INVARIANT_LOSSES
    real, fake = (u_fake.mean(), u_real.mean()) if relative else (0.0, 0.0)
    return float(sigmoid(u_real - real).mean()), float(sigmoid(u_fake - fake).mean())


def get_loss(name: str, label_smoothing: float = 0.0) -> Loss:
    """A loss by name.

    Raises:
        ValueError: unknown name; label smoothing outside [0, 0.5) or with a loss that has no label to smooth.
    """
    if name not in LOSSES:
        raise ValueError(f"unknown loss {name!r}; there are {', '.join(LOSSES)}")
    if name in SMOOTHABLE:
        return LOSSES[name](label_smoothing)
    if label_smoothing:
        raise ValueError(f"label smoothing goes with {' and '.join(SMOOTHABLE)} only, the loss is {name}")
    return LOSSES[name]()
