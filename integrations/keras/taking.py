"""Statistics of a back end's tensors, and the points that are made of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import keras
import numpy as np

from barograph.tensors.compute import of_arrays
from barograph.tensors.points import ACTIVATIONS, norm_of, points_of
from barograph.tensors.statistics import Statistics

BACKEND = keras.backend.backend()
WEIGHTS, GRADIENTS = "weights", "gradients"
SAMPLE = 65_536  # elements of a variable whose update is measured
_ALL_BYTES = 64 * 1024 * 1024  # of all samples
_RUN = 256  # elements that lie side by side: a sample of single ones would touch as much memory as all of them

if BACKEND == "torch":
    from barograph.integrations.torch.statistics import of_tensors

Array = np.ndarray[Any, Any]


class Taken:
    """What was taken in one step: statistics by kind and name, and the points that they give."""

    def __init__(self, centres: dict[str, float], sampling: int) -> None:
        """centres: by key the centre of the next histogram, kept by the caller from step to step."""
        self.sampling = sampling
        self._found: dict[str, dict[str, Statistics]] = {}
        self._centres = centres

    def take(self, kind: str, tensors: Mapping[str, Any], factor: float = 1.0) -> None:
        """Take the statistics of tensors by name, multiplied by a factor."""
        self.add(kind, {name: [tensor] for name, tensor in tensors.items()}, factor)

    def add(self, kind: str, tensors: Mapping[str, Iterable[Any]], factor: float = 1.0) -> None:
        """The same, of names that have several each, which add up."""
        named = [(name, one) for name, several in tensors.items() for one in several]
        keys = [f"{kind}/{name}" for name, _ in named]
        centres = [self._centres.get(key, 0.0) for key in keys]
        found = self._found.setdefault(kind, {})
        taken = _statistics([one for _, one in named], centres, self.sampling)
        for key, (name, _), record in zip(keys, named, taken, strict=True):
            self._centres[key] = record.next_centre()
            record = record if factor == 1 else record.scaled(factor)
            found[name] = found[name] + record if name in found else record

    def points(self) -> dict[str, float]:
        """Figures of each tensor, and the norm of all gradients and of all weights."""
        points: dict[str, float] = {}
        for kind, records in self._found.items():
            points |= points_of(kind, records)
            if records and kind != ACTIVATIONS:
                points[f"{kind}/norm"] = norm_of(records.values())
        return points

    def statistics(self) -> dict[str, Statistics]:
        """The statistics by key."""
        return {f"{kind}/{name}": one for kind, records in self._found.items() for name, one in records.items()}


def samples(variables: Mapping[str, Any]) -> dict[str, Array]:
    """Evenly spread runs of elements of each variable, all of a small one, as doubles; no view of them is kept."""
    limit = int(min(SAMPLE, _ALL_BYTES / 8 / max(1, len(variables))))
    return {name: _sample(one, limit) for name, one in variables.items()}


def ratios(before: Mapping[str, Array], after: Mapping[str, Array]) -> dict[str, float]:
    """The norm of each update over that of the variable before it. Of variables of zero there is none."""
    found = {}
    for name, old in before.items():
        size = float(np.linalg.norm(old))
        if size > 0:
            found[f"updates/{name}/ratio"] = float(np.linalg.norm(after[name] - old)) / size
    return found


def on_host(tensor: Any) -> Array:  # Any: a tensor of the back end, or a variable's value
    """The numbers of a tensor, without a copy where that is possible. Do not keep them."""
    if BACKEND == "jax":
        try:
            return np.from_dlpack(tensor)  # numpy.asarray would stay with the array and make its donation a copy
        except (BufferError, RuntimeError, TypeError, ValueError):  # on a device, or bfloat16
            return np.asarray(tensor)
    if BACKEND == "torch":
        return np.asarray(keras.ops.convert_to_numpy(tensor))
    return np.asarray(tensor.numpy())


def _statistics(tensors: list[Any], centres: list[float], sampling: int) -> list[Statistics]:
    if BACKEND == "torch":
        return of_tensors(tensors, centres, sampling)
    return of_arrays([on_host(one) for one in tensors], centres, sampling)


def _sample(tensor: Any, limit: int) -> Array:
    flat: Any = (tensor.detach() if BACKEND == "torch" else on_host(tensor)).reshape(-1)
    size = len(flat)
    if size > limit:
        runs = max(1, limit // _RUN)
        flat = flat[: size - size % runs].reshape(runs, -1)[:, :_RUN]
    if BACKEND == "torch":
        return np.array(flat.double().cpu().numpy())
    return np.array(flat, dtype=np.float64)
