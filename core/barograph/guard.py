"""Around every entry point that a framework calls: our own failure becomes one warning, and the training goes on."""

import functools
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol, TypeVar, cast

from barograph.voice import warn

_Method = TypeVar("_Method", bound=Callable[..., Any])  # Any: a framework's hook takes and gives what it likes

# Set by barograph.testing: a swallowed error would hide a defect from a test.
raise_errors = False


class GuardedRun(Protocol):
    """What the guard needs of a run."""

    @property
    def name(self) -> str:
        """For the warning."""
        ...

    def spent(self, hook: str, seconds: float) -> None:
        """Add the cost of a hook."""
        ...

    def count_failure(self, hook: str, error: BaseException) -> bool:
        """Count an error of ours; True if it is the first of its kind in this run."""
        ...

    @property
    def cost_s(self) -> float:
        """Seconds spent in log() and its like so far."""
        ...

    @property
    def open_for_s(self) -> float:
        """Seconds since it was opened."""
        ...


class _Frame:
    """What guarded methods and log() took inside one that is under way, and counted themselves."""

    hooks_s = 0.0
    log_s = 0.0


_frames = threading.local()
_warned_without_run: set[tuple[str, str]] = set()


def guarded(method: _Method) -> _Method:
    """Guard a method that a framework calls: measure it, and let no exception of ours out of it.

    The object must offer `run`: the Run, or None. The time the method takes is added to `run.overhead` under its name.
    An exception is counted in the run and, the first time for its hook and class, told in one warning; the method then
    returns None. KeyboardInterrupt, SystemExit and other non-errors pass untouched.
    """
    hook = method.__name__

    @functools.wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        before: GuardedRun | None = self.run
        logged_s = before.cost_s if before is not None else 0.0
        outer, inner = getattr(_frames, "current", None), _Frame()
        _frames.current = inner
        start = time.perf_counter()
        try:
            return method(self, *args, **kwargs)
        except Exception as error:  # the one place where everything of ours stops
            if raise_errors:
                raise
            report(self.run, hook, error)
            return None
        finally:
            whole_s = time.perf_counter() - start
            run: GuardedRun | None = self.run
            if run is before or run is None:
                log_s = run.cost_s - logged_s if run is not None else 0.0
            else:  # what a run that was joined here has spent before is not known, and not this call's
                log_s = run.cost_s if run.open_for_s < whole_s else 0.0
            if run is not None:
                run.spent(hook, max(0.0, whole_s - inner.hooks_s - (log_s - inner.log_s)))
            if outer is not None:
                outer.hooks_s += whole_s
                outer.log_s += log_s
            _frames.current = outer

    return cast(_Method, call)


def report(run: GuardedRun | None, hook: str, error: Exception) -> None:
    """Count an error of ours in the run and warn about it if it is the first of its kind."""
    kind = (hook, type(error).__name__)
    if run is not None:
        first, where = run.count_failure(hook, error), f"run {run.name}"
    else:
        first, where = kind not in _warned_without_run, "no run"
        _warned_without_run.add(kind)
    if first:
        warn(
            f"{where}: {hook} failed in our own code ({type(error).__name__}: {error}). The training goes on; "
            f"what this call would have recorded is missing. Further failures of this kind are counted in silence."
        )
