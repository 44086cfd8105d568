"""The same work in other libraries. Nothing here is imported before it is known to be installed."""

import functools
import importlib.util
import os
import shutil

import kernels


def backends() -> list[str]:
    """The backends of `kernels` that work here, the reference first; the emulator's time says nothing."""
    works = [name for name, reason in kernels.available().items() if reason is None and name != "cuda-emulator"]
    return sorted(works, key=lambda name: name != "numpy")


@functools.cache
def installed() -> dict[str, str]:
    """Title of each peer that can be asked here, by its name."""
    return {name: TITLES[name] for name in TITLES if name not in missing()}


TITLES = {"torch": "PyTorch", "torch.compile": "torch.compile", "jax": "JAX"}


@functools.cache
def missing() -> dict[str, str]:
    """Why a peer is left out, for each that is."""
    reasons = {name: "not installed" for name in ("torch", "jax") if importlib.util.find_spec(name) is None}
    if "torch" in reasons:
        reasons["torch.compile"] = "PyTorch is not installed"
    elif shutil.which(os.environ.get("CXX", "g++")) is None and shutil.which("clang++") is None:
        reasons["torch.compile"] = "it needs a C++ compiler"
    return reasons
