"""Scalars on a device: copied without waiting, written once they have arrived."""

from __future__ import annotations

from typing import Any

import torch

from barograph.values import Deferred, register_converter


class _OnItsWay:
    """Numbers that a CUDA stream will bring to the host. Holds a little pinned memory and an event."""

    def __init__(self, tensor: torch.Tensor) -> None:
        stream = torch.cuda.current_stream(tensor.device)
        self._host = torch.empty(tensor.numel(), dtype=tensor.dtype, pin_memory=True)
        self._host.copy_(tensor.detach().reshape(-1), non_blocking=True)
        self._arrived = torch.cuda.Event()
        self._arrived.record(stream)

    def is_ready(self) -> bool:
        """Whether the copy is through; never waits."""
        return bool(self._arrived.query())

    def get(self, index: int = 0) -> float:
        """One of the numbers, once they are ready."""
        return float(self._host[index].item())


def on_their_way(tensor: torch.Tensor) -> list[Deferred]:
    """The numbers of a vector on a device, brought over by one copy."""
    copy = _OnItsWay(tensor)
    return [_OneOf(copy, index) for index in range(tensor.numel())]


class _OneOf:
    """One number of a vector that is on its way."""

    def __init__(self, vector: _OnItsWay, index: int) -> None:
        self._vector, self._index = vector, index

    def is_ready(self) -> bool:
        """Whether the vector is there."""
        return self._vector.is_ready()

    def get(self) -> float:
        """The number, once it is ready."""
        return self._vector.get(self._index)


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
