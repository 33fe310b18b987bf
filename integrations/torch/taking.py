"""Takes statistics of tensors wherever they live: at once on the CPU, without waiting on a device."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from barograph.integrations.torch.on_device import DeviceStatistics
from barograph.integrations.torch.statistics import of_tensors
from barograph.tensors.statistics import Statistics

_FINISH_S = 2.0

Deliver = Callable[[Any, list[str], list[Statistics]], None]  # Any: what the caller marked it with


class Taker:
    """Hands statistics to `deliver(mark, names, statistics)`: now for CPU tensors, at a later poll() for others.

    Remembers for each tensor the centre of its next histogram.
    """

    def __init__(self, deliver: Deliver) -> None:
        self._deliver = deliver
        self._centres: dict[tuple[str, str], float] = {}
        self._devices: dict[torch.device, DeviceStatistics] = {}

    def take(
        self,
        mark: tuple[Any, str],
        names: list[str],
        tensors: Sequence[torch.Tensor],
        sampling: int,
        deliver: Deliver | None = None,
    ) -> None:
        """Take the statistics of tensors, which may be on several devices. mark: the step, and the kind of tensors."""
        by_device: dict[torch.device, tuple[list[str], list[torch.Tensor]]] = {}
        for name, tensor in zip(names, tensors, strict=True):
            own_names, own = by_device.setdefault(tensor.device, ([], []))
            own_names.append(name)
            own.append(tensor)
        for device, (own_names, own) in by_device.items():
            centres = [self._centres.get((mark[1], name), 0.0) for name in own_names]
            target = deliver or self._deliver
            if device.type == "cpu":
                self._hand_over(target, mark, own_names, of_tensors(own, centres, sampling))
            elif device.type != "meta":
                taker = self._devices.get(device) or self._devices.setdefault(device, DeviceStatistics(device))
                taker.start(own, (target, mark, own_names), centres, min(sampling * 4, 32))

    def poll(self) -> None:
        """Hand over what has arrived from devices; never waits."""
        for device in self._devices.values():
            for arrived in device.arrived():
                order: Any = arrived.mark  # Any: what take() gave
                target, mark, names = order
                self._hand_over(target, mark, names, arrived.statistics)

    def finish(self) -> None:
        """Hand over what arrives within two seconds."""
        deadline = time.monotonic() + _FINISH_S
        self.poll()
        while any(device.pending for device in self._devices.values()) and time.monotonic() < deadline:
            time.sleep(0.001)
            self.poll()

    def _hand_over(self, deliver: Deliver, mark: tuple[Any, str], names: list[str], found: list[Statistics]) -> None:
        merged: dict[str, Statistics] = {}
        for name, record in zip(names, found, strict=True):
            merged[name] = merged[name] + record if name in merged else record
            self._centres[mark[1], name] = record.next_centre()
        deliver(mark, list(merged), list(merged.values()))
