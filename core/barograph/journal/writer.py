"""Journal: one process's append-only file of a run, as those see it who write to it."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import perf_counter, time
from typing import Any

from barograph.journal import appender
from barograph.journal.custody import Custody
from barograph.journal.format import FORMAT, LENGTH_LIMIT, FrameType, encode_json
from barograph.journal.keeper import Keeper
from barograph.journal.summary import MetricSummary

try:
    from barograph.journal import _append
except ImportError:  # not built: no compiler at install time
    _append = None  # type: ignore[assignment]  # the stub says it is a module


class Journal:
    """The writing end of a journal.

    Durability: a call that returned while `health` was "ok" has handed its frame to the kernel, so a kill loses
    nothing; a daemon thread brings it to the disk once a second. While the disk refuses, at most `buffer_limit_bytes`
    of frames wait in memory, then the newest are dropped; `lost` counts them exactly and a gap frame tells the reader.
    Threads: every method may be called from any thread, from a signal handler and from `__del__`.
    Processes: after fork the child's copy is inert (`is_forked`).
    No method raises for anything the disk does. `warn` is called once for each kind of trouble, `tick` about every
    50 ms while `expect_ticks` is true.
    """

    log: Callable[[Any, Any], bool]  # Any: whatever a user logs
    """Write a dict of exact str to exact float, int (within 2**53) or bool as one frame, at a step or, for None, at
    the number of calls so far. False: nothing was written, the values need a conversion; use `scalars()`."""

    def __init__(
        self,
        folder: Path,
        *,
        run_id: str,
        rank: int = 0,
        world: int = 1,
        attempt: int = 1,
        role: str = "main",
        identity: Mapping[str, object],
        sync_every_s: float = 1.0,
        heartbeat_s: float = 10.0,
        buffer_limit_bytes: int = 64 * 1024 * 1024,
        native: bool | None = None,
        warn: Callable[[str], None],
        tick: Callable[[], None] | None = None,
        calls: int = 0,
    ) -> None:
        self.folder = folder
        self.is_forked = False
        self.is_closed = False
        if native is None:
            native = _append is not None
        elif native and _append is None:
            raise ValueError("native=True needs the extension barograph.journal._append, which was not built")
        self._appender: appender.Appender | _append.Appender
        self._appender = (_append if native else appender).Appender(buffer_limit_bytes, calls)
        self._custody = Custody(
            self._appender,
            folder,
            identity={
                "format": FORMAT, "run_id": run_id, "writer_id": "", "rank": rank, "world": world, "attempt": attempt,
                "role": role, "host": None, "boot_id": None, "pid": None, "pid_start_s": None, "created": None,
                "barograph": None, **identity,
            },
            attempt=attempt,
            rank=rank,
            sync_every_s=sync_every_s,
            heartbeat_s=heartbeat_s,
            warn=warn,
            tick=tick,
        )  # fmt: skip
        self.log = self._appender.log
        self._keeper: Keeper | None = Keeper(self._custody.tend, self._custody.end)
        if not self._keeper.start():
            self._keeper = None
            self._custody.warn_once("thread", "no thread could be started; the calls that log sync the journal")
            self.log = self._log_and_tend
        _journals.add(self)

    # -- writing -----------------------------------------------------------------------------------------------------

    def scalars(
        self,
        names: tuple[str, ...],
        step: int | None,
        values: Sequence[float],
        time_s: float | None = None,
        count_call: bool = True,
    ) -> int:
        """Write doubles under names at a step, and return the step.

        step: within 64 bits; None is the number of calls so far. count_call: whether this is one of them.
        Raises ValueError if the names or values do not fit into one frame.
        """
        at = self._appender.scalars(names, step, values, time_s, count_call)
        if self._keeper is None:
            self._custody.tend_if_due()
        return at

    def record(self, kind: str, step: int | None = None, time_s: float | None = None, /, **body: object) -> None:
        """Write anything else that JSON can say. Raises ValueError if it is longer than a frame may be (16 MiB)."""
        start = perf_counter()
        if self.is_closed or self.is_forked:
            return
        head = {"kind": kind, "time_s": time() if time_s is None else time_s, "step": step}
        self._put(FrameType.RECORD, encode_json({**body, **head}))
        self._appender.spend(perf_counter() - start)

    def statistics(self, payload: bytes) -> None:
        """Write a packed record of tensor statistics. Raises ValueError if it is longer than a frame may be."""
        start = perf_counter()
        if self.is_closed or self.is_forked:
            return
        self._put(FrameType.STATISTICS, payload)
        self._appender.spend(perf_counter() - start)

    def sync(self) -> None:
        """Bring what was written onto the disk itself, against a power cut; takes milliseconds."""
        if not self.is_closed and not self.is_forked:
            self._custody.sync()

    def close(self, timeout_s: float = 5.0) -> None:
        """Write what waits, sync and close the file, for at most `timeout_s` seconds. Again: nothing.

        Afterwards `log()` returns False and nothing is counted.
        """
        if self.is_closed or self.is_forked:
            return
        self.is_closed = self._custody.is_over = True
        self._appender.close()
        if self._keeper is None:
            self._custody.end()
        elif not self._keeper.stop(timeout_s):
            self._custody.warn_once("slow", f"{self.path}: no confirmation from the disk within {timeout_s:g} s")

    # -- what it is --------------------------------------------------------------------------------------------------

    @property
    def writer_id(self) -> str:
        """The id of this writer; another one after a failed sync, or when the file was removed."""
        return self._custody.writer_id

    @property
    def path(self) -> Path:
        """The file, which is named after the writer."""
        return self._custody.path

    @property
    def health(self) -> str:
        """ "ok", or "degraded" while frames wait in memory or were lost at the end."""
        return self._custody.health

    @property
    def lost(self) -> Mapping[str, int]:
        """What was given to this journal and is not on the disk: records, points in them, bytes of their frames."""
        a = self._appender
        return {"records": a.lost_records, "points": a.lost_points, "bytes": a.lost_bytes}

    @property
    def last_step(self) -> int | None:
        """The step of the newest point; None before the first."""
        return self._appender.last_step

    @property
    def points(self) -> int:
        """Scalar points written or waiting."""
        return self._appender.points

    @property
    def calls(self) -> int:
        """Calls counted so far: the step of the next one without a step."""
        return self._appender.calls

    @property
    def cost_s(self) -> float:
        """Seconds spent in log(), scalars(), record() and statistics() on the threads that called them."""
        return self._appender.cost_s

    def summary(self) -> dict[str, MetricSummary]:
        """Last, least, greatest and count of each metric, with a small curve of the first ones."""
        return {name: MetricSummary(*row) for name, row in self._appender.summary().items()}

    def summary_keys(self) -> tuple[str, ...]:
        """The metrics summarised so far."""
        return self._appender.summary_keys()

    @property
    def pending(self) -> int:
        """How many values are still on a device; whoever waits for them sets it, and beats tell it."""
        return self._custody.pending

    @pending.setter
    def pending(self, value: int) -> None:
        self._custody.pending = value

    @property
    def expect_ticks(self) -> bool:
        """Whether `tick` is to be called."""
        return self._custody.expects_ticks

    @expect_ticks.setter
    def expect_ticks(self, value: bool) -> None:
        is_news = value and not self._custody.expects_ticks
        self._custody.expects_ticks = value
        if is_news and self._keeper is not None:
            self._keeper.wake()

    # -- inside ------------------------------------------------------------------------------------------------------

    def _put(self, kind: FrameType, payload: bytes) -> None:
        if len(payload) > LENGTH_LIMIT:
            raise ValueError(f"{len(payload):,} bytes are more than the {LENGTH_LIMIT:,} that one frame may hold")
        self._appender.put(kind, payload)
        if self._keeper is None:
            self._custody.tend_if_due()

    def _log_and_tend(self, metrics: Any, step: Any = None) -> bool:  # Any: whatever a user logs
        written = self._appender.log(metrics, step)
        self._custody.tend_if_due()
        return written

    def _go_inert(self) -> None:
        self.is_forked = True
        self._custody.abandon()


_journals: weakref.WeakSet[Journal] = weakref.WeakSet()


def _after_fork() -> None:
    for journal in list(_journals):
        journal._go_inert()
    _journals.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
