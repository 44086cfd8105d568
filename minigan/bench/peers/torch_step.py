"""A training step in PyTorch: the algorithm of `minigan.training.updates`, as a user of PyTorch would write it."""

from collections.abc import Iterable
from typing import Any

import torch

from kernels.types import Array

from ...training.config import TrainConfig
from ...training.trainer import Trainer
from ..machine import cores
from .losses import LOSSES
from .torch_net import images, network

softplus = torch.nn.functional.softplus


class TorchGan:
    """The networks, parameters and optimizers of a trainer in PyTorch, and one real batch in memory.

    Args:
        trainer: what to copy; it is not changed.
        x: real images (N, H, W, C).
        channels_last: memory layout of images and weights; NCHW otherwise.
        fused: PyTorch's fused Adam instead of its default one.
        compiled: both losses through torch.compile.
        mode: of torch.compile, by default its own.
        device: where everything lies.
        capturable: Adam counts its updates on the device, as a CUDA graph needs it.
    """

    def __init__(
        self,
        trainer: Trainer,
        x: Array,
        *,
        channels_last: bool = False,
        fused: bool = False,
        compiled: bool = False,
        mode: str | None = None,
        device: str = "cpu",
        capturable: bool = False,
    ) -> None:
        torch.set_num_threads(cores())
        config = trainer.config
        self.latent_dim, self.n_critic, self.clip = config.latent_dim, config.n_critic or 1, config.weight_clip
        self.loss = LOSSES[str(config.loss)]
        self.generator, self.discriminator = (
            network(layer, params, shape, channels_last).to(device)
            for layer, params, shape in (
                (trainer.generator, trainer.params_g, (config.latent_dim or 0,)),
                (trainer.discriminator, trainer.params_d, trainer.data_shape),
            )
        )
        self.together = trainer.discriminator.group is not None
        self.optimizer_g = optimizer(config, self.generator.parameters(), fused, capturable)
        self.optimizer_d = optimizer(config, self.discriminator.parameters(), fused, capturable)
        self.x = images(x, channels_last).to(device)
        self.d_loss = torch.compile(self._d_loss, mode=mode) if compiled else self._d_loss
        self.g_loss = torch.compile(self._g_loss, mode=mode) if compiled else self._g_loss
        self.steps_done = 0

    def step(self) -> None:
        """An update of the discriminator and, as often as due, one of the generator."""
        shape = (len(self.x), self.latent_dim)
        self.update(*(torch.randn(shape, device=self.x.device) for _ in range(2)))

    def update(self, z_d: Any, z_g: Any) -> tuple[Any, Any]:
        """The step on given latents; both losses, the generator's None where it was not updated."""
        self.steps_done += 1
        d = self.d_loss(self.x, z_d)
        self._apply(self.optimizer_d, d)
        if self.clip:
            with torch.no_grad():
                for parameter in self.discriminator.parameters():
                    parameter.clamp_(-self.clip, self.clip)
        if self.steps_done % self.n_critic:
            return d.detach(), None
        self.discriminator.requires_grad_(False)
        g = self.g_loss(z_g)
        self._apply(self.optimizer_g, g)
        self.discriminator.requires_grad_(True)
        return d.detach(), g.detach()

    def _d_loss(self, x: Any, z: Any) -> Any:
        with torch.no_grad():
            fake = self.generator(z)
        if self.together:
            real_logits, fake_logits = self.discriminator(torch.cat([x, fake])).chunk(2)
        else:
            real_logits, fake_logits = self.discriminator(x), self.discriminator(fake)
        return self.loss.d(softplus, real_logits, fake_logits)

    def _g_loss(self, z: Any) -> Any:
        return self.loss.g(softplus, self.discriminator(self.generator(z)))

    @staticmethod
    def _apply(own: Any, loss: Any) -> None:
        own.zero_grad(set_to_none=True)
        loss.backward()
        own.step()


def optimizer(config: TrainConfig, parameters: Iterable[Any], fused: bool, capturable: bool = False) -> Any:
    """The optimizer of a resolved configuration."""
    lr = float(config.lr or 0)
    if config.optimizer == "adam":
        betas = (float(config.beta1 or 0), float(config.beta2 or 0))
        return torch.optim.Adam(parameters, lr, betas, eps=1e-8, fused=fused or None, capturable=capturable)
    if config.optimizer == "rmsprop":
        return torch.optim.RMSprop(parameters, lr, alpha=0.99, eps=1e-8)
    return torch.optim.SGD(parameters, lr)
