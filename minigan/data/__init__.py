"""Data sets by name, and their batches: `Batches(load("mnist5k"), batch_size=64, seed=0).at(step)`."""

from minigan.data.batches import Batches
from minigan.data.dataset import ArrayDataset, Dataset
from minigan.data.folder import ImageFolder
from minigan.data.mixtures import Mixture
from minigan.data.registry import NAMES, load
from minigan.data.stacked import StackedMnist

__all__ = ["NAMES", "ArrayDataset", "Batches", "Dataset", "ImageFolder", "Mixture", "StackedMnist", "load"]
