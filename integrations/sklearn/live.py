"""What happens while a fit goes on: each fold of a search as it is done, each iteration where scikit-learn tells of it.

scikit-learn 1.9 has callbacks (sklearn.callback, which may still change): they tell of the iterations, and of the folds
that other processes work on. Folds of this process are heard of in every version through the function that fits and
scores one, which is put back with everything else (wrapping.py); only that one knows the scores.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from barograph import guard
from barograph.integrations.sklearn.calls import fitting_here
from barograph.integrations.sklearn.estimators import learner
from barograph.run import Run

_GRACE_S = 0.05  # that hearing of iterations may cost in any fit; more only within the run's budget

_searches: dict[int, Live] = {}  # by the id of the search that is being fitted


class Live:
    """Writes what a fit tells while it goes on; also a callback of scikit-learn, which wants nothing but these hooks.

    The callback lies in the estimator only while that is fitted, and is left out of pickles of it: what worker
    processes get with a search writes a journal of its own there (elsewhere.py).
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.first = run.steps_done
        self.points = 0
        self._began = self._resumed = time.perf_counter()
        self._cost_s = 0.0
        self.is_dear = False  # so that later iterations are not heard of
        self._coefficients: Any = None
        self._base = self._of_batch = 0
        self._done: set[tuple[int, int]] = set()

    # -- sklearn.callback ----------------------------------------------------------------------------------------------

    def setup(self, estimator: Any, context: Any) -> None:
        """A fit begins."""

    def teardown(self, estimator: Any, context: Any) -> None:
        """It is over."""

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        """Part of it begins."""

    def on_fit_task_end(
        self, estimator: Any, context: Any, *, X: Any, y: Any, metadata: Any, fitted_estimator: Any
    ) -> None:
        """Part of it is done: an iteration, if there is an estimator as it is after it."""
        is_iteration = context.max_subtasks == 0 and context.parent is not None and fitted_estimator is not None
        if is_iteration and not self.is_dear:
            self.iterated(estimator, fitted_estimator, X, y, (metadata or {}).get("sample_weight"))

    # -- what is written -----------------------------------------------------------------------------------------------

    @guard.guarded
    def iterated(self, estimator: Any, fitted: Any, X: Any, y: Any, weights: Any) -> None:
        """Write the size of the coefficients, how much they moved, and what the loss is as long as that is cheap."""
        start = time.perf_counter()
        coefficients = getattr(fitted, "coef_", None)
        if coefficients is None:
            return
        size = float(np.linalg.norm(coefficients))
        numbers = {"iteration/coef_norm": size, "time/iteration_s": start - self._resumed}
        if self._coefficients is not None and np.shape(self._coefficients) == np.shape(coefficients) and size:
            numbers["iteration/coef_update_ratio"] = float(np.linalg.norm(coefficients - self._coefficients)) / size
        self._coefficients = np.array(coefficients)
        if (loss := _log_loss(fitted, X, y, weights)) is not None:
            numbers["train/loss"] = loss
        self.run.log(numbers, self.first + self.points)
        self.points += 1
        now = self._resumed = time.perf_counter()
        self._cost_s += now - start
        if self._cost_s > max(_GRACE_S, self.run.overhead_budget * (now - self._began)):
            self.is_dear = True
            detach(estimator, self)

    @guard.guarded
    def fold_done(self, place: tuple[int, int], count: int, result: dict[str, Any]) -> None:
        """Write the scores and the time of one fold of one candidate. count: candidates that are tried together."""
        if place in self._done:  # the next round of a halving search
            self._base += self._of_batch
            self._done.clear()
        self._done.add(place)
        self._of_batch = count
        scores = result.get("test_scores")
        named = scores if isinstance(scores, dict) else {"score": scores}
        numbers = {f"search/fold/{name}": float(value) for name, value in named.items() if value is not None}
        numbers["time/fold_s"] = result.get("fit_time", 0.0) + result.get("score_time", 0.0)
        self.run.log(numbers, self.first + self._base + place[0])

    def __reduce__(self) -> tuple[Any, ...]:
        from barograph.integrations.sklearn.elsewhere import Elsewhere

        run = self.run
        return Elsewhere, (str(run.path), run.id, run.attempt, run.rank, self.first)

    def __deepcopy__(self, memo: dict[int, object]) -> Live:
        return self


