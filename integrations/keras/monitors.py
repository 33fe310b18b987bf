"""What callbacks that monitor a metric know: when they stopped a fit, what they saved, what was best."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from barograph.integrations.keras.optimizers import number


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
    wait, patience = getattr(stopper, "wait", None), getattr(stopper, "patience", None)
    is_patient = wait is not None and patience is not None  # a class of the user's own need not be
    return {
        "by": type(stopper).__name__,
        "monitor": monitor,
        "mode": mode_of(stopper),
        "best": number_or_none(getattr(stopper, "best", None)),
        "best_epoch": best_epoch,
        "best_step": step_after.get(best_epoch) if best_epoch is not None else None,
        "wait": wait,
        "patience": patience,
        "min_delta": abs(getattr(stopper, "min_delta", 0)),
        "baseline": getattr(stopper, "baseline", None),
        "start_from_epoch": getattr(stopper, "start_from_epoch", None),
        "stopped_epoch": getattr(stopper, "stopped_epoch", None),
        "restored_epoch": restored_epoch([stopper]),
        "reason": "patience_exhausted" if is_patient else "unknown",
        "message": f"{monitor} did not improve for {wait} epochs" if is_patient else None,
    }


def restored_epoch(siblings: list[Any]) -> int | None:
    """The epoch whose weights an EarlyStopping puts back at the end of the fit; None if it leaves them."""
    for sibling in siblings:
        if getattr(sibling, "restore_best_weights", False) and getattr(sibling, "best_weights", None) is not None:
            return getattr(sibling, "best_epoch", None)
    return None


def describe_checkpoint(saver: Any) -> dict[str, Any]:
    """What a ModelCheckpoint saves, and which score was its best."""
    return {
        "by": type(saver).__name__,
        "path": saver.filepath,
        "monitor": metric_key(saver.monitor),
        "mode": mode_of(saver),
        "save_best_only": saver.save_best_only,
        "best": number_or_none(saver.best),
    }


def mode_of(monitor: Any) -> str | None:
    """ "min" or "max", also where the callback was left to find out by itself."""
    compares = getattr(monitor, "monitor_op", None)
    known = {keras.ops.less: "min", keras.ops.greater: "max", np.less: "min", np.greater: "max"}  # numpy's before 3.8
    return known.get(compares, getattr(monitor, "mode", None))


def number_or_none(value: Any) -> float | None:
    """A number of any kind as a float."""
    return None if value is None else number(value)
