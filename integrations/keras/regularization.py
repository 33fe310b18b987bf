"""What keeps a model from learning its data by heart: the regularisation in force, gathered in one place."""

from __future__ import annotations

from collections import Counter
from typing import Any

import keras

from barograph.integrations.keras.layers import (
    is_augmenting,
    is_normalizing,
    leaf_layers,
    parts_of,
    penalties_of,
    rates_of,
)
from barograph.integrations.keras.optimizers import optimizers_of
from barograph.integrations.keras.plain import attempt, plain

# Any, throughout: whatever users build models of
_CLIPPING = ("clipnorm", "clipvalue", "global_clipnorm")
_STOPPING = ("monitor", "mode", "patience", "min_delta", "baseline", "start_from_epoch", "restore_best_weights")


def regularization_of_fit(model: Any, siblings: list[Any]) -> dict[str, Any]:
    """What optimiser, loss and the other callbacks do about it."""
    optimizers = {
        name: getattr(optimizer, "inner_optimizer", optimizer) for name, optimizer in optimizers_of(model).items()
    }
    loss = getattr(getattr(model, "_compile_config", None), "config", {}).get("loss")
    smoothing = {
        name: rate
        for name, one in _named(loss)
        if (rate := getattr(one, "label_smoothing", None) or getattr(one, "_fn_kwargs", {}).get("label_smoothing"))
    }
    return {
        "weight_decay": {name: plain(getattr(one, "weight_decay", None) or 0.0) for name, one in optimizers.items()},
        "gradient_clipping": {
            name: bounds
            for name, one in optimizers.items()
            if (bounds := {bound: getattr(one, bound) for bound in _CLIPPING if getattr(one, bound, None)})
        },
        "weight_averaging": {
            name: plain(one.ema_momentum) for name, one in optimizers.items() if getattr(one, "use_ema", False)
        },
        "label_smoothing": smoothing,
        "early_stopping": [_early_stopping(one) for one in siblings if isinstance(one, keras.callbacks.EarlyStopping)],
    }


def regularization_of_layers(model: Any) -> dict[str, Any]:
    """Penalties and constraints on weights, rates of dropout and noise, by layer; layers that normalise or augment."""
    found: dict[str, Any] = {"penalties": {}, "dropout": {}, "normalization": Counter(), "augmentation": []}
    for path, layer in leaf_layers(model):
        for part in parts_of(layer):
            name = path if part is layer else f"{path}/{part.name}"
            for kind, settings in (("penalties", attempt(penalties_of, part)), ("dropout", attempt(rates_of, part))):
                if settings:
                    found[kind][name] = settings
            if is_normalizing(part):
                found["normalization"][type(part).__name__] += 1
            if is_augmenting(part):
                found["augmentation"].append(name)
    return {**found, "normalization": dict(found["normalization"])}


def _named(loss: Any) -> list[tuple[str, Any]]:
    """The losses of a model by the names of its outputs, or by their places."""
    if isinstance(loss, dict):
        return [(str(name), one) for name, one in loss.items()]
    if isinstance(loss, (list, tuple)):
        return [(str(place), one) for place, one in enumerate(loss)]
    return [("loss", loss)]


def _early_stopping(callback: Any) -> dict[str, Any]:
    settings = {name: plain(getattr(callback, name, None)) for name in _STOPPING}
    return {"by": type(callback).__name__, **settings, "min_delta": abs(settings["min_delta"] or 0.0)}
