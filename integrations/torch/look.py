"""What one look into a step of an optimiser has found, and the records that are made of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache

import torch

from barograph.integrations.torch.gradients import KIND as GRADIENTS
from barograph.integrations.torch.parameters import local_part
from barograph.integrations.torch.taking import Key, Taken, Taker, when_all
from barograph.integrations.torch.values import on_their_way
from barograph.run import Run
from barograph.tensors.points import ACTIVATIONS, norm_of, points_of
from barograph.tensors.statistics import Statistics

_WEIGHTS = "weights"
_CLIPPED, _SCALE, _SCALE_NOW, _BEFORE, _MOVED = "clipped", "scale", "scale_now", "before", "moved"  # not written
_ROUNDING = 1e-5  # a clip factor so near to 1 is 1: two norms were divided


class Look:
    """Gathers what is taken during a step. Writes one frame of points and one record of histograms once all is there.

    total: where the norm of all gradients goes, "gradients" or of a further optimiser "gradients/optimizer1".
    shards: names of which each process has a part: these get no points of their own, for a reader adds the histograms
    of all processes up, and out of them comes every figure.
    """

    def __init__(self, run: Run, step: int, total: str, shards: set[str]) -> None:
        self.run, self._step, self._total, self._shards = run, step, total, shards
        self._items: dict[Key, torch.Tensor] = {}
        self._held: list[tuple[Key, torch.Tensor]] = []  # of one module there may be several
        self._parts: list[Taken] = []
        self._gradients: dict[str, Taken] = {}

    def add_gradients(self, readings: Mapping[str, Taken], scale: torch.Tensor | None) -> None:
        """These readings belong to the step. scale: by which they are multiplied; None for 1."""
        self._gradients.update(readings)
        if scale is not None:
            self._items[_SCALE, ""] = scale  # comes over from its device with everything else

    def add_clipped(self, taker: Taker, gradients: Mapping[str, torch.Tensor], scale: torch.Tensor | None) -> None:
        """The gradients as the optimiser sees them."""
        items = {(_CLIPPED, name): one for name, one in gradients.items()}
        if scale is not None:
            items[_SCALE_NOW, ""] = scale
        self._parts.append(taker.take(list(items), list(items.values()), 0))

    def add_weights(self, parameters: Mapping[str, torch.Tensor]) -> None:
        """The weights after the step."""
        self._items.update(((_WEIGHTS, name), local_part(one)) for name, one in parameters.items())

    def add_updates(self, samples: Mapping[str, tuple[torch.Tensor, torch.Tensor]]) -> None:
        """Samples of the weights before the step, and how far they have moved."""
        for name, (before, moved) in samples.items():
            self._items[_BEFORE, name], self._items[_MOVED, name] = before, moved

    def add_activations(
        self, taken: Sequence[Taken], held: Sequence[tuple[Key, torch.Tensor]], scalars: Mapping[str, torch.Tensor]
    ) -> None:
        """What the modules have put out."""
        self._parts += taken
        self._held += held
        self._write_scalars(scalars)

    def finish(self, taker: Taker, sampling: int) -> None:
        """Take the statistics of what is there, and write as soon as all have arrived. No tensor is kept."""
        keys = [*self._items, *(key for key, _ in self._held)]
        self._parts.append(taker.take(keys, [*self._items.values(), *(one for _, one in self._held)], sampling))
        self._items, self._held = {}, []
        when_all([*dict.fromkeys(self._gradients.values()), *self._parts], self._write)

    def _write_scalars(self, scalars: Mapping[str, torch.Tensor]) -> None:
        names, values = tuple(scalars), [value.double() for value in scalars.values()]
        if all(value.is_cpu for value in values):
            self.run.log_scalars(names, [value.item() for value in values], self._step)
        else:
            self.run.log_deferred(names, on_their_way(torch.stack(values)), self._step)

    def _write(self) -> None:
        found = self._sorted()
        points: dict[str, float] = {}
        statistics: dict[str, Statistics] = {}
        for kind in (GRADIENTS, _WEIGHTS, ACTIVATIONS):
            records = found.get(kind, {})
            figures = {name: one for name, one in records.items() if name not in self._shards}
            points |= points_of(kind, figures)
            binned = {name: one for name, one in records.items() if one.sampling or name in self._shards}
            statistics.update(zip(_names(kind, tuple(binned)), binned.values(), strict=True))
        points |= self._norms(found) | _ratios(found)
        if points:
            self.run.log_scalars(tuple(points), list(points.values()), self._step)
        if statistics:
            self.run.log_statistics(statistics, self._step)

    def _sorted(self) -> dict[str, dict[str, Statistics]]:
        """Everything by kind and name, gradients without their loss scale."""
        found: dict[str, dict[str, Statistics]] = {}
        for part in self._parts:
            for (kind, name), record in part.found.items():
                records = found.setdefault(kind, {})
                records[name] = records[name] + record if name in records else record
        scale = _scale(found, _SCALE)
        for name, reading in self._gradients.items():
            taken = reading.found.get((GRADIENTS, name))
            if taken is not None:
                found.setdefault(GRADIENTS, {})[name] = taken if scale == 1 else taken.scaled(1 / scale)
        return found

    def _norms(self, found: Mapping[str, Mapping[str, Statistics]]) -> dict[str, float]:
        gradients = found.get(GRADIENTS, {})
        if not gradients or not self._shards.isdisjoint(gradients):
            return {}  # of shards the norm of all would need the other processes
        norms = {f"{self._total}/norm": norm_of(gradients.values())}
        if _CLIPPED in found:
            norms[f"{self._total}/norm_clipped"] = norm_of(found[_CLIPPED].values()) / _scale(found, _SCALE_NOW)
            before, after = norms.values()
            if before > 0 and math.isfinite(before):
                factor = after / before
                norms[f"{self._total}/clip_factor"] = 1.0 if abs(factor - 1) < _ROUNDING else factor
        return norms


@lru_cache(maxsize=64)
def _names(kind: str, names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{kind}/{name}" for name in names)


def _ratios(found: Mapping[str, Mapping[str, Statistics]]) -> dict[str, float]:
    """The norm of each update over that of the weights before it. Of weights of zero there is none."""
    return {
        f"updates/{name}/ratio": moved.l2 / found[_BEFORE][name].l2
        for name, moved in found.get(_MOVED, {}).items()
        if found[_BEFORE][name].l2
    }


def _scale(found: Mapping[str, Mapping[str, Statistics]], kind: str) -> float:
    return found[kind][""].mean if kind in found else 1.0
