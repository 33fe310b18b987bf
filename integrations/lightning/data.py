"""The data of a fit or an evaluation, by what passes anyway: nothing is read, drawn or iterated for our sake."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Subset, TensorDataset

from barograph.guard import guarded
from barograph.integrations.lightning.remembered import WHOLE, Remembered
from barograph.run import Run

LABELS = ("labels", "label", "targets", "target", "y", "y_true")  # what dictionaries call them
_remembered = Remembered()
_GATHERED_BYTES = 64 * 1024 * 1024  # of a part of tensors in memory, which is gathered to be looked at


class Passing:
    """The data sets of one call of the trainer: whole where they are tensors in memory, else by the batches that pass.

    Batches are looked at during the first pass over each split, before they go to a device. The sanity check does not
    count.
    """

    def __init__(self, trainer: Any, run: Run) -> None:
        self.run = run
        self._trainer = trainer
        self._open: dict[tuple[str, int], Any] = {}  # streams by split and number of the loader
        self._begun: set[str] = set()

    @guarded
    def begin(self, split: str, loaders: Any) -> None:
        """A pass over a split begins; only the first one in a call is looked at."""
        if split in self._begun:
            return
        self._begun.add(split)
        found = list(flattened(loaders))
        if split == "train" and len(found) > 1:  # their batches come together
            self._open[split, 0] = self.run.stream_dataset(split, source=", ".join(map(_source, found)))
            return
        for index, loader in enumerate(found):
            name, dataset = part_name(split, index, len(found)), getattr(loader, "dataset", None)
            tensors = _tensors(dataset)
            if tensors is not None and len(tensors) <= 2:
                if _remembered.is_known(self.run, name, tensors):
                    continue
                labels = tensors[1] if len(tensors) > 1 else None
                self.run.log_dataset(name, tensors[0], labels, source=_source(loader))
            else:
                self._open[split, index] = self.run.stream_dataset(name, rows=length(dataset), source=_source(loader))

    def see(self, batch: Any, device: Any = None, dataloader_idx: int = 0) -> None:
        """A batch is about to go to its device."""
        if self._open and not self._trainer.sanity_checking:
            self._see(batch, dataloader_idx)

    @guarded
    def end(self, split: str | None = None) -> None:
        """The first pass over a split, or over all, is over."""
        for key in [key for key in self._open if split in (None, key[0])]:
            self._open.pop(key).close()

    @guarded
    def _see(self, batch: Any, index: int) -> None:
        split = self._trainer.state.stage.dataloader_prefix
        stream = self._open.get((split, index))
        if stream is None:
            return
        several = split == "train" and len(list(flattened(self._trainer.train_dataloader))) > 1
        inputs, labels = (batch, None) if several else split_batch(batch)
        stream.see(inputs, labels, first_pass=True)


def part_name(split: str, index: int, count: int) -> str:
    """What the data of one of several loaders is called."""
    return split if count == 1 else f"{split}/{index}"


def split_batch(batch: Any) -> tuple[Any, Any]:
    """A batch's inputs and labels, as far as its form tells them apart; labels are None where it does not."""
    if isinstance(batch, (tuple, list)) and len(batch) == 2:
        return batch[0], batch[1]
    if isinstance(batch, Mapping):
        for name in LABELS:
            if name in batch:
                return {key: value for key, value in batch.items() if key != name}, batch[name]
    return batch, None


def flattened(loaders: Any) -> Iterator[Any]:
    """The loaders in a CombinedLoader, or in lists and dictionaries of them."""
    if hasattr(loaders, "flattened"):
        loaders = loaders.flattened
    if isinstance(loaders, Mapping):
        loaders = list(loaders.values())
    if isinstance(loaders, (list, tuple)):
        for loader in loaders:
            yield from flattened(loader)
    elif loaders is not None:
        yield loaders


def generators_of(loaders: Any) -> dict[str, object]:
    """The generators of their own that loaders, or their samplers, mix the data by."""
    found = list(flattened(loaders))
    named = {
        f"{part_name('loader', index, len(found))}{part}": getattr(holder, "generator", None)
        for index, loader in enumerate(found)
        for part, holder in (("", loader), (".sampler", getattr(loader, "sampler", None)))
    }
    seen: dict[int, str] = {}  # one that both have is told once
    return {name: one for name, one in named.items() if one is not None and seen.setdefault(id(one), name) == name}


def length(dataset: Any) -> int | None:
    """How many samples a data set says that it has."""
    try:
        return len(dataset)
    except Exception:  # noqa: BLE001  # an iterable data set; others raise what they like
        return None


def _tensors(dataset: Any) -> tuple[torch.Tensor, ...] | None:
    """The tensors that a data set is made of, if they lie in memory and it gives out just their rows."""
    if type(dataset) is TensorDataset:
        tensors: tuple[torch.Tensor, ...] = dataset.tensors
        return tensors
    if type(dataset) is not Subset:
        return None
    whole = _tensors(dataset.dataset)
    if whole is None or not len(dataset.indices):
        return None
    share = len(dataset.indices) / max(1, len(whole[0]))
    if sum(one.numel() * one.element_size() for one in whole) * share > _GATHERED_BYTES:
        return None
    rows = np.asarray(dataset.indices).astype(np.int64)
    return tuple(gathered(one.detach(), rows) for one in whole)


def gathered(tensor: torch.Tensor, rows: NDArray[np.int64]) -> torch.Tensor:
    """Rows of a tensor; by numpy, on this thread: torch takes several, which costs ten times as much."""
    if tensor.device.type != "cpu" or tensor.layout is not torch.strided or tensor.is_complex():
        return tensor[torch.from_numpy(rows).to(tensor.device)]
    plain = tensor.resolve_neg().view(WHOLE[tensor.itemsize])
    return torch.from_numpy(np.take(plain.numpy(), rows, axis=0)).view(tensor.dtype)


def _source(loader: Any) -> str:
    """The class that the data comes from."""
    kind = type(getattr(loader, "dataset", loader))
    return f"{kind.__module__}.{kind.__qualname__}"
