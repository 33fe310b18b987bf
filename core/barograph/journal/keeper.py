"""The daemon thread that looks after a journal: it wakes, lets the journal do what is due, and sleeps again."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Keeper:
    """Calls `tend` whenever the time it returned has passed, or at once after `wake()`, until `stop()`; then `end`.

    tend: returns the seconds until it wants to be called again. Only short work and system calls belong there: pure
    Python in this thread would take the interpreter away from the training.
    """

    def __init__(self, tend: Callable[[], float], end: Callable[[], None]) -> None:
        self._tend = tend
        self._end = end
        # Locked while nobody wakes the thread. An Event has a lock inside that a signal handler could meet locked.
        self._woken = threading.Lock()
        self._woken.acquire()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="barograph-journal", daemon=True)

    def start(self) -> bool:
        """False where the system gives no more threads."""
        try:
            self._thread.start()
        except (RuntimeError, MemoryError):
            return False
        return True

    def wake(self) -> None:
        """Have the journal tended now."""
        try:
            self._woken.release()
        except RuntimeError:  # it is awake
            pass

    def stop(self, timeout_s: float) -> bool:
        """Let the thread do its last work; False if that took longer than the timeout."""
        self._stopping = True
        self.wake()
        if self._thread is threading.current_thread():
            return True  # it ends when it comes back from where it is
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        wait_s = 0.0
        while not self._stopping:
            self._woken.acquire(timeout=wait_s)
            if not self._stopping:
                wait_s = self._tend()
        self._end()
