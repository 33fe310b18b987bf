"""One call of log(), taken apart: doubles, texts, numbers still on a device, and what there is to warn about."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from barograph.values import Deferred, clean_key, convert, readable


class Entry(NamedTuple):
    """What a journal can keep of one call."""

    names: list[str]
    values: list[float]
    texts: list[tuple[str, str]]
    arriving: dict[str, Deferred]


def take_apart(metrics: Any, warn: Callable[[str, str], None]) -> Entry:
    """Convert whatever a user logged. metrics: anything like a mapping. warn: told a kind and a sentence."""
    entry = Entry([], [], [], {})
    for key, value in _items(metrics):
        name, problem = clean_key(key)
        if problem:
            warn("key", f"a metric's name {problem} ({readable(name, 60)!r})")
        converted = convert(value)
        if converted.problem:
            warn("value", f"{readable(name, 60)!r} {converted.problem}")
        if converted.text is not None:
            entry.texts.append((name, converted.text))
        if isinstance(converted.number, float):
            entry.names.append(name)
            entry.values.append(converted.number)
        elif converted.number is not None:
            entry.arriving[name] = converted.number
    return entry


def _items(metrics: Any) -> Iterable[tuple[object, object]]:
    """The items of anything like a mapping, even while another thread changes it."""
    if not hasattr(metrics, "items"):
        return [(f"(not a mapping: {type(metrics).__name__})", metrics)]
    for _ in range(100):
        try:
            return list(metrics.items())
        except RuntimeError:  # changed size during iteration
            continue
    return list(metrics.copy().items())
