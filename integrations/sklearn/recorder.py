"""What one run has seen of scikit-learn so far: names, steps and counts that fits and scores share."""

from __future__ import annotations

import collections
import contextlib
import math
import threading
import time
import weakref
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import sklearn

from barograph.integrations.sklearn.estimators import (
    classes_of,
    is_regression,
    kind,
    parameters,
    regularization,
    shape_of,
    structure,
)
from barograph.integrations.sklearn.keeping import Keepsake
from barograph.integrations.sklearn.live import Live
from barograph.integrations.sklearn.remembering import Memory, remember
from barograph.integrations.sklearn.splits import Identity, Splits, identify
from barograph.run import Run
from barograph.tensors.schedule import Schedule

MOST_EVENTS = 100  # of one kind; the rest is only counted
_FIRST_LOOKS = 20  # calls of partial_fit
_PREDICTIONS = 32  # results that are remembered, to know what a metric is about
NO_TIME = "predicting once more would take too much beside the fit; training_score=True asks all the same"
DEAR_ITERATIONS = "hearing of every iteration would take more than the run's overhead budget; the last ones are missing"
NO_BUDGET = "comparing predictions with the truth has taken its share of the run's overhead budget"
_GRACE_S = 0.5  # that comparing predictions with the truth may cost in any run
_DATA_SETS = 32  # that are described; folds of a loop of the user's own come without end


class Fitted:
    """What is remembered of a fitted estimator: where its fit ended, and which data it met."""

    def __init__(self, label: str | None, number: int, splits: Splits) -> None:
        self.label, self.number, self.splits = label, number, splits
        self.step = 0
        self.fit_s = 0.0
        self.in_full = True  # whether its fit has events, or only numbers
        self.has_summary = True
        self.points: dict[str, int] = {}  # of its curves, so that a warm start adds only what is new
        self.live: Live | None = None  # while the fit is under way
        self.signature: dict[str, Any] | None = None  # of a model whose loop of partial_fit goes on
        self.figures: dict[str, float] = {}  # what was written of its splits, so that nothing is written twice
        self._shown: set[object] = set()

    def is_first(self, what: object) -> bool:
        """Whether a table of this fit is asked for the first time."""
        is_new = what not in self._shown
        self._shown.add(what)
        return is_new

    def news(self, figures: Mapping[str, float]) -> dict[str, float]:
        """Those figures that were not written of this fit yet; from now on they were."""
        # Close, for scikit-learn may add up in another order
        new = {key: value for key, value in figures.items() if not math.isclose(self.figures.get(key, math.nan), value)}
        self.figures |= new
        return new


class Made(NamedTuple):
    """What an estimator made of some data, and what that is about. data: X, as long as it lives."""

    result: Memory
    method: str
    fitted: Fitted
    X: Identity | None
    data: Memory | None
    is_regression: bool
    classes: Any


class _Looks:
    """When to look at what estimators of one label have learned, and what that has cost."""

    def __init__(self) -> None:
        self.schedule = Schedule(None, None, _FIRST_LOOKS)
        self.asked = 0
        self.cost_s = self.newest_s = 0.0


