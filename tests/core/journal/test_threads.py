"""Many threads, reentrant calls and interrupts in the middle of one: frames stay whole and nothing locks up."""

import _thread
import gc
import itertools
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from barograph.journal.reader import Damage, read_journal
from barograph.journal.writer import Journal

Open = Callable[..., Journal]


def test_eight_threads_lose_and_mix_nothing(open_journal: Open) -> None:
    """80,000 points, each once, in the order of its thread."""
    journal = open_journal(sync_every_s=0.01)
    start = threading.Barrier(8)

    def log_many(number: int) -> None:
        start.wait()
        for step in range(10_000):
            journal.log({f"thread{number}": float(step), "all": float(number)}, step)

    threads = [threading.Thread(target=log_many, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    contents = read_journal(journal.path)
    for number in range(8):
        assert contents.series[f"thread{number}"].steps.tolist() == list(range(10_000))
    assert len(contents.series["all"].steps) == 80_000
    assert contents.damage == Damage()
    assert (journal.points, journal.calls) == (160_000, 80_000)
    assert journal.summary()["all"].count == 80_000


def test_logging_while_garbage_is_collected_inside_log(open_journal: Open) -> None:
    """log() from __del__, at any allocation inside log(), neither deadlocks nor tears a frame."""
    journal = open_journal()
    logged = itertools.count()

    class Garbage:
        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            journal.log({"from del": 1.0, f"new{next(logged)}": 1.0}, 0)

    before = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for step in range(300):
            Garbage()
            journal.log({"x": 1.0, f"key{step}": 1.0}, step)
            journal.record("event", step)
    finally:
        gc.set_threshold(*before)
    gc.collect()
    contents = read_journal(journal.path)
    assert contents.series["x"].steps.tolist() == list(range(300))
    assert len(contents.series["from del"].steps) == next(logged) == 300
    assert contents.damage == Damage()


class _Stop(BaseException):
    """As rude as KeyboardInterrupt."""


def _interruptions(call: Callable[[], object]) -> int:
    """Run a call over and over, each time interrupted a little later, until it comes through; how often it was.

    CPython looks at signals after a call has returned and where a function begins: there, and nowhere else but in
    loops, a KeyboardInterrupt can come out of the blue.
    """
    for number in itertools.count():
        left = [number]

        def trace(frame: FrameType, event: str, _: object, left: list[int] = left) -> None:
            if frame.f_code.co_filename.endswith("appender.py") and event in ("call", "return", "c_return"):
                left[0] -= 1
                if left[0] < 0:
                    sys.setprofile(None)
                    raise _Stop

        before = sys.getprofile()
        sys.setprofile(trace)
        try:
            call()
        except _Stop:
            continue
        finally:
            sys.setprofile(before)
        return number
    raise AssertionError


def _is_free(journal: Journal) -> bool:
    """Whether another thread can still log."""
    done = threading.Event()
    threading.Thread(target=lambda: journal.log({"other": 1.0}, 0) and done.set(), daemon=True).start()
    return done.wait(10.0)


@pytest.mark.parametrize("what", ["known keys", "new keys", "scalars", "record", "waiting"])
def test_an_interrupt_anywhere_leaves_all_in_order(open_journal: Open, native: bool, what: str) -> None:
    """No torn frame, no lock held, the next call works; what was acknowledged is there once."""
    if native:
        pytest.skip("there is no place in the C appender where it could be interrupted")
    journal = open_journal()
    kept, read_only = os.dup(journal._custody.fd), os.open(journal.path, os.O_RDONLY)
    steps = itertools.count()
    acknowledged = []

    def call() -> None:
        step = next(steps)
        if what == "known keys":
            journal.log({"x": 1.0, "y": 2}, step)
        elif what == "new keys":
            journal.log({"x": 1.0, f"key{step}": 1.0}, step)
        elif what == "scalars":
            journal.scalars(("x",), step, [1.0])
        elif what == "record":
            journal.record("event", step)
        else:
            os.dup2(read_only, journal._custody.fd)  # now every write fails
            try:
                journal.log({"x": 1.0}, step)
            finally:
                os.dup2(kept, journal._custody.fd)
            assert journal._appender.flush(100)
        acknowledged.append(step)

    interrupted = _interruptions(call)
    assert interrupted > 10
    assert _is_free(journal)
    call()
    os.close(kept)
    os.close(read_only)
    contents = read_journal(journal.path)
    found = [record.step for record in contents.records] if what == "record" else contents.series["x"].steps.tolist()
    assert found == sorted(set(found))
    assert set(acknowledged) <= set(found)
    assert contents.damage == Damage()


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="the platform has no interval timer")
def test_real_interrupts_leave_all_in_order(open_journal: Open) -> None:
    """Ctrl-C some thousand times at random moments of a tight loop."""
    journal = open_journal()
    acknowledged: list[int] = []
    steps = itertools.count()
    deadline = time.monotonic() + 1.0
    handler = signal.signal(signal.SIGALRM, lambda *_: _thread.interrupt_main())
    interrupted = 0
    gc.disable()  # callbacks of the collector, pytest's and others', swallow an interrupt
    try:
        while time.monotonic() < deadline:
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.0001 + 0.0000071 * (interrupted % 97))
                for step in itertools.islice(steps, 10_000):  # another chance if one was swallowed
                    journal.log({"x": float(step), "y" if step % 50 else f"key{step}": 1.0}, step)
                    acknowledged.append(step)
            except KeyboardInterrupt:
                interrupted += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        gc.enable()
    assert interrupted > 100
    assert _is_free(journal)
    contents = read_journal(journal.path)
    found = contents.series["x"].steps.tolist()
    assert found == sorted(set(found))
    assert set(acknowledged) <= set(found)
    assert len(found) <= len(acknowledged) + interrupted
    assert contents.damage == Damage()


