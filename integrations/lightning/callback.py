"""BarographCallback: what a Lightning Trainer calls, and what is recorded at each call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from barograph.guard import guarded
from barograph.integrations.lightning.attached import Attached
from barograph.integrations.lightning.bases import Callback, package_of
from barograph.integrations.lightning.call import Call
from barograph.integrations.lightning.describe import describe_loaders, describe_setup
from barograph.integrations.lightning.ends import reason_of_end, status_of
from barograph.integrations.lightning.evaluation import Evaluation
from barograph.integrations.lightning.final import final_weights
from barograph.integrations.lightning.inside import Inside
from barograph.integrations.lightning.layers import Shapes
from barograph.integrations.lightning.learning import LearningCurve
from barograph.integrations.lightning.logger import BarographLogger
from barograph.integrations.lightning.regularization import describe_regularization
from barograph.integrations.lightning.shadow import Shadow
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
    the end of a fit; the scores stand at the number of rows as their step, see LearningCurve. The other arguments are
    those of `barograph.init`, for a run that is made.

    The step is Lightning's own for loggers: optimiser steps, however many optimisers there are. What the module logs
    with `self.log` is recorded when and as Lightning hands it to loggers, also with `logger=False`, and a device is not
    waited for. Of several processes each writes its own times and system figures, and rank 0 everything else; they
    agree on the run by one broadcast through the trainer's strategy and never wait for each other otherwise.
    """

    def __init__(
        self,
        run: Run | None = None,
        watch: bool | dict[str, Any] = True,
        log_predictions: int = 0,
        copy_checkpoints: bool = False,
        every_rank: bool = False,
        learning_curve: Sequence[float] = (),
        **arguments: Any,
    ) -> None:
        super().__init__(run, **arguments)
        if not all(0 < share < 1 for share in learning_curve):
            raise ValueError(f"learning_curve must be shares of the data between 0 and 1, got {learning_curve}")
        self.watch = watch
        self.log_predictions = log_predictions
        self.copy_checkpoints = copy_checkpoints
        self.every_rank = every_rank
        self.learning_curve = learning_curve
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
        self._begin_evaluation(pl_module, "val")

    @guarded
    def on_test_start(self, trainer: Any, pl_module: Any) -> None:
        """As on_fit_start, for `trainer.test()`."""
        self._begin(trainer, pl_module)
        self._begin_evaluation(pl_module, "test")

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
        # From a checkpoint of mid-epoch Lightning restores its counter of batches one short. That of steps is right,
        # but with manual optimisation it counts those of each optimiser.
        call.first_step = trainer.global_step if pl_module.automatic_optimization else call.own_step
        goes_on = self._loaded.get("run_id") == call.run.id
        base, self._loaded = (int(self._loaded["offset"]) if goes_on else 0), {}
        call.offset = base + max(0, call.run.steps_done - base - call.first_step)
        for logger in call.loggers:
            logger.offset = call.offset
        if call.is_first_rank:
            call.run.log_config({"data": describe_loaders(trainer)})
            call.data.begin("train", trainer.train_dataloader)
            self.attachment.start_fit(
                base + call.first_step,
                framework=package_of(trainer).__name__.partition(".")[0],
                epochs=trainer.max_epochs,
                max_steps=trainer.max_steps,
                checkpoint=trainer.ckpt_path,
            )
        if trainer.barebones:
            return
        call.handles += [one.register_step_post_hook(call.pace.step_ended) for one in trainer.optimizers]
        self._look_inside(call, pl_module)

    @guarded
    def on_sanity_check_start(self, trainer: Any, pl_module: Any) -> None:
        """Learn the parameters before any pass: after one a sharded model may have others for a while (FSDP2)."""
        if self._call is not None and not trainer.barebones:
            self._look_inside(self._call, pl_module)

    @guarded
    def _look_inside(self, call: Call, module: Any) -> None:
        if not self.watch or call.inside is not None:
            return
        options = self.watch if isinstance(self.watch, dict) else {}
        call.inside = Inside(call.trainer, module, call.run, call.look, options)

    @guarded
    def _begin_evaluation(self, module: Any, split: str) -> None:
        call = self._call
        if call is None or call.trainer.sanity_checking or call.trainer.barebones:
            return
        if call.is_first_rank:
            call.data.begin(split, getattr(call.trainer, f"{split}_dataloaders"))
        call.evaluation = Evaluation(call.trainer, module, call.run, split, self.log_predictions)

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
            self._call.stops.look(self._call.step - 1, trainer.current_epoch)

    @guarded
    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Write what the validation came to, and note that early stopping checks now, if it does so after it."""
        self._end_evaluation("val")
        if self._call is not None and self._call.is_fit and not trainer.sanity_checking:
            self._call.stops.look(self._call.step, trainer.current_epoch)

    @guarded
    def on_test_end(self, trainer: Any, pl_module: Any) -> None:
        """Write what the test came to."""
        self._end_evaluation("test")

    def _end_evaluation(self, split: str) -> None:
        call = self._call
        if call is not None and call.evaluation is not None:
            call.evaluation.close(call.step, call.is_first_rank)
            call.evaluation = None
            call.data.end(split)

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
        call.close()
        has_ended = call.reason is not None  # and a callback's last hook or a learning curve came to grief
        status, call.reason = status_of(exception)
        kind = type(exception).__name__
        call.run.event("exception", type=kind, message=str(exception), step=call.step, epoch=trainer.current_epoch)
        if call.is_first_rank and not has_ended:
            call.note_end()
        self.attachment.end(status, kind, exception)

    # -- inside ------------------------------------------------------------------------------------------------------

    def _begin(self, trainer: Any, module: Any) -> None:
        run = self._agree_on_run(trainer)
        if run is None:
            return
        self._call = call = Call(trainer, run, copy_checkpoints=self.copy_checkpoints, every_rank=self.every_rank)
        for logger in call.loggers if call.is_first_rank else ():
            logger.open()
        call.shadows += [
            Shadow(trainer._logger_connector, "log_metrics", before=self._on_logged),
            Shadow(trainer.strategy, "batch_to_device", before=call.data.see),
        ]
        if call.is_fit:
            loop, pace = trainer.fit_loop.epoch_loop, call.pace
            call.shadows += [
                Shadow(trainer, "save_checkpoint", after=self._on_saved),
                Shadow(loop, "_on_before_fetch", before=pace.fetch_begins),
                Shadow(loop, "_on_after_fetch", before=pace.fetch_ended),
            ]
        if call.is_first_rank and (call.is_fit or not run.fits):  # an evaluation after a fit changes nothing about it
            run.log_config(describe_setup(trainer, module))
            run.log_config({"regularization": describe_regularization(trainer, module)})
            if call.is_fit and self.learning_curve:
                call.learning_curve = LearningCurve(trainer, module, run, self.learning_curve)
            call.shapes = Shapes(module, run)

    def _agree_on_run(self, trainer: Any) -> Run | None:
        """The run for all ranks: rank 0 finds or makes it and tells the others.

        Whatever fails here, every rank comes to the broadcast; one that did not would leave the others waiting.
        """
        rank, world = trainer.global_rank, trainer.world_size
        told = None
        try:
            if rank == 0:
                loaded = self._loaded.get("run_id")
                run_id = loaded or self._settled_id(trainer)
                self.attachment.begin(rank=rank, world=world, run_id=run_id, resume=loaded is not None)
                told = self.attachment.address
        finally:
            if world > 1:
                told = trainer.strategy.broadcast(told)
        if rank > 0 and told is not None:
            self.attachment.begin(rank=rank, world=world, joining=told)
        return None if told is None else self.run

    def _settled_id(self, trainer: Any) -> str | None:
        """The id that a logger has given to the run before there was one, for a folder's name."""
        versions = [logger.version for logger in trainer.loggers if isinstance(logger, BarographLogger)]
        return versions[-1] if versions and self.run is None else None

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
