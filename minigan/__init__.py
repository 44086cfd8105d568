"""GANs from scratch on NumPy: every forward, backward and double-backward pass by hand, every gradient checked.

    from minigan import TrainConfig, Trainer
    from minigan.layers import Conv2d, Dense, Sequential

Read `minigan.layer` first: it is the protocol that everything else follows.
"""

from typing import TYPE_CHECKING, Any

import kernels

if not hasattr(kernels, "get_ops"):
    _where = kernels.__file__ or next(iter(kernels.__path__))  # a folder without __init__.py has no file
    raise ImportError(
        f"minigan needs its own package `kernels`, but another one of that name is installed at {_where}: "
        "uninstall that one, or install minigan into an environment of its own"
    )

if TYPE_CHECKING:
    from .training.config import TrainConfig
    from .training.trainer import Trainer

__version__ = "0.1.0"
__all__ = ["TrainConfig", "Trainer", "__version__"]


def __getattr__(name: str) -> Any:
    """Import Trainer and TrainConfig when they are first asked for: layers and kernels need far less."""
    if name == "Trainer":
        from .training.trainer import Trainer

        return Trainer
    if name == "TrainConfig":
        from .training.config import TrainConfig

        return TrainConfig
    raise AttributeError(f"module 'minigan' has no attribute {name!r}")