class Recorder:
    """Belongs to one run. Threads may share it; it keeps no data alive, and of estimators only those in `loops`.

    loops: by id, what to keep in the end of estimators that partial_fit is called on again and again.
    """

    def __init__(self, run: Run) -> None:
        self._run = weakref.ref(run)
        self._lock = threading.Lock()
        self._labels: dict[object, str] = {}
        self._totals: dict[str, dict[str, float]] = {}
        self._fitted: weakref.WeakKeyDictionary[Any, Fitted] = weakref.WeakKeyDictionary()
        self._made: collections.deque[Made] = collections.deque(maxlen=_PREDICTIONS)
        self._data_sets: list[tuple[str, Identity, bool]] = []
        self._warnings: dict[tuple[str, str], int] = {}
        self._looks: dict[str | None, _Looks] = {}  # by label
        self.loops: dict[int, Keepsake] = {}
        self.has_rows = False  # of predictions
        self._left_out: set[tuple[str, str]] = set()  # what is missing for want of time: splits, and why
        self._began_s, self._comparing_s = time.perf_counter(), 0.0
        self._told: int | None = None  # id of the exception that was recorded last
        self.latest = Fitted(None, 0, Splits(None, None))
        self.described: dict[str, object] = {}  # label: the configuration that was written last
        run.log_config({"framework": {"name": "scikit-learn", "version": sklearn.__version__}})

    @property
    def run(self) -> Run:
        """The run; whoever holds a recorder holds its run."""
        run = self._run()
        assert run is not None
        return run

    def label(self, estimator: Any) -> str:
        """The class's name, numbered where estimators of one class are made of different parts."""
        like = structure(estimator)
        with self._lock:
            if like not in self._labels:
                name = type(estimator).__name__
                same = sum(label.partition("_")[0] == name for label in self._labels.values())
                self._labels[like] = f"{name}_{same + 1}" if same else name
            return self._labels[like]

    def count(self, label: str, what: str, amount: float = 1) -> float:
        """Add to a total; the total."""
        with self._lock:
            totals = self._totals.setdefault(label, {})
            totals[what] = totals.get(what, 0) + amount
            return totals[what]

    def is_look_due(self, label: str | None) -> bool:
        """Whether to see what an estimator has learned after another partial_fit; as often as the budget allows."""
        look = self._looks.setdefault(label, _Looks())
        look.asked += 1
        return look.schedule.wants(look.asked - 1, self.run.overhead_budget, lambda: look.cost_s, look.newest_s)

    @contextlib.contextmanager
    def looking(self, label: str | None) -> Iterator[None]:
        """Measure what it costs to see that."""
        look, start = self._looks.setdefault(label, _Looks()), time.perf_counter()
        yield
        look.newest_s = time.perf_counter() - start
        look.cost_s += look.newest_s

    def can_afford_comparison(self) -> bool:
        """Whether what comparisons with the truth have cost so far is next to nothing, or within the run's budget."""
        return self._comparing_s < max(_GRACE_S, self.run.overhead_budget * (time.perf_counter() - self._began_s))

    def leave_out(self, split: str, reason: str = NO_TIME) -> None:
        """There was no time for some figures of a split; said once, so that none of them is missed later."""
        if (split, reason) not in self._left_out:
            self._left_out.add((split, reason))
            self.run.event("results_left_out", dataset=split, reason=reason)

    @contextlib.contextmanager
    def comparing(self) -> Iterator[None]:
        """Measure what one costs."""
        start = time.perf_counter()
        yield
        self._comparing_s += time.perf_counter() - start

    def write_series(
        self, series: Mapping[str, list[float]], steps: list[int] | None = None, live_points: int = 0
    ) -> tuple[int, int]:
        """Write series side by side where the run's steps go on; the first and the last step.

        steps: where the points lie instead, for series that have an axis of their own. live_points: how many steps were
        written while the fit went on; they count, too.
        """
        length = max((len(values) for values in series.values()), default=0)
        with self._lock:
            first = self.run.steps_done
            self.run.steps_done += max(length, live_points, 1)
        for index in range(length):
            row: dict[str, float] = {key: values[index] for key, values in series.items() if index < len(values)}
            self.run.log(row, first + index if steps is None else steps[index])
        return first, first + max(length, live_points, 1) - 1

    # -- what was fitted, and what came out of it ----------------------------------------------------------------------

    def known(self, estimator: Any) -> Fitted | None:
        """What is remembered of an estimator's last fit."""
        try:
            return self._fitted.get(estimator)
        except TypeError:  # cannot be hashed or referred to
            return None

    def remember(self, estimator: Any, fitted: Fitted) -> None:
        """A fit ended."""
        self.latest = fitted
        try:
            self._fitted[estimator] = fitted
        except TypeError:
            pass

    def remember_prediction(self, result: Any, method: str, fitted: Fitted, estimator: Any, X: Any) -> None:
        """An estimator made something of X."""
        made = remember(result)
        if made is not None:  # of a list, say, it stays unknown what it was made of
            facts = is_regression(estimator), classes_of(estimator)
            self._made.append(Made(made, method, fitted, identify(X), remember(X), *facts))

    def origin_of(self, guess: Any) -> tuple[Made | None, bool]:
        """Which prediction something is or comes from, if only by its length; whether it is that, or a column of it."""
        known = next((made for made in reversed(self._made) if made.result.is_of(guess)), None)
        if known is not None:
            return known, True
        length = shape_of(guess)[0]
        alive = (made for made in reversed(self._made) if shape_of(made.result())[0] == length)
        return next(alive, None), False

    def describe_estimator(
        self, label: str, estimator: Any, changed: Mapping[str, Any], data: Mapping[str, Any]
    ) -> None:
        """Write what an estimator is set to, and the data that it is to learn from, unless that was written last."""
        model = {"class": type(estimator).__name__, "module": type(estimator).__module__, "kind": kind(estimator)}
        settings = {"model": model, "params": parameters(estimator), "changed": dict(changed), "data": dict(data)}
        settings["regularization"] = regularization(estimator)
        if self.described.get(label) != (as_text := repr(settings)):
            self.described[label] = as_text
            self.run.log_config({section: {label: values} for section, values in settings.items()})

    def describe_data(self, name: str, X: Any, y: Any) -> None:
        """Fingerprint and profile a data set, once as long as it lives."""
        identity = identify(X)
        if identity is None or len(self._data_sets) >= _DATA_SETS:
            return
        if any(
            identity.is_same(other) and name == known and had_labels >= (y is not None)
            for known, other, had_labels in self._data_sets
        ):
            return
        self._data_sets.append((name, identity, y is not None))
        self.run.log_dataset(name, X, y)

    # -- what else happens -------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def attempting(self, what: str) -> Iterator[None]:
        """Something on request that the user's data or estimator may not be fit for: then an event says why."""
        try:
            yield
        except Exception as error:  # noqa: BLE001  # scikit-learn's, or the user's own estimator's
            self.run.event(f"{what}_left_out", reason=f"{type(error).__name__}: {error}"[:1024])

    def failed(self, error: BaseException, where: str | None = None) -> None:
        """Note the user's exception, once."""
        if self._told != id(error):
            self._told = id(error)
            about = {"type": type(error).__name__, "message": str(error)[:4096], "step": self.run.last_step}
            self.run.event("exception", **about, where=where)

    def warned(self, message: Warning | str, category: type[Warning], filename: str, line: int) -> None:
        """Note a warning that was shown; the same one again is only counted."""
        key = (category.__name__, str(message)[:1024])
        self._warnings[key] = self._warnings.get(key, 0) + 1
        if self._warnings[key] == 1 and len(self._warnings) <= MOST_EVENTS:
            self.run.event("warning", category=key[0], message=key[1], file=filename, line=line)

    def sum_up(self) -> None:
        """Write how many calls there were and what they took, and how often warnings came."""
        if self._totals:
            often = {f"{kind}: {text[:200]}": count for (kind, text), count in self._warnings.items() if count > 1}
            self.run.event("calls", totals=self._totals, warnings=often)
