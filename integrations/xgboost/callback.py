"""BarographCallback: what a training of XGBoost calls, round by round, and what is recorded at each call."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from typing import Any

import xgboost
from xgboost import collective
from xgboost.callback import TrainingCallback

from barograph.attachment import Attachment
from barograph.guard import guarded
from barograph.integrations.xgboost.call import Call, find_call
from barograph.integrations.xgboost.looks import Looks
from barograph.integrations.xgboost.model import boosters_of, configuration, learning_rate, portray
from barograph.integrations.xgboost.stopping import early_stoppings
from barograph.integrations.xgboost.watching import Watch
from barograph.run import Run
from barograph.values import readable

# A metric's scores by data set and metric; pairs of mean and standard deviation under cv().
_History = Mapping[str, Mapping[str, Sequence[Any]]]


class BarographCallback(TrainingCallback):  # type: ignore[misc]  # mypy does not follow the framework's imports
    """Record a training: `callbacks=[BarographCallback()]` in xgb.train, xgb.cv or XGBClassifier and its like.

    run: the run to write to; without one the run that is open is used and left open, and if none is, a run is made and
    closed. watch_every: look into the booster at every so many rounds, 0 for never; default as often as the run's
    overhead budget allows (looks.py says what is found). init_arguments: of `barograph.init`, for a run that is made.

    The step is the round, counted from 0 as XGBoost does; a model that is trained further goes on with its own count.
    Of the workers of a distributed training only that of rank 0 records, and no worker waits for another.
    """

    def __init__(self, run: Run | None = None, *, watch_every: int | None = None, **init_arguments: Any) -> None:
        super().__init__()
        if watch_every is not None and watch_every < 0:
            raise ValueError(f"watch_every must be a number of rounds, or 0 for no looks, got {watch_every}")
        self.watch_every = watch_every
        self._attachment = Attachment(run, **init_arguments)
        self._fit: _Fit | None = None

    @property
    def run(self) -> Run | None:
        """The run in use; None before the first training."""
        return self._attachment.run

    def before_training(self, model: Any) -> Any:
        """Find or make the run; record parameters, configuration and data."""
        self._fit = None
        if collective.get_rank() == 0:
            self._begin_fit(model)
        return model

    def before_iteration(self, model: Any, epoch: int, evals_log: _History) -> bool:
        """Take the time."""
        if self._fit is not None:
            self._fit.history = evals_log
            self._fit.round_began_s = time.perf_counter()
        return False

    def after_iteration(self, model: Any, epoch: int, evals_log: _History) -> bool:
        """Record the round."""
        if self._fit is not None:
            self._record_round(self._fit, epoch)
            if self._fit.looks is not None and self._fit.looks.are_due(epoch):
                self._look(self._fit.looks, model, self._fit, epoch)
        return False

    def after_training(self, model: Any) -> Any:
        """Record what the training came to, and why it ended."""
        if self._fit is not None:
            self._record_missed_round(self._fit, model)
            self._record_model(self._fit, model)
            self._end_fit(self._fit)
            self._fit = None
        return model

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_fit": None}  # a copy is not in the middle of a training

    @guarded
    def _begin_fit(self, model: Any) -> None:
        # Of workers that train together only this one records, whichever rank a launcher gave it.
        rank, world = (0, 1) if collective.is_distributed() else (None, None)
        run = self._attachment.begin(rank=rank, world=world)
        call, first_round = find_call(model), model.num_boosted_rounds()
        text = boosters_of(model)[0].save_config()
        config = configuration(text)
        run.log_config(
            {
                "params": call.params,
                "fit": {**call.fit, "first_round": first_round, "workers": collective.get_world_size()},
                "model": {"name": config["gradient_booster"]["name"], "booster": config},
                "data": call.data,
                "framework": {"name": "xgboost", "version": xgboost.__version__},
            }
        )
        offset = self._attachment.start_fit(first_round, framework="xgboost", rounds=call.rounds)
        fit = _Fit(run, call, first_round, offset)
        if call.container is not None:
            fit.watch = Watch(run, call.container, model, BarographCallback, learning_rate(text), self._fail)
        if self.watch_every != 0:
            fit.looks = Looks(run, config, first_round == 0, self.watch_every)
        self._fit = fit

    @guarded
    def _record_round(self, fit: _Fit, epoch: int) -> None:
        duration_s = time.perf_counter() - fit.round_began_s
        fit.recorded = epoch + 1
        values = {"epoch": fit.first_round + epoch, "time/step_s": duration_s}
        if fit.call.rows is not None:
            values["throughput/samples_per_s"] = fit.call.rows / duration_s
        if fit.watch is not None and fit.watch.rate is not None:
            values["lr/eta"] = fit.watch.rate
        values |= _scores(fit.history)
        if fit.watch is not None:
            values |= _scores_of_folds(fit.watch.fold_scores)
        fit.run.log(values, fit.last_step)

    @guarded
    def _look(self, looks: Looks, model: Any, fit: _Fit, epoch: int) -> None:
        looks.look(boosters_of(model), epoch, fit.last_step)

    @guarded
    def _record_missed_round(self, fit: _Fit, model: Any) -> None:
        """Record the last round if a callback before this one asked to stop: XGBoost then does not call the others."""
        lengths = [len(scores) for metrics in fit.history.values() for scores in metrics.values()]
        done = max(lengths) if lengths else model.num_boosted_rounds() - fit.first_round
        if done > fit.recorded:
            self._record_round(fit, done - 1)

    @guarded
    def _record_model(self, fit: _Fit, model: Any) -> None:
        """Record the importance of the features and the shape of the trees, of each fold under cv()."""
        boosters = boosters_of(model)
        # What XGBoost estimates in the first round, base_score above all, is not in the configuration before it.
        config = configuration(boosters[0].save_config())
        fit.run.log_config({"model": {"booster": {"learner_model_param": config["learner_model_param"]}}})
        portrait = portray(boosters, config)
        fit.run.log(portrait.figures, fit.last_step)
        if fit.looks is not None:
            fit.looks.finish(portrait.importance, fit.last_step)
        fit.run.log_table("model/importance", portrait.importance, fit.last_step)
        fit.run.log_text("model/summary", portrait.summary, fit.last_step)

    @guarded
    def _end_fit(self, fit: _Fit) -> None:
        """Record why the training ended: rounds done, early stopping, or another callback that asked for it."""
        reason = "epochs_reached"
        for stopping in early_stoppings(fit.call.callbacks, fit.last_step):
            fit.best = {name: stopping[name] for name in ("monitor", "best", "best_step", "wait")}
            if stopping["wait"] >= stopping["patience"]:
                reason = "early_stop"
                fit.run.event("early_stop", **stopping)
        if reason != "early_stop" and fit.call.rounds is not None and fit.recorded < fit.call.rounds:
            reason = "stopped"
        self._close_fit(fit, reason)
        self._attachment.end("finished", reason)

    @guarded
    def _fail(self, error: BaseException) -> None:
        """Record the exception that ends the training, whoever raised it."""
        fit, self._fit = self._fit, None
        if fit is None:
            return
        kind = type(error).__name__
        is_interrupt = isinstance(error, KeyboardInterrupt)
        fit.run.event("exception", type=kind, message=readable(error), step=fit.last_step + 1)
        self._close_fit(fit, "interrupted" if is_interrupt else "exception")
        self._attachment.end("interrupted" if is_interrupt else "failed", kind, error)

    def _close_fit(self, fit: _Fit, reason: str) -> None:
        if fit.watch is not None:
            fit.watch.close()
        self._attachment.reached(fit.last_step)
        duration_s = time.perf_counter() - fit.began_s
        fit.run.event(
            "fit_end", reason=reason, epochs=fit.recorded, steps=fit.recorded, duration_s=duration_s, **fit.best
        )


@dataclasses.dataclass(slots=True)
class _Fit:
    """What is known of a training while it goes on. first_round: of the model; offset: from its rounds to steps."""

    run: Run
    call: Call
    first_round: int
    offset: int
    watch: Watch | None = None
    looks: Looks | None = None
    history: _History = dataclasses.field(default_factory=dict)
    best: dict[str, Any] = dataclasses.field(default_factory=dict)
    recorded: int = 0  # rounds
    began_s: float = dataclasses.field(default_factory=time.perf_counter)
    round_began_s: float = 0.0

    @property
    def last_step(self) -> int:
        """The step of the newest round that was recorded."""
        return self.offset + self.first_round + self.recorded - 1


def _scores(history: _History) -> dict[str, float]:
    """The newest scores by key; float() because cv() and distributed trainings give numpy's."""
    found: dict[str, float] = {}
    for data, metrics in history.items():
        for metric, scores in metrics.items():
            if isinstance(scores[-1], tuple):  # cv()
                found[f"{data}/{metric}"], found[f"{data}/{metric}_std"] = map(float, scores[-1])
            else:
                found[f"{data}/{metric}"] = float(scores[-1])
    return found


def _scores_of_folds(lines: Sequence[str]) -> dict[str, float]:
    """The scores of each fold; a line is such as "[7]  train-logloss:0.31  test-logloss:0.34"."""
    found: dict[str, float] = {}
    for fold, line in enumerate(lines):
        for word in line.split()[1:]:
            name, _, score = word.rpartition(":")
            found[f"{name.replace('-', '/', 1)}/fold{fold}"] = float(score)
    return found
