"""Which runs are open in this process, and which of them is meant when nobody names one."""

from __future__ import annotations

import atexit
import contextvars
import os
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from barograph.voice import warn

if TYPE_CHECKING:
    from barograph.run import Run

_in_context: contextvars.ContextVar[Run | None] = contextvars.ContextVar("barograph_run", default=None)
_in_process: list[Run] = []
_closes_at_exit = False
_warned_that_none_is_open = False


def current_run() -> Run | None:
    """The open run that this code belongs to: the context's own, else the newest of the process, else None."""
    return _choose(lambda run: True)


def joinable_run() -> Run | None:
    """The open run that a callback may write to: only one that `init()` or `autolog` made."""
    return _choose(lambda run: run.is_joinable)


def add(run: Run) -> None:
    """Make `run` the current one here, and close it at exit if nobody has."""
    global _closes_at_exit
    if run not in _in_process:
        _in_process.append(run)
    run.opened_over = _in_context.get()
    _in_context.set(run)
    if not _closes_at_exit:
        atexit.register(_close_all)
        _closes_at_exit = True


def remove(run: Run) -> None:
    """Forget a run that was finished."""
    if run in _in_process:
        _in_process.remove(run)
    if _in_context.get() is run:
        before = run.opened_over
        _in_context.set(before if before in _in_process else None)
    run.opened_over = None


def open_runs() -> list[Run]:
    """All open runs of this process, oldest first."""
    return list(_in_process)


def warn_that_none_is_open() -> None:
    """Say once in this process that a record has no run to go to."""
    global _warned_that_none_is_open
    if not _warned_that_none_is_open:
        _warned_that_none_is_open = True
        warn("log() was called and no run is open; nothing is recorded. Call barograph.init() first.")


def is_notebook() -> bool:
    """Whether cells of a notebook run here, where running the first cell again is a normal thing to do."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return shell is not None and type(shell).__name__ != "TerminalInteractiveShell"


def _choose(fits: Callable[[Run], bool]) -> Run | None:
    mine = _in_context.get()
    if mine is not None and mine in _in_process and fits(mine):
        return mine
    return next((run for run in reversed(_in_process) if fits(run)), None)


def _close_all() -> None:
    """At exit: an exception that reached the top makes a run failed, Ctrl-C interrupted, anything else finished."""
    error = getattr(sys, "last_value", None)
    deadline = time.monotonic() + 5.0
    for run in open_runs():
        if run.pid != os.getpid():
            continue  # inherited by fork: it is the parent's to close
        left_s = max(0.1, deadline - time.monotonic())
        if error is None and run.expected_end is not None:
            run.close(status="failed", reason=run.expected_end, timeout_s=left_s)
        elif error is None:
            run.close(status="finished", reason="the process ended", timeout_s=left_s)
        elif isinstance(error, KeyboardInterrupt):
            run.close(status="interrupted", reason="KeyboardInterrupt", error=error, timeout_s=left_s)
        else:
            run.close(status="failed", reason=type(error).__name__, error=error, timeout_s=left_s)
    if isinstance(error, KeyboardInterrupt):
        _remember_interrupt()


def _remember_interrupt() -> None:
    """Make Python exit as a process that SIGINT has ended, which it does unless text was run as code since.

    Closing a run imports modules, and some (named tuples) run code from text; CPython then takes the interrupt for
    handled and exits with status 1 instead. The flag behind this is set by text that raises KeyboardInterrupt.
    """
    try:
        exec("raise KeyboardInterrupt")
    except KeyboardInterrupt:
        pass
