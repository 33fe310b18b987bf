"""How far an optimiser really moves each parameter, measured on a sample: no copy of a model is ever held."""

from __future__ import annotations

from collections.abc import Mapping

import torch

SAMPLE = 65_536  # elements of a tensor
_ALL_BYTES = 64 * 1024 * 1024


class UpdateSample:
    """A sample of each parameter from before a step; ratios() compares it with what is there after it."""

    def __init__(self, parameters: Mapping[str, torch.Tensor]) -> None:
        wanted = sum(min(one.numel(), SAMPLE) * one.element_size() for one in parameters.values())
        share = min(1.0, _ALL_BYTES / max(1, wanted))
        self._strides = {
            name: max(1, -(-one.numel() // max(1, int(min(one.numel(), SAMPLE) * share))))
            for name, one in parameters.items()
        }
        self._before = {name: _sample(one, self._strides[name]).clone() for name, one in parameters.items()}

    def ratios(self, parameters: Mapping[str, torch.Tensor]) -> tuple[list[str], torch.Tensor]:
        """The norm of each update over that of the weights before it, in the order of the names; float32 tensor."""
        names = [name for name in self._before if name in parameters]
        before = [self._before[name].float() for name in names]
        after = [_sample(parameters[name], self._strides[name]).float() for name in names]
        moved = torch._foreach_norm(torch._foreach_sub(after, before))
        size = torch._foreach_norm(before)
        tiny = torch.finfo(torch.float32).tiny
        return names, torch.stack([one / two.clamp(min=tiny) for one, two in zip(moved, size, strict=True)])


def _sample(parameter: torch.Tensor, stride: int) -> torch.Tensor:
    flat = parameter.detach().reshape(-1)
    return flat[::stride]
