"""One fit, as its hooks show it: batches trained, time taken by training, validation and waiting, and why it ended."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

import keras

from barograph.integrations.keras.batches import Batches
from barograph.integrations.keras.calls import Watch
from barograph.integrations.keras.checkpoints import Checkpoints
from barograph.integrations.keras.data import DataSets
from barograph.integrations.keras.learning import LearningCurve
from barograph.integrations.keras.monitors import metric_key
from barograph.integrations.keras.optimizers import iterations, learning_rates, number


class Fit:
    """The account of one call of fit.

    step: batches trained so far, those of earlier fits in the run included. model, siblings: the user's own, kept
    only until the fit is over.
    """

    def __init__(
        self,
        model: Any,
        parameters: Mapping[str, Any],
        siblings: list[Any],
        batches: Batches,
        watch: Watch,
        data: DataSets,
        checkpoints: Checkpoints,
    ) -> None:
        self.model = model
        self.siblings = siblings
        self.batches = batches
        self.watch = watch
        self.data = data
        self.checkpoints = checkpoints
        self.curve: LearningCurve | None = None
        self.kept: str | None = None  # what became of the trained model
        self.epochs: int | None = parameters.get("epochs")
        self.batches_per_epoch: int | None = parameters.get("steps")
        self.batches_per_call = int(getattr(model, "steps_per_execution", None) or 1)
        self.is_started = False
        self.started_s = time.monotonic()
        self.ended_s: float | None = None
        self.first_step = 0
        self.step = 0
        self.epoch = 0
        self.epochs_done = 0
        self.step_after: dict[int, int] = {}
        self.rates: dict[str, float] = {}
        self.iterations: int | None = None
        self.logs: Mapping[str, Any] = {}
        self._began_s = 0.0
        self._validation_s = 0.0
        self._validation_began_s = 0.0
        self._was_evaluated = getattr(model, "test_function", None) is not None
        self._first_validation_s: float | None = None
        self._least_validation_s = math.inf

    def start(self, offset: int, first_step: int) -> None:
        """Count from here. first_step: batches that earlier epochs of this fit had; offset: those of earlier fits."""
        self.is_started = True
        self.step = self.first_step = first_step + offset

    def begin_epoch(self, epoch: int) -> None:
        """An epoch's training begins."""
        self.epoch = epoch
        self.iterations = iterations(self.model)
        self.batches.begin_epoch()
        self._validation_s = 0.0
        self._began_s = time.perf_counter()

    @property
    def has_validated(self) -> bool:
        """Whether the epoch had a validation."""
        return self._validation_s > 0

    @property
    def duration_s(self) -> float:
        """From the begin of the fit to its end, or to now."""
        return (self.ended_s or time.monotonic()) - self.started_s

    def begin_validation(self) -> None:
        """The training of the epoch is over, its validation begins."""
        self._validation_began_s = time.perf_counter()

    def end_validation(self) -> None:
        """The validation is over."""
        took_s = time.perf_counter() - self._validation_began_s
        self._validation_s += took_s
        if self._first_validation_s is None:
            self._first_validation_s = took_s
        else:
            self._least_validation_s = min(self._least_validation_s, took_s)

    @property
    def validation_s(self) -> float:
        """What the quickest validation has taken."""
        return min(self._first_validation_s or 0.0, self._least_validation_s)

    @property
    def compile_s(self) -> float:
        """What compiling the evaluation has taken: what the first one took more than others; 0 if that is not known."""
        if self._was_evaluated or math.isinf(self._least_validation_s):
            return 0.0
        return max(0.0, (self._first_validation_s or 0.0) - self._least_validation_s)

    def end_epoch(self, logs: Mapping[str, Any]) -> dict[str, Any]:
        """The metrics of the epoch that ends; `step` is then the batches trained with it."""
        epoch_s = time.perf_counter() - self._began_s
        trained = self._trained()
        self.logs = logs
        train_s = max(epoch_s - self._validation_s, 1e-9)
        self.step += trained
        self.step_after[self.epoch] = self.step
        self.epochs_done += 1
        metrics: dict[str, Any] = {**learning_rates(self.model), **{metric_key(name): logs[name] for name in logs}}
        self.rates = {key: number(rate) for key, rate in metrics.items() if key.startswith("lr/")}
        metrics |= {"epoch": self.epoch, "time/epoch_s": epoch_s, "time/step_s": train_s / trained}
        if self._validation_s:
            metrics["time/validation_s"] = self._validation_s
        if self.batches.waited_s is not None:
            metrics["time/data_s"] = self.batches.waited_s / trained
        samples = self.batches.samples(trained)
        if samples:
            metrics["throughput/samples_per_s"] = samples / train_s
        return metrics

    def step_of(self, batch: int) -> int:
        """The step of a batch of the running epoch, by its index; right in whatever order batches are told of."""
        done = batch + 1 if self.batches_per_epoch is None else min(batch + 1, self.batches_per_epoch)
        return self.step + done

    def look_for_checkpoints(self, is_last: bool = False) -> None:
        """Note what other callbacks have saved by now. is_last: the fit is over."""
        if self.is_started:
            look = self.checkpoints.end if is_last else self.checkpoints.look
            look(self.step, self.epoch, self.logs)

    def is_stopped(self) -> bool:
        """Whether somebody has asked for the end."""
        return bool(getattr(self.model, "stop_training", False))

    def reason(self, logs: Mapping[str, Any]) -> str:
        """Why the fit came to its end. logs: of its last epoch."""
        if not self.is_stopped():
            return "epochs_reached"
        if self.stopper() is not None:
            return "early_stop"
        loss = logs.get("loss")
        watches_nan = any(isinstance(sibling, keras.callbacks.TerminateOnNaN) for sibling in self.siblings)
        return "nan" if watches_nan and loss is not None and not math.isfinite(number(loss)) else "stopped"

    def stopped_by(self) -> str | None:
        """The class of the callback that stopped the fit early, if it is known."""
        stopper = self.stopper()
        return None if stopper is None else type(stopper).__name__

    def stopper(self) -> Any:
        """The callback that stopped the fit early, EarlyStopping or one like it; None if none says so."""
        stoppers = (sibling for sibling in self.siblings if getattr(sibling, "stopped_epoch", 0))
        return next(stoppers, None) if self.is_stopped() else None

    def _trained(self) -> int:
        """Batches trained in this epoch: those seen to be fetched, else all it has, else what the optimiser counted."""
        total = self.batches_per_epoch
        if self.batches.fetched:
            return self.batches.fetched
        if total and not self.is_stopped():
            return total
        now = iterations(self.model)
        counted = now - self.iterations if now is not None and self.iterations is not None else 0
        # Where tensorflow runs out of data, the optimiser may have counted the step that found none.
        most = total or (self.batches.in_epoch or counted + 1) - 1
        return max(1, min(counted, most) if counted > 0 else most)