def test_memory_that_runs_out_in_log_raises_nothing(open_journal: Open) -> None:
    """At each allocation in turn: False at worst, the journal stays whole, the next call works."""
    testcapi = pytest.importorskip("_testcapi", reason="this Python cannot make allocations fail")
    journal = open_journal()
    journal.log({"x": 1.0}, -1)
    for nth in range(60):
        known, new = {"x": 1.0}, {"x": 1.0, f"key{nth}": 2.0}
        for metrics in (known, new):
            testcapi.set_nomemory(nth, nth + 1)
            try:
                journal.log(metrics, nth)
            finally:
                testcapi.remove_mem_hooks()
        assert journal.log(known, nth)
    contents = read_journal(journal.path)
    assert set(range(60)) <= set(contents.series["x"].steps.tolist())
    assert contents.damage == Damage()


def test_a_patched_clock_changes_nothing(open_journal: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """time.time, monotonic and json as a test or a debugger leaves them."""

    def broken(*_: object) -> Any:  # Any: never returns
        raise AssertionError("patched")

    journal = open_journal()
    for module, name in ((time, "time"), (time, "monotonic"), (time, "perf_counter"), (json, "dumps"), (os, "write")):
        monkeypatch.setattr(module, name, broken)
    assert journal.log({"x": 1.0}, 0)
    journal.record("event", 0)
    journal.sync()
    monkeypatch.undo()
    assert read_journal(journal.path).series["x"].times[0] > 1e9


def test_ticks_come_only_while_they_are_expected(open_journal: Open) -> None:
    """About every 50 ms, on the journal's thread, until the flag is taken back; a tick that fails is warned of once."""
    ticked = threading.Event()
    journal: Journal

    def tick() -> None:
        journal.expect_ticks = False
        ticked.set()
        raise ZeroDivisionError

    journal = open_journal(tick=tick, sync_every_s=0.05)
    assert not ticked.wait(0.2)
    journal.expect_ticks = True
    assert ticked.wait(10.0)


def test_beats_come_by_themselves(open_journal: Open) -> None:
    """With the last step and what is pending on a device."""
    journal = open_journal(heartbeat_s=0.01)
    journal.pending = 3
    journal.log({"x": 1.0}, 8)
    deadline = time.monotonic() + 10.0
    while True:
        beat = read_journal(journal.path).last_beat
        if beat is not None and beat.last_step == 8:
            break
        assert time.monotonic() < deadline
    assert beat.pending == 3
    assert abs(beat.time_s - time.time()) < 60.0
