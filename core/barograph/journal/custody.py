"""Custody: one journal's file from its creation to its end, and what happens when the disk does not play along."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from time import monotonic, time
from typing import TYPE_CHECKING

from barograph.journal import disk
from barograph.journal.format import SUFFIX, FrameType, encode_beat, encode_json, new_writer_id, seed_of

if TYPE_CHECKING:
    from barograph.journal._append import Appender as NativeAppender
    from barograph.journal.appender import Appender

_RETRY_FIRST_S = 0.1  # doubled after each refusal, up to the time between syncs
_TICK_S = 0.05
_FRAMES_A_ROUND = 500  # written while other threads wait: about a millisecond


class Custody:
    """Opens the file, syncs it, beats, writes what had to wait, and goes on in a new file where the old one is lost.

    All of it happens in `tend()` and its like, on the journal's thread or, where there is none, inside the calls that
    log. Nothing raises; `warn` is called once for each kind of trouble.
    """

    def __init__(
        self,
        appender: Appender | NativeAppender,
        folder: Path,
        *,
        identity: Mapping[str, object],
        attempt: int,
        rank: int,
        sync_every_s: float,
        heartbeat_s: float,
        warn: Callable[[str], None],
        tick: Callable[[], None] | None,
    ) -> None:
        self.writer_id = new_writer_id(attempt, rank)
        self.fd = -1
        self.pending = 0
        self.expects_ticks = False
        self.is_over = False
        self._appender = appender
        self._folder = folder
        self._identity = identity
        self._attempt_and_rank = (attempt, rank)
        self._sync_every_s = sync_every_s
        self._heartbeat_s = heartbeat_s
        self._warn = warn
        self._warned: set[str] = set()
        self._tick = tick
        # Reentrant: a signal handler may call sync() while its thread is in it.
        self._lock = threading.RLock()
        self._last_health = ""  # after the end
        self._degraded_since_s: float | None = None
        self._reason = ""
        self._gaps: list[dict[str, object]] = []
        self._told_lost = (0, 0, 0)  # what of the lost is in a gap by now: records, points, bytes
        self._synced_size = 0
        self._folder_is_synced = False
        now = monotonic()
        self._sync_at, self._retry_at, self._retry_after_s = now + sync_every_s, now, _RETRY_FIRST_S
        self._beat_at = now + heartbeat_s
        self._safely(self._recover, self._beat)

    @property
    def path(self) -> Path:
        """The file of now."""
        return self._folder / f"{self.writer_id}{SUFFIX}"

    @property
    def health(self) -> str:
        """ "ok" or "degraded"; after the end, what it was then."""
        return self._last_health or ("degraded" if self._appender.is_blocked else "ok")

    # -- when it is called -------------------------------------------------------------------------------------------

    def tend(self) -> float:
        """Do what is due; the seconds until something is due again."""
        if not self.is_over:
            self._safely(self._do_what_is_due)
        due = min(self._sync_at, self._beat_at, self._retry_at if self._appender.is_blocked else self._sync_at)
        wait_s = max(0.0, due - monotonic())
        return min(wait_s, _TICK_S) if self.expects_ticks else wait_s

    def tend_if_due(self) -> None:
        """The same inside a call that logs, as part of its cost."""
        now = monotonic()
        if now >= self._sync_at or (self._appender.is_blocked and now >= self._retry_at):
            self.tend()
            self._appender.spend(monotonic() - now)

    def sync(self) -> None:
        """Write what waits and sync, now."""
        self._safely(self._recover, self._sync)

    def end(self) -> None:
        """The last work on the file: write what waits, sync, close. What still waits then is lost."""
        self._safely(self._recover, self._sync)
        self._safely(self._let_go)

    def abandon(self) -> None:
        """In the child of a fork: leave the file to the parent."""
        self.is_over = True
        self._lock = threading.RLock()  # the one that was copied may be held by a thread that is not here
        self._appender.abandon()
        fd, self.fd = self.fd, -1
        if fd >= 0:
            disk.close(fd)

    def warn_once(self, kind: str, message: str) -> None:
        """Warn, the first time of each kind."""
        if kind not in self._warned:
            self._warned.add(kind)
            self._warn(message)

    def _safely(self, *duties: Callable[[], None]) -> None:
        try:
            with self._lock:
                for duty in duties:
                    duty()
        except Exception as error:  # noqa: BLE001  # whatever it is, the journal is looked after again later
            with suppress(Exception):
                self.warn_once(type(error).__name__, f"looking after {self.path} failed: {error!r}")

    # -- what is done ------------------------------------------------------------------------------------------------

    def _do_what_is_due(self) -> None:
        now = monotonic()
        if self._appender.is_blocked and now >= self._retry_at:
            self._retry_at = now + self._retry_after_s
            self._recover()
        if now >= self._sync_at:
            self._sync_at = now + self._sync_every_s
            self._sync()
        if now >= self._beat_at:
            self._beat_at = now + self._heartbeat_s
            self._beat()
        if self.expects_ticks and self._tick is not None:
            self._tick()

    def _beat(self) -> None:
        if not self._appender.is_blocked:
            beat = encode_beat(time(), monotonic(), self._appender.last_step, self.pending)
            self._appender.put(FrameType.BEAT, beat)

    def _recover(self) -> None:
        """Open a file if there is none, write what waits, and a gap frame for what could not wait."""
        if not self._appender.is_blocked:
            return
        if self._degraded_since_s is None:
            self._degraded_since_s = time()
        if self._appender.error:
            self._note_refusal(self._appender.error)
        refusal = self._open() if self.fd < 0 else 0
        while not refusal and not self._appender.flush(_FRAMES_A_ROUND):
            refusal = self._appender.error
        if refusal:
            self._retry_at = monotonic() + self._retry_after_s
            self._retry_after_s = min(2 * self._retry_after_s, max(self._sync_every_s, _RETRY_FIRST_S))
            self._note_refusal(refusal)
            return
        self._retry_after_s = _RETRY_FIRST_S
        self._note_gap(self._reason, self._degraded_since_s, must_tell=False)
        self._degraded_since_s = None
        while self._gaps:
            self._appender.put(FrameType.GAP, encode_json(self._gaps.pop(0)))

    def _note_refusal(self, error: int) -> None:
        self._reason = os.strerror(error)
        self.warn_once(
            "refused",
            f"{self.path} cannot be written: {self._reason} ({disk.free_text(self._folder)}). The training goes on; "
            "records wait in memory and are written when this changes",
        )

    def _note_gap(self, reason: str, from_s: float, must_tell: bool = True) -> None:
        """Have a gap frame written that tells what was lost since the last one."""
        a = self._appender
        lost = (a.lost_records, a.lost_points, a.lost_bytes)
        records, points, size = (now - before for now, before in zip(lost, self._told_lost, strict=True))
        if records or must_tell:
            self._told_lost = lost
            counts = {"records": records, "points": points, "bytes": size}
            self._gaps.append({**counts, "from_s": from_s, "to_s": time(), "reason": reason})

    def _open(self) -> int:
        """Create the file and write its header; an errno if it cannot be created."""
        try:
            self.fd = disk.create(self.path)
        except OSError as error:
            return error.errno or errno.EIO
        self._synced_size = 0
        self._folder_is_synced = False
        self._appender.begin(self.fd, seed_of(self.writer_id), self._header())
        return 0

    def _header(self) -> bytes:
        return encode_json({**self._identity, "writer_id": self.writer_id, "created": time()})

    def _sync(self) -> None:
        """Look whether the file is still what it should be, and bring it to the disk."""
        if self.fd < 0:
            return
        expected_size = self._appender.size  # before the file's, which other threads make larger meanwhile
        size, links = disk.size_and_links(self.fd)
        if links == 0:
            self.warn_once("removed", f"{self.path} was removed while the run was being written; a new file goes on")
            self._move("the journal was removed", is_lost=True)
            return
        if size < expected_size:
            self.warn_once("cut", f"{self.path} was cut to {size} bytes from outside; writing goes on")
            self._appender.renew(self._header())
        if expected_size == self._synced_size:
            return
        try:
            disk.sync(self.fd)
            if not self._folder_is_synced:
                disk.sync_folder(self._folder)
                self._folder_is_synced = True
            self._synced_size = expected_size
        except OSError as error:
            # The kernel may have dropped the pages it could not write and call them clean: the next sync of this file
            # would succeed and mean nothing.
            self.warn_once("sync", f"{self.path} could not be synced: {error.strerror}; a new file goes on")
            self._move(f"sync failed: {error.strerror}", is_lost=False)

    def _move(self, reason: str, is_lost: bool) -> None:
        """Go on in a new file. is_lost: whether what the old one held is gone."""
        self._detach()
        if is_lost:
            self._appender.count_lost(self._appender.file_records, self._appender.file_points, self._appender.size)
        self._note_gap(reason, time())
        self.writer_id = new_writer_id(*self._attempt_and_rank)
        self._recover()

    def _let_go(self) -> None:
        self._last_health = self.health
        if self._appender.is_blocked:
            self._appender.lose_waiting()  # the run tells how much, from `lost`
        self._detach()

    def _detach(self) -> None:
        # The appender first: a call that is under way in another thread must not write to a descriptor used anew.
        self._appender.begin(-1, 0, b"")
        fd, self.fd = self.fd, -1
        if fd >= 0:
            disk.close(fd)
