"""What a training prints: one listener a process on stdout and stderr, for all runs that are open."""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Callable
from time import monotonic, time
from typing import Any

from barograph.capture.redaction import redact_long, redact_text
from barograph.capture.screen import Row, Screen
from barograph.capture.secret_shapes import hide_private_keys

_BATCH_S = 0.5  # what a kill may lose, and how often a program that prints much is written down
_OPEN_EVERY_S = 10.0  # how often a progress bar is
_STREAMS = ("stdout", "stderr")
_RECORD_LIMIT = 256 * 1024  # characters
_LINE_OVERHEAD = 48  # bytes of a line's number and time in a journal
_TAIL_LINES = 500  # kept in memory once the limit is reached
_FINISH_S = 1.0

Line = tuple[str, int, float, str]
"""Stream ("stdout" or "stderr"), number in it, Unix seconds of the last change, text; the last of a number counts."""


class Console:
    """One run's share of the output: lines as a terminal would show them in the end, without secrets, up to a limit.

    tell: takes a batch of lines. Finished lines are told within a second; one that is still rewritten every ten, and at
    the end. Over the limit only the last lines are told, at the end.
    """

    def __init__(self, tell: Callable[[list[Line]], None], report: Callable[[Exception], None], limit: int) -> None:
        self.tell = tell
        self.report = report
        self._left = limit
        self._screens = {name: Screen(redact_text) for name in _STREAMS}
        self._tail: deque[tuple[str, Row]] = deque(maxlen=_TAIL_LINES)
        self._missing = 0
        self._all_at_s = monotonic() + _OPEN_EVERY_S

    def write(self, stream: str, time_s: float, text: str) -> None:
        """Take what was printed."""
        # A private key goes before its lines can be told at different times, without the line that says what they are.
        self._screens[stream].write(hide_private_keys(text, keep_lines=True), time_s)

    def flush(self, at_end: bool = False) -> None:
        """Tell what is due."""
        now = monotonic()
        everything = at_end or now >= self._all_at_s
        if everything:
            self._all_at_s = now + _OPEN_EVERY_S
        for name, screen in self._screens.items():
            self._tell(name, screen.take(everything))
        if at_end:
            self._tell_tail()

    def _tell(self, stream: str, rows: list[Row]) -> None:
        kept = []
        for row in rows:
            self._left -= len(row.text) + _LINE_OVERHEAD
            if self._left >= 0:
                kept.append(row)
            else:
                self._missing += 1
                self._tail.append((stream, row))
        self._tell_redacted(stream, kept)

    def _tell_tail(self) -> None:
        if not self._tail:
            return
        missing = self._missing - len(self._tail)
        if missing:
            stream, first = self._tail[0]
            self.tell([(stream, -1, first.time_s, f"[{missing} lines left out]")])
        for stream in _STREAMS:
            self._tell_redacted(stream, [row for name, row in self._tail if name == stream])

    def _tell_redacted(self, stream: str, rows: list[Row]) -> None:
        """Rows go through together: a private key has many lines, and a secret is looked for faster in a long text."""
        if not rows:
            return
        rows = sorted(rows)
        texts = redact_long("\n".join(row.text for row in rows), lambda: None).split("\n")
        batch, size = [], 0
        for row, text in zip(rows, texts, strict=True):
            batch.append((stream, row.number, row.time_s, text))
            size += len(text)
            if size > _RECORD_LIMIT:
                self.tell(batch)
                batch, size = [], 0
        if batch:
            self.tell(batch)


class _Listener:
    """Stands in the `write` of the two streams while a run is open that wants to know; the streams stay what they are.

    Cost: a microsecond a call; everything else is done by a thread twice a second while something is printed. What
    writes to the file descriptors themselves (other processes, C libraries) is not seen, nor is what a replaced
    sys.stdout takes that was not there when the first run began. After fork the child prints unheard.
    """

    def __init__(self) -> None:
        self._consoles: list[Console] = []
        self._printed: deque[tuple[str, float, str]] = deque()
        self._taken: list[tuple[Any, Callable[[str], Any], Callable[[str], Any] | None]] = []
        self._installed = 0  # how often: what stays below somebody else's must not hear a second time
        self._is_awake = False
        self._woken = threading.Lock()  # locked while nothing was printed
        self._woken.acquire()
        self._lock = threading.RLock()
        self._thread: threading.Thread | None = None

    def add(self, console: Console) -> None:
        with self._lock:
            self._pass_on()  # what was printed before is not this one's
            self._consoles.append(console)
            if not self._taken:
                self._take_streams()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="barograph-console", daemon=True)
                try:
                    self._thread.start()
                except RuntimeError:  # no more threads: all of it is told at the end
                    pass

    def remove(self, console: Console) -> None:
        if not self._lock.acquire(timeout=_FINISH_S):
            return
        try:
            self._pass_on()
            if console in self._consoles:
                self._consoles.remove(console)
                self._flush(console, at_end=True)
            if not self._consoles:
                self._leave_streams()
        finally:
            self._lock.release()

    def forget(self) -> None:
        """In the child of a fork: there is no thread, and the locks may be held by one that is not here."""
        self._leave_streams()
        self.__init__()  # type: ignore[misc]  # everything anew

    def _take_streams(self) -> None:
        for name in _STREAMS:
            stream: Any = getattr(sys, name, None)
            original = getattr(stream, "write", None)
            if original is None or any(stream is taken for taken, _, _ in self._taken):
                continue
            write = self._listening(name, original)
            before = getattr(stream, "__dict__", {}).get("write")
            try:
                stream.write = write
            except (AttributeError, TypeError):
                continue
            self._taken.append((stream, write, before))

    def _listening(self, name: str, original: Callable[[str], Any]) -> Callable[[str], Any]:
        installed = self._installed

        def write(text: str, /) -> Any:
            result = original(text)
            if self._consoles and self._installed == installed:
                self._printed.append((name, time(), text))
                if not self._is_awake:
                    self._wake()
            return result

        return write

    def _leave_streams(self) -> None:
        """Take ourselves out again, unless somebody has put something over us: then we stay and nobody listens."""
        for stream, write, before in self._taken:
            if getattr(stream, "__dict__", {}).get("write") is write:
                if before is None:
                    del stream.write
                else:
                    stream.write = before
        self._taken = []
        self._installed += 1

    def _wake(self) -> None:
        self._is_awake = True
        try:
            self._woken.release()
        except RuntimeError:  # another thread did it at the same moment
            pass

    def _run(self) -> None:
        pause = threading.Lock()
        pause.acquire()
        while True:
            self._woken.acquire(timeout=_OPEN_EVERY_S if self._consoles else -1)
            pause.acquire(timeout=_BATCH_S)
            self._is_awake = False
            with self._lock:
                self._pass_on()
                for console in list(self._consoles):
                    self._flush(console)

    def _pass_on(self) -> None:
        while self._printed:
            stream, time_s, text = self._printed.popleft()
            for console in list(self._consoles):
                try:
                    console.write(stream, time_s, text)
                except Exception as error:  # noqa: BLE001  # whatever was printed, the program goes on
                    self._consoles.remove(console)
                    console.report(error)

    def _flush(self, console: Console, at_end: bool = False) -> None:
        try:
            console.flush(at_end)
        except Exception as error:  # noqa: BLE001  # as above
            if console in self._consoles:
                self._consoles.remove(console)
            console.report(error)


_listener = _Listener()
listen = _listener.add
stop_listening = _listener.remove

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_listener.forget)
