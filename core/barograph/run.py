"""Run: what a training script talks to. A call is complete when it returns, and none raises into training."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from barograph import guard, open_runs
from barograph.arriving import Arriving
from barograph.entry import take_apart
from barograph.guard import guarded, report
from barograph.keeping import Keeping
from barograph.values import Deferred, clean_step, readable
from barograph.voice import say, warn

if TYPE_CHECKING:
    from barograph.recording import Recording

# A frame holds at most 16 MiB; 50,000 names of the longest legal key fit into the definition of a key set.
_NAMES_A_FRAME = 10_000
_MANY_KEYS = 10_000
_DEVICE_WAIT_S = 2.0  # at the end of a run, for values that are still on a device
_ARTIFACTS_WAIT_S = 3.0  # and for artifacts whose content is still being read


class Run(Keeping):
    """One training on disk. Made by `barograph.init()`, never directly.

    Durability: when a call returned while `health` was "ok", what it was given survives SIGKILL and an out-of-memory
    kill; after a power cut at most the last second is gone. Values still on a device are written once they arrive;
    `pending` counts them. Threads may share a run. After fork, a child that logs writes a journal of its own.
    Cost: a call of five floats takes about as long as the `write` of its bytes.
    """

    def __init__(self, recording: Recording) -> None:
        super().__init__()
        self._recording = recording
        self._journal = recording.open_journal(self._write_arrived)
        self._journal_log = self._journal.log
        self._lock = threading.RLock()
        self._arriving = Arriving()
        self._hooks: dict[str, float] = {}
        self._slow_s = 0.0
        self._spent_before_s = 0.0  # until it was opened again, if it was
        self._failures: dict[str, int] = {}
        self._warned: dict[str, int] = {}
        self._config: dict[str, Any] = {}
        self._started = time.monotonic()
        self.pid = os.getpid()
        self.is_finished = False
        self.expected_end: str | None = None  # what is missing if the process ends now
        self.steps_done = 0  # steps of all fits so far: where the next fit's count goes on
        self.fits = 0
        self.opened_over: Run | None = None  # the run that is current again when this one ends

    # -- how it stands -----------------------------------------------------------------------------------------------

    @property
    def config(self) -> dict[str, Any]:
        """A copy of the configuration so far, as it is stored."""
        return dict(self._config)

    @property
    def health(self) -> str:
        """Either "ok", or "degraded" while the disk refuses and records wait in memory."""
        return str(self._journal.health)

    @property
    def lost(self) -> dict[str, int]:
        """What the disk refused for good so far, counted exactly: records, points in them, bytes."""
        return dict(self._journal.lost)

    @property
    def pending(self) -> int:
        """How many values are still on a device and therefore not yet acknowledged."""
        return len(self._arriving)

    @property
    def last_step(self) -> int:
        """The step of the newest point; 0 before the first."""
        return self._journal.last_step or 0

    @property
    def cost_s(self) -> float:
        """Seconds spent in log() and its like on the threads that called them."""
        return float(self._journal.cost_s) + self._slow_s

    @property
    def open_for_s(self) -> float:
        """Seconds since it was opened, or opened again."""
        return time.monotonic() - self._started

    @property
    def overhead(self) -> dict[str, Any]:
        """What the run itself has cost: {"total_s": seconds, "hooks": {where: seconds}}, on the training's threads."""
        hooks = {"log": self.cost_s, **self._hooks}
        return {"total_s": sum(hooks.values()), "hooks": hooks}

    def __repr__(self) -> str:
        return f"<barograph.Run {self.name} ({self.id})>"

    # -- what a script writes ----------------------------------------------------------------------------------------

    def log(self, metrics: Mapping[str, object], step: int | None = None) -> None:
        """Write metrics of one step.

        metrics: name to number; numbers of any library are taken, what is no number is kept as text with one warning.
        step: any integer, in any order, any number of times; None counts the calls of this run from 0.
        """
        if not self._journal_log(metrics, step):
            self._log_anything(metrics, step)

    @guarded
    def log_config(self, config: Mapping[str, object] | object) -> None:
        """Add to the configuration: a mapping, dataclass, namespace or the like, nested as it is; later values win."""
        from barograph.capture.plain import to_plain
        from barograph.capture.redaction import redact

        plain = to_plain(config)
        if not isinstance(plain.value, dict):
            self._warn_once("config", f"log_config() was given a {type(config).__name__}; it was kept under 'value'")
        added = redact(plain.value if isinstance(plain.value, dict) else {"value": plain.value})
        if plain.problem:
            self._warn_once("config", f"the configuration {plain.problem}")
        _merge(self._config, added)
        self._record("config", None, config=added)

    @guarded
    def event(self, name: str, **data: object) -> None:
        """Note that something happened, with whatever belongs to it; the step is that of the newest point."""
        from barograph.capture.plain import to_plain
        from barograph.capture.redaction import redact

        self._record("event", self.last_step, name=readable(name, 1024), data=redact(to_plain(data).value))

    def watch(self, model: object, *arguments: Any, **options: Any) -> Any:  # as the framework's watch has it
        """Look into a model while it trains, by the watch() of its framework's integration; returns what has close().

        For torch: barograph.integrations.torch.watch. Raises TypeError for a model that no integration knows.
        """
        from barograph.watchers import watcher_of

        return watcher_of(model)(model, *arguments, run=self, **options)

    # -- the end -----------------------------------------------------------------------------------------------------

    def finish(self, status: str = "finished", reason: str | None = None, error: BaseException | None = None) -> None:
        """Close the run. status: "finished", "failed" or "interrupted". Calling it again does nothing."""
        self.close(status=status, reason=reason, error=error)

    @guarded
    def close(
        self,
        status: str = "finished",
        reason: str | None = None,
        error: BaseException | None = None,
        timeout_s: float | None = None,
    ) -> None:
        """As finish(), bounded to `timeout_s` seconds (default: the setting exit_timeout_s)."""
        with self._lock:
            if self.is_finished or os.getpid() != self.pid:
                return
            self.is_finished = True
        from barograph.closing import closing_lines, describe_error, loss_line  # a training need not load it before

        start = time.perf_counter()
        left_s = self._recording.settings.exit_timeout_s if timeout_s is None else timeout_s
        open_runs.remove(self)
        # before the seeds, during whose look no warning is heard in any thread
        if self._artifacts is not None and self._artifacts.pid == self.pid:
            self._artifacts.close(min(_ARTIFACTS_WAIT_S, left_s / 2))
        self.log_seeds("end")
        if self._recording.capturing is not None:
            self._recording.capturing.finish(left_s / 2)
        self._recording.stop_listening()
        self._recording.stop_sampling(min(1.0, left_s))
        self._wait_for_device(min(_DEVICE_WAIT_S, left_s))
        if self._datasets is not None:
            self._datasets.close(min(1.0, left_s / 4))
        duration_s = self.open_for_s
        summary = self._journal.summary()
        overhead = self.overhead
        self._record(
            "summary",
            self._journal.last_step,
            metrics={key: numbers.as_record() for key, numbers in summary.items()},
            overhead=overhead,
            lost=self.lost,
            failures=self._failures,
            warned=self._warned,
        )
        self._record(
            "end",
            self._journal.last_step,
            status=status,
            reason=reason,
            error=describe_error(error),
            duration_s=duration_s,
        )
        self._journal.close(max(0.1, left_s - (time.perf_counter() - start)))
        if self._recording.speaks:
            cost_s = overhead["total_s"] - self._spent_before_s
            say(closing_lines(self.name, status, reason, duration_s, cost_s, summary))
        if any(self.lost.values()):
            say([loss_line(self.name, self.lost)])

    def reopen(self) -> None:
        """Go on after finish(), in the same attempt and a new journal: for a callback that serves another fit."""
        with self._lock:
            if not self.is_finished:
                return
            self._slow_s += self._journal.cost_s
            self._journal = self._recording.open_journal(self._write_arrived, calls=self._journal.calls)
            self._spent_before_s = self.overhead["total_s"]
            self._journal_log = self._journal.log
            self._started = time.monotonic()
            self.is_finished = False
        self._recording.start_sampling(self._write_system)
        self._recording.start_listening(self)
        if self._recording.capturing is not None:
            self._recording.capturing.go_on()
        open_runs.add(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        cause = error.__context__ if isinstance(error, SystemExit) else error  # Lightning turns Ctrl-C into an exit
        if isinstance(cause, KeyboardInterrupt):
            self.finish("interrupted", "KeyboardInterrupt", cause)
        elif error is None or isinstance(error, GeneratorExit) or getattr(error, "code", 1) in (None, 0):
            self.finish()
        else:
            self.finish("failed", type(error).__name__, error)

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        return self  # a copied trainer or callback goes on with the run it had

    def __reduce__(self) -> tuple[Any, ...]:
        from barograph.starting import reattach

        return reattach, (str(self.store_path), self.id, self.project)

    # -- what the integrations and the guard use ---------------------------------------------------------------------

    @property
    def run(self) -> Self:
        """Itself; the guard asks every object it stands around for its run."""
        return self

    def spent(self, hook: str, seconds: float) -> None:
        """Add to the measured cost what log() and its like have not counted themselves."""
        self._hooks[hook] = self._hooks.get(hook, 0.0) + seconds

    def count_failure(self, hook: str, error: BaseException) -> bool:
        """Count an error of ours; True if it is the first of its kind."""
        kind = f"{hook}: {type(error).__name__}"
        self._failures[kind] = self._failures.get(kind, 0) + 1
        return self._failures[kind] == 1

    def log_environment(self, environment: Mapping[str, object]) -> None:
        """Add to what is known of machine, packages and code."""
        self._record("environment", None, environment=dict(environment))

    @guarded
    def log_seeds(self, at: str, generators: Mapping[str, object] | None = None) -> None:
        """Note the states of all random generators, as digests, and what decides about determinism.

        at: the moment, such as "fit_start". generators: further ones by name, of any library. Source: capture/seeds.py.
        """
        settings = self._recording.settings
        if settings.mode == "on" and settings.capture and settings.capture_seeds:
            from barograph.capture.seeds import take_seeds

            self._record("seeds", self.last_step, at=readable(at, 1024), **take_seeds(generators or {}))

    def log_console(self, since: float, lines: Sequence[tuple[str, int, float, str]]) -> None:
        """Keep lines that were printed: stream, number of the line in it, Unix seconds, text.

        since: from when on the lines are counted; a later line of the same stream and number takes the place of one.
        """
        self._record("console", self.last_step, since=since, lines=lines)

    def look_again(self) -> None:
        """Have what was imported since the last look recorded, soon and in the background."""
        if self._recording.capturing is not None:
            self._recording.capturing.look_again()

    @contextmanager
    def silenced(self) -> Iterator[None]:
        """Let log() keep nothing meanwhile: what is trained once more for our sake would be told twice."""
        before, self._journal_log = self._journal_log, lambda *_: True
        try:
            yield
        finally:
            self._journal_log = before

    def log_scalars(self, names: tuple[str, ...], values: Sequence[float], step: int) -> None:
        """Write doubles that need no conversion, without counting a call."""
        journal = self._writable()
        if journal is not None:
            journal.scalars(names, step, values, None, False)

    def log_deferred(self, names: tuple[str, ...], values: Sequence[Deferred], step: int) -> None:
        """Write numbers that are still on a device as soon as they have arrived."""
        journal = self._writable()
        if journal is not None:
            self._arriving.add(names, values, step)
            journal.expect_ticks = True

    def sync(self) -> None:
        """Bring what was written onto the disk itself, against a power cut; takes milliseconds."""
        self._journal.sync()

    def start(self) -> None:
        """Begin sampling the system and become the current run."""
        self._recording.start_sampling(self._write_system)
        self._recording.start_listening(self)
        open_runs.add(self)

    # -- inside ------------------------------------------------------------------------------------------------------

    def _log_anything(self, metrics: Any, step: object) -> None:
        start, counted_s = time.perf_counter(), self._journal.cost_s
        try:
            self._convert_and_write(metrics, step)
        except Exception as error:
            if guard.raise_errors:
                raise
            report(self, "log", error)
        finally:
            self._slow_s += max(0.0, time.perf_counter() - start - (self._journal.cost_s - counted_s))

    def _convert_and_write(self, metrics: Any, step: object) -> None:
        journal = self._writable()
        if journal is None:
            return
        at, problem = clean_step(step)
        if problem:
            self._warn_once("step", f"a step {problem}")
        entry = take_apart(metrics, self._warn_once)
        at = journal.scalars(tuple(entry.names[:_NAMES_A_FRAME]), at, entry.values[:_NAMES_A_FRAME])
        for first in range(_NAMES_A_FRAME, len(entry.names), _NAMES_A_FRAME):
            part = slice(first, first + _NAMES_A_FRAME)
            journal.scalars(tuple(entry.names[part]), at, entry.values[part], None, False)
        for name, text in entry.texts:
            journal.record("text", at, None, key=name, text=text)
        if entry.arriving:
            self.log_deferred(tuple(entry.arriving), list(entry.arriving.values()), at)

    def _writable(self) -> Any:
        """The journal to write to: a fork's own in a forked child, None after the end (with one warning)."""
        if self.is_finished:
            self._warn_once("finished", "log() was called after finish(); such records are not kept")
            return None
        if self._journal.is_forked:
            with self._lock:
                if self._journal.is_forked:
                    self._arriving.clear()
                    self.pid = os.getpid()
                    self._journal = self._recording.open_journal(self._write_arrived, role="child")
                    self._journal_log = self._journal.log
        return self._journal

    def _record(self, kind: str, step: int | None, **body: object) -> None:
        journal = self._journal if self.is_finished else self._writable()
        if journal is None:
            return
        try:
            journal.record(kind, step, None, **body)
        except ValueError as error:
            self._warn_once("size", f"a record of kind {kind!r} was not kept: {error}")

    def _write_system(self, sample: Mapping[str, float]) -> None:
        self._journal.scalars(tuple(sample), self._journal.last_step or 0, list(sample.values()), None, False)
        if len(self._journal.summary_keys()) >= _MANY_KEYS:
            self._warn_once("keys", f"the run has over {_MANY_KEYS} metrics; views and summaries show only so many")

    def _write_arrived(self) -> None:
        """Write device values that have arrived. Called by the journal's thread."""
        self._journal.expect_ticks = not self._arriving.write_ready(
            lambda names, values, step, time_s: self._journal.scalars(names, step, values, time_s, False),
            lambda error: report(self, "device value", error),
        )

    def _wait_for_device(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while self._arriving and time.monotonic() < deadline:
            self._write_arrived()
            time.sleep(0.001)
        if self._arriving:
            self._warn_once("device", f"{self.pending} values had not arrived from their device at the end of the run")

    def _warn_once(self, kind: str, message: str) -> None:
        self._warned[kind] = self._warned.get(kind, 0) + 1
        if self._warned[kind] == 1:
            warn(f"run {self.name}: {message}. Further cases are counted in silence.")


def _merge(into: dict[str, Any], added: Mapping[str, Any]) -> None:
    for key, value in added.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value
