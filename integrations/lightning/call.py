"""One call of fit, validate, test or predict: where it stands, and the points it writes."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import torch

from barograph.guard import guarded
from barograph.integrations.lightning.checkpoints import Checkpoints, best_checkpoint
from barograph.integrations.lightning.data import Passing
from barograph.integrations.lightning.ends import EarlyStops
from barograph.integrations.lightning.evaluation import Evaluation
from barograph.integrations.lightning.inside import Inside
from barograph.integrations.lightning.layers import Shapes, layer_table, summarize_layers
from barograph.integrations.lightning.learning import LearningCurve
from barograph.integrations.lightning.logger import BarographLogger
from barograph.integrations.lightning.pace import Pace
from barograph.integrations.lightning.rates import Rates
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
        if self.evaluation is not None:
            self.evaluation.stop()
        if self.inside is not None:
            self.inside.close()
        self.write_layers(self.trainer.lightning_module)
        self.place_look()
        self.data.end()
        self.checkpoints.settle(is_last=True)
