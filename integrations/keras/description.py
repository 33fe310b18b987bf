"""What was trained and how, as settings: model, optimiser, arguments, data, the other callbacks, Keras itself.

Every part stands alone: what a user's layer, loss or data set raises when asked costs that part and nothing else.
"""

from __future__ import annotations

import sys
from collections import Counter
from typing import Any

import keras

from barograph.integrations.keras.batches import Batches
from barograph.integrations.keras.calls import Call
from barograph.integrations.keras.layers import activations_of, count, layer_table, leaf_layers
from barograph.integrations.keras.optimizers import optimizers_of
from barograph.integrations.keras.plain import arguments_of, attempt, plain, plain_data
from barograph.integrations.keras.regularization import regularization_of_fit, regularization_of_layers

# Any, throughout: whatever users build models, losses and data sets of
DATA = ("x", "y", "sample_weight", "validation_data")
_UNSHOWN = (keras.callbacks.History, keras.callbacks.ProgbarLogger)


def describe(model: Any, call: Call, batches: Batches, recorder: object) -> dict[str, Any]:
    """The settings of a fit, without the model's layers. recorder: the callback that asks."""
    arguments = call.arguments
    return {
        "framework": attempt(_framework),
        "optimizer": attempt(_optimizer, model),
        "compile": attempt(_compile, model),
        "fit": {name: attempt(plain, value) for name, value in arguments.items() if name not in DATA},
        "data": {name: attempt(plain_data, arguments[name]) for name in DATA if arguments.get(name) is not None}
        | _sizes(batches),
        "callbacks": [attempt(arguments_of, one) for one in call.siblings if _is_shown(one, recorder)],
        "regularization": attempt(regularization_of_fit, model, call.siblings),
    }


def describe_use(model: Any) -> dict[str, Any]:
    """The settings of a model that is evaluated or asked without a fit."""
    compiled = {"compile": attempt(_compile, model)} if getattr(model, "compiled", False) else {}
    return {"framework": attempt(_framework), **compiled}


def describe_model(model: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What a built model is: settings (of itself, and of its regularisation), and its layers, one row each."""
    rows = layer_table(model)
    activations: Counter[str] = Counter()
    for _, layer in leaf_layers(model):
        activations.update(activations_of(layer))
    settings = {
        "name": model.name,
        "class": type(model).__name__,
        "layers": len(rows),
        "parameters": count(model.weights),
        "trainable_parameters": count(model.trainable_weights),
        "activations": dict(activations),
        "dtype_policy": model.dtype_policy.name,
        "jit_compile": bool(model.jit_compile),
        "run_eagerly": bool(model.run_eagerly),
    }
    return {"model": settings, "regularization": attempt(regularization_of_layers, model)}, rows


def summary_text(settings: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    """The layers as a table to read; Keras' own is as wide as the terminal happens to be."""
    head = ("layer", "class", "output_shape", "parameters", "activation")
    cells = [head] + [tuple("" if row[name] is None else str(row[name]) for name in head) for row in rows]
    widths = [max(len(line[column]) for line in cells) for column in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    counts = f"{settings['parameters']:,} parameters, {settings['trainable_parameters']:,} of them trainable"
    return "\n".join([f"{settings['class']} {settings['name']}", *lines, counts])


def _framework() -> dict[str, Any]:
    backend = keras.backend.backend()
    return {
        "name": "keras",
        "version": keras.__version__,
        "backend": backend,
        "backend_version": getattr(sys.modules.get(backend), "__version__", None),  # Keras has imported it
        "floatx": keras.config.floatx(),
        "image_data_format": keras.config.image_data_format(),
    }


def _optimizer(model: Any) -> Any:
    described = {name: plain(optimizer) for name, optimizer in optimizers_of(model).items()}
    return described.get("default") if list(described) == ["default"] else described


def _compile(model: Any) -> dict[str, Any]:
    arguments = model._compile_config.config
    return {name: attempt(plain, value) for name, value in arguments.items() if name != "optimizer"}


def _is_shown(callback: object, recorder: object) -> bool:
    return callback is not recorder and not isinstance(callback, _UNSHOWN)


def _sizes(batches: Batches) -> dict[str, int | None]:
    total = batches.in_epoch
    samples = batches.samples(total) if total else None
    return {"batch_size": batches.size, "batches_per_epoch": total, "samples": samples}
