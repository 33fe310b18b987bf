"""What one run has seen of scikit-learn so far: names, steps and counts that fits and scores share."""

from __future__ import annotations

import collections
import contextlib
import threading
import time
import weakref
from collections.abc import Iterator, Mapping
from typing import Any

import sklearn

from barograph.integrations.sklearn.estimators import shape_of, structure
from barograph.integrations.sklearn.splits import Identity, Splits
from barograph.run import Run
from barograph.tensors.schedule import Schedule

MOST_EVENTS = 100  # of one kind; the rest is only counted
_FIRST_LOOKS = 20  # calls of partial_fit
_PREDICTIONS = 32  # results that are remembered, to know what a metric is about


class Fitted:
    """What is remembered of a fitted estimator: where its fit ended, and which data it met."""

    def __init__(self, label: str | None, number: int, splits: Splits) -> None:
        self.label, self.number, self.splits = label, number, splits
        self.step = 0
        self.in_full = True  # whether its fit has events, or only numbers
        self.has_summary = True
        self.points: dict[str, int] = {}  # of its curves, so that a warm start adds only what is new


class _Looks:
    """When to look at what estimators of one label have learned, and what that has cost."""

    def __init__(self) -> None:
        self.schedule = Schedule(None, None, _FIRST_LOOKS)
        self.asked = 0
        self.cost_s = self.newest_s = 0.0


class Recorder:
    """Belongs to one run. Threads may share it; it keeps no estimator and no data alive."""

    def __init__(self, run: Run) -> None:
        self._run = weakref.ref(run)
        self._lock = threading.Lock()
        self._labels: dict[object, str] = {}
        self._totals: dict[str, dict[str, float]] = {}
        self._fitted: weakref.WeakKeyDictionary[Any, Fitted] = weakref.WeakKeyDictionary()
        self._predictions: collections.deque[tuple[weakref.ref[Any], Fitted, Identity | None]] = collections.deque(
            maxlen=_PREDICTIONS
        )
        self._warnings: dict[tuple[str, str], int] = {}
        self._looks: dict[str | None, _Looks] = {}  # by label
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

    def write_series(self, series: Mapping[str, list[float]], steps: list[int] | None = None) -> tuple[int, int]:
        """Write series side by side where the run's steps go on; the first and the last step.

        steps: where the points lie instead, for series that have an axis of their own.
        """
        length = max((len(values) for values in series.values()), default=0)
        with self._lock:
            first = self.run.steps_done
            self.run.steps_done += max(length, 1)
        for index in range(length):
            row: dict[str, float] = {key: values[index] for key, values in series.items() if index < len(values)}
            self.run.log(row, first + index if steps is None else steps[index])
        return first, first + max(length, 1) - 1

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

    def remember_prediction(self, result: Any, fitted: Fitted, X: Identity | None) -> None:
        """An estimator made something of X."""
        try:
            self._predictions.append((weakref.ref(result), fitted, X))
        except TypeError:  # a list, say: what it was made of stays unknown
            pass

    def origin_of(self, guess: Any) -> tuple[Fitted, Identity | None]:
        """Which estimator made a prediction of which data; for what was derived from one, the last of its length."""
        base, length = getattr(guess, "base", None), shape_of(guess)[0]
        made = [(result, fitted, X) for one, fitted, X in reversed(self._predictions) if (result := one()) is not None]
        for result, fitted, X in made:
            if result is guess or result is base:
                return fitted, X
        return next(((fitted, X) for result, fitted, X in made if shape_of(result)[0] == length), (self.latest, None))

    # -- what else happens -------------------------------------------------------------------------------------------

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
