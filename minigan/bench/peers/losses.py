"""The losses of the presets as anybody writes them: values only, a library differentiates them."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

Softplus: TypeAlias = Callable[[Any], Any]


class PeerLoss(NamedTuple):
    """d(softplus, u_real, u_fake) and g(softplus, u_fake), both 0-d; formulas as in `minigan.losses`."""

    d: Callable[[Softplus, Any, Any], Any]
    g: Callable[[Softplus, Any], Any]


LOSSES = {
    "minimax": PeerLoss(lambda sp, r, f: sp(-r).mean() + sp(f).mean(), lambda sp, f: -sp(f).mean()),
    "non-saturating": PeerLoss(lambda sp, r, f: sp(-r).mean() + sp(f).mean(), lambda sp, f: sp(-f).mean()),
    "least-squares": PeerLoss(
        lambda _, r, f: ((r - 1) ** 2).mean() / 2 + (f**2).mean() / 2, lambda _, f: ((f - 1) ** 2).mean() / 2
    ),
    "wasserstein": PeerLoss(lambda _, r, f: f.mean() - r.mean(), lambda _, f: -f.mean()),
}
