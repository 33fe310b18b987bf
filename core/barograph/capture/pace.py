"""How background work stays out of a training's way: a small share of the time, until somebody waits for its end."""

import threading
from time import thread_time

_LEAST_SHARE = 0.002  # with a smaller budget nothing would ever come to its end
_PIECE_S = 0.0005  # of work, between two rests


class Pace:
    """Lets a thread of ours compute for at most a share of the time, so that a training has the interpreter.

    `hurry()` ends every rest and allows all of the time; it may be called from any thread and from a signal handler.
    """

    def __init__(self, share: float) -> None:
        self.is_hurried = False
        self._share = min(max(share, _LEAST_SHARE), 1.0)
        # Locked while there is no hurry. An Event has a lock inside that a signal handler could meet locked.
        self._woken = threading.Lock()
        self._woken.acquire()
        self._rested_at_s: float | None = None  # CPU seconds of the thread that works

    def rest(self) -> None:
        """Wait in proportion to what was computed since the last rest."""
        now_s = thread_time()
        worked_s = now_s - self._rested_at_s if self._rested_at_s is not None else _PIECE_S
        if worked_s >= _PIECE_S:
            self.wait(worked_s / self._share - worked_s)
            self._rested_at_s = thread_time()

    def wait(self, seconds: float) -> None:
        """Wait so long, or until there is a reason not to: `hurry()`, `wake()`."""
        if not self.is_hurried:
            self._woken.acquire(timeout=min(max(0.0, seconds), threading.TIMEOUT_MAX))

    def wake(self) -> None:
        """End the wait that is under way, or else the next one."""
        try:
            self._woken.release()
        except RuntimeError:  # it is awake
            pass

    def relax(self) -> None:
        """Go back to the pace of before the hurry."""
        self.is_hurried = False
        self._rested_at_s = None  # another thread may work from now on
        self._woken.acquire(blocking=False)

    def hurry(self) -> None:
        """Let the work come to its end without a rest."""
        self.is_hurried = True
        self.wake()
