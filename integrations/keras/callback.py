"""BarographCallback for Keras: what its hooks are told becomes a run."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Self

import keras

from barograph.arguments import check_count, check_shares
from barograph.attachment import Attachment
from barograph.guard import guarded
from barograph.integrations.keras.batches import Batches
from barograph.integrations.keras.calls import Call, Watch, after_all, this_call, this_list
from barograph.integrations.keras.checkpoints import Checkpoints
from barograph.integrations.keras.data import GIVEN, DataSets
from barograph.integrations.keras.description import describe
from barograph.integrations.keras.final import final_weights, log_model
from barograph.integrations.keras.fit import Fit
from barograph.integrations.keras.inside import Inside, Options
from barograph.integrations.keras.learning import LearningCurve
from barograph.integrations.keras.monitors import describe_checkpoint, early_stop, metric_key, restored_epoch
from barograph.integrations.keras.optimizers import learning_rates, scheduled_rates
from barograph.integrations.keras.portrait import Portrait
from barograph.integrations.keras.results import Results
from barograph.integrations.keras.states import seeds_of
from barograph.integrations.keras.taking import on_host
from barograph.integrations.keras.visit import Visit
from barograph.run import Run

Logs = Mapping[str, Any] | None
_OPTIONS = (
    "log_every", "watch", "log_predictions", "log_model", "copy_checkpoints", "results", "learning_curve"
)  # fmt: skip


class BarographCallback(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no annotations
    """Records `fit`, `evaluate` and `predict` of a Keras 3 model on any of its back ends.

    run: the run to write to; None takes the open one, or makes one that ends with the fit. init_arguments: those of
    `barograph.init` for a run that is made. log_every: also log the running means of every so many batches; None leaves
    batches to Keras, which then goes on without waiting for them. A step is a batch; several fits count on.
    watch: whether, or with which options of Inside, to look into the model on some steps: weights, updates, activations
    and the gradients that the fit uses. log_predictions: of so many rows of the validation or test data, label,
    prediction and score after each evaluation. log_model: keep the model that a fit ends with as the artifact "model";
    default where it is small beside the fit (final.py).
    copy_checkpoints: keep what ModelCheckpoint and BackupAndRestore save as well, instead of its path and hash alone.
    results: accuracy, F1, log loss or MAE, MSE, R2 of the validation data after a fit and of the test data, from one
    prediction more; None where the overhead budget pays for it, True at any cost, False for none. learning_curve:
    shares of the training rows, such as (0.1, 0.3), to train on once more after a fit, for the metrics over the amount
    of data (learning.py); as long as the fit waits.

    Cost: without log_every a function call per batch, and what looks take, within the run's overhead budget. One
    callback serves one fit at a time.
    """

    def __new__(cls, *_: Any, log_every: int | None = None, **__: Any) -> Self:
        """With log_every, the variant that has batch hooks: Keras looks at which ones a callback's class overrides."""
        if log_every is not None and not issubclass(cls, _BatchCallback):
            if cls is not BarographCallback:
                raise TypeError(f"log_every works with BarographCallback itself, not with its subclass {cls.__name__}")
            cls = _BatchCallback
        made: Self = super().__new__(cls)
        return made

    def __init__(
        self,
        run: Run | None = None,
        *,
        log_every: int | None = None,
        watch: bool | Options = True,
        log_predictions: int = 0,
        log_model: bool | None = None,
        copy_checkpoints: bool = False,
        results: bool | None = None,
        learning_curve: Sequence[float] = (),
        **init_arguments: Any,
    ) -> None:
        super().__init__()
        if log_every is not None:
            check_count("log_every", log_every, 1)
        check_count("log_predictions", log_predictions)
        check_shares("learning_curve", learning_curve)
        self.log_every, self.watch = log_every, watch
        self.log_predictions, self.log_model, self.copy_checkpoints = log_predictions, log_model, copy_checkpoints
        self.results, self.learning_curve = results, learning_curve
        self._results = Results(lambda: self.run, results)
        self._inside = Inside(lambda: self.run, **_options(watch))
        self._attachment = Attachment(run, **init_arguments)
        self._fit: Fit | None = None
        self._visit: Visit | None = None
        self._portrait = Portrait()

    @property
    def run(self) -> Run | None:
        """The run in use; None before the first fit."""
        return self._attachment.run

    # -- fit -----------------------------------------------------------------------------------------------------------

    @guarded
    def on_train_begin(self, logs: Logs = None) -> None:
        """A fit begins: find or make the run, and say what is trained and how."""
        self._leave()
        call = this_call()
        batches = Batches(call.batches)
        run = self._attachment.begin(describe(self._model, call, batches, self))
        data = DataSets(run, self.log_predictions)
        checkpoints = Checkpoints(run, call.siblings, self.copy_checkpoints)
        watch = Watch(call, self._left_fit)
        fit = self._fit = Fit(self._model, self.params or {}, call.siblings, batches, watch, data, checkpoints)
        self._portrait.begin_fit()
        self._portrait.tell(run, self._model)
        if self.learning_curve:
            fit.curve = LearningCurve(run, self._model, self.learning_curve)
        self._inside.begin(self._model, fit.step_of)
        data.begin_fit(call, batches)
        checkpoints.begin()

    @guarded
    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """An epoch begins; only with the first one is it known where a fit starts (BackupAndRestore moves it)."""
        fit, run = self._fit, self.run
        if fit is None or run is None:
            return
        if not fit.is_started:
            first_step = epoch * (fit.batches_per_epoch or 0)
            offset = self._attachment.start_fit(
                first_step, self._seeds(), framework="keras", epochs=fit.epochs, initial_epoch=epoch,
                batches_per_epoch=fit.batches_per_epoch, batch_size=fit.batches.size,
            )  # fmt: skip
            fit.start(offset, first_step)
        else:
            self._note_reduced_rate(run, fit)
            fit.look_for_checkpoints()
        fit.begin_epoch(epoch)
        self._inside.begin_epoch()

    @guarded
    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """An epoch is over: its metrics."""
        fit, run = self._fit, self.run
        if fit is None or run is None:
            return
        run.log(fit.end_epoch(logs or {}), step=fit.step)
        self._attachment.reached(fit.step - 1)
        self._portrait.tell(run, fit.model)
        fit.data.end("train")
        if fit.has_validated:
            fit.data.predict("val", self._model, fit.step)

    @guarded
    def on_train_end(self, logs: Logs = None) -> None:
        """The fit came to its end; the other callbacks may still change the model."""
        fit = self._fit
        if fit is not None:
            fit.ended_s = time.monotonic()
            after_all(lambda: self._after_fit(fit, logs or {}))

    @guarded
    def _after_fit(self, fit: Fit, logs: Mapping[str, Any]) -> None:
        """What the fit came to, and what other callbacks made of it."""
        run = self.run
        if fit is not self._fit or run is None:
            return
        self._note_reduced_rate(run, fit)
        stopper = fit.stopper()
        if stopper is not None:
            run.event("early_stop", **early_stop(stopper, fit.step_after))
        for sibling in fit.siblings:
            if isinstance(sibling, keras.callbacks.ModelCheckpoint):
                run.event("checkpoint", **describe_checkpoint(sibling))
        if fit.model is not None:  # the hooks are called by hand
            self._inside.end()
            self._judge(fit, this_call())
            self._keep_model(run, fit)
        self._end_fit(fit, "finished", fit.reason(logs), restored_epoch=restored_epoch(fit.siblings))

    # -- evaluate and predict ------------------------------------------------------------------------------------------

    @guarded
    def on_test_begin(self, logs: Logs = None) -> None:
        """The validation of the fit begins, or an evaluation of its own."""
        if self._fit is not None and self._is_own_validation():
            self._visit = None  # what is still here was left by an exception that the user has handled
            self._fit.data.begin_validation(this_call)
            self._fit.begin_validation()
        else:
            self._begin_visit("test")

    @guarded
    def on_test_end(self, logs: Logs = None) -> None:
        """The validation is over (its metrics come with the epoch's), or the evaluation: its metrics."""
        if self._visit is None:
            if self._fit is not None:
                self._fit.end_validation()
                self._fit.data.end("val")
            return
        self._end_visit("test", {f"test/{name}": value for name, value in (logs or {}).items()})

    @guarded
    def on_predict_begin(self, logs: Logs = None) -> None:
        """A prediction begins."""
        self._begin_visit("predict")

    @guarded
    def on_predict_end(self, logs: Logs = None) -> None:
        """A prediction is over: how long it took."""
        if self._visit is not None:
            self._end_visit("predict", {})

    # -- pickle, deepcopy ----------------------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        return {"options": {name: getattr(self, name) for name in _OPTIONS}, "attachment": self._attachment}

    def __setstate__(self, state: dict[str, Any]) -> None:
        BarographCallback.__init__(self, **state["options"])
        self._attachment = state["attachment"]

    # -- inside --------------------------------------------------------------------------------------------------------

    def _seeds(self) -> dict[str, object]:
        """What layers draw from."""
        seeds = seeds_of(self._model) if self._model is not None else []
        return {"keras.layers": [on_host(one.value) for one in seeds]} if seeds else {}

    def _judge(self, fit: Fit, call: Call) -> None:
        """How good the model is that the fit ends with, and how good it would be with less data."""
        if fit.curve is not None:
            fit.curve.log_learning_curve(
                call, fit.epochs_done, fit.logs
            )  # first, for the run's newest step is then a batch again
        given = call.arguments
        is_other = restored_epoch(fit.siblings) is not None  # than the one that the last epoch's metrics are of
        self._results.log_results(
            fit.model, "val", None if given.get("validation_steps") else given.get("validation_data"), fit.step,
            batch_size=given.get("validation_batch_size") or fit.batches.size,
            running_s=fit.duration_s, evaluated_s=fit.validation_s, compile_s=fit.compile_s,
            told=() if is_other else [metric_key(name) for name in fit.logs],
        )  # fmt: skip

    @guarded
    def _keep_model(self, run: Run, fit: Fit) -> None:
        """The digest of the weights that the fit ends with, and the model itself if that is wanted."""
        run.log_weights(final_weights(fit.model), fit.step)
        fit.kept = log_model(run, fit.model, fit.step, self.log_model, fit.duration_s)

    def _note_reduced_rate(self, run: Run, fit: Fit) -> None:
        """Between two epochs: whether ReduceLROnPlateau has done what its name says."""
        plateau = next((one for one in fit.siblings if isinstance(one, keras.callbacks.ReduceLROnPlateau)), None)
        if plateau is None or any(isinstance(one, keras.callbacks.LearningRateScheduler) for one in fit.siblings):
            return
        rates = learning_rates(fit.model)
        for key, before in fit.rates.items():
            if rates.get(key, before) < before:
                run.event(
                    "learning_rate_reduced", by=type(plateau).__name__, monitor=metric_key(plateau.monitor), key=key,
                    before=before, after=rates[key], epoch=fit.epoch, patience=plateau.patience, factor=plateau.factor,
                )  # fmt: skip
        fit.rates = rates

    def _end_fit(
        self, fit: Fit, status: str, reason: str, error: BaseException | None = None, restored_epoch: int | None = None
    ) -> None:
        self._fit = self._visit = None
        self._inside.end()
        fit.watch.end()
        fit.look_for_checkpoints(is_last=True)
        fit.data.end()
        self._results.worked(fit.duration_s)
        if self.run is not None:
            self.run.event(
                "fit_end", reason=reason, by=fit.stopped_by(), epochs=fit.epochs_done, steps=fit.step - fit.first_step,
                duration_s=fit.duration_s, restored_epoch=restored_epoch, model=fit.kept,
            )  # fmt: skip
        self._attachment.end(status, reason if error is None else type(error).__name__, error)

    @guarded
    def _left_fit(self, error: BaseException | None) -> None:
        """The fit was left by an exception; None: by one that was not seen."""
        fit = self._fit
        if fit is None:
            return
        self._note_exception(error, fit.step)
        status = fit.watch.status_of(error)
        self._end_fit(fit, status, "exception" if status == "failed" else status, error)

    @guarded
    def _left_visit(self, error: BaseException | None) -> None:
        """An evaluation or prediction was left by an exception; None: by one that was not seen."""
        visit, self._visit = self._visit, None
        if visit is None or visit.watch is None:
            return
        self._note_exception(error, self.run.steps_done if self.run is not None else None)
        self._attachment.end(visit.watch.status_of(error), None if error is None else type(error).__name__, error)

    def _note_exception(self, error: BaseException | None, step: int | None) -> None:
        if self.run is not None and error is not None:
            from barograph.closing import name_error  # a training that does not fail need not load it

            self.run.event("exception", **name_error(error), step=step)

    def _leave(self) -> None:
        """Close what an earlier call left behind that never came to its end."""
        if self._visit is not None:
            if self._visit.watch is not None:
                self._visit.watch.end()
            self._left_visit(None)
        if self._fit is not None:
            self._fit.watch.end()
            self._left_fit(None)

    def _is_own_validation(self) -> bool:
        callbacks = this_list()
        return callbacks is None or (self._fit is not None and self._fit.watch.is_of(callbacks))

    def _begin_visit(self, name: str) -> None:
        call, run = this_call(), self.run
        inside_fit = self._fit is not None and self._fit.watch.is_running()
        if run is None or not inside_fit:
            self._leave()
            run = self._attachment.begin()
            self._portrait.tell_use(run, self._model)
        watch = None if inside_fit else Watch(call, self._left_visit)
        batches, data = Batches(call.batches), DataSets(run, self.log_predictions)
        data.begin_visit(name, call, batches)
        self._visit = Visit(batches, data, watch)

    def _end_visit(self, name: str, metrics: dict[str, Any]) -> None:
        visit, self._visit, run = self._visit, None, self.run
        if visit is None or run is None:
            return
        metrics |= visit.end(name)
        step = self._fit.step if self._fit is not None else run.steps_done
        run.log(metrics, step=step)
        visit.data.end()
        if visit.watch is not None:
            self._portrait.tell_use(run, self._model)
        if name == "test":
            visit.data.predict(name, self._model, step)
            given = this_call().arguments
            self._results.log_results(
                self._model, name, None if given.get("steps") else tuple(given.get(one) for one in GIVEN), step,
                batch_size=visit.batches.size, running_s=visit.duration_s, evaluated_s=visit.duration_s,
                told=metrics,
            )  # fmt: skip
        self._results.worked(visit.duration_s)
        if visit.watch is not None:
            visit.watch.end()
            self._attachment.end("finished", f"{name}_end")


class _BatchCallback(BarographCallback):
    """The variant that also logs batches, without taking Keras' asynchronous dispatch away.

    Keras may call the hook from other threads and in any order: the step comes from the batch's index. The values are
    those Keras gives, means over the epoch so far, hence `batch/loss` beside `train/loss`.
    """

    async_safe = True

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """A batch, or with steps_per_execution the last of several, was trained."""
        fit, every = self._fit, self.log_every
        if fit is None or every is None:
            return
        step = fit.step_of(batch)
        if step // every != fit.step_of(batch - fit.batches_per_call) // every:
            self._log_batch(fit, step, logs)

    @guarded
    def _log_batch(self, fit: Fit, step: int, logs: Logs) -> None:
        run = self.run
        if run is None:
            return
        metrics: dict[str, Any] = {f"batch/{name}": value for name, value in (logs or {}).items()}
        if fit.iterations is not None:
            metrics |= scheduled_rates(fit.model, fit.iterations + step - fit.step - 1)
        run.log({**metrics, "epoch": fit.epoch}, step=step)


def _options(watch: bool | Options) -> Options:
    if isinstance(watch, bool):
        return {} if watch else {"weights": False, "gradients": False, "updates": False, "activations": False}
    return watch
