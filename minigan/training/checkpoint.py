"""Checkpoints: everything that a run needs to go on, in one safetensors file.

safetensors (https://github.com/huggingface/safetensors) is a JSON header and raw arrays: nothing in it is executed, as
a pickle would be. The header also carries a table of texts, which here holds the step, the preset and two JSON texts.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kernels.types import Array

from ..errors import UserError
from .files import atomic_path, one_line_errors, step_files, step_path

FORMAT = "1"
SUFFIX = ".safetensors"


class NonFiniteStateError(ValueError):
    """What should be saved holds a NaN or an infinity."""


@dataclass(frozen=True)
class Checkpoint:
    """A run's state after `step` updates.

    `tensors` holds weights, state and moments under names like "generator/dense1/W" or "optimizer_d/m/dense1/W";
    `config` and `extra` (the optimizers' step counts, say) are what JSON can hold.
    """

    step: int
    preset: str
    config: dict[str, Any]
    tensors: dict[str, np.ndarray]
    extra: dict[str, Any] = field(default_factory=dict)


def save(folder: Path, checkpoint: Checkpoint, keep: int | None = 2) -> Path:
    """Write `folder/step_0000600.safetensors`; once it is in place, keep the latest `keep` up to this step (None: all).

    Contiguous tensors are written from where they are, without a copy. A tensor that is not finite raises
    NonFiniteStateError: a run could not go on from it.
    """
    from safetensors import SafetensorError  # here: what trains and saves nothing, a benchmark, does without
    from safetensors.numpy import save_file

    if keep is not None and keep < 1:
        raise ValueError(f"save: keep is {keep}, expected 1 or more")
    for name, tensor in checkpoint.tensors.items():
        if not np.isfinite(tensor).all():
            raise NonFiniteStateError(f"{name} holds NaN or infinity at step {checkpoint.step}")
    # safetensors reads the memory of an array as if it were contiguous, whatever its strides are.
    tensors = {name: np.asarray(tensor, order="C") for name, tensor in checkpoint.tensors.items()}
    metadata = {
        "minigan": FORMAT,
        "step": str(checkpoint.step),
        "preset": checkpoint.preset,
        "config": json.dumps(checkpoint.config),
        "extra": json.dumps(checkpoint.extra),
    }
    path = step_path(folder, checkpoint.step, SUFFIX)
    with atomic_path(path) as temp:
        try:
            save_file(tensors, temp, metadata)
        except SafetensorError as error:
            raise OSError(str(error)) from error
    if keep is None:
        return path
    with one_line_errors(f"remove earlier checkpoints in {folder}"):
        upto = [file for step, file in step_files(folder, SUFFIX).items() if step <= checkpoint.step]
        for file in upto[:-keep]:
            file.unlink()
    return path


def latest(folder: Path) -> Path | None:
    """The checkpoint with the highest step in `folder`, or None."""
    return next(reversed(step_files(folder, SUFFIX).values()), None)


def load(path: Path) -> Checkpoint:
    """Read a checkpoint whole and check it; whatever is wrong with it is a UserError."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise UserError(f"cannot read {path}: there is no such file")
    with one_line_errors(f"read {path}"):
        try:
            with safe_open(path, framework="np") as file:
                return _parse(file)
        except (SafetensorError, ValueError) as error:
            raise UserError(f"{path} is not a sound checkpoint: {error}{_way_out(path)}") from error


def _parse(file: Any) -> Checkpoint:
    """The checkpoint in an open safetensors file; a ValueError says what is wrong with it."""
    metadata = file.metadata() or {}
    found = metadata.get("minigan")
    if found != FORMAT:
        what = "no minigan checkpoint" if found is None else f"checkpoint format {found}"
        raise ValueError(f"it holds {what}, this minigan reads format {FORMAT}")
    try:
        step, preset = int(metadata["step"]), metadata["preset"]
        config, extra = json.loads(metadata["config"]), json.loads(metadata["extra"])
    except (KeyError, ValueError) as error:
        raise ValueError(f"its step, preset, config or extra is missing or damaged ({error})") from error
    tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it has keys() but is no mapping
    for name, tensor in tensors.items():
        if not np.isfinite(tensor).all():
            raise ValueError(f"{name} holds NaN or infinity")
    return Checkpoint(step, preset, config, tensors, extra)


def _way_out(path: Path) -> str:
    """How to go on without this checkpoint, if an earlier one is there."""
    files = list(step_files(path.parent, SUFFIX).values())
    earlier = files[: files.index(path)] if path in files else []
    return f"; to go on from {earlier[-1].name}, remove this file" if earlier else ""


def check_matches(
    checkpoint: Checkpoint, expected: Mapping[str, tuple[tuple[int, ...], np.dtype]], prefix: str = ""
) -> None:
    """Compare the tensors named `prefix...` with `expected`: name without prefix -> (shape, dtype).

    Any difference is a UserError that names the first few.
    """
    found = {
        name.removeprefix(prefix): (tensor.shape, tensor.dtype)
        for name, tensor in checkpoint.tensors.items()
        if name.startswith(prefix)
    }
    differences = {
        "missing": [prefix + name for name in expected if name not in found],
        "unexpected": [prefix + name for name in found if name not in expected],
        "different": [
            f"{prefix}{name} is {_describe(*found[name])}, expected {_describe(*wanted)}"
            for name, wanted in expected.items()
            if name in found and found[name] != wanted
        ],
    }
    if any(differences.values()):
        what = "; ".join(f"{kind}: {_first_few(names)}" for kind, names in differences.items() if names)
        raise UserError(f"the checkpoint (preset {checkpoint.preset}, step {checkpoint.step}) does not fit: {what}")


def restore(
    target: Mapping[str, Array],
    checkpoint: Checkpoint,
    prefix: str = "",
    to_device: Callable[[np.ndarray], Array] = np.asarray,
) -> None:
    """Copy the tensors named `prefix...` into the arrays of `target`, in place; if any does not fit, copy none.

    `to_device` brings a tensor to where the target is.
    """
    check_matches(checkpoint, {name: (array.shape, array.dtype) for name, array in target.items()}, prefix)
    for name, array in target.items():
        array[...] = to_device(checkpoint.tensors[prefix + name])


def _describe(shape: tuple[int, ...], dtype: np.dtype) -> str:
    return f"{shape} {dtype}"


def _first_few(names: list[str], few: int = 3) -> str:
    more = f" and {len(names) - few} more" if len(names) > few else ""
    return ", ".join(names[:few]) + more
