"""What a search's worker processes write: a journal each, of the same run, with the time of every fold."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from barograph.guard import guarded
from barograph.identity import Process
from barograph.recording import Recording
from barograph.settings import Settings

_FOLD = "candidate-split-evaluation"  # what sklearn.callback calls the fit and score of one fold
_journals: dict[str, Any] = {}  # by the run's id; of the process's newest run only


class Elsewhere:
    """What the callback in a search becomes in another process: the address of its run, and nothing else."""

    run = None  # for the guard: there is none here

    def __init__(self, path: str, run_id: str, attempt: int, rank: int, first_step: int) -> None:
        self._address = (path, run_id, attempt, rank, first_step)
        self._began_s = 0.0

    def __reduce__(self) -> tuple[Any, ...]:
        return Elsewhere, self._address

    def setup(self, estimator: Any, context: Any) -> None:
        """A fit begins."""

    def teardown(self, estimator: Any, context: Any) -> None:
        """It is over."""

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        """A fold begins."""
        self._began_s = time.perf_counter()

    @guarded
    def on_fit_task_end(self, estimator: Any, context: Any) -> None:
        """A fold was fitted and scored; its scores come with the results of the search."""
        if context.task_name != _FOLD:
            return
        candidate = _tried_before(context.parent) // estimator.n_splits_ + context.task_id // estimator.n_splits_
        step = self._address[-1] + candidate
        self._journal().scalars(("time/fold_s",), step, [time.perf_counter() - self._began_s], None, False)

    def _journal(self) -> Any:
        path, run_id, attempt, rank, _ = self._address
        if run_id not in _journals:
            for run in list(_journals):
                _journals.pop(run).close(1.0)
            folder, settings = Path(path), Settings.read(on_wrong=lambda _: None)
            store = folder.parent.parent
            process = Process(rank)
            recording = Recording(
                run_id, run_id, "", store, folder, process, attempt, settings, joinable=False, speaks=False
            )
            _journals[run_id] = recording.open_journal(lambda: None, role="child")
        return _journals[run_id]


def _tried_before(level: Any) -> int:
    """Folds in the rounds of a halving search before this one."""
    if level.parent is None:
        return 0
    rounds = [one for one in level.parent if one.parent is level.parent and one.task_id < level.task_id]
    return sum(one.max_subtasks or 0 for one in rounds)
