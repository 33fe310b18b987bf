"""Scalars on a device: copied without waiting, written once they have arrived."""

from __future__ import annotations

from typing import Any

import torch

from barograph.values import Deferred, register_converter


class _OnItsWay:
    """A number that a CUDA stream will bring to the host. Holds four bytes of pinned memory and an event."""

    def __init__(self, tensor: torch.Tensor) -> None:
        stream = torch.cuda.current_stream(tensor.device)
        self._host = torch.empty(1, dtype=tensor.dtype, pin_memory=True)
        self._host.copy_(tensor.detach().reshape(1), non_blocking=True)
        self._arrived = torch.cuda.Event()
        self._arrived.record(stream)

    def is_ready(self) -> bool:
        """Whether the copy is through; never waits."""
        return bool(self._arrived.query())

    def get(self) -> float:
        """The number, once it is ready."""
        return float(self._host.item())


def _convert(tensor: Any) -> float | Deferred:  # Any: whatever of torch has a device
    if tensor.numel() != 1:
        raise ValueError(f"holds {tensor.numel()} numbers")
    if tensor.device.type == "meta":
        raise ValueError("is on the meta device and has no value")
    if tensor.device.type != "cuda":
        return float(tensor.item())
    if torch.cuda.is_current_stream_capturing():
        raise ValueError("was logged while a CUDA graph was captured; log it outside")
    return _OnItsWay(tensor)


register_converter("torch", _convert)
