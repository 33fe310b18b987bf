"""What keeps the model from learning its data by heart: the regularisation in force, gathered in one place."""

from __future__ import annotations

from collections import Counter
from typing import Any

from torch import nn

from barograph.integrations.lightning.describe import group_labels, is_from
from barograph.integrations.lightning.ends import is_a


def describe_regularization(trainer: Any, module: nn.Module) -> dict[str, Any]:
    """Weight decay by group, dropout and the like by layer, what is clipped, and what stops the fit early.

    A penalty that the training step adds to the loss itself is not to be seen from outside.
    """
    algorithm = getattr(trainer, "gradient_clip_algorithm", None)
    clipping = {"value": trainer.gradient_clip_val, "algorithm": getattr(algorithm, "value", algorithm) or "norm"}
    layers = [(name or type(one).__name__, one) for name, one in module.named_modules()]
    normalizing = [one for _, one in layers if is_from(one, "batchnorm", "normalization", "instancenorm")]
    averaging = [type(one).__name__ for one in trainer.callbacks if is_a(one, "averaging")]
    return {
        "weight_decay": {
            label: float(group.get("weight_decay") or 0.0)
            for optimizer, labels in group_labels(trainer.optimizers)
            for label, group in zip(labels, optimizer.param_groups, strict=True)
        },
        "dropout": {name: rate for name, one in layers if (rate := _dropout(one))},
        "label_smoothing": {name: rate for name, one in layers if (rate := getattr(one, "label_smoothing", 0.0))},
        "normalization": dict(Counter(type(one).__name__ for one in normalizing)),
        "gradient_clipping": clipping if trainer.gradient_clip_val else None,
        "weight_averaging": averaging,
        "early_stopping": [_early_stopping(one) for one in trainer.callbacks if is_a(one, "earlystop")],
    }


def _dropout(layer: nn.Module) -> float:
    """The rate at which a layer drops what it puts out; recurrent and attention layers have one inside."""
    rate = layer.p if is_from(layer, "dropout") else getattr(layer, "dropout", 0.0)
    return float(rate) if isinstance(rate, (int, float)) else 0.0


def _early_stopping(callback: Any) -> dict[str, Any]:
    names = ("monitor", "mode", "patience", "stopping_threshold", "divergence_threshold")
    least = getattr(callback, "min_delta", None)
    return {
        "by": type(callback).__name__,
        **{name: getattr(callback, name, None) for name in names},
        "min_delta": None if least is None else abs(least),  # Lightning keeps it with the comparison's sign
    }
