"""For tests: errors of ours that raise, runs that leave nothing behind, and the questions every integration answers."""

from __future__ import annotations

import contextlib
import copy
import pickle
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

from barograph import guard, open_runs
from barograph.reading import RunView, Store, open_store
from barograph.run import Run
from barograph.starting import init


@contextlib.contextmanager
def strict(raises: bool = True) -> Iterator[None]:
    """Let errors of ours out of the guard (or, with False, swallow them as in a training)."""
    before, guard.raise_errors = guard.raise_errors, raises
    try:
        yield
    finally:
        guard.raise_errors = before


class TemporaryRun:
    """A run whose store is gone after the test. `run` writes; `view()` reads what was written so far."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def view(self) -> RunView:
        """The run as a reader sees it now."""
        return open_store(self.run.store_path).run(self.run.id)


@contextlib.contextmanager
def temporary_run(**init_arguments: Any) -> Iterator[TemporaryRun]:
    """A run in a store of its own, in memory where the system has a memory file system; finished at the end."""
    memory = Path("/dev/shm")
    folder = tempfile.mkdtemp(prefix="barograph-test-", dir=memory if memory.is_dir() else None)
    try:
        with init(store=folder, quiet=True, **init_arguments) as run:
            yield TemporaryRun(run)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Subject(Protocol):
    """What an integration brings to be asked: a callback, and tiny seeded trainings of its framework."""

    name: str
    hooks: list[str]
    set_by_framework: frozenset[str]  # public attributes that the framework itself hangs on a callback

    def callback(self, **arguments: Any) -> Any:
        """A fresh callback (or context manager), with these arguments."""
        ...

    def train(self, callback: Any, *, epochs: int = 2) -> bytes:
        """A seeded fit with the callback, with a list of the user's, or None; the trained model to the bit."""
        ...

    def train_failing(self, callback: Any, error: BaseException) -> None:
        """The same fit, in which the user's own code raises `error` midway."""
        ...


_FRAMEWORKS = {"torch", "lightning", "pytorch_lightning", "keras", "tensorflow", "jax", "xgboost", "sklearn"}
_STANDS_ON = {"lightning": ("torch", "pytorch_lightning"), "keras": ("torch",)}
_ALONE = """
import importlib.util, sys

class Without:
    def __init__(self, finder):
        self.finder = finder

    def __getattr__(self, name):
        return getattr(self.finder, name)

    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in {hidden!r} else self.finder.find_spec(name, path, target)

sys.meta_path[:] = map(Without, sys.meta_path)
spec = importlib.util.spec_from_file_location("subject", {path!r})
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
subject = module.SUBJECT
subject.train(subject.callback(store={store!r}, quiet=True))
"""

Question = Callable[[Subject, Path], None]
QUESTIONS: list[Question] = []


def _question(ask: Question) -> Question:
    QUESTIONS.append(ask)
    return ask


@_question
def training_is_the_same_to_the_bit(subject: Subject, store: Path) -> None:
    """The trained model does not depend on whether it was recorded."""
    assert subject.train(subject.callback(store=store, quiet=True)) == subject.train(None)


@_question
def without_an_open_run_one_is_made_and_closed(subject: Subject, store: Path) -> None:
    """A fit with a fresh callback leaves one finished run with metrics, settings and an end."""
    subject.train(subject.callback(store=store, quiet=True))
    (view,) = open_store(store).runs()
    assert view.status == "finished"
    assert view.metrics() and view.config
    assert [event.name for event in view.events()].count("fit_start") == 1
    assert [event.name for event in view.events()].count("fit_end") == 1


@_question
def an_open_run_is_used_and_left_open(subject: Subject, store: Path) -> None:
    """A run that `init()` made takes the fit, and goes on afterwards."""
    with init(store=store, quiet=True) as run:
        subject.train(subject.callback())
        assert not run.is_finished
        run.log({"afterwards": 1.0})
    (view,) = open_store(store).runs()
    assert "afterwards" in view.metrics() and len(view.metrics()) > 1