class _Evaluation:
    """Stands where sklearn's searches look up `_fit_and_score`; a pickle of it is that function alone."""

    def __init__(self, original: Callable[..., Any]) -> None:
        self._original = original
        functools.update_wrapper(self, original)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        result = self._original(*args, **kwargs)
        live = _searches.get(id(kwargs.get("caller", fitting_here())))
        candidate, fold = kwargs.get("candidate_progress"), kwargs.get("split_progress")
        if live is not None and candidate is not None and fold is not None:
            live.fold_done((candidate[0], fold[0]), candidate[1], result)
        return result

    def __reduce__(self) -> tuple[Any, ...]:
        return functools.partial, (self._original,)


def wrap_evaluation() -> Callable[[], None]:
    """Hear of the folds of searches in this process; what to call to put it back."""
    from sklearn.model_selection import _search

    original = _search._fit_and_score
    replacement = _search._fit_and_score = _Evaluation(original)

    def undo() -> None:
        if _search._fit_and_score is replacement:
            _search._fit_and_score = original

    return undo


def attach(estimator: Any, live: Live) -> Callable[[], None] | None:
    """Listen to an estimator, or to the last step of a pipeline; what to call when its fit is over."""
    taken: list[Any] = []
    is_search = hasattr(estimator, "_run_search")
    if is_search:
        _searches[id(estimator)] = live
    for one in {id(one): one for one in (estimator, learner(estimator))}.values():
        speaks = hasattr(one, "max_iter") or (hasattr(one, "_run_search") and _works_elsewhere(one))
        if speaks and hasattr(one, "set_callbacks"):
            try:
                one.set_callbacks(*getattr(one, "_skl_callbacks", []), live)
            except ValueError:  # a solver without callbacks
                continue
            taken.append(one)
    if not taken and not is_search:
        return None

    def release() -> None:
        _searches.pop(id(estimator), None)
        for one in taken:
            detach(one, live)
            if not one.__dict__.get("_skl_callbacks", True):
                del one._skl_callbacks

    return release


def detach(estimator: Any, live: Live) -> None:
    """Listen no longer, from the next hook on; the user's own callbacks stay."""
    callbacks = estimator.__dict__.get("_skl_callbacks")
    if callbacks is not None and live in callbacks:
        callbacks.remove(live)


def _works_elsewhere(search: Any) -> bool:
    """Whether the folds go to worker processes on this machine, which can import what this one can."""
    import joblib

    backend, _ = joblib.parallel.get_active_backend()
    return type(backend).__name__ == "LokyBackend" and joblib.effective_n_jobs(search.n_jobs) > 1


def _log_loss(fitted: Any, X: Any, y: Any, weights: Any) -> float | None:
    """The mean negative log-likelihood of the training data, without the penalty; None but for logistic regressions.

    X is what the fit itself works on, which has no names any more: `predict_proba` would warn of that.
    """
    from sklearn.linear_model import LogisticRegression

    if not isinstance(fitted, LogisticRegression) or y is None:
        return None
    codes = np.searchsorted(fitted.classes_, np.asarray(y))
    scores = X @ fitted.coef_.T + fitted.intercept_
    if scores.shape[1] == 1:
        losses = np.logaddexp(0.0, np.where(codes == 1, -scores[:, 0], scores[:, 0]))
    else:
        losses = np.logaddexp.reduce(scores, axis=1) - scores[np.arange(len(codes)), codes]
    return float(np.average(losses, weights=weights))
