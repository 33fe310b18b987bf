"""One background thread that samples the system while a training goes on."""

import math
import os
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from barograph.system.gauges import Gauges
from barograph.system.gpu import gpu_gauges
from barograph.system.host import machine_gauges, process_gauges
from barograph.system.nvml import start_nvml, visible_gpus

_YIELD_S = 0.05
_FIRST_S = 1.0  # so that a short training has figures too
_LAST_S = 1.0  # at the end there is one more, unless the one before is younger than this


class SystemSampler:
    """Calls `emit` with the figures of the system, metric key to number, every `every_s` seconds until stopped.

    One daemon thread. It costs below 0.3 % of a core at 5 s, most of it inside the kernel; `cpu_s` is what it has used.
    A figure that cannot be had is left out and, if that lasts, not asked for again (`silent` names it and the reason);
    nothing is raised, by a driver, by the system or by `emit`. If the thread cannot start, `is_running` is False and
    that is all. A forked child does not sample.

    disk_path: whose file system's free space is told. start_nvml: gives the library, started, or None.
    """

    def __init__(
        self,
        emit: Callable[[dict[str, float]], None],
        every_s: float = 5.0,
        *,
        pid: int | None = None,
        disk_path: Path | None = None,
        start_nvml: Callable[[], Any] = start_nvml,  # Any: a module without annotations
    ) -> None:
        self.cpu_s = 0.0
        self._emit = emit
        self._every_s = min(every_s, threading.TIMEOUT_MAX)  # an Event cannot wait for longer
        self._pid = os.getpid() if pid is None else pid
        self._disk_path = disk_path
        self._start_nvml = start_nvml
        self._gauges = Gauges()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._owner = os.getpid()

    @property
    def silent(self) -> dict[str, str]:
        """The readings that were given up, each with the reason."""
        return dict(self._gauges.silent)

    @property
    def is_running(self) -> bool:
        """Whether the thread is alive."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Begin; the first sample comes after about a second."""
        thread = threading.Thread(target=self._run, name="barograph-system", daemon=True)
        try:
            thread.start()
        except (RuntimeError, MemoryError):  # no more threads are allowed
            return
        self._thread = thread

    def stop(self, timeout_s: float = 1.0) -> None:
        """End, with a last sample; wait at most `timeout_s` for it. What comes later than that is not emitted."""
        if self._thread is None or os.getpid() != self._owner:  # a lock copied by a fork may be held by nobody
            return
        self._stopping.set()
        self._thread.join(timeout_s)
        self._emit = _forget

    def _run(self) -> None:
        # A thread begins with the interpreter in its hands; giving it back at once spares whoever started it 5 ms.
        self._stopping.wait(_YIELD_S)
        self._gauges.add("machine", partial(machine_gauges, self._disk_path))
        self._gauges.add("process", partial(process_gauges, self._pid))
        self._gauges.read()  # what is told as a rate needs a beginning
        nvml = None
        sampled_s = -math.inf
        if not self._stopping.wait(min(_FIRST_S, self._every_s)):
            # The first sample does not wait for a driver, which may take seconds to start, and a short run needs none.
            self._sample()
            nvml = self._add_gpus()
            if nvml is not None:
                self._sample()
            sampled_s = time.monotonic()
        while not self._stopping.wait(self._every_s):
            self._sample()
            sampled_s = time.monotonic()
        if time.monotonic() - sampled_s > _LAST_S:
            self._sample()
        if nvml is not None:
            try:
                nvml.nvmlShutdown()
            except Exception as error:  # noqa: BLE001  # a lost GPU must not end in a thread's traceback
                self._gauges.give_up("gpu", error)

    def _sample(self) -> None:
        sample = self._gauges.read()
        try:
            self._emit(sample)
        except Exception as error:  # noqa: BLE001  # the thread outlives whatever is done with its figures
            self._gauges.give_up("emit", error)
        self.cpu_s = time.thread_time()

    def _add_gpus(self) -> Any | None:
        try:
            nvml = self._start_nvml()
            gpus = visible_gpus(nvml) if nvml is not None else []
        except Exception as error:  # noqa: BLE001  # no library, or one that does not fit the driver
            self._gauges.give_up("gpu", error)
            return None
        for gpu in gpus:
            self._gauges.add(f"gpu/{gpu.number}", partial(gpu_gauges, nvml, gpu, self._pid))
        return nvml


def _forget(sample: dict[str, float]) -> None:
    """Take a sample that came after the end."""
