"""Data sets by name, and their batches: `Batches(load("mnist5k"), batch_size=64, seed=0).at(step)`."""

from .batches import Batches
from .dataset import ArrayDataset, Dataset
from .folder import ImageFolder
from .mixtures import Mixture
from .registry import NAMES, load
from .stacked import StackedMnist

__all__ = ["NAMES", "ArrayDataset", "Batches", "Dataset", "ImageFolder", "Mixture", "StackedMnist", "load"]
