"""Recording: the block, the decorated call or the process in which scikit-learn is recorded, and its run."""

from __future__ import annotations

import inspect
import threading
import weakref
from collections.abc import Callable
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

from barograph import open_runs, starting
from barograph.guard import guarded
from barograph.integrations.sklearn import calls, decorating, fits, scores, wrapping
from barograph.integrations.sklearn.calls import About, Call
from barograph.integrations.sklearn.estimators import is_estimator, parameters
from barograph.integrations.sklearn.options import Options
from barograph.integrations.sklearn.recorder import Recorder
from barograph.run import Run

_P = ParamSpec("_P")
_R = TypeVar("_R")

_NOTHING_COMPARED = "no model was scored on other data than it was trained on, and no prediction met the truth"
_lock = threading.Lock()
_recorders: weakref.WeakKeyDictionary[Run, Recorder] = weakref.WeakKeyDictionary()
_of_blocks: weakref.WeakSet[Run] = weakref.WeakSet()  # runs that blocks made: code outside of them does not join


class Recording:
    """Records the scikit-learn calls of a `with` block or of a decorated function.

    With a run open that run is used and left open; else one is made, which callbacks inside join, and which ends with
    the block: finished, failed or interrupted. Code that runs in other threads and processes does not belong to the
    block, unless it was started with a copy of its context (asyncio does that). A block may be entered again.
    Arguments: those of Options, and those of `barograph.init` for a run that is made.
    """

    def __init__(self, run: Run | None = None, **arguments: Any) -> None:
        self._arguments = arguments
        self.options, self._init_arguments = Options.take(arguments)
        inspect.signature(starting.init).bind_partial(**self._init_arguments)  # TypeError for no argument's name
        self._given = run
        self._entered: list[tuple[Run, bool, bool, calls.Listener | None]] = []
        self._run: Run | None = None

    @property
    def run(self) -> Run | None:
        """The run that is written to, or that was last; None before."""
        return self._run

    def __enter__(self) -> Run:
        run = self._given or joinable_run()
        owns = run is None
        if run is None:
            run = starting.init(**self._init_arguments)
            run.expected_end = "the block did not come to its end"
            _of_blocks.add(run)
        self._run = run
        self._entered.append((run, owns, self.begins() is True, calls.listener.get()))
        calls.listener.set(self)
        return run

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        run, owns, is_installed, outer = self._entered.pop()
        if calls.listener.get() is self:
            calls.listener.set(outer)
        if is_installed:
            wrapping.uninstall()
        self.ends(run, owns, error)
        if owns:
            run.expected_end = None
            run.__exit__(kind, error, trace)

    def __call__(self, function: Callable[_P, _R]) -> Callable[_P, _R]:
        """The function, recorded: each call is a block of its own. Coroutines, generators and methods too."""
        decorated: Callable[_P, _R] = decorating.decorate(function, lambda: Recording(self._given, **self._arguments))
        return decorated

    def __getstate__(self) -> dict[str, Any]:
        return {"run": self._given, "arguments": self._arguments}

    def __setstate__(self, state: dict[str, Any]) -> None:
        Recording.__init__(self, state["run"], **state["arguments"])

    # -- what is told ------------------------------------------------------------------------------------------------

    def recorder(self, begins: bool = False) -> Recorder | None:
        """The recorder of the run in use; None if there is none. begins: something begins that deserves a run."""
        run = self._entered[-1][0] if self._entered else None
        return None if run is None or run.is_finished else recorder_of(run)

    @guarded
    def begins(self) -> bool:
        """Put the wrappers in place."""
        wrapping.install()
        return True

    @guarded
    def ends(self, run: Run, owns: bool, error: BaseException | None) -> None:
        """Note how the block ended."""
        if run.is_finished:
            return
        if error is not None and not isinstance(error, (SystemExit, GeneratorExit)):
            recorder_of(run).failed(error)
        recorder = recorder_of(run)
        fits.end_loops(recorder)
        if self.options.log_predictions and recorder.latest.number and not recorder.has_rows:
            run.event("predictions_left_out", dataset=None, reason=_NOTHING_COMPARED)
        if owns:
            recorder.sum_up()

    @guarded
    def note_arguments(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Keep what a decorated function was called with."""
        recorder = self.recorder()
        try:
            given = inspect.signature(function).bind(*args, **kwargs)
        except TypeError:  # the call itself is about to fail, in the user's own words
            return
        given.apply_defaults()
        arguments = {name: value for name, value in given.arguments.items() if name not in ("self", "cls")}
        described = {name: parameters(value) if is_estimator(value) else value for name, value in arguments.items()}
        if recorder is not None:
            recorder.run.log_config({"function": function.__qualname__, "arguments": described})

    @guarded
    def call_begins(self, about: About, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call | None:
        """An outermost call of a method or function."""
        wrapping.wrap_late()
        if isinstance(about, str) and not is_estimator(args[0]):
            return None
        recorder = self.recorder(begins=True)
        if recorder is None:
            return None
        call = Call(self, about, args, kwargs)
        call.recorder = recorder
        if about in calls.FITS:
            fits.fit_begins(recorder, call)
        return call

    @guarded
    def call_ends(self, call: Call, result: object, error: BaseException | None) -> None:
        """It returned or raised."""
        recorder, about = call.recorder, call.about
        if recorder.run.is_finished:
            return
        if about in calls.FITS:
            fits.fit_ends(recorder, call, result, error)
        elif error is not None:
            recorder.failed(error, about if isinstance(about, str) else about.__name__)
        elif isinstance(about, str):
            scores.used(recorder, call, result)
        elif about.__name__ in wrapping.CROSS_VALIDATION:
            scores.cross_validated(recorder, about, call, result)
        else:
            scores.evaluated(recorder, about, call, result)

    @guarded
    def warned(self, message: Warning | str, category: type[Warning], filename: str, line: int) -> None:
        """A warning was shown."""
        recorder = self.recorder()
        if recorder is not None:
            recorder.warned(message, category, filename, line)


class ProcessRecording(Recording):
    """Records what no block claims, in all threads; makes its run when the first call comes and none is open."""

    def __init__(self, run: Run | None = None, **arguments: Any) -> None:
        super().__init__(run, **arguments)
        self._own: Run | None = None
        self._lock = threading.Lock()

    def recorder(self, begins: bool = False) -> Recorder | None:
        """The recorder of the run that is open now."""
        run = self._given or joinable_run()
        if run is None and begins:
            with self._lock:  # several threads may come first
                run = joinable_run()
                if run is None:
                    run = self._own = starting.init(**self._init_arguments)
        if run is None or run.is_finished:
            return None
        self._run = run
        return recorder_of(run)

    def switch_on(self) -> None:
        """Begin."""
        calls.everywhere[:] = [self]
        self.begins()

    def switch_off(self) -> None:
        """End, together with the run that was made."""
        calls.everywhere.clear()
        wrapping.uninstall()
        if self._run is not None:
            self.ends(self._run, self._run is self._own, None)
        if self._own is not None:
            self._own.finish(reason="autolog.disable()")


def recorder_of(run: Run) -> Recorder:
    """The one recorder of a run."""
    with _lock:
        if run not in _recorders:
            _recorders[run] = Recorder(run)
        return _recorders[run]


def joinable_run() -> Run | None:
    """The open run to use: that of the block around this code, else the newest that is no block's."""
    here = calls.listener.get()
    mine = here.run if isinstance(here, Recording) else None
    run = open_runs.joinable_run()
    if run is None or run is mine or run not in _of_blocks:
        return run
    others = [one for one in open_runs.open_runs() if one.is_joinable and (one is mine or one not in _of_blocks)]
    return others[-1] if others else None
