"""What a loss says: of each batch, apart from Keras' mean over the epoch, and of what its model is trained for."""

from __future__ import annotations

import math
from typing import Any

import keras

BACKEND = keras.backend.backend()
_OF_VALUES = {
    "mean_squared_error", "mean_absolute_error", "mean_absolute_percentage_error", "mean_squared_logarithmic_error",
    "huber", "log_cosh", "poisson",
}  # fmt: skip


class Losses:
    """What the steps of a fit say of their loss, a step late or more: only what has arrived on the host is read.

    Losses of a step of the user's own are taken as they are: who knows what they are means of. On a GPU under
    tensorflow there is none, because asking it would wait. One that is no number is told once an epoch: after it all
    means are none.
    """

    def __init__(self, model: Any) -> None:  # Any, here and below: Keras has no annotations
        self._are_means = type(model).train_step.__module__.partition(".")[0] == "keras"
        self.start_epoch()

    def start_epoch(self) -> None:
        """Means are taken from here."""
        self._coming: tuple[int, Any] | None = None
        self._batches, self._sum = 0, 0.0
        self._is_lost = False

    def note(self, out: Any, batches: int) -> None:
        """A step has come to its end. out: what it gave; batches: those of the epoch so far."""
        if self._coming is None and not self._is_lost:
            logs = out[0] if BACKEND == "jax" else out
            loss = logs.get("loss") if isinstance(logs, dict) else None
            if isinstance(loss, float) or getattr(loss, "shape", None) == ():  # older versions give floats
                self._coming = batches, loss

    def arrived(self) -> float | None:
        """The loss of the last batch, or the mean of those since the last one that was read; None if there is none."""
        if self._coming is None:
            return None
        batches, loss = self._coming
        if not _is_here(loss):
            self._coming = batches, _on_its_way(loss)
            return None
        self._coming = None
        value = float(loss.get() if hasattr(loss, "get") else loss)
        self._is_lost = not math.isfinite(value)
        if not self._are_means or self._is_lost:
            return value
        before, since = self._sum, batches - self._batches
        self._batches, self._sum = batches, value * batches
        return (self._sum - before) / since


def loss_of(model: Any, output: str) -> Any:
    """The loss that a model was compiled with for an output, which has an empty name if there is one only."""
    losses = getattr(model, "loss", None)
    if isinstance(losses, dict):
        losses = losses.get(output) if output else next(iter(losses.values()), None)
    elif isinstance(losses, (list, tuple)):
        names = (getattr(model, "output_names", None) or []) if output else [""]
        losses = dict(zip(map(str, names), losses, strict=False)).get(output)
    return keras.losses.get(losses) if isinstance(losses, str) else losses


def is_of_values(loss: Any) -> bool:
    """Whether a loss is one of Keras that only a regression is trained with."""
    return getattr(getattr(loss, "fn", loss), "__name__", None) in _OF_VALUES


def is_of_scores(loss: Any) -> bool:
    """Whether a loss takes scores before a softmax or sigmoid."""
    return getattr(loss, "from_logits", False) is True


def _is_here(loss: Any) -> bool:
    if hasattr(loss, "is_ready"):  # an array of jax, or what is on its way
        return bool(loss.is_ready())
    return not getattr(loss, "is_cuda", False) and "GPU" not in str(getattr(loss, "device", ""))


def _on_its_way(loss: Any) -> Any:
    if BACKEND == "torch" and not hasattr(loss, "is_ready"):
        from barograph.integrations.torch.values import on_their_way

        return on_their_way(loss.reshape(1))[0]
    return loss
