"""BarographCallback: what a training of XGBoost calls, round by round, and what is recorded at each call."""

from __future__ import annotations

import copy
import dataclasses
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import xgboost
from xgboost import Booster, collective
from xgboost.callback import TrainingCallback

from barograph.arguments import check_count, check_shares
from barograph.attachment import Attachment
from barograph.guard import guarded
from barograph.integrations.xgboost import keeping, results
from barograph.integrations.xgboost.call import Call, find_call
from barograph.integrations.xgboost.contributions import Contributions
from barograph.integrations.xgboost.dump import tree_table
from barograph.integrations.xgboost.learning import log_learning_curve
from barograph.integrations.xgboost.looks import Looks
from barograph.integrations.xgboost.model import (
    as_configured,
    boosters_of,
    configuration,
    learning_rate,
    portray,
    regularization,
)
from barograph.integrations.xgboost.predicting import PredictedRows
from barograph.integrations.xgboost.rounds import History, Rounds
from barograph.integrations.xgboost.stopping import early_stoppings, rules
from barograph.integrations.xgboost.watching import Watch
from barograph.run import Run

if TYPE_CHECKING:
    from barograph.reading import RunView

_NO_TIME = "predicting it once more would take too much beside the training; results=True asks all the same"


_taking = threading.Lock()


