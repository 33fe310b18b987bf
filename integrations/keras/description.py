"""What was trained and how, as settings: model, optimiser, arguments, data, the other callbacks, Keras itself.

Every part stands alone: what a user's layer, loss or data set raises when asked costs that part and nothing else.
Objects are described by the arguments of their class, as far as they keep them, and never by Keras' serialisation: that
imports tensorflow if it is installed, whatever the back end, and cannot write every lambda.
"""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from barograph.integrations.keras.batches import Batches
from barograph.integrations.keras.calls import Call
from barograph.integrations.keras.optimizers import number, optimizers_of

# Any, throughout: whatever users build models, losses and data sets of
_DATA = ("x", "y", "sample_weight", "validation_data")
_UNSHOWN = (keras.callbacks.History, keras.callbacks.ProgbarLogger)
_REGULARIZERS = ("kernel_regularizer", "bias_regularizer", "recurrent_regularizer", "activity_regularizer")
_RATES = ("rate", "dropout", "recurrent_dropout")  # "rate" means dropout in the Dropout layers only
_MISSING = object()
_ITEMS = 20  # described of a list


def describe(model: Any, call: Call, batches: Batches, recorder: object) -> dict[str, Any]:
    """The settings of a fit, without the model's layers. recorder: the callback that asks."""
    return {
        "framework": _try(_framework),
        "optimizer": _try(_optimizer, model),
        "compile": _try(_compile, model),
        "fit": {name: _try(plain, value) for name, value in call.arguments.items() if name not in _DATA},
        "data": {name: _try(_data, call.arguments[name]) for name in _DATA if call.arguments.get(name) is not None}
        | _sizes(batches),
        "callbacks": [_try(_arguments, one) for one in call.siblings if _is_shown(one, recorder)],
    }


def describe_model(model: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What a built model is: settings, and its layers, one row each."""
    rows = _layers(model)
    activations: dict[str, int] = {}
    for row in rows:
        if row["activation"] is not None:
            activations[row["activation"]] = activations.get(row["activation"], 0) + 1
    settings = {
        "name": model.name,
        "class": type(model).__name__,
        "layers": len(rows),
        "parameters": _count(model.weights),
        "trainable_parameters": _count(model.trainable_weights),
        "activations": activations,
        "regularization": {row["layer"]: row["regularization"] for row in rows if row["regularization"]},
        "dtype_policy": model.dtype_policy.name,
        "jit_compile": bool(model.jit_compile),
        "run_eagerly": bool(model.run_eagerly),
    }
    return settings, rows


def summary_text(settings: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    """The layers as a table to read; Keras' own is as wide as the terminal happens to be."""
    head = ("layer", "class", "output_shape", "parameters", "activation")
    cells = [head] + [tuple("" if row[name] is None else str(row[name]) for name in head) for row in rows]
    widths = [max(len(line[column]) for line in cells) for column in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    counts = f"{settings['parameters']:,} parameters, {settings['trainable_parameters']:,} of them trainable"
    return "\n".join([f"{settings['class']} {settings['name']}", *lines, counts])


def plain(value: Any) -> Any:
    """A setting as a person would write it: objects by class and settings, functions by name, arrays by shape."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return _shortest(value)
    if isinstance(value, dict):
        return {name: plain(setting) for name, setting in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value[:_ITEMS]]
    if hasattr(value, "shape"):
        return _data(value) if len(value.shape) else _shortest(number(value))
    if hasattr(value, "get_config") and not isinstance(value, (type, keras.Layer, keras.DTypePolicy)):
        return _arguments(value)
    return str(getattr(value, "__name__", None) or getattr(value, "name", None) or f"<{type(value).__name__}>")


def _try(part: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return part(*arguments)
    except Exception as error:  # noqa: BLE001  # a user's class may raise anything when asked for its settings
        return {"unreadable": f"{type(error).__name__}: {error}"}


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
    return {name: _try(plain, value) for name, value in arguments.items() if name != "optimizer"}


def _is_shown(callback: object, recorder: object) -> bool:
    return callback is not recorder and not isinstance(callback, _UNSHOWN)


def _arguments(value: Any) -> dict[str, Any]:
    """Class and arguments of an object, as far as it keeps them under their names, with or without an underscore."""
    kept: dict[str, Any] = {"class": type(value).__name__}
    for name in inspect.signature(type(value)).parameters:
        setting = getattr(value, f"_{name}", _MISSING)  # first: an optimiser's learning_rate is not its schedule
        setting = getattr(value, name, _MISSING) if setting is _MISSING else setting
        if setting is not _MISSING:
            kept[name] = plain(setting)
    return kept


def _sizes(batches: Batches) -> dict[str, int | None]:
    count = batches.in_epoch
    samples = batches.samples(count) if count else None
    return {"batch_size": batches.size, "batches_per_epoch": count, "samples": samples}


def _data(data: Any) -> Any:
    if isinstance(data, dict):
        return {str(name): _data(part) for name, part in data.items()}
    if isinstance(data, (list, tuple)) and len(data) <= _ITEMS and all(hasattr(part, "shape") for part in data):
        return [_data(part) for part in data]
    about: dict[str, Any] = {"class": f"{type(data).__module__}.{type(data).__qualname__}"}
    if hasattr(data, "shape"):
        about |= {"shape": [None if size is None else int(size) for size in data.shape], "dtype": str(data.dtype)}
    return about


def _layers(model: Any, prefix: str = "") -> list[dict[str, Any]]:
    rows = []
    for layer in model.layers:
        if getattr(layer, "layers", None):
            rows += _layers(layer, f"{prefix}{layer.name}/")
        else:
            rows.append(
                {
                    "layer": prefix + layer.name,
                    "class": type(layer).__name__,
                    "output_shape": _known(_output_shape, layer),
                    "parameters": _count(layer.weights),
                    "trainable": bool(layer.trainable),
                    "activation": _activation(layer),
                    "regularization": _try(_regularization, layer),
                }
            )
    return rows


def _known(part: Callable[[Any], Any], layer: Any) -> Any:
    value = _try(part, layer)
    return None if isinstance(value, dict) else value


def _count(weights: list[Any]) -> int:
    return sum(math.prod(weight.shape) for weight in weights)


def _output_shape(layer: Any) -> str:
    try:
        shapes = keras.tree.map_structure(lambda tensor: tuple(tensor.shape), layer.output)
    except AttributeError:  # a layer of a subclassed model: it was built, and is no node of a graph
        shapes = layer.compute_output_shape(**layer._build_shapes_dict)
    return str(shapes)


def _activation(layer: Any) -> str | None:
    activation = getattr(layer, "activation", None)
    if activation is None:
        return None
    return str(getattr(activation, "__name__", type(activation).__name__))


def _regularization(layer: Any) -> dict[str, Any]:
    found = {name: plain(getattr(layer, name)) for name in _REGULARIZERS if getattr(layer, name, None) is not None}
    for name in _RATES if "Dropout" in type(layer).__name__ else _RATES[1:]:
        rate = getattr(layer, name, None)
        if isinstance(rate, float) and rate > 0:
            found[name] = rate
    return found


def _shortest(value: float) -> float:
    """0.001 for 0.0010000000474974513: Keras keeps settings in float32 and gives them back as doubles."""
    with np.errstate(over="ignore"):
        single = np.float32(value)
    return float(str(single)) if float(single) == value else value
