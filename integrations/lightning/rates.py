"""Learning rate, momentum and weight decay of every parameter group, as the optimiser step at hand uses them."""

from __future__ import annotations

from typing import Any

import torch

from barograph.integrations.lightning.describe import group_labels


class Rates:
    """Reads an optimiser's groups before its step, on steps that are logged and on the first one after a reading was
    taken, so that there is one in every window; other steps cost a comparison.
    """

    def __init__(self, trainer: Any) -> None:
        self._trainer = trainer
        self._labels: dict[int, list[str]] = {}
        self._read: dict[int, dict[str, Any]] = {}

    def read(self, optimizer: Any, step: int) -> None:
        """Take the rates of this optimiser."""
        key = id(optimizer)
        every = self._trainer.log_every_n_steps
        if key in self._read and (not every or (step + 1) % every):
            return
        groups = optimizer.param_groups
        labels = self._labels.get(key, ())
        if len(labels) != len(groups):  # the first time, or finetuning has added a group
            for known, names in group_labels(self._trainer.optimizers):
                self._labels[id(known)] = names
            labels = self._labels.get(key, [f"group{index}" for index in range(len(groups))])
        values = self._read[key] = {}
        for label, group in zip(labels, groups, strict=True):
            values[f"lr/{label}"] = _settled(group.get("lr"))
            betas = group.get("betas")
            momentum = group.get("momentum", betas[0] if betas else None)
            if momentum is not None:
                values[f"momentum/{label}"] = _settled(momentum)
            if group.get("weight_decay") is not None:
                values[f"weight_decay/{label}"] = _settled(group["weight_decay"])

    def take(self) -> dict[str, Any]:
        """What was read since the last call."""
        values = {name: value for one in self._read.values() for name, value in one.items()}
        self._read.clear()
        return values


def _settled(value: Any) -> Any:
    # a rate that is a tensor is changed in place by the scheduler before it is written
    return value.detach().clone() if isinstance(value, torch.Tensor) else value
