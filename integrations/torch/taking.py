"""Takes statistics of tensors wherever they live: at once on the CPU, without waiting on a device."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from barograph.integrations.torch.on_device import DeviceStatistics
from barograph.integrations.torch.statistics import of_tensors
from barograph.tensors.statistics import Statistics

Key = tuple[str, str]  # kind and name, as in ("gradients", "fc1.weight")

_FINISH_S = 2.0
_LARGE = 1 << 18  # elements: of more, a quarter of the samples still are thousands
_THINNER = 4  # large tensors are sampled so many times more thinly, and all on a device: counting is what costs there
_THINNEST = 32


class Taken:
    """Statistics that were asked for, by kind and name: there at once for CPU tensors, later for others."""

    def __init__(self) -> None:
        self.found: dict[Key, Statistics] = {}
        self.missing = 0  # launches that are under way
        self._waiting: list[Callable[[], None]] = []

    def then(self, act: Callable[[], None]) -> None:
        """Do something once all is there: now, or in a later poll()."""
        if self.missing:
            self._waiting.append(act)
        else:
            act()

    def add(self, keys: Sequence[Key], records: Sequence[Statistics]) -> None:
        """Take in what was found; records of the same tensor add up."""
        for key, record in zip(keys, records, strict=True):
            self.found[key] = self.found[key] + record if key in self.found else record

    def arrive(self) -> None:
        """A launch has arrived."""
        self.missing -= 1
        if not self.missing:
            waiting, self._waiting = self._waiting, []
            for act in waiting:
                act()


def when_all(taken: Sequence[Taken], act: Callable[[], None]) -> None:
    """Do something once all of them are there."""
    late = [one for one in taken if one.missing]
    if late:
        late[0].then(lambda: when_all(late[1:], act))
    else:
        act()


class Taker:
    """Takes statistics and remembers for each tensor the centre of its next histogram.

    What no launch could be begun for, because too many are under way, is left out of what was taken.
    """

    def __init__(self) -> None:
        self._centres: dict[Key, float] = {}
        self._devices: dict[torch.device, DeviceStatistics] = {}

    def take(self, keys: Sequence[Key], tensors: Sequence[torch.Tensor], sampling: int) -> Taken:
        """Begin to take the statistics of tensors, which may be on several devices. Nothing is kept of them."""
        taken = Taken()
        groups: dict[tuple[torch.device, bool], tuple[list[Key], list[torch.Tensor]]] = {}
        for key, tensor in zip(keys, tensors, strict=True):
            is_thin = not tensor.is_cpu or tensor.numel() > _LARGE
            own_keys, own = groups.setdefault((tensor.device, is_thin), ([], []))
            own_keys.append(key)
            own.append(tensor)
        thinly = min(sampling * _THINNER, _THINNEST)
        for (device, is_thin), (own_keys, own) in groups.items():
            centres = [self._centres.get(key, 0.0) for key in own_keys]
            if device.type == "cpu":
                self._hand_over(taken, own_keys, of_tensors(own, centres, thinly if is_thin else sampling))
            elif device.type != "meta":
                starter = self._devices.get(device) or self._devices.setdefault(device, DeviceStatistics(device))
                taken.missing += starter.start(own, (taken, own_keys), centres, thinly)
        return taken

    @property
    def pending(self) -> int:
        """How many launches are under way."""
        return sum(device.pending for device in self._devices.values())

    def poll(self) -> None:
        """Hand over what has arrived from devices; never waits."""
        for device in self._devices.values():
            for arrived in device.arrived():
                order: Any = arrived.mark  # Any: what take() marked the launch with
                taken, keys = order
                self._hand_over(taken, keys, arrived.statistics)
                taken.arrive()

    def finish(self) -> None:
        """Hand over what arrives within two seconds."""
        deadline = time.monotonic() + _FINISH_S
        while self.pending and time.monotonic() < deadline:
            time.sleep(0.001)
            self.poll()

    def _hand_over(self, taken: Taken, keys: list[Key], records: list[Statistics]) -> None:
        taken.add(keys, records)
        for key, record in zip(keys, records, strict=True):
            self._centres[key] = record.next_centre()
