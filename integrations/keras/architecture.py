"""The architecture of a model as JSON, from which `keras.models.model_from_json` makes it again without its weights."""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from keras.src.utils import module_utils

from barograph.integrations.keras.layers import leaf_layers, parts_of
from barograph.integrations.keras.replacing import replaced

# Any, throughout: whatever users build models of
_MOST_CHARACTERS = 1 << 20
_MOST_LAYERS = 2_000  # each takes about 0.3 ms
_MOST_ITEMS = 50_000  # of arrays, lists and tables that layers are made with: Keras writes out every number


def architecture_json(model: Any) -> str | None:
    """What `model.to_json()` says of a model that is not compiled; None where it can say nothing, or too much.

    How it is compiled stands in the settings, and costs nothing here that cannot be written.
    """
    try:
        layers = [layer for _, layer in leaf_layers(model)]
        if len(layers) > _MOST_LAYERS or sum(map(_items, layers)) > _MOST_ITEMS:
            return None
        with without_tensorflow(), warnings.catch_warnings(), replaced(model, "get_compile_config", lambda: None):
            warnings.simplefilter("ignore")  # of every lambda that it is unsafe to load
            text = str(model.to_json())
    except Exception:  # noqa: BLE001  # a model of the user's own need not be able to say what it is made of
        return None
    return text if len(text) <= _MOST_CHARACTERS else None


def _items(layer: Any) -> int:
    """Numbers, names and the like that a layer, or an object that it was given, was made with."""
    owners = [owner for part in parts_of(layer) for owner in (part, *vars(part).values())]
    held = [value for one in owners if hasattr(one, "get_config") for value in vars(one).values()]
    return sum(_size(value) for value in held)


def _size(value: Any) -> int:
    if isinstance(value, (list, tuple, dict, set)):
        return len(value)
    if isinstance(value, keras.Variable):
        return 0  # a weight, of which Keras writes nothing
    return math.prod(value.shape) if isinstance(value, np.ndarray) or keras.ops.is_tensor(value) else 0


@contextmanager
def without_tensorflow() -> Iterator[None]:
    """Keep Keras from importing tensorflow to ask whether a setting is one of its: before that nothing can be."""
    lazy = module_utils.tensorflow
    if "tensorflow" in sys.modules or getattr(lazy, "_available", True) is not None:
        yield
        return
    lazy._available = False
    try:
        yield
    finally:
        lazy._available = None
