"""The layers of a model, one by one: as a table, and with the activation functions and the regularisation in them."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator
from typing import Any

import keras

from barograph.integrations.keras.plain import attempt, plain

# Any, throughout: whatever users build models of
_ACTIVATIONS = ("activation", "recurrent_activation")
_RATES = ("rate", "stddev", "dropout", "recurrent_dropout")  # the first two only in layers that exist for it


def leaf_layers(model: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Path and layer of all that are not models themselves."""
    for layer in model.layers:
        if getattr(layer, "layers", None):
            yield from leaf_layers(layer, f"{prefix}{layer.name}/")
        else:
            yield prefix + layer.name, layer


def layer_table(model: Any) -> list[dict[str, Any]]:
    """The layers of a built model, one row each."""
    return [
        {
            "layer": path,
            "class": type(layer).__name__,
            "output_shape": _known(_output_shape, layer),
            "parameters": count(layer.weights),
            "trainable_parameters": count(layer.trainable_weights),
            "activation": ", ".join(dict.fromkeys(activations_of(layer))) or None,
            "regularization": attempt(_regularization, layer),
        }
        for path, layer in leaf_layers(model)
    ]


def activations_of(layer: Any) -> list[str]:
    """The names of the activation functions in a layer, or that it is; also those of the layers that it wraps."""
    found = []
    for part in parts_of(layer):
        functions = [getattr(part, name, None) for name in _ACTIVATIONS]
        found += [str(getattr(one, "__name__", type(one).__name__)) for one in functions if one is not None]
        if _is_of(part, "activations") and not hasattr(part, "activation"):
            found.append(type(part).__name__)
    return found


def penalties_of(layer: Any) -> dict[str, Any]:
    """Regularizers and constraints of a layer's weights and output, by the names of its arguments."""
    names = [
        name for name in inspect.signature(type(layer)).parameters if name.endswith(("_regularizer", "_constraint"))
    ]
    settings = {name: getattr(layer, name, None) for name in [*names, "activity_regularizer"]}
    return {name: plain(setting) for name, setting in settings.items() if setting is not None}


def rates_of(layer: Any) -> dict[str, float]:
    """At which rates a layer drops what passes, or how much noise it adds."""
    names = _RATES if "Dropout" in type(layer).__name__ or "Noise" in type(layer).__name__ else _RATES[2:]
    rates = {name: getattr(layer, name, None) for name in names}
    return {name: float(rate) for name, rate in rates.items() if isinstance(rate, (int, float)) and rate > 0}


def parts_of(layer: Any) -> list[Any]:
    """A layer and all that it wraps, but for the cells of recurrent layers that say the same themselves."""
    parts = [layer, *layer._flatten_layers(include_self=False)]
    cells = [getattr(part, "cell", None) for part in parts if type(part) is not keras.layers.RNN]
    return [part for part in parts if not any(part is cell for cell in cells)]


def is_augmenting(layer: Any) -> bool:
    """Whether a layer changes its inputs at random in training."""
    return _is_of(layer, "preprocessing") and type(layer).__name__.startswith(("Random", "MixUp", "CutMix", "AugMix"))


def is_normalizing(layer: Any) -> bool:
    """Whether a layer normalises what passes, with what it sees of it."""
    return _is_of(layer, "normalization")


def count(weights: list[Any]) -> int:
    """Elements of all these weights."""
    return sum(math.prod(weight.shape) for weight in weights)


def _regularization(layer: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for part in parts_of(layer):
        found |= penalties_of(part) | rates_of(part)
    return found


def _is_of(layer: Any, room: str) -> bool:
    return str(type(layer).__module__).startswith(f"keras.src.layers.{room}.")


def _known(part: Callable[[Any], Any], layer: Any) -> Any:
    value = attempt(part, layer)
    return None if isinstance(value, dict) else value


def _output_shape(layer: Any) -> str:
    try:
        shapes = keras.tree.map_structure(lambda tensor: tuple(tensor.shape), layer.output)
    except AttributeError:  # a layer of a subclassed model: it was built, and is no node of a graph
        shapes = layer.compute_output_shape(**layer._build_shapes_dict)
    return str(shapes)
