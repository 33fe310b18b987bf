"""One call of fit, validate, test or predict: where it stands, and the points it writes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from barograph.guard import guarded
from barograph.integrations.lightning.checkpoints import Checkpoints, best_checkpoint
from barograph.integrations.lightning.data import Passing
from barograph.integrations.lightning.describe import describe_loaders, describe_setup
from barograph.integrations.lightning.ends import EarlyStops
from barograph.integrations.lightning.evaluation import Evaluation
from barograph.integrations.lightning.flops import Flops
from barograph.integrations.lightning.inside import Inside
from barograph.integrations.lightning.layers import Shapes, layer_table, summarize_layers
from barograph.integrations.lightning.learning import LearningCurve
from barograph.integrations.lightning.logger import BarographLogger
from barograph.integrations.lightning.pace import Pace
from barograph.integrations.lightning.rates import Rates
from barograph.integrations.lightning.regularization import describe_regularization
from barograph.integrations.lightning.shadow import Shadow
from barograph.run import Run


class Call:
    """What is known of the call that is going on, on one rank. It goes with it, so the trainer is not kept alive."""

    def __init__(self, trainer: Any, run: Run, *, copy_checkpoints: bool = False, every_rank: bool = False) -> None:
        """every_rank: whether a process other than the first writes what its module logs, too."""
        self.trainer = trainer
        self.run = run
        self.is_first_rank: bool = trainer.is_global_zero
        self._writes_metrics = self.is_first_rank or every_rank
        self.world: int = trainer.world_size
        self.function = str(trainer.state.fn.value)
        self.is_fit = self.function == "fit"
        self.loggers = [logger for logger in trainer.loggers if isinstance(logger, BarographLogger)]
        self.pace = Pace()
        self.rates = Rates(trainer)
        self.stops = EarlyStops(trainer.callbacks)
        self.checkpoints = Checkpoints(run, copy_checkpoints)
        self.data = Passing(trainer, run)
        self.shadows: list[Shadow] = []
        self.handles: list[Any] = []  # Any: torch's handles have no public type
        self.inside: Inside | None = None
        self.shapes: Shapes | None = None
        self.evaluation: Evaluation | None = None
        self.learning_curve: LearningCurve | None = None
        self.reason: str | None = None
        self.first_step = self.own_step
        # An evaluation belongs to where the run has come to; a fit says where it begins once a checkpoint is restored.
        self.offset = max(0, run.steps_done - self.own_step)
        self._began_s = time.perf_counter()
        self._looked_at: tuple[int, float, float] | None = None
        self._told: set[str] = set()  # names of what the module logs in evaluations

    # -- beginning ---------------------------------------------------------------------------------------------------

    def listen(self, on_logged: Callable[..., object], on_saved: Callable[..., object]) -> None:
        """Have the callback told what Lightning has no hook for, until close()."""
        trainer, pace = self.trainer, self.pace
        for logger in self.loggers if self.is_first_rank else ():
            logger.open()
        self.shadows += [
            Shadow(trainer._logger_connector, "log_metrics", before=on_logged),
            Shadow(trainer.strategy, "batch_to_device", before=self.data.see),
        ]
        if self.is_fit:
            self.shadows += [
                Shadow(trainer, "save_checkpoint", after=on_saved),
                Shadow(trainer.fit_loop.epoch_loop, "_on_before_fetch", before=pace.fetch_begins),
                Shadow(trainer.fit_loop.epoch_loop, "_on_after_fetch", before=pace.fetch_ended),
            ]

    def describe(self, module: Any, learning_curve: Sequence[float]) -> None:
        """Record the setup, and see to what must be known of the module before it is trained."""
        # an evaluation after a fit changes nothing about it
        if not self.is_first_rank or (self.run.fits and not self.is_fit):
            return
        self.run.log_config(describe_setup(self.trainer, module))
        self.run.log_config({"regularization": describe_regularization(self.trainer, module)})
        if self.is_fit and learning_curve:
            self.learning_curve = LearningCurve(self.trainer, module, self.run, learning_curve)
        self.shapes = Shapes(module, self.run)

    def begin_training(self, loaded: Mapping[str, Any]) -> int:
        """Find where the fit's steps go on from the run's; the first step, as the run it goes on with counts them.

        loaded: what we have put into the checkpoint that the fit goes on from.
        """
        # From a checkpoint of mid-epoch Lightning restores its counter of batches one short. That of steps is right,
        # but with manual optimisation it counts those of each optimiser.
        automatic = self.trainer.lightning_module.automatic_optimization
        self.first_step = self.trainer.global_step if automatic else self.own_step
        base = int(loaded["offset"]) if loaded.get("run_id") == self.run.id else 0
        self.offset = base + max(0, self.run.steps_done - base - self.first_step)
        for logger in self.loggers:
            logger.offset = self.offset
        if self.is_first_rank:
            self.run.log_config({"data": describe_loaders(self.trainer)})
            self.data.begin("train", self.trainer.train_dataloader)
        if not self.trainer.barebones:
            self.handles += [one.register_step_post_hook(self.pace.step_ended) for one in self.trainer.optimizers]
        return base + self.first_step

    def look_inside(self, module: Any, watch: bool | dict[str, Any]) -> None:
        """Watch the module from here on, if that is wanted. watch: whether, or with which options."""
        if watch and self.inside is None:
            options = watch if isinstance(watch, dict) else {}
            self.inside = Inside(self.trainer, module, self.run, self.look, options)

    def count_flops(self, module: Any) -> None:
        """Count the operations of the first batch from here on."""
        self.pace.flops = Flops(self.trainer, module, self.run)

    def begin_evaluation(self, module: Any, split: str, predictions: int) -> None:
        """A pass over a validation or test set begins. predictions: how many rows of them to keep."""
        if self.trainer.sanity_checking or self.trainer.barebones:
            return
        if self.is_first_rank:
            self.data.begin(split, getattr(self.trainer, f"{split}_dataloaders"))
        self.evaluation = Evaluation(self.trainer, module, self.run, split, predictions)

    def end_evaluation(self, split: str) -> None:
        """Write what the pass came to."""
        if self.evaluation is not None:
            self.evaluation.close(self.step, self.is_first_rank, self._told)
            self.evaluation = None
            self.data.end(split)

    # -- going on ----------------------------------------------------------------------------------------------------

    @property
    def own_step(self) -> int:
        """Optimiser steps by Lightning's count for loggers, which disregards how many optimisers there are."""
        return int(self.trainer.fit_loop.epoch_loop._batches_that_stepped)

    @property
    def step(self) -> int:
        """The run's step."""
        return self.offset + self.own_step

    def look(self) -> int:
        """The step of a look into the module that begins; where it stands is written beside it."""
        self._looked_at = self.step, self.trainer.current_epoch, self.trainer.fit_loop.total_batch_idx
        return self._looked_at[0]

    @property
    def has_look_to_place(self) -> bool:
        """Whether there was a look at a step of which nothing has been written yet that says where it stands."""
        return self._looked_at is not None

    @guarded
    def place_look(self) -> None:
        """Write the position of the last look, unless something else was written at its step and has it already."""
        if self._looked_at is not None and self.is_first_rank:
            at, epoch, batch = self._looked_at
            self.run.log_scalars(("epoch", "batch", "samples"), [epoch, batch, self.pace.samples * self.world], at)
        self._looked_at = None

    def write(self, metrics: Mapping[str, Any], batch: int | None = None) -> int:
        """Write what Lightning hands to loggers, and our own figures beside it; the step.

        batch: Lightning's count of evaluation batches where the values are those of one such batch. Such values stand
        at the optimiser step that was evaluated, with that count beside them, so that all curves share one axis.
        """
        own_step, is_training = self.own_step, self.trainer.training
        at, on_host = self.offset + own_step, True
        frame: dict[str, Any] = self.pace.take(own_step) if is_training else {}
        if not is_training:
            self._told.update(metrics)
        if self._writes_metrics:
            given = {**self.rates.take(), **metrics} if is_training else metrics
            for name, value in given.items():
                if isinstance(value, torch.Tensor):
                    if value.is_cpu and value.numel() == 1:
                        value = value.item()
                    else:
                        on_host = False  # what is on a device is not waited for: run.log() writes it when it is there
                frame[name] = value
            if batch is None and "step" in frame:  # Lightning takes a metric of this name for the step
                at = self.offset + int(frame.pop("step"))
        if not frame:
            return at
        if self._writes_metrics:
            self._add_position(frame, batch)
            if self._looked_at is not None and self._looked_at[0] == at:
                self._looked_at = None
        if on_host:
            self.run.log_scalars(tuple(frame), list(frame.values()), at)
        else:
            self.run.log(frame, at)
        return at

    def _add_position(self, frame: dict[str, Any], batch: int | None) -> None:
        trainer = self.trainer
        frame.setdefault("epoch", trainer.current_epoch)
        if batch is not None:
            frame.setdefault(f"{trainer.state.stage.dataloader_prefix}/batch", batch)
        if self.is_fit:
            frame.setdefault("batch", trainer.fit_loop.total_batch_idx)
            # by all ranks, which Lightning's sampler gives the same number each
            frame.setdefault("samples", self.pace.samples * self.world)

    def write_layers(self, module: Any) -> None:
        """Write the model's layers, with their shapes if a batch has shown them."""
        shapes, self.shapes = self.shapes, None
        if shapes is None:
            return
        shapes.close()
        self.run.log_text("model/summary", summarize_layers(module, shapes.seen))
        self.run.log_table("model/layers", layer_table(module, shapes.seen))

    # -- ends --------------------------------------------------------------------------------------------------------

    def note_end(self, by: str | None = None) -> None:
        """The event at the end. by: the class of the callback that asked for it."""
        duration_s = time.perf_counter() - self._began_s
        if not self.is_fit:
            batches = getattr(self.trainer, f"{self.function}_loop").batch_progress.current.processed
            checkpoint = self.trainer.ckpt_path
            self.run.event(f"{self.function}_end", batches=batches, checkpoint=checkpoint, duration_s=duration_s)
            return
        self.run.event(
            "fit_end",
            reason=self.reason,
            by=by,
            epochs=self.trainer.current_epoch,
            steps=self.own_step - self.first_step,
            batches=self.trainer.fit_loop.total_batch_idx + 1,
            samples=self.pace.samples * self.world,
            duration_s=duration_s,
            best_checkpoint=best_checkpoint(self.trainer.callbacks),
        )

    def close(self) -> None:
        """Give the trainer its methods back and the module its hooks, and write what is still owed."""
        while self.shadows:
            self.shadows.pop().remove()
        while self.handles:
            self.handles.pop().remove()
        if self.pace.flops is not None:
            self.pace.flops.stop()
        if self.evaluation is not None:
            self.evaluation.stop()
        if self.inside is not None:
            self.inside.close()
        self.write_layers(self.trainer.lightning_module)
        self.place_look()
        self.data.end()
        self.checkpoints.settle(is_last=True)
