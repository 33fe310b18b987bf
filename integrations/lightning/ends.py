"""Why a fit ended, read off the trainer and its callbacks: those of either package and the user's own."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def is_a(callback: object, word: str) -> bool:
    """Whether a class of this name is among the callback's classes: the package that it is from does not matter."""
    # __class__ and not type(): Lightning hands out weak proxies of its callbacks
    return any(word in kind.__name__.lower() for kind in callback.__class__.__mro__)


class EarlyStops:
    """The early stopping callbacks of one fit: what each had seen before it, and where its best value was reached."""

    def __init__(self, callbacks: list[Any]) -> None:
        self._callbacks = [callback for callback in callbacks if is_a(callback, "earlystop")]
        self._before = [_state(callback) for callback in self._callbacks]
        self._best = [getattr(callback, "best_score", None) for callback in self._callbacks]
        self._best_at: list[tuple[int, int] | None] = [None] * len(self._callbacks)
        self._checked_at: tuple[int, int] | None = None

    def look(self, step: int | None = None, epoch: int | None = None) -> None:
        """Note a new best value of any of them: it was set at the check before this one, or at this one.

        step, epoch: of the check that is going on, if one is. Which of the trainer's callbacks comes first is the
        user's choice, so a check may be seen here or only at the next look. Nothing is read from a device.
        """
        self._note()
        if step is not None and epoch is not None:
            self._checked_at = (step, epoch)
            self._note()

    def _note(self) -> None:
        for index, callback in enumerate(self._callbacks):
            best = getattr(callback, "best_score", None)
            if best is not self._best[index]:
                self._best[index] = best
                self._best_at[index] = self._checked_at

    def fired(self, trainer: Any) -> list[dict[str, Any]]:
        """What belongs into the `early_stop` event of each that asked for a stop in this fit."""
        stops = [
            (callback, best_at, reason)
            for callback, before, best_at in zip(self._callbacks, self._before, self._best_at, strict=True)
            if (reason := _reason(callback, before, trainer.callback_metrics)) is not None
        ]
        if not stops and trainer.should_stop and _timer_that_ran_out(trainer) is None:
            # a class of the user's own tells nothing but its name
            blind = zip(self._callbacks, self._best_at, strict=True)
            stops = [(callback, best_at, "unknown") for callback, best_at in blind if _wait(callback) is None]
        return [_event(*stop) for stop in stops]


def _event(callback: Any, best_at: tuple[int, int] | None, reason: str) -> dict[str, Any]:
    best_step, best_epoch = best_at or (None, None)
    min_delta = number(getattr(callback, "min_delta", None))
    return {
        "by": type(callback).__name__,
        "monitor": getattr(callback, "monitor", None),
        "best": number(getattr(callback, "best_score", getattr(callback, "best", None))),
        "best_step": best_step,
        "best_epoch": best_epoch,
        "wait": _wait(callback),
        "patience": getattr(callback, "patience", None),
        "min_delta": None if min_delta is None else abs(min_delta),  # Lightning keeps it with the comparison's sign
        "mode": getattr(callback, "mode", None),
        "reason": reason,
        "message": getattr(callback, "stopping_reason_message", None),
    }


def reason_of_end(trainer: Any, stops: list[dict[str, Any]]) -> tuple[str, str | None]:
    """Why the fit loop was left, in the order in which the loop itself asks, and the class of who asked for it."""
    epochs, steps = trainer.fit_loop.epoch_progress.current.processed, trainer.global_step
    if 0 <= trainer.max_steps <= steps:
        return "max_steps", None
    if trainer.max_epochs is not None and 0 <= trainer.max_epochs <= epochs:
        return "epochs_reached", None
    for stop in stops:
        return ("nan" if stop["reason"] == "non_finite_metric" else "early_stop"), stop["by"]
    if (timer := _timer_that_ran_out(trainer)) is not None:
        return "max_time", timer
    if any(not math.isfinite(value) for value in map(number, trainer.callback_metrics.values()) if value is not None):
        by = next((type(callback).__name__ for callback in trainer.callbacks if is_a(callback, "nan")), None)
        return "nan", by
    return "stopped", None


def status_of(error: BaseException) -> tuple[str, str]:
    """The run's status and the fit's reason after an exception; SIGTERM reaches us as one of Lightning's own."""
    if isinstance(error, KeyboardInterrupt) or type(error).__name__ == "SIGTERMException":
        return "interrupted", "interrupted"
    return "failed", "exception"


def number(value: Any) -> float | None:
    """A number of any library as a float; None for what is none. Waits for a device, so only at the end of things."""
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError):  # the last: a tensor of several elements
        return None


def _timer_that_ran_out(trainer: Any) -> str | None:
    for callback in trainer.callbacks:
        left_s = getattr(callback, "time_remaining", lambda: None)() if is_a(callback, "timer") else None
        if left_s is not None and left_s <= 0:
            return type(callback).__name__
    return None


def _state(callback: Any) -> tuple[Any, ...]:
    names = ("stopping_reason", "stopping_reason_message", "stopped_epoch", "wait_count")
    return tuple(getattr(callback, name, None) for name in names)


def _reason(callback: Any, before: tuple[Any, ...], metrics: Mapping[str, Any]) -> str | None:
    """Why this callback asked for a stop in this fit; None if it did not.

    `stopped_epoch == 0` says both "not stopped" and "stopped in epoch 0". Lightning 2.6 names the reason; it stays from
    an earlier fit, so it counts only if something about the callback has changed since.
    """
    named = getattr(callback, "stopping_reason", None)
    if named is not None:
        if _state(callback) == before:
            return None
        if named.value:
            return str(named.name).lower()
        stopped_elsewhere = getattr(callback, "stopped_epoch", None) != before[2]
        return "another_process" if stopped_elsewhere else None
    current = number(metrics.get(getattr(callback, "monitor", None) or ""))
    if current is not None and not math.isfinite(current) and getattr(callback, "check_finite", False):
        return "non_finite_metric"
    sign = -1.0 if getattr(callback, "mode", "min") == "min" else 1.0
    threshold = number(getattr(callback, "stopping_threshold", None))
    if current is not None and threshold is not None and sign * current > sign * threshold:
        return "stopping_threshold"
    threshold = number(getattr(callback, "divergence_threshold", None))
    if current is not None and threshold is not None and sign * current < sign * threshold:
        return "divergence_threshold"
    wait, patience = _wait(callback), getattr(callback, "patience", None)
    if wait is not None and patience is not None and wait >= patience and _state(callback) != before:
        return "patience_exhausted"
    return None


def _wait(callback: Any) -> Any:
    return getattr(callback, "wait_count", getattr(callback, "wait", None))
