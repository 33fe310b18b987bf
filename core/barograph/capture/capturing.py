"""What is captured of a run beside its own records: at once, in the background while it trains, and at its end."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from barograph.capture.environment import (
    capture_environment_fast,
    capture_environment_slow,
    describe_entry,
    working_folder,
)
from barograph.capture.git import repository_of
from barograph.capture.libraries import describe_libraries
from barograph.capture.notebook import Notebook, current_cell
from barograph.capture.pace import Pace
from barograph.capture.packages import loaded_packages

# A thread begins with the interpreter in its hands; giving it back at once spares init() 5 ms.
_YIELD_S = 0.05
_LOOK_AGAIN_S = 30.0  # at the cells of a notebook
_FINISH_S = 1.0

Json = dict[str, Any]  # Any: JSON

# What the newest run of this process has told, for runs that are a part of one; and the process.
_told_here: tuple[int, Json] | None = None


class Capturing:
    """The environment of one run, from its beginning to its end.

    Cost: about a millisecond at the beginning; then a thread of low pace (see Pace) whose work is waited for, at most a
    second, when the run ends. Each part is told as soon as it is known, and "complete" once all are, so what a killed
    run has not told is seen. What a run of the same process knows already is not captured again for one that is a part
    of it.
    """

    def __init__(
        self,
        tell: Callable[[Mapping[str, object]], None],
        report: Callable[[Exception], None],
        store: Path,
        *,
        share: float,
        environment: bool = True,
        code: bool = True,
        is_part: bool = False,
    ) -> None:
        self._tell_run = tell
        self._report = report
        self._store = store
        self._does_environment = environment
        self._does_code = code
        self._pace = Pace(share / 2)  # others have a part in the budget, too
        self._known: Json = {}
        self._pid = os.getpid()
        self._entry, self._folder, self._cell = describe_entry(), working_folder(), current_cell()
        self._thread: threading.Thread | None = None
        self._is_over = False  # the run did not wait any longer
        self._looks: list[Callable[[], Json]] = []  # at what may change while the run goes on
        self._shared = _told_here[1] if is_part and _told_here is not None and _told_here[0] == self._pid else None

    def start(self) -> None:
        """Tell what can be told at once, and begin with the rest."""
        global _told_here
        self._attempt(self._tell_at_once)
        if self._shared is None:
            _told_here = self._pid, self._known
            self._begin(self._run)

    def go_on(self) -> None:
        """Watch again what may change, after finish()."""
        if self._thread is not None and self._pid == os.getpid():
            self._pace.relax()
            self._is_over = False
            if not self._thread.is_alive():  # else it is still at its first work
                self._begin(self._watch)

    def look_again(self) -> None:
        """Have the thread see what was imported since."""
        self._pace.wake()

    def finish(self, timeout_s: float) -> None:
        """Have everything told within the time; what takes longer is marked as incomplete by what is missing."""
        if self._shared is not None:
            self._tell_run(self._shared)
        elif self._thread is not None:
            self._pace.hurry()
            self._thread.join(min(_FINISH_S, timeout_s))
            if self._thread.is_alive():  # what comes after the run is not to wait for it either
                self._is_over = True
                self._pace.relax()

    # -- what is told ------------------------------------------------------------------------------------------------

    def _tell_at_once(self) -> None:
        told: Json = {"complete": False}
        if self._does_environment:
            told |= capture_environment_fast()
        if self._does_code:
            told["git"] = repository_of(self._entry["path"], self._folder)
        self._tell(told)

    def _begin(self, work: Callable[[], None]) -> None:
        try:
            self._thread = threading.Thread(target=work, name="barograph-capture", daemon=True)
            self._thread.start()
        except RuntimeError:  # no more threads: what takes longer is left out
            self._thread = None

    def _run(self) -> None:
        self._pace.wait(_YIELD_S)
        succeeded = True
        if self._does_environment:
            succeeded &= self._attempt(lambda: self._tell(capture_environment_slow()))
        if self._does_code:
            succeeded &= self._attempt(self._tell_code)
        self._tell({"complete": succeeded})
        self._watch()

    def _watch(self) -> None:
        is_last = False
        while not is_last:
            self._pace.wait(_LOOK_AGAIN_S)
            is_last = self._pace.is_hurried or self._is_over  # at what was imported while the rest was told, too
            for look in self._looks:
                self._attempt(functools.partial(self._look, look))

    def _tell_code(self) -> None:
        from barograph.capture.changes import capture_changes  # these are only needed in this thread
        from barograph.capture.copies import Copies
        from barograph.capture.sources import Sources, project_root
        from barograph.store.objects import Objects

        objects, git = Objects(self._store), repository_of(self._entry["path"], self._folder)
        if git and (changes := capture_changes(Path(git["root"]), Copies(objects, self._pace), self._store)):
            self._tell({"git": git | changes})
        root = project_root(self._entry, git["root"] if git else None, self._folder)
        script = self._entry["path"] if self._entry["kind"] == "script" else None
        sources = Sources(root, Copies(objects, self._pace), script)
        notebook = Notebook(Copies(objects, self._pace), self._cell)
        self._tell_news({"sources": sources.look(), "notebook": notebook.look()})
        self._looks = [lambda: {"sources": sources.look()}, lambda: {"notebook": notebook.look()}]
        if self._does_environment:
            self._looks.append(lambda: {"loaded": loaded_packages(), "libraries": describe_libraries()})

    def _look(self, look: Callable[[], Json]) -> None:
        self._tell_news(look())

    def _tell_news(self, told: Json) -> None:
        news = {name: value for name, value in told.items() if value is not None and value != self._known.get(name)}
        if news:
            self._tell(news)

    def _tell(self, told: Json) -> None:
        self._known.update(told)
        self._tell_run(told)

    def _attempt(self, act: Callable[[], None]) -> bool:
        try:
            act()
        except Exception as error:  # noqa: BLE001  # told once by the run, and never to the training
            self._report(error)
            return False
        return True