class BarographCallback(TrainingCallback):  # type: ignore[misc]  # mypy does not follow the framework's imports
    """Record a training: `callbacks=[BarographCallback()]` in xgb.train, xgb.cv or XGBClassifier and its like.

    run: the run to write to; without one the run that is open is used and left open, and if none is, a run is made and
    closed. watch_every: look into the booster at every so many rounds, 0 for never; default as often as the run's
    overhead budget allows (looks.py says what is found). log_model: whether to keep the trained model, as train()
    returns it, as the artifact "model"; default where it is small beside the training (models.py). log_predictions: of
    so many fixed rows of the last evaluation set keep label, prediction and score, evaluation by evaluation
    (predicting.py). log_shap: of so many rows keep SHAP values, over the rounds (contributions.py). log_trees: so many
    first trees are kept node by node (dump.py). results: whether to find the usual figures of every set, such as
    accuracy or MAE, at the end; default where that costs next to nothing (results.py). learning_curve: shares of the
    training rows, such as (0.1, 0.3), to train on once more afterwards, for the scores over the amount of data
    (learning.py); as long as the training waits.
    init_arguments: of `barograph.init`, for a run that is made.

    The step is the round, counted from 0 as XGBoost does; a model that is trained further goes on with its own count.
    Of the workers of a distributed training (dask, say) only that of rank 0 records, and no worker waits for another;
    rows and throughput are that worker's. Its run is the one that is asked for here, or a child of the open run, and a
    second training with the same callback is a child of the first; `view()` reads it where `run` is None. Of threads
    that train with one callback at the same time, all but the first write children of its run.
    """

    def __init__(
        self,
        run: Run | None = None,
        *,
        watch_every: int | None = None,
        log_model: bool | None = None,
        log_predictions: int = 0,
        log_shap: int = 0,
        log_trees: int = 0,
        results: bool | None = None,
        learning_curve: Sequence[float] = (),
        **init_arguments: Any,
    ) -> None:
        super().__init__()
        if watch_every is not None:
            check_count("watch_every", watch_every)
        check_count("log_predictions", log_predictions)
        check_count("log_shap", log_shap)
        check_count("log_trees", log_trees)
        check_shares("learning_curve", learning_curve)
        self.watch_every = watch_every
        self.log_model = log_model
        self.log_predictions = log_predictions
        self.log_shap = log_shap
        self.log_trees = log_trees
        self.results = results
        self.learning_curve = learning_curve
        self._attachment = Attachment(run, **init_arguments)
        self._fit: _Fit | None = None
        self._thread: int | None = None  # that trains with this callback
        self._beside: dict[int, BarographCallback] = {}  # copies, for other threads that train at the same time

    @property
    def run(self) -> Run | None:
        """The run in use; None before the first training, and where only workers in other processes have used it."""
        return self._attachment.run

    def view(self) -> RunView | None:
        """The run as a reader sees it now, whichever process has written it; None if there is none yet."""
        from barograph.reading import find_run  # a training need not load it

        return find_run(self._attachment.place)

    def before_training(self, model: Any) -> Any:
        """Find or make the run; record parameters, configuration and data."""
        with _taking:  # until its run is there, of which the runs of copies are children
            self._take()
            if (other := self._other()) is None:
                self._fit = None
                if collective.get_rank() == 0:
                    self._begin_fit(model)
                if self._fit is None:
                    self._thread = None
        if other is not None:
            return other.before_training(model)
        if self._fit is not None and self._fit.configuration is not None:
            self._describe(self._fit, self._fit.configuration)
        return model

    def before_iteration(self, model: Any, epoch: int, evals_log: History) -> bool:
        """Take the time."""
        if (other := self._other()) is not None:
            return other.before_iteration(model, epoch, evals_log)
        if self._fit is not None:
            self._fit.history = evals_log
            self._fit.round_began_s = time.perf_counter()
        return False

    def after_iteration(self, model: Any, epoch: int, evals_log: History) -> bool:
        """Record the round."""
        if (other := self._other()) is not None:
            return other.after_iteration(model, epoch, evals_log)
        fit = self._fit
        if fit is not None:
            self._record_round(fit, epoch)
            if fit.looks is not None and fit.looks.are_due(epoch):
                self._look(fit.looks, model, fit, epoch)
            if fit.predicted is not None or fit.contributions is not None:
                self._record_rows(fit, boosters_of(model), fit.last_step)
        return False

    def after_training(self, model: Any) -> Any:
        """Record what the training came to, unless that waits until the other callbacks are done with the model."""
        if (other := self._other()) is not None:
            return other.after_training(model)
        if self._fit is not None and self._fit.watch is None:
            self._finish(model)
        return model

    def _finish(self, model: Any) -> None:
        """Record the model that the training returns, and why it ended."""
        fit, self._fit = self._fit, None
        if fit is not None:
            fit.took_s = time.perf_counter() - fit.began_s
            self._record_missed_round(fit, model)
            self._record_rows(fit, boosters_of(model), fit.end_step, is_last=True)
            if self.learning_curve and not hasattr(model, "cvfolds"):
                self._record_learning_curve(fit)  # first, so that the run's newest step is a round again afterwards
            self._record_model(fit, model)
            self._record_results(fit, model)
            self._end_fit(fit)
            self._thread = None

    def __getstate__(self) -> dict[str, Any]:
        # a copy is not in the middle of a training
        return {**self.__dict__, "_fit": None, "_thread": None, "_beside": {}}

    @guarded
    def _take(self) -> None:
        """A training begins in this thread: with this callback, or with a copy while another thread trains with it."""
        here = threading.get_ident()
        if self._thread in (None, here):
            self._beside.pop(here, None)
            self._thread = here
        elif here not in self._beside:
            self._beside[here] = copy.deepcopy(self)

    def _other(self) -> BarographCallback | None:
        """The copy that serves this thread; None if that is this callback itself."""
        return self._beside.get(threading.get_ident()) if self._beside else None

    @guarded
    def _begin_fit(self, model: Any) -> None:
        # Of workers that train together only this one records, whichever rank a launcher gave it.
        by_workers = collective.is_distributed()
        rank, world = (0, 1) if by_workers else (None, None)
        run = self._attachment.begin(rank=rank, world=world, by_workers=by_workers)
        call, (text, first_round) = find_call(model), as_configured(model)
        offset = self._attachment.start_fit(first_round, framework="xgboost", rounds=call.rounds)
        fit = _Fit(run, call, Rounds(run, call.rows), first_round, offset, text)
        if call.container is not None:
            fit.watch = Watch(run, call.container, model, BarographCallback, self._fail, self._finish)
        self._fit = fit

    @guarded
    def _describe(self, fit: _Fit, text: str) -> None:
        """Record parameters, configuration and data, and begin what depends on them."""
        run, call, config = fit.run, fit.call, configuration(text)
        call.fit |= {"first_round": fit.first_round, "workers": collective.get_world_size()}
        run.log_config(
            {
                "params": call.params,
                "fit": call.fit,
                "model": {
                    "class": call.fit.get("estimator", "Booster"),
                    "name": config["gradient_booster"]["name"],
                    "booster": config,
                },
                "regularization": {**regularization(config), "early_stopping": rules(call.callbacks)},
                "data": call.data,
                "framework": {"name": "xgboost", "version": xgboost.__version__},
            }
        )
        if "objective_function" not in call.fit:
            fit.objective = config["objective"]["name"]
        if fit.watch is not None:
            fit.watch.begin_with(learning_rate(text))
        if self.watch_every != 0:
            fit.looks = Looks(run, config, fit.first_round == 0, self.watch_every)
        if self.log_predictions:
            fit.predicted = PredictedRows(run, self.log_predictions, call, fit.objective)
        if self.log_shap:
            fit.contributions = Contributions(run, self.log_shap, call)
        keeping.log_data(run, call)

    @guarded
    def _record_round(self, fit: _Fit, epoch: int) -> None:
        duration_s = time.perf_counter() - fit.round_began_s
        fit.recorded = epoch + 1
        rate, folds = (fit.watch.rate, fit.watch.fold_scores) if fit.watch is not None else (None, ())
        fit.rounds.record(fit.last_step, fit.first_round + epoch, duration_s, rate, fit.history, folds)

    @guarded
    def _look(self, looks: Looks, model: Any, fit: _Fit, epoch: int) -> None:
        looks.look(boosters_of(model), epoch, fit.last_step)

    @guarded
    def _record_missed_round(self, fit: _Fit, model: Any) -> None:
        """Record the last round if a callback before this one asked to stop: XGBoost then does not call the others."""
        done = fit.watch.rounds if fit.watch is not None else model.num_boosted_rounds() - fit.first_round
        if done > fit.recorded:
            self._record_round(fit, done - 1)

    @guarded
    def _record_rows(self, fit: _Fit, boosters: Sequence[Booster], step: int, is_last: bool = False) -> None:
        """Record what the model says of the rows that were asked for."""
        if fit.predicted is not None:
            fit.predicted.record(boosters, step, is_last)
        if fit.contributions is not None:
            fit.contributions.record(boosters, fit.recorded - 1, step, is_last)

    @guarded
    def _record_model(self, fit: _Fit, model: Any) -> None:
        """Record importance, trees and content, of each fold under cv(), and keep the model itself."""
        boosters, step = boosters_of(model), fit.end_step
        raws = [booster.save_raw("ubj") for booster in boosters]
        # What XGBoost estimates in the first round, base_score above all, is not in the configuration before it.
        config = configuration(boosters[0].save_config())
        fit.run.log_config({"model": {"booster": {"learner_model_param": config["learner_model_param"]}}})
        portrait = portray(boosters, raws, config)
        fit.run.log(portrait.figures, step)
        if fit.looks is not None:
            fit.looks.finish(portrait.importance, step)
        fit.run.log_table("model/importance", portrait.importance, step)
        fit.run.log_text("model/summary", portrait.summary, step)
        keeping.log_weights(fit.run, raws, step)
        if hasattr(model, "cvfolds"):
            fit.model = "cv() gives its models to nobody"
            return
        if self.log_trees and (trees := tree_table(model, config, self.log_trees)):
            fit.run.log_table("model/trees", trees, step)
        wished, fit_s = self.log_model, fit.took_s
        fit.model = keeping.log_model(fit.run, raws[0], model, fit.objective, step, wished=wished, fit_s=fit_s)

    @guarded
    def _record_results(self, fit: _Fit, model: Any) -> None:
        """Record the usual figures of every set, if XGBoost's own metrics do not tell them."""
        if self.results is False or collective.is_distributed() or hasattr(model, "cvfolds"):
            return
        is_whole = model.num_boosted_rounds() == fit.first_round + fit.recorded
        told = {f"{data}/{metric}" for data, metrics in fit.history.items() for metric in metrics}
        for name, data in fit.call.evaluated or [(fit.call.training_name, fit.call.training)]:
            if data is None or fit.objective is None or not results.are_told(fit.objective, data):
                continue
            if not self.results and not results.is_affordable(model, data, fit.took_s, is_whole):
                fit.run.event("results_left_out", dataset=name, reason=_NO_TIME)
                continue
            found = results.judge(model, data, fit.objective)
            figures = {f"{name}/{figure}": one for figure, one in found.figures.items()}
            fit.run.log({key: one for key, one in figures.items() if key not in told}, fit.end_step)
            for table, columns in found.tables.items():
                fit.run.log_table(f"{name}/{table}", columns, fit.end_step)

    @guarded
    def _record_learning_curve(self, fit: _Fit) -> None:
        log_learning_curve(fit.run, fit.call, self.learning_curve, fit.recorded, fit.history)

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
        from barograph.closing import name_error  # a training that does not fail need not load it

        self._thread = None
        is_interrupt = isinstance(error, KeyboardInterrupt)
        fit.run.event("exception", **name_error(error), step=fit.last_step + 1)
        self._close_fit(fit, "interrupted" if is_interrupt else "exception")
        self._attachment.end("interrupted" if is_interrupt else "failed", type(error).__name__, error)

    def _close_fit(self, fit: _Fit, reason: str) -> None:
        if fit.watch is not None:
            fit.watch.close()
        self._attachment.reached(fit.last_step)
        took_s = fit.took_s or time.perf_counter() - fit.began_s
        about = {"epochs": fit.recorded, "steps": fit.recorded, "duration_s": took_s, "model": fit.model, **fit.best}
        fit.run.event("fit_end", reason=reason, **about)


@dataclasses.dataclass(slots=True)
class _Fit:
    """What is known of a training while it goes on.

    first_round: of the model; offset: from its rounds to steps; configuration: None if XGBoost refuses it; objective:
    None if it is not one of XGBoost's; model: what became of the artifact.
    """

    run: Run
    call: Call
    rounds: Rounds
    first_round: int
    offset: int
    configuration: str | None
    objective: str | None = None
    model: str | None = None
    watch: Watch | None = None
    looks: Looks | None = None
    predicted: PredictedRows | None = None
    contributions: Contributions | None = None
    history: History = dataclasses.field(default_factory=dict)
    best: dict[str, Any] = dataclasses.field(default_factory=dict)
    recorded: int = 0  # rounds
    began_s: float = dataclasses.field(default_factory=time.perf_counter)
    round_began_s: float = 0.0
    took_s: float = 0.0  # once it is over

    @property
    def last_step(self) -> int:
        """The step of the newest round that was recorded."""
        return self.offset + self.first_round + self.recorded - 1

    @property
    def end_step(self) -> int:
        """The step of what is said of the model as a whole, which may have no round."""
        return max(0, self.last_step)
