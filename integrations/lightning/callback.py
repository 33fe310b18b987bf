"""BarographCallback: what a Lightning Trainer calls, and what is recorded at each call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from barograph.arguments import check_count, check_shares
from barograph.guard import guarded
from barograph.integrations.lightning.agreement import agree_on_run
from barograph.integrations.lightning.attached import Attached
from barograph.integrations.lightning.bases import Callback, package_of
from barograph.integrations.lightning.call import Call
from barograph.integrations.lightning.data import generators_of
from barograph.integrations.lightning.ends import reason_of_end, status_of
from barograph.integrations.lightning.final import final_weights
from barograph.integrations.lightning.logger import BarographLogger
from barograph.run import Run

_CHECKPOINT_KEY = "barograph"


class BarographCallback(Attached, Callback):  # type: ignore[misc]  # a base made of the installed packages' classes
    """Record a training: `Trainer(callbacks=BarographCallback())`, alone or in a list, of `lightning` or
    `pytorch_lightning`.

    run: the run to write to; without one the run that is open is used and left open, and if none is, a run is made and
    closed. watch: whether to look into the module while it trains (weights, gradients before clipping, updates,
    activations), or options of `barograph.integrations.torch.watch` for that. log_predictions: how many rows of each
    validation and test set to keep as a table at every evaluation: always its first ones, with label, prediction and
    score; see Evaluation for where predictions are found. copy_checkpoints: whether checkpoints are kept in the store;
    otherwise path, score and hash of content are recorded. every_rank: whether processes other than the first record
    what the module logs, too. learning_curve: shares of the training rows, such as (0.1, 0.3), to train on again at
    the end of a fit; the scores stand at the number of rows as their step, see LearningCurve. flops: whether to count
    the floating point operations of the first training batch, to record how many pass in a second; see Flops. The other
    arguments are those of `barograph.init`, for a run that is made.

    The step is Lightning's own for loggers: optimiser steps, however many optimisers there are. What the module logs
    with `self.log` is recorded when and as Lightning hands it to loggers, also with `logger=False`, and a device is not
    waited for. Of several processes each writes its own times, system figures and results of its own validation rows
    (see Evaluation), and rank 0 everything else; they agree on the run by one broadcast through the trainer's strategy
    and never wait for each other otherwise.
    """

    def __init__(
        self,
        run: Run | None = None,
        watch: bool | dict[str, Any] = True,
        log_predictions: int = 0,
        copy_checkpoints: bool = False,
        every_rank: bool = False,
        learning_curve: Sequence[float] = (),
        flops: bool = False,
        **arguments: Any,
    ) -> None:
        super().__init__(run, **arguments)
        check_count("log_predictions", log_predictions)
        check_shares("learning_curve", learning_curve)
        self.watch = watch
        self.log_predictions = log_predictions
        self.copy_checkpoints = copy_checkpoints
        self.every_rank = every_rank
        self.learning_curve = learning_curve
        self.flops = flops
        self._call: Call | None = None
        self._loaded: dict[str, Any] = {}

    def __getstate__(self) -> dict[str, Any]:
        # A copy is not in the middle of a fit. Lightning hangs the module's log methods, and so the module, on us.
        kept = {name: value for name, value in vars(self).items() if name not in ("log", "log_dict")}
        return {**kept, "_call": None}

    # -- beginning: on_fit_start comes after the trials of a tuner and after a checkpoint was read --------------------

    @guarded
    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Agree with every BarographLogger of the trainer on one run."""
        self._loaded = {}
        for logger in trainer.loggers:
            if isinstance(logger, BarographLogger):
                if self.run is None and (self._is_unspecific or logger.run is not None):
                    self.attachment = logger.attachment
                logger.attachment = self.attachment
                logger.is_served = True

    @guarded
    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Find or make the run, record the setup, and listen to what has no hook."""
        self._begin(trainer, pl_module)

    @guarded
    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        """As on_fit_start, for `trainer.validate()`; a validation within a fit has its run."""
        if trainer.state.fn != "fit":
            self._begin(trainer, pl_module)
        if self._call is not None:
            self._call.begin_evaluation(pl_module, "val", self.log_predictions)

    @guarded
    def on_test_start(self, trainer: Any, pl_module: Any) -> None:
        """As on_fit_start, for `trainer.test()`."""
        self._begin(trainer, pl_module)
        if self._call is not None:
            self._call.begin_evaluation(pl_module, "test", self.log_predictions)

    @guarded
    def on_predict_start(self, trainer: Any, pl_module: Any) -> None:
        """As on_fit_start, for `trainer.predict()`."""
        self._begin(trainer, pl_module)
        if self._call is not None and self._call.is_first_rank:
            self._call.data.begin("predict", trainer.predict_dataloaders)

    @guarded
    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Note the start, and where the fit's steps go on from the run's."""
        call = self._call
        if call is None:
            return
        loaded, self._loaded = self._loaded, {}
        first_step = call.begin_training(loaded)
        if call.is_first_rank:
            self.attachment.start_fit(
                first_step,
                generators_of(trainer.train_dataloader),
                framework=package_of(trainer).__name__.partition(".")[0],
                epochs=trainer.max_epochs,
                max_steps=trainer.max_steps,
                checkpoint=trainer.ckpt_path,
            )
        if not trainer.barebones:
            call.look_inside(pl_module, self.watch)
            if self.flops:
                call.count_flops(pl_module)

    @guarded
    def on_sanity_check_start(self, trainer: Any, pl_module: Any) -> None:
        """Learn the parameters before any pass: after one a sharded model may have others for a while (FSDP2)."""
        if self._call is not None and not trainer.barebones:
            self._call.look_inside(pl_module, self.watch)

    # -- going on ----------------------------------------------------------------------------------------------------

    @guarded
    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Look what the last epoch's checks came to."""
        if self._call is not None:
            self._call.pace.epoch_begins()
            if self._call.inside is not None:
                self._call.inside.start_epoch()
            self._call.stops.look()

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Take the time, and place a look that was at a step of which nothing was logged."""
        call = self._call
        if call is not None:
            if call.has_look_to_place:
                call.place_look()
            if call.pace.flops is not None and call.pace.flops.is_due:
                call.pace.flops.begin()
            call.pace.batch_begins()

    def on_before_backward(self, trainer: Any, pl_module: Any, loss: Any) -> None:
        """Take the time."""
        if self._call is not None:
            self._call.pace.backward_begins()

    def on_after_backward(self, trainer: Any, pl_module: Any) -> None:
        """Take the time."""
        if self._call is not None:
            self._call.pace.backward_ended()

    @guarded
    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        """Read gradients, and the rates of this step: when it is logged the schedulers have moved on."""
        if self._call is not None:
            self._call.rates.read(optimizer, self._call.own_step)
            if self._call.inside is not None:
                self._call.inside.before_step(optimizer)
            self._call.pace.step_begins()

    @guarded
    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Take the time and count the samples; the first batch has shown the layers' shapes."""
        call = self._call
        if call is not None:
            call.pace.batch_ended(batch, call.own_step)
            if call.shapes is not None:
                call.write_layers(pl_module)

    @guarded
    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Note that early stopping checks now, if it does so at the end of epochs."""
        if self._call is not None:
            self._call.data.end("train")
            if self._call.pace.flops is not None:
                self._call.pace.flops.stop()
            self._call.stops.look(self._call.step - 1, trainer.current_epoch)

    @guarded
    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Write what the validation came to, and note that early stopping checks now, if it does so after it."""
        call = self._call
        if call is not None:
            call.end_evaluation("val")
            if call.is_fit and not trainer.sanity_checking:
                call.stops.look(call.step, trainer.current_epoch)

    @guarded
    def on_test_end(self, trainer: Any, pl_module: Any) -> None:
        """Write what the test came to."""
        if self._call is not None:
            self._call.end_evaluation("test")

    def on_validation_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Count what the model put out for a batch."""
        if self._call is not None and self._call.evaluation is not None:
            self._call.evaluation.see(outputs, batch, batch_idx, dataloader_idx)

    def on_test_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Count what the model put out for a batch."""
        if self._call is not None and self._call.evaluation is not None:
            self._call.evaluation.see(outputs, batch, batch_idx, dataloader_idx)

    @guarded
    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Put the run's id into the checkpoint, so that a fit that goes on from it goes on in the run."""
        if self._call is not None:
            checkpoint[_CHECKPOINT_KEY] = {"run_id": self._call.run.id, "offset": self._call.offset}

    @guarded
    def on_load_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: Mapping[str, Any]) -> None:
        """Take the run's id out of the checkpoint."""
        if self._call is None and trainer.state.fn == "fit":
            self._loaded = dict(checkpoint.get(_CHECKPOINT_KEY) or {})

    # -- ends --------------------------------------------------------------------------------------------------------

    @guarded
    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
        """Note why the fit ended."""
        call = self._call
        if call is None:
            return
        call.stops.look()
        stops = call.stops.fired(trainer)
        call.reason, by = reason_of_end(trainer, stops)
        if call.is_first_rank:
            for stop in stops:
                call.run.event("early_stop", **stop)
            call.note_end(by=by)
            if weights := final_weights(pl_module):
                call.run.log_weights(weights, call.step)

    @guarded
    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """The fit, validation, test or prediction is over: close the run if this callback made it."""
        call = self._call
        if call is None:
            return
        call.close()
        if call.is_first_rank and not call.is_fit:
            call.note_end()
        if call.learning_curve is not None:
            call.learning_curve.write(trainer, pl_module, call.step)
        self._call = None
        self.attachment.end("finished", call.reason)

    @guarded
    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Note the exception, or Ctrl-C, or SIGTERM, that ends everything."""
        call, self._call = self._call, None
        if call is None and trainer.is_global_zero:  # it failed before it began; the other ranks are not asked
            call = Call(trainer, self.attachment.begin(rank=trainer.global_rank, world=trainer.world_size))
        if call is None:
            return
        from barograph.closing import name_error  # a training that does not fail need not load it

        call.close()
        has_ended = call.reason is not None  # and a callback's last hook or a learning curve came to grief
        status, call.reason = status_of(exception)
        call.run.event("exception", **name_error(exception), step=call.step, epoch=trainer.current_epoch)
        if call.is_first_rank and not has_ended:
            call.note_end()
        self.attachment.end(status, type(exception).__name__, exception)

    # -- inside ------------------------------------------------------------------------------------------------------

    def _begin(self, trainer: Any, module: Any) -> None:
        run = agree_on_run(self.attachment, trainer, self._loaded.get("run_id"))
        if run is None:
            return
        self._call = call = Call(trainer, run, copy_checkpoints=self.copy_checkpoints, every_rank=self.every_rank)
        call.listen(self._on_logged, self._on_saved)
        call.describe(module, self.learning_curve)

    @guarded
    def _on_logged(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Record what Lightning is about to hand to its loggers."""
        call = self._call
        # a tuner's trial within the fit takes the callbacks away
        if call is None or self not in call.trainer.callbacks:
            return
        for logger in call.loggers:
            logger.skips_next = bool(metrics)  # Lightning hands over nothing if there is nothing
        at = call.write(metrics, step)
        if call.is_fit:
            self.attachment.reached(at)

    @guarded
    def _on_saved(self, filepath: Any, weights_only: bool | None = None, storage_options: Any = None) -> None:
        """Note a checkpoint that was saved, by a callback or by the user."""
        call = self._call
        if call is not None and call.is_first_rank:
            call.checkpoints.note(filepath, call.trainer.callbacks, call.step, call.trainer.current_epoch)