@_question
def a_run_that_was_given_is_used(subject: Subject, store: Path) -> None:
    """`run=` decides, whatever else is open."""
    given = init(store=store, quiet=True, name="given")
    with init(store=store, quiet=True, name="other"):
        subject.train(subject.callback(run=given))
    given.finish()
    views = {view.name: view for view in open_store(store).runs()}
    assert views["given"].events("fit_start") and not views["other"].events("fit_start")


@_question
def two_fits_in_one_run_do_not_clash(subject: Subject, store: Path) -> None:
    """The second fit's steps go on where the first one's ended."""
    with init(store=store, quiet=True):
        for _ in range(2):
            subject.train(subject.callback())
    starts = open_store(store).runs()[0].events("fit_start")
    assert len(starts) == 2
    assert starts[1].data["first_step"] > starts[0].data["first_step"]


@_question
def a_users_exception_passes_and_the_run_is_failed(subject: Subject, store: Path) -> None:
    """The user's own error reaches the user unchanged; a run of ours is not left looking finished."""
    error = ZeroDivisionError("the user's own")
    callback = subject.callback(store=store, quiet=True)
    try:
        subject.train_failing(callback, error)
    except ZeroDivisionError as raised:
        assert raised is error or "the user's own" in str(raised)
    else:
        raise AssertionError("the user's exception did not reach the user")
    subject.train(callback)  # a framework without a failure hook shows the failure when the next fit begins
    statuses = sorted(view.status for view in open_store(store).runs())
    assert statuses == ["failed", "finished"], statuses


@_question
def what_the_user_handed_over_is_left_as_it_was(subject: Subject, store: Path) -> None:
    """The user's own list of callbacks, and what the user may have read off the callback."""
    callback = subject.callback(store=store, quiet=True)
    before = _public(callback)
    callbacks = [callback]
    subject.train(callbacks)
    ours = [one for one in callbacks if type(one).__module__.startswith("barograph.")]  # Lightning adds its own
    assert len(ours) == 1 and ours[0] is callback
    after = _public(callback)
    assert {name: after[name] for name in after if name not in subject.set_by_framework} == {
        name: before[name] for name in before if name not in subject.set_by_framework
    }


@_question
def rows_are_predicted_on_request(subject: Subject, store: Path) -> None:
    """The same few rows of what is evaluated, each time, as a table; the training stays the same, without it none."""
    plain = subject.train(subject.callback(store=store, quiet=True, name="plain"))
    assert subject.train(subject.callback(store=store, quiet=True, name="asked", log_predictions=3)) == plain
    views = {view.name: view for view in open_store(store).runs()}
    assert not [table for table in views["plain"].tables() if table.key.startswith("predictions/")]
    tables = [table for table in views["asked"].tables() if table.key.startswith("predictions/")]
    assert tables
    for table in tables:
        assert table.columns == ["index", "dataset", "label", "prediction", "score"]
        assert len(table.rows) == 3
    assert len({(table.key, *(row[0] for row in table.rows)) for table in tables}) == len({one.key for one in tables})


@_question
def tables_of_classes_have_one_shape(subject: Subject, store: Path) -> None:
    """Whoever evaluates a classifier tells how often which class was taken for which, and what each is worth."""
    subject.train(subject.callback(store=store, quiet=True))
    (view,) = open_store(store).runs()
    shapes = {"confusion": ["label", "prediction", "count"], "classes": ["label", "count", "precision", "recall", "f1"]}
    found = {table.key: table.columns for table in view.tables() if table.key.rpartition("/")[2] in shapes}
    assert found == {key: shapes[key.rpartition("/")[2]] for key in found}


@_question
def an_error_of_ours_does_not_reach_the_training(subject: Subject, store: Path) -> None:
    """Whichever hook of ours fails, the trained model is the same and there is a warning."""
    expected = subject.train(None)
    for hook in subject.hooks:
        callback = subject.callback(store=store, quiet=True)
        with strict(False), warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            with _failing(callback, hook):
                assert subject.train(callback) == expected, hook
        assert any("training goes on" in str(warning.message) for warning in caught), hook


