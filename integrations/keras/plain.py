"""Settings as a person would write them, of objects that may be anything a user has built."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from barograph.integrations.keras.optimizers import number
from barograph.values import readable

_MISSING = object()
ITEMS = 20  # described of a list
_ERROR_LIMIT = 300  # characters


def plain(value: Any) -> Any:
    """A setting as a person would write it: objects by class and settings, functions by name, arrays by shape."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return _shortest(value)
    if isinstance(value, dict):
        return {name: plain(setting) for name, setting in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value[:ITEMS]]
    if hasattr(value, "shape"):
        return plain_data(value) if len(value.shape) else _shortest(number(value))
    if hasattr(value, "get_config") and not isinstance(value, (type, keras.Layer, keras.DTypePolicy)):
        return arguments_of(value)
    return str(getattr(value, "__name__", None) or getattr(value, "name", None) or f"<{type(value).__name__}>")


def plain_data(data: Any) -> Any:
    """Data by class, and arrays by shape and type as well."""
    if isinstance(data, dict):
        return {str(name): plain_data(part) for name, part in data.items()}
    if isinstance(data, (list, tuple)) and len(data) <= ITEMS and all(hasattr(part, "shape") for part in data):
        return [plain_data(part) for part in data]
    about: dict[str, Any] = {"class": class_of(data)}
    if hasattr(data, "shape"):
        about |= {"shape": [None if size is None else int(size) for size in data.shape], "dtype": str(data.dtype)}
    return about


def arguments_of(value: Any) -> dict[str, Any]:
    """Class and arguments of an object, as far as it keeps them under their names, with or without an underscore.

    Never by Keras' serialisation: that imports tensorflow if it is installed, whatever the back end, and cannot write
    every lambda.
    """
    kept: dict[str, Any] = {"class": type(value).__name__}
    for name in inspect.signature(type(value)).parameters:
        setting = getattr(value, f"_{name}", _MISSING)  # first: an optimiser's learning_rate is not its schedule
        setting = getattr(value, name, _MISSING) if setting is _MISSING else setting
        if setting is not _MISSING:
            kept[name] = plain(setting)
    return kept


def class_of(value: Any) -> str:
    """Module and name of the class of an object."""
    return f"{type(value).__module__}.{type(value).__qualname__}"


def short_of(error: BaseException) -> str:
    """An exception in a line: frameworks tell half a page."""
    return f"{type(error).__name__}: {readable(' '.join(readable(error).split()), _ERROR_LIMIT)}"


def attempt(part: Callable[..., Any], *arguments: Any) -> Any:
    """What a part of a description gives; what it raises costs that part and nothing else."""
    try:
        return part(*arguments)
    except Exception as error:  # noqa: BLE001  # a user's class may raise anything when asked for its settings
        return {"unreadable": f"{type(error).__name__}: {error}"}


def _shortest(value: float) -> float:
    """0.001 for 0.0010000000474974513: Keras keeps settings in float32 and gives them back as doubles."""
    with np.errstate(over="ignore"):
        single = np.float32(value)
    return float(str(single)) if float(single) == value else value
