"""What is captured of a run beside its own records: at once, in the background while it trains, and at its end."""

from __future__ import annotations

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
from barograph.capture.pace import Pace
from barograph.capture.packages import loaded_packages

# A thread begins with the interpreter in its hands; giving it back at once spares init() 5 ms.
_YIELD_S = 0.05
_LOOK_AGAIN_S = 30.0  # at the cells of a notebook
_FINISH_S = 1.0

Json = dict[str, Any]  # Any: JSON

_newest: Capturing | None = None


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
        self._pace = Pace(share)
        self._known: Json = {}
        self._pid = os.getpid()
        self._thread: threading.Thread | None = None
        self._looks: list[Callable[[], Json]] = []  # at what may change while the run goes on
        self._shared = _newest if is_part and _newest is not None and _newest._pid == self._pid else None

    def start(self) -> None:
        """Tell what can be told at once, and begin with the rest."""
        global _newest
        self._attempt(self._tell_at_once)
        if self._shared is not None:
            return
        _newest = self
        self._begin(self._run)

    def go_on(self) -> None:
        """Watch again what may change, after finish()."""
        if self._thread is not None and self._pid == os.getpid():
            self._pace.relax()
            self._begin(self._watch)

    def look_again(self) -> None:
        """Have the thread see what was imported since."""
        self._pace.wake()

    def finish(self, timeout_s: float) -> None:
        """Have everything told within the time; what takes longer is marked as incomplete by what is missing."""
        if self._shared is not None:
            self._attempt(lambda: self._tell(self._shared._known if self._shared else {}))
        elif self._thread is not None:
            self._pace.hurry()
            self._thread.join(min(_FINISH_S, timeout_s))

    # -- what is told ------------------------------------------------------------------------------------------------

    def _tell_at_once(self) -> None:
        told: Json = {"complete": False}
        if self._does_environment:
            told |= capture_environment_fast()
        if self._does_code:
            told["git"] = repository_of(describe_entry()["path"], working_folder())
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
        while not self._pace.is_hurried:
            self._pace.wait(_LOOK_AGAIN_S)
            for look in self._looks:
                self._attempt(lambda look=look: self._tell_news(look()))  # type: ignore[misc]  # bound at once

    def _tell_code(self) -> None:
        from barograph.capture.changes import capture_changes  # these are only needed in this thread
        from barograph.capture.copies import Copies
        from barograph.capture.notebook import Notebook
        from barograph.capture.sources import Sources, project_root
        from barograph.store.objects import Objects

        entry, folder, objects = describe_entry(), working_folder(), Objects(self._store)
        git = repository_of(entry["path"], folder)
        root = None if git is None else git["root"]
        if root is not None and (changes := capture_changes(Path(root), Copies(objects, self._pace), self._store)):
            self._tell({"git": git | changes})
        sources = Sources(project_root(entry, root, folder), Copies(objects, self._pace))
        notebook = Notebook(Copies(objects, self._pace))
        self._tell_news({"sources": sources.look(), "notebook": notebook.look()})
        self._looks = [lambda: {"sources": sources.look()}, lambda: {"notebook": notebook.look()}]
        if self._does_environment:
            self._looks.append(lambda: {"loaded": loaded_packages(), "libraries": describe_libraries()})

    def _tell_news(self, told: Json) -> None:
        news = {name: value for name, value in told.items() if value is not None and value != self._known.get(name)}
        if news:
            self._tell(news)

    def _tell(self, told: Json) -> None:
        self._known = self._known | told
        self._tell_run(told)

    def _attempt(self, act: Callable[[], None]) -> bool:
        try:
            act()
        except Exception as error:  # noqa: BLE001  # told once by the run, and never to the training
            self._report(error)
            return False
        return True