@_question
def a_callback_survives_pickle_and_deepcopy(subject: Subject, store: Path) -> None:
    """Copies hold no file, lock or thread, and make no run by being made."""
    callback = subject.callback(store=store, quiet=True)
    for copied in (pickle.loads(pickle.dumps(callback)), copy.deepcopy(callback)):  # noqa: S301  # our own bytes
        assert type(copied) is type(callback)
    assert not store.exists() or not open_store(store).runs()
    subject.train(callback)
    pickle.loads(pickle.dumps(callback))  # noqa: S301  # our own bytes
    assert len(open_store(store).runs()) == 1


@_question
def two_runs_in_one_process_stay_apart(subject: Subject, store: Path) -> None:
    """Two callbacks make two runs, each with its own fit."""
    for name in ("one", "two"):
        subject.train(subject.callback(store=store, quiet=True, name=name))
    views = open_store(store).runs()
    assert sorted(view.name for view in views) == ["one", "two"]
    assert all(len(view.events("fit_start")) == 1 for view in views)


@_question
def random_state_is_untouched(subject: Subject, store: Path) -> None:
    """What the user draws after a fit does not depend on whether it was recorded."""
    import random

    import numpy as np

    drawn = []
    for callback in (subject.callback(store=store, quiet=True), None):
        random.seed(7)
        np.random.seed(7)
        subject.train(callback)
        drawn.append((random.random(), np.random.rand()))
    assert drawn[0] == drawn[1]


@_question
def what_one_is_told_to_check_by_hand_is_there(subject: Subject, store: Path) -> None:
    """Code, data, settings, seeds, results, duration and what was learned, without a word from the user."""
    subject.train(subject.callback(store=store, quiet=True))
    (view,) = open_store(store).runs()
    environment = view.environment
    assert environment["complete"] and environment["packages"] and environment["command"]
    assert view.config["framework"]["version"]
    assert "regularization" in view.config
    assert view.duration_s > 0
    assert {seeds.at for seeds in view.seeds()} >= {"fit_start"}
    assert all(dataset.rows and dataset.fingerprint for dataset in view.datasets()) and view.datasets()
    assert view.weights()
    assert {key.rpartition("/")[2] for key in view.metrics()} & {"accuracy", "mae", "rmse"}


@_question
def no_other_framework_is_needed(subject: Subject, store: Path) -> None:
    """A process in which the other frameworks cannot be imported records the same training."""
    own = {subject.name, *_STANDS_ON.get(subject.name, ())}
    hidden = sorted(_FRAMEWORKS - own)
    code = _ALONE.format(hidden=hidden, path=type(subject).train.__code__.co_filename, store=str(store))
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert told.returncode == 0, told.stderr
    assert "in our own code" not in told.stderr, told.stderr
    (view,) = open_store(store).runs()
    assert view.status == "finished" and view.metrics(), told.stderr


def _public(callback: Any) -> dict[str, Any]:
    """Its public attributes, lists and the like as they are now."""
    containers = (list, dict, set)
    found = {name: value for name, value in vars(callback).items() if not name.startswith("_")}
    return {name: copy.deepcopy(value) if isinstance(value, containers) else value for name, value in found.items()}


@contextlib.contextmanager
def _failing(callback: Any, hook: str) -> Iterator[None]:
    """Make what a guarded method of this callback's class stands around raise."""
    kind = type(callback)
    original = getattr(kind, hook)

    def broken(self: Any, *args: Any, **kwargs: Any) -> None:
        raise RuntimeError(f"injected into {hook}")

    broken.__name__ = hook
    replacement: Any = guard.guarded(broken)
    setattr(kind, hook, replacement)
    try:
        yield
    finally:
        if hook in vars(kind) and original is not getattr(super(kind, kind), hook, None):
            setattr(kind, hook, original)
        else:
            delattr(kind, hook)


def close_open_runs() -> None:
    """Finish what a test left open, so that the next one begins with none."""
    for run in open_runs.open_runs():
        run.finish("failed", "left open by a test")


__all__ = ["QUESTIONS", "Question", "Store", "Subject", "TemporaryRun", "close_open_runs", "strict", "temporary_run"]
