"""Runs written straight through the journal, so that a test decides who wrote what, when and on which machine."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from barograph.journal.format import FrameType, encode_json, frame, new_writer_id, seed_of
from barograph.journal.writer import Journal
from barograph.store.layout import RUNS_NAME, RunFolder, create_store, new_run_id
from barograph.system.machine import boot_id, host_name, process_start_s


class Recorder:
    """A run's folder and one journal that is open in it."""

    def __init__(self, folder: RunFolder, journal: Journal) -> None:
        self.folder = folder
        self.journal = journal

    def log(self, values: dict[str, float], step: int | None = None) -> None:
        """Write one frame of points."""
        if not self.journal.log(values, step):
            self.journal.scalars(tuple(values), step, list(values.values()))

    def record(self, kind: str, step: int | None = None, time_s: float | None = None, **body: object) -> None:
        """Write a record."""
        self.journal.record(kind, step, time_s, **body)

    def end(self, status: str = "finished", **body: object) -> RunFolder:
        """Write the end record and close the journal."""
        self.record("end", self.journal.last_step, **{"status": status, "reason": None, "error": None, **body})
        self.journal.close()
        return self.folder


def this_process() -> dict[str, Any]:
    """How a journal's header describes the process that runs the tests."""
    pid = os.getpid()
    return {
        "host": host_name(),
        "boot_id": boot_id(),
        "pid": pid,
        "pid_start_s": process_start_s(pid),
        "created": time.time(),
        "barograph": "test",
    }


def leave_journal(folder: RunFolder, silent_s: float, lasted_s: float = 0.0, **identity: object) -> None:
    """A journal that begins `lasted_s` before its only record, which was written `silent_s` ago; no end."""
    writer_id = new_writer_id(attempt=1, rank=0)
    seed, written_s = seed_of(writer_id), time.time() - silent_s
    header = {**this_process(), "format": 1, "run_id": folder.path.name, "writer_id": writer_id, "rank": 0, "world": 1}
    header |= {"attempt": 1, "role": "main", **identity, "created": written_s - lasted_s}
    record = {"kind": "event", "time_s": written_s, "step": 0, "name": "last", "data": {}}
    folder.journals.mkdir(exist_ok=True)
    path = folder.journals / f"{writer_id}.journal"
    path.write_bytes(
        frame(seed, FrameType.HEADER, 0, encode_json(header)) + frame(seed, FrameType.RECORD, 1, encode_json(record))
    )
    os.utime(path, (written_s, written_s))


@pytest.fixture
def identity() -> dict[str, Any]:
    """The test's own process, as a header describes it."""
    return this_process()


@pytest.fixture
def dead_identity() -> dict[str, Any]:
    """A process of this machine that has ended."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    start_s = process_start_s(ended.pid)
    ended.wait()
    return {**this_process(), "pid": ended.pid, "pid_start_s": start_s}


@pytest.fixture
def leave(store: Path) -> Callable[..., RunFolder]:
    """Leave a run that was last written to some time ago: leave(silent_s, lasted_s=0, host=..., pid=..., ...)."""

    def leave_one(silent_s: float, lasted_s: float = 0.0, **identity: object) -> RunFolder:
        folder = RunFolder(create_store(store) / RUNS_NAME / new_run_id())
        folder.create_manifest({"format": 1, "id": folder.path.name, "name": "left", "created": time.time()})
        leave_journal(folder, silent_s, lasted_s, **identity)
        return folder

    return leave_one


@pytest.fixture
def begin(store: Path) -> Iterator[Callable[..., Recorder]]:
    """Begin a run, or with into= another writer of one: begin(name, into=None, attempt=1, rank=0, identity={}, ...)."""
    journals: list[Journal] = []

    def begin_one(
        name: str = "run",
        *,
        into: RunFolder | None = None,
        run_id: str | None = None,
        attempt: int = 1,
        rank: int = 0,
        role: str = "main",
        identity: dict[str, Any] | None = None,
        **manifest: object,
    ) -> Recorder:
        folder = into
        if folder is None:
            folder = RunFolder(create_store(store) / RUNS_NAME / (run_id or new_run_id()))
            about = {"format": 1, "id": folder.path.name, "name": name, "project": "p", "created": time.time()}
            folder.create_manifest({**about, "parent_id": None, "group": None, "tags": [], "notes": "", **manifest})
        journal = Journal(
            folder.journals,
            run_id=folder.path.name,
            attempt=attempt,
            rank=rank,
            role=role,
            identity={**this_process(), **(identity or {})},
            sync_every_s=3600.0,
            heartbeat_s=3600.0,
            warn=lambda message: None,
        )
        journals.append(journal)
        return Recorder(folder, journal)

    yield begin_one
    for journal in journals:
        journal.close()
