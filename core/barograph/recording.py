"""Recording: where and as whom a run writes, and what records its surroundings beside it."""

from __future__ import annotations

import dataclasses
import functools
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from barograph import guard
from barograph.capture.capturing import Capturing
from barograph.disabled import NoJournal
from barograph.identity import Process
from barograph.journal.writer import Journal
from barograph.settings import Settings
from barograph.store.layout import RunFolder, find_store, vanishing_reason
from barograph.system.machine import boot_id, host_name, process_start_s
from barograph.system.sampler import SystemSampler
from barograph.version import __version__
from barograph.voice import say, warn

if TYPE_CHECKING:
    from barograph.capture.console import Console
    from barograph.run import Run


@dataclasses.dataclass(slots=True)
class Recording:
    """Where and as whom a run writes: everything about it that is settled when it begins."""

    id: str
    name: str
    project: str
    store: Path
    path: Path
    process: Process
    attempt: int
    settings: Settings
    joinable: bool
    speaks: bool
    calls: int = 0
    sampler: SystemSampler | None = None
    capturing: Capturing | None = None
    console: Console | None = None
    has_open_parent: bool = False

    @property
    def folder(self) -> RunFolder:
        """The run's folder and how to put files into it."""
        return RunFolder(self.path)

    def open_journal(
        self, tick: Callable[[], None], role: str = "main", calls: int | None = None
    ) -> Journal | NoJournal:
        """A new journal of this process for the run; one that keeps nothing where Barograph is switched off."""
        if self.settings.mode == "disabled":
            return NoJournal()
        return Journal(
            self.folder.journals,
            run_id=self.id,
            rank=self.process.rank,
            world=self.process.world,
            attempt=self.attempt,
            role=role,
            identity=_identity(),
            sync_every_s=self.settings.sync_every_s,
            heartbeat_s=self.settings.heartbeat_s,
            buffer_limit_bytes=self.settings.buffer_limit_bytes,
            native=None if self.settings.native else False,
            warn=lambda message: warn(f"run {self.name}: {message}"),
            tick=tick,
            calls=self.calls if calls is None else calls,
        )

    def start_sampling(self, emit: Callable[[Mapping[str, float]], None]) -> None:
        """Begin to write CPU, memory, disk, network and GPU figures; children of a run leave that to their parent."""
        if self.settings.mode == "disabled" or not self.settings.system_every_s or self.sampler is not None:
            return
        self.sampler = SystemSampler(emit, self.settings.system_every_s, disk_path=self.store)
        self.sampler.start()

    def start_capturing(self, run: Run, is_part: bool) -> None:
        """Begin to record what surrounds the training. is_part: whether another run has been told most of it."""
        settings = self.settings
        if settings.mode == "disabled" or not settings.capture:
            return
        self.capturing = Capturing(
            run.log_environment,
            functools.partial(_report_capture, run),
            self.store,
            share=run.overhead_budget,
            environment=settings.capture_environment,
            code=settings.capture_code and self.process.rank == 0,
            is_part=is_part,
        )
        self.capturing.start()

    def start_listening(self, run: Run) -> None:
        """Begin to keep what is printed: on rank 0, and of runs inside each other by the outermost one."""
        settings = self.settings
        wanted = settings.mode == "on" and settings.capture and settings.capture_console
        if not wanted or self.process.rank != 0 or self.has_open_parent or self.console is not None:
            return
        report = functools.partial(_report_capture, run)
        try:
            from barograph.capture import console  # on other ranks nobody needs it

            tell = functools.partial(run.log_console, time.time())
            listener = console.Console(tell, report, settings.console_limit_bytes)
            console.listen(listener)
        except Exception as error:  # noqa: BLE001  # not even a file may be left to open
            report(error)
        else:
            self.console = listener

    def stop_listening(self) -> None:
        """Keep what was printed up to now, and leave the streams."""
        if self.console is not None:
            from barograph.capture import console

            console.stop_listening(self.console)
            self.console = None

    def stop_sampling(self, timeout_s: float) -> None:
        """Take a last sample and end the thread."""
        if self.sampler is not None:
            self.sampler.stop(timeout_s)
            self.sampler = None

    def say_begin(self) -> None:
        """Two lines: what is recorded where, and how to look at it."""
        if not self.speaks:
            return
        place = os.path.relpath(self.path) if self.path.is_relative_to(Path.cwd()) else str(self.path)
        lines = [f"barograph: {self.name} ({self.project}) is recorded in {place}"]
        lines.append(f"barograph: look at it with: barograph show {self.name}{_store_option(self.store)}")
        if reason := vanishing_reason(self.store):
            lines.append(f"barograph: beware: {reason}; set BAROGRAPH_STORE to a folder that lasts")
        say(lines)


def _identity() -> dict[str, object]:
    """By what a reader tells whether this process still lives."""
    identity: dict[str, object] = {"pid": os.getpid(), "barograph": __version__}
    try:
        identity |= {"host": host_name(), "boot_id": boot_id(), "pid_start_s": process_start_s(os.getpid())}
    except OSError:  # not a file can be opened: the age of the last record has to tell
        pass
    return identity


def _store_option(store: Path) -> str:
    return "" if store == find_store() else f" --store {store}"


def _report_capture(run: Run, error: Exception) -> None:
    if guard.raise_errors:
        raise error
    guard.report(run, "capture", error)
