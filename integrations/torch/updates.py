"""How far an optimiser really moves each parameter, measured on a sample: no copy of a model is ever held."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from barograph.integrations.torch.parameters import in_memory_order, local_part

SAMPLE = 65_536  # elements of a tensor
_ALL_BYTES = 64 * 1024 * 1024
_RUN = 256  # elements that lie side by side: a sample of single ones would touch as much memory as all of them


class UpdateSample:
    """A sample of each parameter from before a step."""

    def __init__(self, parameters: Mapping[str, torch.Tensor]) -> None:
        local = {name: local_part(one) for name, one in parameters.items()}
        wanted = sum(min(one.numel(), SAMPLE) * one.element_size() for one in local.values())
        self._limit = int(SAMPLE * min(1.0, _ALL_BYTES / max(1, wanted)))
        self._before = {name: self._sample(one).clone() for name, one in local.items()}

    def compare(self, parameters: Mapping[str, torch.Tensor]) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
        """Of each parameter the sample from before the step, and how far it has moved since."""
        found = {}
        for name, old in self._before.items():
            new = self._sample(local_part(parameters[name]))
            if old.element_size() < 4:  # the difference of two halves has few digits
                old, new = old.float(), new.float()
            found[name] = old, new - old
        return found

    def _sample(self, tensor: torch.Tensor) -> torch.Tensor:
        """Evenly spread runs of elements; all of a small tensor."""
        flat = in_memory_order(tensor)
        size = flat.numel()
        if size <= self._limit:
            return flat
        runs = max(1, self._limit // _RUN)
        return flat.as_strided((runs, min(_RUN, size)), (size // runs, 1), flat.storage_offset())
