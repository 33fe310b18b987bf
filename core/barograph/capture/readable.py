"""What is inside an object of any library, and what a person would call it; without importing a library to find out."""

import dataclasses
import datetime
import enum
import math
import numbers
import os
import re
import types
from collections import UserString, deque
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from operator import getitem
from typing import Any, NamedTuple

_SMALL_ARRAY = 64  # elements: a list of class weights or milestones, not data
_MOST_SORTED = 10_000  # a larger set is cut anyway, and sorting it takes long
_ATOMS = (type(None), bool, int, float, str, bytes)
_NO_CONTENTS = (str, UserString, bytes, bytearray, memoryview, range, type, enum.Enum, os.PathLike)
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")  # another one in every run, and of use in none


class Contents(NamedTuple):
    """What a container holds: pairs of name and value, the names None in a list. length: None if it cannot be told."""

    pairs: Iterator[tuple[object, object]]
    has_names: bool
    length: int | None


class Failed:
    """Stands for a value that raised when it was asked for."""

    def __init__(self, error: Exception) -> None:
        self.error = error


def contents_of(value: Any) -> Contents | None:
    """The contents of anything that has some; None for what is one thing. May raise whatever the object raises."""
    kind = type(value)
    if kind in _ATOMS:
        return None
    if kind is dict:
        return _named(iter(value.items()), value)
    if kind in (list, tuple):
        return _listed(iter(value), value)
    if _is_array(kind):
        elements = _small_array(value)
        return contents_of(elements) if isinstance(elements, list) else None
    if isinstance(value, _NO_CONTENTS) or _is_frame(kind):
        return None
    if isinstance(value, Mapping) or (hasattr(kind, "keys") and hasattr(kind, "__getitem__")):
        return _named(((key, _get(getitem, value, key)) for key in value.keys()), value)  # noqa: SIM118  # not all can be iterated
    if isinstance(value, tuple) and hasattr(kind, "_fields"):
        return _named(zip(kind._fields, value, strict=False), value)
    if isinstance(value, Set):
        return _listed(_sorted(value), value)
    if isinstance(value, (tuple, deque)):
        return _listed(iter(value), value)
    if isinstance(value, Sequence):
        return _listed((_get(getitem, value, place) for place in range(len(value))), value)
    names = _attributes(value)
    if names is not None:
        return Contents(((name, _get(getattr, value, name)) for name in names), True, len(names))
    return None


def simple_value(value: object) -> bool | int | float | str | None:
    """A number, or the text that a person would write for a value; None where there is neither. May raise."""
    kind = type(value)
    if isinstance(value, str):  # before the next: a member that is a text is meant as one
        return str.__str__(value)
    if isinstance(value, enum.Enum):
        return str(value) if value.name is None else f"{kind.__name__}.{value.name}"
    if isinstance(value, (bool, int)):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if _is_array(kind):
        element = _small_array(value)
        return None if isinstance(element, list) else element
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, os.PathLike):
        return os.fsdecode(value)
    if isinstance(value, (UserString, numbers.Number, datetime.timedelta, range, slice)):
        return str(value)
    if kind.__name__.lower().endswith(("dtype", "device", "uuid")):  # of torch, numpy, jax, and the standard library's
        return str(value)
    return None


def tag(value: object) -> str:
    """A text in angle brackets that says what an object is. May raise whatever its repr raises."""
    kind = type(value)
    if isinstance(value, Failed):
        return f"<{type(value.error).__name__}: {value.error}>"
    if isinstance(value, type):
        return f"<class {value.__module__}.{value.__qualname__}>"
    if isinstance(value, types.ModuleType):
        return f"<module {value.__name__}>"
    if isinstance(value, (types.FunctionType, types.BuiltinFunctionType, types.MethodType)):
        return f"<function {value.__module__}.{value.__qualname__}>"
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"<{len(value)} bytes: {bytes(value[:32]).hex()}>"
    if _is_array(kind) or _is_frame(kind):
        about: Any = value
        where = "" if _is_on_cpu(value) else f" on {about.device}"
        return f"<{class_name(value)} {getattr(about, 'dtype', '')} {tuple(about.shape)}{where}>"
    text = _ADDRESS.sub("", repr(value))
    return text if text.startswith("<") and text.endswith(">") else f"<{class_name(value)}: {text}>"


def class_name(value: object) -> str:
    """The name of a value's class as it is imported; without the module for built-in ones."""
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _named(pairs: Iterator[tuple[object, object]], value: object) -> Contents:
    return Contents(pairs, True, _length(value))


def _listed(values: Iterator[object], value: object) -> Contents:
    return Contents(((None, item) for item in values), False, _length(value))


def _length(value: Any) -> int | None:
    try:
        return len(value)
    except Exception:  # noqa: BLE001  # a user's class
        return None


def _get(get: Callable[[Any, Any], object], container: object, key: object) -> object:
    """An item or attribute, or what stands for one that cannot be had, as a missing interpolation of OmegaConf."""
    try:
        return get(container, key)
    except Exception as error:  # noqa: BLE001  # a user's class
        return Failed(error)


def _sorted(values: Set[Any]) -> Iterator[object]:
    """In an order that is the same in every process, if there is one: text is hashed anew in each."""
    try:
        return iter(sorted(values) if len(values) <= _MOST_SORTED else values)
    except Exception:  # noqa: BLE001  # no order between what it holds
        return iter(values)


def _attributes(value: object) -> list[str] | None:
    """Names of the settings an object holds: dataclass, attrs, pydantic, namespaces of argparse and others."""
    kind = type(value)
    if dataclasses.is_dataclass(kind):
        return [field.name for field in dataclasses.fields(kind)]
    if hasattr(kind, "__attrs_attrs__"):
        return [field.name for field in kind.__attrs_attrs__]
    is_pydantic = hasattr(kind, "__pydantic_fields__") or hasattr(kind, "__fields_set__")
    is_namespace = isinstance(value, types.SimpleNamespace) or "Namespace" in (base.__name__ for base in kind.__mro__)
    if is_pydantic or is_namespace:
        return [*vars(value), *(getattr(value, "__pydantic_extra__", None) or ())]
    return None


def _is_array(kind: type) -> bool:
    return hasattr(kind, "shape") and hasattr(kind, "dtype")


def _is_frame(kind: type) -> bool:
    return hasattr(kind, "shape") and hasattr(kind, "dtypes")  # pandas, polars


def _small_array(value: Any) -> Any:
    """Elements as numbers and lists; None for a large array, one on a device, and one that is not computed yet."""
    try:
        if math.prod(value.shape) > _SMALL_ARRAY or not _is_on_cpu(value):
            return None
        elements = value.tolist() if hasattr(value, "tolist") else value.numpy().tolist()
    except Exception:  # noqa: BLE001  # symbolic, traced, sparse, or a file that is closed
        return None
    if isinstance(elements, (bool, int, float, str, list)) and type(elements) is not type(value):
        return elements
    return str(elements)  # complex, dates, and numbers that are wider than Python's


def _is_on_cpu(value: object) -> bool:
    return "cpu" in str(getattr(value, "device", "cpu")).lower()
