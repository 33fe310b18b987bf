"""The run that a callback writes to: the one it was given, one that is open, or one that it makes and therefore closes.

Every integration's callback holds one Attachment and asks it for a run when a fit begins.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self

from barograph import starting
from barograph.open_runs import joinable_run
from barograph.run import Run
from barograph.settings import Settings
from barograph.store.layout import RUNS_NAME, RunFolder, find_store, new_run_id
from barograph.voice import warn


class Address(NamedTuple):
    """What a process must know to write to a run that another one began."""

    store: str
    run_id: str
    attempt: int


class Attachment:
    """Which run a callback writes to, over all its fits.

    A run the callback made serves its later fits (each reopens it), unless the last one failed: then the next fit gets
    a new run. A copy (deepcopy, pickle: clones in a search, workers) holds no file, lock or thread; when a copy begins
    a fit it makes a child of the run that the original would write to, so that a search is one run with children.
    """

    def __init__(self, run: Run | None = None, **init_arguments: Any) -> None:
        if unknown := init_arguments.keys() - starting.INIT_ARGUMENTS:
            raise TypeError(f"barograph.init() has no argument {', '.join(sorted(unknown))}")
        self._given = run
        self._arguments = init_arguments
        self._family = _Family()
        self._is_copy = False
        self._own: Run | None = None
        self._run: Run | None = None
        self._in_fit = False
        self._failed = False
        self._handed_on: tuple[str, str] | None = None  # to a copy that was made by pickling

    @property
    def run(self) -> Run | None:
        """The run in use; None before the first fit."""
        return self._run

    @property
    def address(self) -> Address | None:
        """Where other processes find the run in use, so that they can join it."""
        run = self._run
        return None if run is None else Address(str(run.store_path), run.id, run.attempt)

    @property
    def place(self) -> tuple[str, str] | None:
        """Store and id of the run in use, also where only copies in other processes use it; None if there is none."""
        return self._handed_on if self._run is None else (str(self._run.store_path), self._run.id)

    @property
    def owns_run(self) -> bool:
        """Whether this callback made the run it writes to, and so closes it."""
        return self._run is not None and self._run is self._own

    def begin(
        self,
        config: dict[str, Any] | None = None,
        *,
        rank: int | None = None,
        world: int | None = None,
        run_id: str | None = None,
        resume: bool = False,
        joining: Address | None = None,
        in_fit: bool = True,
        by_workers: bool = False,
    ) -> Run:
        """The run for the fit (or evaluation) that begins now.

        config: stored with the run. rank, world: what the framework knows of its processes; with several, rank 0 begins
        without `joining`, tells the others its `address`, and they begin with that. run_id: the id of a run made now;
        resume: go on with that run. in_fit: whether an end() is to follow, without which the run has failed.
        by_workers: copies of this callback train together, and only the one that asks records.
        """
        if self._in_fit and self.owns_run:
            self.end("failed", "the fit before this one did not come to its end")
        together = world is not None and world > 1
        if joining is not None:
            self._run = self._joined(joining, rank or 0, world or 1)
            self._own = None if self._run.is_joinable else self._run
        elif self._given is not None:
            self._run = self._given
        elif self._is_copy:
            begin_alone = self._begin_for_workers if by_workers else self._begin_child
            begin_new = self._begin_for_all if together else begin_alone
            self._run = self._own = self._usable_own() or begin_new(rank, world)
        elif self._usable_own() is None and (open_run := joinable_run()) is not None:
            self._run = open_run
        else:
            self._run = self._own = self._usable_own() or self._begin_own(rank, world, run_id, resume)
        self._in_fit = in_fit
        if in_fit and self._run is self._own:
            self._run.expected_end = "the fit did not come to its end"
        if config:
            self._run.log_config(config)
        return self._run

    def end(self, status: str = "finished", reason: str | None = None, error: BaseException | None = None) -> None:
        """The fit is over: close the run if this callback made it, else leave it open."""
        self._in_fit = False
        self._failed = status != "finished"
        if self.owns_run and self._own is not None:
            self._own.expected_end = None
            self._own.finish(status, reason, error)

    def start_fit(self, first_step: int = 0, generators: Mapping[str, object] | None = None, **about: object) -> int:
        """Note a fit_start event and return what to add to the fit's steps so that they continue the run's.

        0 for the first fit and for one that continues its own count (a checkpoint). generators: random generators of
        its own that the fit draws from, see Run.log_seeds; about: kept with the event.
        """
        if self._run is None:
            return 0
        offset = max(0, self._run.steps_done - first_step)
        self._run.fits += 1
        self._run.event("fit_start", fit=self._run.fits, first_step=first_step + offset, offset=offset, **about)
        self._run.log_seeds("fit_start", generators)
        self._run.look_again()
        return offset

    def reached(self, step: int) -> None:
        """Note that the run has come to `step`, offset included."""
        if self._run is not None and step >= self._run.steps_done:
            self._run.steps_done = step + 1

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        copy = type(self)(self._given, **self._arguments)
        copy._family = self._family
        copy._is_copy = True
        if self._run is not None and not self._run.is_finished:
            self._family.run = self._run
        return copy

    def __getstate__(self) -> dict[str, Any]:
        parent = self._given or self._run or self._family.run or joinable_run()
        store, parent_id = (parent.store_path, parent.id) if parent else self._family.address(self._arguments)
        self._handed_on = str(store), parent_id
        return {"arguments": self._arguments, "store": str(store), "parent_id": parent_id}

    def __setstate__(self, state: dict[str, Any]) -> None:
        Attachment.__init__(self, None, **state["arguments"])
        self._is_copy = True
        self._family.store, self._family.parent_id = state["store"], state["parent_id"]

    def _usable_own(self) -> Run | None:
        if self._own is None or self._failed:
            return None
        self._own.reopen()
        return self._own

    def _joined(self, address: Address, rank: int, world: int) -> Run:
        """Rank 0's run in this process: the one open here already, or opened now."""
        own = self._usable_own()
        if own is not None and own.id == address.run_id:
            return own
        if (open_run := joinable_run()) is not None and open_run.id == address.run_id:
            return open_run  # the script has begun it on every rank
        return starting.join(address.store, address.run_id, address.attempt, rank, world)

    def _begin_own(self, rank: int | None, world: int | None, run_id: str | None, resume: bool) -> Run:
        arguments = dict(self._arguments)
        if run_id is not None:
            arguments = {"id": run_id, "resume": resume, **arguments}
        return starting.init(**arguments, rank=rank, world=world, joinable=False)

    def _begin_for_all(self, rank: int | None, world: int | None) -> Run:
        """The original's own run, for copies that work on one training together in processes of their own."""
        store, run_id = self._family.address(self._arguments)
        attempts = RunFolder(Path(store) / RUNS_NAME / run_id).attempts()
        if attempts:
            return starting.join(store, run_id, attempts[-1], rank or 0, world or 1)
        arguments = {**self._arguments, "store": store, "id": run_id}
        return starting.init(**arguments, rank=rank, world=world, joinable=False)

    def _begin_for_workers(self, rank: int | None, world: int | None) -> Run:
        """The original's own run for the first training by workers; a child of it, or of the open run, for others."""
        store, run_id = self._family.address(self._arguments)
        if joinable_run() is not None or RunFolder(Path(store) / RUNS_NAME / run_id).path.exists():
            return self._begin_child()
        arguments = {**self._arguments, "store": store, "id": run_id}
        return starting.init(**arguments, rank=rank, world=world, joinable=False)

    def _begin_child(self, *_: int | None) -> Run:
        parent, store = self._family.parent(self._given, self._arguments)
        kept = {name: value for name, value in self._arguments.items() if name not in ("id", "resume", "store", "name")}
        return starting.init(**{**kept, "quiet": True}, store=store, parent=parent, joinable=False)


class _Family:
    """What a callback and its copies share: the run that the copies' runs are children of."""

    def __init__(self) -> None:
        self.run: Run | None = None
        self.store: str | None = None
        self.parent_id: str | None = None

    def parent(self, given: Run | None, arguments: dict[str, Any]) -> tuple[Run | str, str]:
        """The parent (made on the first call if there is none yet), and its store."""
        run = given or joinable_run() or self.run
        if run is None and self.parent_id is not None and self.store is not None:
            starting.make_run(self.parent_id, {**arguments, "store": self.store})
            return self.parent_id, self.store
        if run is None:
            run = self.run = starting.init(**arguments, joinable=False)
        return run, str(run.store_path)

    def address(self, arguments: dict[str, Any]) -> tuple[str, str]:
        """Where copies in other processes will find their parent; nothing is made yet."""
        if self.parent_id is None or self.store is None:
            reproduces = Settings.read(on_wrong=warn).reproduces
            self.store = str(find_store(arguments.get("store")))
            self.parent_id = starting.again(arguments.get("id") or new_run_id(), reproduces)
        return self.store, self.parent_id
