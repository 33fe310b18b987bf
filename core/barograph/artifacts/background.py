"""What a run does with its artifacts on the side: one daemon thread, one job after the other, bounded at the end."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from typing import Protocol

# A thread begins with the interpreter in its hands; giving it back at once spares the training 5 ms.
_YIELD_S = 0.05
_NICENESS = 10  # a training that wants the processor gets it
_LEAVE_S = 0.2  # for the block that is being read when the thread is told to stop


class StoppedError(Exception):
    """Raised in a job that is to stop because the run has ended."""


class Job(Protocol):
    """Something to be done on the side."""

    def do(self, background: Background) -> None:
        """Do it, calling `background.stop_if_told()` from time to time. Raises nothing else."""
        ...

    def give_up(self) -> None:
        """The run ends before it was done, or before all of it was."""
        ...


class Background:
    """Does the jobs of one run until it is closed. Most of their time, reading and hashing, is without the interpreter
    lock."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: deque[Job] = deque()
        self._current: Job | None = None
        self._thread: threading.Thread | None = None
        self._stopping = False

    def submit(self, job: Job) -> None:
        """Do a job when its turn comes. Returns at once."""
        with self._changed:
            self._waiting.append(job)
            self._changed.notify_all()
            if self._thread is not None:
                return
            thread = threading.Thread(target=self._work, name="barograph-artifacts", daemon=True)
            with suppress(RuntimeError):  # no more threads: it is given up at the end
                thread.start()
                self._thread = thread

    def stop_if_told(self) -> None:
        """Raise StoppedError if the run does not wait any longer."""
        if self._stopping:
            raise StoppedError

    def close(self, timeout_s: float) -> None:
        """Wait for at most so long for what is under way, then give the rest up, for good."""
        with self._changed:
            if self._thread is not None:
                self._changed.wait_for(lambda: not self._waiting and self._current is None, timeout_s)
            self._stopping = True
            given_up = [*([self._current] if self._current is not None else []), *self._waiting]
            self._waiting.clear()
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(_LEAVE_S)
        for job in given_up:
            job.give_up()

    def _work(self) -> None:
        time.sleep(_YIELD_S)
        if sys.platform == "linux":  # elsewhere niceness belongs to the whole process
            with suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
        while True:
            with self._changed:
                self._current = None
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._waiting or self._stopping)
                if self._stopping:
                    return
                self._current = self._waiting.popleft()
            with suppress(StoppedError):
                self._current.do(self)
