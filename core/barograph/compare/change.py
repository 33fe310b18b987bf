"""One difference between two runs, and how facts about runs are told apart."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from barograph.reading import RunView

# The higher, the likelier it is the reason why two trainings went apart; only the order matters.
CODE, DATA, PARAMETER, INPUT, ARGUMENT, SEED = 90, 85, 80, 75, 70, 65
VERSION, SWITCH, THREADS, HARDWARE, SURROUNDING, ASIDE = 60, 55, 50, 40, 20, 5

# The parts of what is in memory: that something was not, or not yet, imported makes no difference by itself.
LOADED, LIBRARIES = "loaded", "libraries"

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
    """Something that is known of a run. compared: what two runs must agree in; value: what is shown. Any: JSON.

    part: of what was captured, so that it is known whether another run could have it.
    """

    value: Any
    compared: str
    importance: int
    part: str


Told = Iterator[tuple[str, str, Any, int]]  # section, name, value (Any: JSON), importance


@dataclass(slots=True)
class Facts:
    """What is known of one run, by section and name. unknown: the parts that were not captured."""

    values: dict[tuple[str, str], Fact] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)

    def take(self, part: str, told: Told, neutral: Neutral, *, is_known: bool = True) -> None:
        """Add the facts of a part."""
        if not is_known:
            self.unknown.add(part)
            return
        for section, name, value, importance in told:
            if value not in (None, {}, []):
                self.values[section, name] = Fact(value, neutral(value), importance, part)


class Neutral:
    """Takes out of a run's values what is its own in every run: its id and folders, and addresses in memory."""

    def __init__(self, view: RunView) -> None:
        environment = view.environment
        git, sources = mapping(environment, "git"), mapping(environment, "sources")
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


def compared(before: Sequence[Facts], after: Sequence[Facts]) -> list[Change]:
    """The facts of two sides against each other; a side holds the facts of one run or of several alike."""
    names = dict.fromkeys(key for facts in [*before, *after] for key in facts.values)
    changes = []
    for key in names:
        old, new = _having(before, key), _having(after, key)
        part = (old or new)[0].part
        if any(part in facts.unknown for facts in [*before, *after]):
            continue
        kind = (
            "same" if _compared(old) == _compared(new) else "changed" if old and new else "removed" if old else "added"
        )
        if part in (LOADED, LIBRARIES) and kind in ("added", "removed"):
            continue
        shown = _shown(old), _shown(new)
        changes.append(Change(*key, kind, *shown, (old or new)[0].importance, in_words(kind, *shown)))
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


def _having(side: Sequence[Facts], key: tuple[str, str]) -> list[Fact]:
    return [facts.values[key] for facts in side if key in facts.values]


def _compared(facts: list[Fact]) -> set[str]:
    return {fact.compared for fact in facts}


def _shown(facts: list[Fact]) -> Any:
    """The value of a side, or the list of its values where its runs differ."""
    by_value = {fact.compared: fact.value for fact in facts}
    values = [by_value[text] for text in sorted(by_value)]
    return values[0] if len(values) == 1 else values or None


def mapping(environment: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A part of a run's environment; empty if it is none."""
    value = environment.get(name)
    return value if isinstance(value, Mapping) else {}


def _text(part: Mapping[str, Any], name: str) -> str:
    value = part.get(name)
    return value if isinstance(value, str) else ""
