"""What XGBoost has no hook for: a training that fails, the scores of each fold, a learning rate that changes."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

from xgboost.callback import (
    CallbackContainer,
    EarlyStopping,
    EvaluationMonitor,
    LearningRateScheduler,
    TrainingCallback,
    TrainingCheckPoint,
)

from barograph.guard import guarded
from barograph.integrations.xgboost.model import boosters_of, learning_rate
from barograph.run import Run

# XGBoost's own callbacks, of which only the scheduler changes the learning rate.
_KNOWN = (EarlyStopping, EvaluationMonitor, LearningRateScheduler, TrainingCheckPoint)
# Of the training's time, for reading the configuration (70 us a time) where a user's callback may change the rate.
_READING_SHARE = 0.01
_NO_TIME = "a callback of the user's may change the learning rate, and reading it every round would take too much"


class Watch:
    """Stands around the calls of one training, a loop of container.before_iteration, model.update, after_iteration.

    container: XGBoost's own holder of the callbacks, which lives as long as the training. model: a Booster, or what
    cv() packs its folds into. ours: the class of callbacks that leave the learning rate alone. tell_failure is called
    with whatever exception ends the training, which then goes its way; tell_end with the model that it returns, after
    all callbacks.

    rate: the learning rate in force in this round, None if unknown. rounds: how many came to their end. fold_scores: of
    the newest round, one line a fold as XGBoost writes them. close() leaves nothing of ours behind.
    """

    def __init__(
        self,
        run: Run,
        container: CallbackContainer,
        model: Any,
        ours: type,
        tell_failure: Callable[[BaseException], object],
        tell_end: Callable[[Any], object],
    ) -> None:
        self.run = run
        self.rate: float | None = None
        self.rounds = 0
        self.fold_scores: list[str] = []
        self._next_rate: float | None = None
        self._tell_failure = tell_failure
        self._tell_end = tell_end
        self._began_s = time.perf_counter()
        self._reading_s = 0.0
        self._has_told_gap = False
        self._replaced: list[tuple[object, str]] = []
        self._has_strangers = any(
            type(callback) not in _KNOWN and not isinstance(callback, ours) for callback in container.callbacks
        )
        # XGBoost's copy of the user's list, before 3.0 a set; it goes on with the old one until training begins
        container.callbacks = [self._heard(callback) for callback in container.callbacks]
        self._stand_around(container)
        if hasattr(model, "cvfolds"):
            self._replace(model, "eval", self._hearing_scores(model.eval))

    def begin_with(self, rate: float | None) -> None:
        """The learning rate as it is configured."""
        self.rate = self._next_rate = rate

    def close(self) -> None:
        """Take everything away again."""
        while self._replaced:
            owner, name = self._replaced.pop()
            vars(owner).pop(name, None)

    def _stand_around(self, container: CallbackContainer) -> None:
        before = container.before_iteration

        def before_iteration(model: Any, *rest: Any) -> Any:
            is_over = before(model, *rest)
            if not is_over:
                self._note_rate(model)
                # For the next call only: a callback that pickles the model finds nothing of ours in it.
                model.update = functools.partial(self._update, model, model.update)
            return is_over

        self._replace(container, "before_iteration", self._telling(before_iteration))
        after_round, after = self._telling(container.after_iteration), self._telling(container.after_training)

        def after_iteration(*args: Any, **kwargs: Any) -> Any:
            is_over = after_round(*args, **kwargs)
            self.rounds += 1
            return is_over

        def after_training(model: Any) -> Any:
            model = after(model)
            self._tell_end(model)
            return model

        self._replace(container, "after_iteration", after_iteration)
        self._replace(container, "after_training", after_training)

    def _update(self, model: Any, update: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        vars(model).pop("update", None)
        try:
            return update(*args, **kwargs)
        except BaseException as error:
            self._tell_failure(error)
            raise

    def _replace(self, owner: object, name: str, replacement: Callable[..., Any]) -> None:
        setattr(owner, name, replacement)
        self._replaced.append((owner, name))

    def _telling(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def call_and_tell(*args: Any, **kwargs: Any) -> Any:
            try:
                return call(*args, **kwargs)
            except BaseException as error:
                self._tell_failure(error)
                raise

        return call_and_tell

    def _heard(self, callback: TrainingCallback) -> TrainingCallback:
        """The callback, or for a scheduler of the learning rate another one that does the same and lets us know."""
        if type(callback) is not LearningRateScheduler:
            return callback
        rates = callback.learning_rates

        def rate_of(epoch: int) -> float:
            self._next_rate = rates(epoch)
            return self._next_rate

        return LearningRateScheduler(rate_of)

    def _hearing_scores(self, evaluate: Callable[..., list[str]]) -> Callable[..., list[str]]:
        def evaluate_and_keep(*args: Any, **kwargs: Any) -> list[str]:
            self.fold_scores = evaluate(*args, **kwargs)
            return self.fold_scores

        return evaluate_and_keep

    def _note_rate(self, model: Any) -> None:
        if self._has_strangers:
            self._read_rate(model)
        else:
            self.rate = self._next_rate

    @guarded
    def _read_rate(self, model: Any) -> None:
        start_s = time.perf_counter()
        if self._reading_s > _READING_SHARE * (start_s - self._began_s):
            self.rate = None
            if not self._has_told_gap:
                self._has_told_gap = True
                self.run.event("results_left_out", dataset="lr", reason=_NO_TIME)
            return
        self.rate = learning_rate(boosters_of(model)[0].save_config())
        self._reading_s += time.perf_counter() - start_s
