"""Journal: one process's append-only file of a run, and what happens when the disk does not play along."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic, perf_counter, time
from typing import Any

from barograph.journal import appender, disk
from barograph.journal.format import (
    FORMAT,
    LENGTH_LIMIT,
    SUFFIX,
    FrameType,
    encode_beat,
    encode_json,
    new_writer_id,
    seed_of,
)
from barograph.journal.keeper import Keeper
from barograph.journal.summary import MetricSummary

try:
    from barograph.journal import _append
except ImportError:  # not built: no compiler at install time
    _append = None  # type: ignore[assignment]  # the stub says it is a module

_RETRY_FIRST_S = 0.1  # doubled after each refusal, up to the time between syncs
_TICK_S = 0.05
_FRAMES_A_ROUND = 500  # written while other threads wait: about a millisecond


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
        self.writer_id = new_writer_id(attempt, rank)
        self.pending = 0
        self.is_forked = False
        self.is_closed = False
        self._identity = {
            "format": FORMAT, "run_id": run_id, "writer_id": "", "rank": rank, "world": world, "attempt": attempt,
            "role": role, "host": None, "boot_id": None, "pid": None, "pid_start_s": None, "created": None,
            "barograph": None, **identity,
        }  # fmt: skip
        self._attempt_and_rank = (attempt, rank)
        self._sync_every_s = sync_every_s
        self._heartbeat_s = heartbeat_s
        self._warn = warn
        self._warned: set[str] = set()
        self._tick = tick
        self._expects_ticks = False
        self._fd = -1
        self._last_health = ""  # after the end
        self._tending = threading.RLock()
        self._gaps: list[dict[str, object]] = []
        self._counted_lost = (0, 0, 0)
        self._degraded_since_s: float | None = None
        self._reason = ""
        self._synced_size = 0
        self._folder_is_synced = False
        now = monotonic()
        self._sync_at, self._retry_at, self._retry_after_s = now + sync_every_s, now, _RETRY_FIRST_S

        if native is None:
            native = _append is not None
        elif native and _append is None:
            raise ValueError("native=True needs the extension barograph.journal._append, which was not built")
        self._appender: appender.Appender | _append.Appender
        self._appender = (_append if native else appender).Appender(buffer_limit_bytes, calls)
        self.log = self._appender.log
        self._recover()
        self._beat()
        self._keeper: Keeper | None = Keeper(self._tend, self._end)
        if not self._keeper.start():
            self._keeper = None
            self._warn_once("thread", "no thread could be started; the journal is synced by the calls that log")
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
            self._tend_if_due()
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
            self._safely(self._recover, self._sync)

    def close(self, timeout_s: float = 5.0) -> None:
        """Write what waits, sync and close the file, for at most `timeout_s` seconds. Again: nothing.

        Afterwards `log()` returns False and nothing is counted.
        """
        if self.is_closed or self.is_forked:
            return
        self.is_closed = True
        self._appender.close()
        if self._keeper is None:
            self._end()
        elif not self._keeper.stop(timeout_s):
            self._warn_once("slow", f"{self.path}: no confirmation from the disk within {timeout_s:g} s")

    # -- what it is --------------------------------------------------------------------------------------------------

    @property
    def path(self) -> Path:
        """The file; another one after a failed sync, or when the file was removed."""
        return self.folder / f"{self.writer_id}{SUFFIX}"

    @property
    def health(self) -> str:
        """"ok", or "degraded" while frames wait in memory or were lost at the end."""
        return self._last_health or ("degraded" if self._appender.is_blocked else "ok")

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
    def expect_ticks(self) -> bool:
        """Whether `tick` is to be called."""
        return self._expects_ticks

    @expect_ticks.setter
    def expect_ticks(self, value: bool) -> None:
        if value and not self._expects_ticks:
            self._expects_ticks = True
            if self._keeper is not None:
                self._keeper.wake()
        self._expects_ticks = value

    # -- duties, on the daemon thread or, where there is none, inside the calls that log -----------------------------

    def _put(self, kind: FrameType, payload: bytes) -> None:
        if len(payload) > LENGTH_LIMIT:
            raise ValueError(f"{len(payload):,} bytes are more than the {LENGTH_LIMIT:,} that one frame may hold")
        self._appender.put(kind, payload)
        if self._keeper is None:
            self._tend_if_due()

    def _log_and_tend(self, metrics: Any, step: Any = None) -> bool:  # Any: whatever a user logs
        written = self._appender.log(metrics, step)
        self._tend_if_due()
        return written

    def _tend_if_due(self) -> None:
        now = monotonic()
        if now >= self._sync_at or (self._appender.is_blocked and now >= self._retry_at):
            self._tend()
            self._appender.spend(monotonic() - now)

    def _tend(self) -> float:
        """Do what is due; the seconds until something is due again."""
        if not (self.is_closed or self.is_forked):
            self._safely(self._do_what_is_due)
        due = min(self._sync_at, self._beat_at, self._retry_at if self._appender.is_blocked else self._sync_at)
        wait_s = max(0.0, due - monotonic())
        return min(wait_s, _TICK_S) if self._expects_ticks else wait_s

    def _safely(self, *duties: Callable[[], None]) -> None:
        """Nothing that fails here reaches the training, or ends the thread."""
        try:
            with self._tending:
                for duty in duties:
                    duty()
        except Exception as error:  # noqa: BLE001  # whatever it is, the journal is looked after again later
            with suppress(Exception):
                self._warn_once(type(error).__name__, f"looking after {self.path} failed: {error!r}")

    def _do_what_is_due(self) -> None:
        now = monotonic()
        if self._appender.is_blocked and now >= self._retry_at:
            self._retry_at = now + self._retry_after_s
            self._recover()
        if now >= self._sync_at:
            self._sync_at = now + self._sync_every_s
            self._sync()
        if now >= self._beat_at:
            self._beat()
        if self._expects_ticks and self._tick is not None:
            self._tick()

    def _beat(self) -> None:
        now = monotonic()
        self._beat_at = now + self._heartbeat_s
        if not self._appender.is_blocked:
            beat = encode_beat(time(), now, self._appender.last_step, self.pending)
            self._appender.put(FrameType.BEAT, beat)

    def _recover(self) -> None:
        """Open a file if there is none, write what waits, and a gap frame for what could not wait."""
        if not self._appender.is_blocked:
            return
        if self._degraded_since_s is None:
            self._degraded_since_s = time()
        if self._appender.error:
            self._note_refusal(self._appender.error)
        refusal = self._open() if self._fd < 0 else 0
        if not refusal:
            while not self._appender.flush(_FRAMES_A_ROUND):
                refusal = self._appender.error
                if refusal:
                    break
        if refusal:
            self._retry_at = monotonic() + self._retry_after_s
            self._retry_after_s = min(2 * self._retry_after_s, max(self._sync_every_s, _RETRY_FIRST_S))
            self._note_refusal(refusal)
            return
        self._retry_after_s = _RETRY_FIRST_S
        lost = self._lost_counts()
        dropped = tuple(now - before for now, before in zip(lost, self._counted_lost, strict=True))
        if any(dropped):
            self._note_gap(self._reason, self._degraded_since_s, dropped)
        self._counted_lost = lost
        self._degraded_since_s = None
        self._write_gaps()

    def _note_refusal(self, error: int) -> None:
        self._reason = os.strerror(error)
        self._warn_once(
            "refused",
            f"{self.path} cannot be written: {self._reason} ({disk.free_text(self.folder)}). The training goes on; "
            "records wait in memory and are written when this changes",
        )

    def _open(self) -> int:
        """Create the file and write its header; an errno if it cannot be created."""
        try:
            fd = disk.create(self.path)
        except OSError as error:
            return error.errno or 5
        self._fd = fd
        self._synced_size = 0
        self._folder_is_synced = False
        self._appender.begin(fd, seed_of(self.writer_id), self._header())
        return 0

    def _header(self) -> bytes:
        return encode_json({**self._identity, "writer_id": self.writer_id, "created": time()})

    def _sync(self) -> None:
        """Look whether the file is still what it should be, and bring it to the disk."""
        if self._fd < 0:
            return
        a = self._appender
        expected_size = a.size  # before the file's, which other threads make larger meanwhile
        size, links = disk.size_and_links(self._fd)
        if links == 0:
            lost = (a.file_records, a.file_points, a.size)
            self._warn_once("removed", f"{self.path} was removed while the run was being written; a new file goes on")
            self._note_gap("the journal was removed", time(), lost)
            a.count_lost(*lost)
            self._counted_lost = self._lost_counts()
            self._move()
            return
        if size < expected_size:
            self._warn_once("cut", f"{self.path} was cut to {size} bytes from outside; writing goes on")
            a.renew(self._header())
        if expected_size != self._synced_size:
            try:
                disk.sync(self._fd)
                if not self._folder_is_synced:
                    disk.sync_folder(self.folder)
                    self._folder_is_synced = True
            except OSError as error:
                # The kernel may have dropped the pages it could not write and calls them clean: the next sync of this
                # file would succeed and mean nothing.
                self._warn_once("sync", f"{self.path} could not be synced: {error.strerror}; a new file goes on")
                self._note_gap(f"sync failed: {error.strerror}", time(), (0, 0, 0))
                self._move()
            else:
                self._synced_size = expected_size

    def _move(self) -> None:
        """Go on in a new file."""
        old, self._fd = self._fd, -1
        self._appender.begin(-1, 0, b"")
        disk.close(old)
        self.writer_id = new_writer_id(*self._attempt_and_rank)
        self._recover()

    def _note_gap(self, reason: str, from_s: float | None, lost: tuple[int, ...]) -> None:
        records, points, size = lost
        self._gaps.append(
            {"records": records, "points": points, "bytes": size, "from_s": from_s, "to_s": time(), "reason": reason}
        )

    def _write_gaps(self) -> None:
        while self._gaps:
            self._appender.put(FrameType.GAP, encode_json(self._gaps.pop(0)))

    def _lost_counts(self) -> tuple[int, int, int]:
        return self._appender.lost_records, self._appender.lost_points, self._appender.lost_bytes

    def _end(self) -> None:
        self._safely(self._recover, self._sync)
        self._safely(self._let_go)

    def _let_go(self) -> None:
        """Close the file; what still waits is lost."""
        self._last_health = self.health
        if self._appender.is_blocked:
            self._appender.lose_waiting()  # the run tells how much, from `lost`
        # First, because a call that is under way in another thread must not write to a descriptor used anew.
        self._appender.begin(-1, 0, b"")
        old, self._fd = self._fd, -1
        if old >= 0:
            disk.close(old)

    def _warn_once(self, kind: str, message: str) -> None:
        if kind not in self._warned:
            self._warned.add(kind)
            self._warn(message)

    def _go_inert(self) -> None:
        self.is_forked = True
        self._tending = threading.RLock()
        self._appender.abandon()
        fd, self._fd = self._fd, -1
        if fd >= 0:
            disk.close(fd)


_journals: weakref.WeakSet[Journal] = weakref.WeakSet()


def _after_fork() -> None:
    for journal in list(_journals):
        journal._go_inert()
    _journals.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
