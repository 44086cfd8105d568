"""The layers, one idea a file. Start with `minigan.layer` (the protocol), then dense, activation, conv."""

from ..layer import Layer, Sequential
from .activation import ELU, LeakyReLU, ReLU, Sigmoid, SiLU, Softplus, Tanh
from .augmentation import DiffAugment
from .composite import Concat, Fork, Parallel, Residual
from .conv import Conv2d, ConvTranspose2d
from .dense import Dense
from .embedding import Embedding
from .instance_norm import InstanceNorm
from .neighbours import MinibatchStddev, Pack
from .noise import InstanceNoise
from .norm import BatchNorm, LayerNorm
from .projection import Projection
from .recurrent import GRU
from .regularisation import Dropout
from .scale import ScaleShift
from .shape import AvgPool2d, Flatten, MaxPool2d, Reshape, Upsample2d

__all__ = [
    "ELU",
    "GRU",
    "AvgPool2d",
    "BatchNorm",
    "Concat",
    "Conv2d",
    "ConvTranspose2d",
    "Dense",
    "DiffAugment",
    "Dropout",
    "Embedding",
    "Flatten",
    "Fork",
    "InstanceNoise",
    "InstanceNorm",
    "Layer",
    "LayerNorm",
    "LeakyReLU",
    "MaxPool2d",
    "MinibatchStddev",
    "Pack",
    "Parallel",
    "Projection",
    "ReLU",
    "Reshape",
    "Residual",
    "ScaleShift",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softplus",
    "Tanh",
    "Upsample2d",
]
