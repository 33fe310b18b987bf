"""One fit, as its hooks show it: batches trained, time taken by training, validation and waiting, and why it ended."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

import keras

from barograph.integrations.keras.batches import Batches
from barograph.integrations.keras.calls import Watch
from barograph.integrations.keras.optimizers import iterations, learning_rates, number


class Fit:
    """The account of one call of fit.

    step: batches trained so far, those of earlier fits in the run included. model, siblings: the user's own, kept
    only until the fit is over.
    """

    def __init__(
        self, model: Any, parameters: Mapping[str, Any], siblings: list[Any], batches: Batches, watch: Watch
    ) -> None:
        self.model = model
        self.siblings = siblings
        self.batches = batches
        self.watch = watch
        self.epochs: int | None = parameters.get("epochs")
        self.batches_per_epoch: int | None = parameters.get("steps")
        self.batches_per_call = int(getattr(model, "steps_per_execution", None) or 1)
        self.is_described = False
        self.is_started = False
        self.started_s = time.monotonic()
        self.first_step = 0
        self.step = 0
        self.epoch = 0
        self.epochs_done = 0
        self.step_after: dict[int, int] = {}
        self.rates: dict[str, float] = {}
        self.iterations: int | None = None
        self._began_s = 0.0
        self._validation_s = 0.0
        self._validation_began_s = 0.0

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

    def begin_validation(self) -> None:
        """The training of the epoch is over, its validation begins."""
        self._validation_began_s = time.perf_counter()

    def end_validation(self) -> None:
        """The validation is over."""
        self._validation_s += time.perf_counter() - self._validation_began_s

    def end_epoch(self, logs: Mapping[str, Any]) -> dict[str, Any]:
        """The metrics of the epoch that ends; `step` is then the batches trained with it."""
        epoch_s = time.perf_counter() - self._began_s
        trained = self._trained()
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


def metric_key(name: str) -> str:
    """The key for a name in Keras' logs: loss -> train/loss, val_loss -> val/loss."""
    if name == "learning_rate":
        return "lr/default"
    if name.startswith("learning_rate_"):
        return f"lr/{name.removeprefix('learning_rate_')}"
    return f"val/{name.removeprefix('val_')}" if name.startswith("val_") else f"train/{name}"


def early_stop(stopper: Any, step_after: Mapping[int, int]) -> dict[str, Any]:
    """What an EarlyStopping knows at the end of a fit. step_after: epoch to the step at its end."""
    best_epoch = getattr(stopper, "best_epoch", None)
    monitor = metric_key(str(getattr(stopper, "monitor", "")))
    patience = getattr(stopper, "patience", None)
    return {
        "by": type(stopper).__name__,
        "monitor": monitor,
        "mode": _mode(stopper),
        "best": _number_or_none(getattr(stopper, "best", None)),
        "best_epoch": best_epoch,
        "best_step": step_after.get(best_epoch) if best_epoch is not None else None,
        "wait": getattr(stopper, "wait", None),
        "patience": patience,
        "min_delta": abs(getattr(stopper, "min_delta", 0)),
        "baseline": getattr(stopper, "baseline", None),
        "start_from_epoch": getattr(stopper, "start_from_epoch", None),
        "stopped_epoch": getattr(stopper, "stopped_epoch", None),
        "restored_epoch": restored_epoch([stopper]),
        "reason": f"{monitor} did not improve for {getattr(stopper, 'wait', patience)} epochs",
    }


def restored_epoch(siblings: list[Any]) -> int | None:
    """The epoch whose weights an EarlyStopping puts back at the end of the fit; None if it leaves them."""
    for sibling in siblings:
        if getattr(sibling, "restore_best_weights", False) and getattr(sibling, "best_weights", None) is not None:
            return getattr(sibling, "best_epoch", None)
    return None


def checkpoint(saver: Any) -> dict[str, Any]:
    """What a ModelCheckpoint has saved, and which score was its best."""
    return {
        "by": type(saver).__name__,
        "path": saver.filepath,
        "monitor": metric_key(saver.monitor),
        "mode": _mode(saver),
        "save_best_only": saver.save_best_only,
        "best": _number_or_none(saver.best),
    }


def _mode(monitor: Any) -> str | None:
    """ "min" or "max", also where the callback was left to find out by itself."""
    compares = getattr(monitor, "monitor_op", None)
    known = {keras.ops.less: "min", keras.ops.greater: "max"}
    return known.get(compares, getattr(monitor, "mode", None))


def _number_or_none(value: Any) -> float | None:
    return None if value is None else number(value)
