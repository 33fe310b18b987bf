"""One difference between two runs, and how facts about runs are told apart."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from barograph.reading import RunView

# The higher, the likelier it is the reason why two trainings went apart; only the order matters.
CODE, DATA, PARAMETER, INPUT, ARGUMENT, SEED = 90, 85, 80, 75, 70, 65
VERSION, SWITCH, THREADS, HARDWARE, SURROUNDING, ASIDE = 60, 55, 50, 40, 20, 5

_ADDRESS = re.compile(r"\b0x[0-9a-fA-F]{6,}\b")
_LONGEST_VALUE = 60  # characters of a value in a sentence


@dataclass(frozen=True, slots=True)
class Change:
    """What two runs have in common, or have not.

    section: code, data, parameters, inputs, arguments, seeds or environment. kind: changed, added, removed or same.
    before, after: the values, None where there is none (Any: JSON). importance: greater is likelier to matter.
    text: the difference in words; of a file, as a unified diff.
    """

    section: str
    name: str
    kind: str
    before: Any
    after: Any
    importance: int
    text: str

    def as_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that is known of a run. compared: what two runs must agree in; value: what is shown. Any: JSON."""

    value: Any
    compared: str
    importance: int


Facts = dict[tuple[str, str], Fact]


class Neutral:
    """Takes out of a run's values what is its own in every run: its id and folders, and addresses in memory."""

    def __init__(self, view: RunView) -> None:
        environment = view.environment
        git, sources = environment.get("git"), environment.get("sources")
        own = {
            str(view.path): "<run>",
            view.id: "<run>",
            str(view.path.parent.parent): "<store>",
            _text(git, "root"): "<code>",
            _text(sources, "root"): "<code>",
            _text(environment, "folder"): "<folder>",
        }
        # A root of "/" would be found in every path.
        self._own = sorted(((text, mark) for text, mark in own.items() if len(text) > 1), key=lambda one: -len(one[0]))

    def __call__(self, value: Any) -> str:
        """The value as a text that is equal for equal meanings."""
        return json.dumps(self._taken_out(value), sort_keys=True, default=str)

    def fact(self, value: Any, importance: int) -> Fact:
        """A fact of this run."""
        return Fact(value, self(value), importance)

    def _taken_out(self, value: Any) -> Any:
        if isinstance(value, str):
            for text, mark in self._own:
                value = value.replace(text, mark)
            return _ADDRESS.sub("0x...", value)
        if isinstance(value, Mapping):
            return {self._taken_out(str(key)): self._taken_out(one) for key, one in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._taken_out(one) for one in value]
        if isinstance(value, float) and value.is_integer():
            return int(value)  # 1.0 and 1 are the same setting
        return value


def compared(before: list[Facts], after: list[Facts]) -> list[Change]:
    """The facts of two sides against each other; a side holds the facts of one run or of several alike."""
    names = dict.fromkeys(key for facts in [*before, *after] for key in facts)
    changes = []
    for section, name in names:
        old, new = _having(before, (section, name)), _having(after, (section, name))
        importance = (old or new)[0].importance
        kind = "same" if _values(old) == _values(new) else "changed" if old and new else "removed" if old else "added"
        shown = _shown(old), _shown(new)
        changes.append(Change(section, name, kind, *shown, importance, in_words(kind, *shown)))
    return changes


def in_words(kind: str, before: Any, after: Any) -> str:
    """A difference of two values as one reads it."""
    if kind == "same":
        return short(after)
    if kind == "changed" and isinstance(before, dict) and isinstance(after, dict):
        names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
        return ", ".join(f"{name} {_either(before, name)} → {_either(after, name)}" for name in names)
    if kind == "added":
        return f"(none) → {short(after)}"
    if kind == "removed":
        return f"{short(before)} → (none)"
    return f"{short(before)} → {short(after)}"


def short(value: Any) -> str:
    """A value in at most a few words."""
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 3]}..."


def _either(values: dict[str, Any], name: str) -> str:
    return short(values[name]) if name in values else "(none)"


def by_importance(changes: Iterable[Change]) -> list[Change]:
    """What most likely matters first."""
    return sorted(changes, key=lambda change: (-change.importance, change.section, change.name))


def _having(side: list[Facts], key: tuple[str, str]) -> list[Fact]:
    return [facts[key] for facts in side if key in facts]


def _values(facts: list[Fact]) -> set[str]:
    return {fact.compared for fact in facts}


def _shown(facts: list[Fact]) -> Any:
    """The value of a side, or the list of its values where its runs differ."""
    by_value = {fact.compared: fact.value for fact in facts}
    values = [by_value[text] for text in sorted(by_value)]
    return values[0] if len(values) == 1 else values or None


def _text(mapping: Any, name: str) -> str:
    value = mapping.get(name) if isinstance(mapping, Mapping) else None
    return value if isinstance(value, str) else ""
