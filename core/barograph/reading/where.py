"""The small language in which runs are asked for: `val/loss < 0.2 and optimizer.lr = 1e-3 and not tag = draft`.

    condition   := alternative ("or" alternative)*
    alternative := part ("and" part)*
    part        := "not" part | "(" condition ")" | name operator value
    operator    := = != < <= > >= ~            ~ : contains, without regard to case
    name, value := a word, or anything in quotes

A name is status, id, name, project, group, tag, parent, created, duration_s, a key of the configuration (`lr`,
`optimizer.lr`, `config.lr`) or of a metric (`val/loss`, `metric.lr`: its last value). It is parsed and never evaluated.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

Lookup = Callable[[str], object]
Condition = Callable[[Lookup], bool]

MOST_LETTERS = 10_000
DEEPEST = 50

_TOKEN = re.compile(
    r"""\s*(?:(?P<quoted>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')"""
    r"""|(?P<operator>!=|<=|>=|==|=|<|>|~)|(?P<bracket>[()])|(?P<word>[^\s()=!<>~"']+))""",
    re.DOTALL,
)
_ORDERS: dict[str, Callable[[Any, Any], bool]] = {  # Any: two numbers or two texts
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_WORDS: dict[str, object] = {"true": True, "false": False, "none": None, "null": None}


def parse_where(text: str) -> Condition:
    """A condition from its text; ValueError with the place where it stops making sense."""
    if len(text) > MOST_LETTERS:
        raise ValueError(f"where: {len(text)} letters are more than the {MOST_LETTERS} that are read")
    return _Parser(text).condition()


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: list[tuple[str, str, int]] = []
        position = 0
        while position < len(text.rstrip()):
            match = _TOKEN.match(text, position)
            if match is None or match.lastgroup is None:
                raise self._error(position, "cannot be read")
            self._tokens.append((match.lastgroup, match[match.lastgroup], match.start(match.lastgroup)))
            position = match.end()
        self._next = 0

    def condition(self) -> Condition:
        found = self._either(0)
        if self._next < len(self._tokens):
            raise self._error(self._tokens[self._next][2], "expected 'and', 'or' or the end")
        return found

    def _either(self, depth: int) -> Condition:
        parts = [self._both(depth)]
        while self._take("word", "or"):
            parts.append(self._both(depth))
        return parts[0] if len(parts) == 1 else lambda lookup: any(part(lookup) for part in parts)

    def _both(self, depth: int) -> Condition:
        parts = [self._part(depth)]
        while self._take("word", "and"):
            parts.append(self._part(depth))
        return parts[0] if len(parts) == 1 else lambda lookup: all(part(lookup) for part in parts)

    def _part(self, depth: int) -> Condition:
        if depth > DEEPEST:
            raise ValueError(f"where: nested more than {DEEPEST} deep")
        if self._take("word", "not"):
            negated = self._part(depth + 1)
            return lambda lookup: not negated(lookup)
        if self._take("bracket", "("):
            inner = self._either(depth + 1)
            if not self._take("bracket", ")"):
                raise self._error(self._place(), "expected ')'")
            return inner
        name = self._operand("a name")
        symbol = self._take("operator")
        if symbol is None:
            raise self._error(self._place(), "expected one of = != < <= > >= ~")
        value = self._operand("a value")
        return _comparison(_unquoted(*name), symbol, _literal(*value))

    def _operand(self, what: str) -> tuple[str, str]:
        for kind in ("quoted", "word"):
            token = self._take(kind)
            if token is not None:
                return kind, token
        raise self._error(self._place(), f"expected {what}")

    def _take(self, kind: str, text: str | None = None) -> str | None:
        if self._next < len(self._tokens):
            found_kind, found, _ = self._tokens[self._next]
            if found_kind == kind and (text is None or found.lower() == text):
                self._next += 1
                return found
        return None

    def _place(self) -> int:
        return self._tokens[self._next][2] if self._next < len(self._tokens) else len(self._text)

    def _error(self, place: int, problem: str) -> ValueError:
        return ValueError(f"where: {problem} at letter {place + 1}: {self._text[:place]}>>>{self._text[place:]}")


def _unquoted(kind: str, text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL) if kind == "quoted" else text


def _literal(kind: str, text: str) -> object:
    if kind == "quoted":
        return _unquoted(kind, text)
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text


def _comparison(name: str, symbol: str, wanted: object) -> Condition:
    if name == "created" and isinstance(wanted, str):
        try:
            wanted = datetime.fromisoformat(wanted).timestamp()
        except ValueError:
            raise ValueError(
                f"where: created is compared with seconds or a date as 2026-01-31, not {wanted!r}"
            ) from None
    if symbol == "!=":
        return lambda lookup: not _holds(lookup(name), "=", wanted)
    return lambda lookup: _holds(lookup(name), symbol, wanted)


def _holds(found: object, symbol: str, wanted: object) -> bool:
    """Whether a comparison is true; a list (tags, lists in a configuration) is asked one by one."""
    if isinstance(found, (list, tuple)):
        return any(_holds(one, symbol, wanted) for one in found)
    if symbol == "~":
        return found is not None and str(wanted).lower() in str(found).lower()
    if symbol in ("=", "=="):
        if found is None or wanted is None or _are_numbers(found, wanted):
            return found == wanted
        return str(found) == str(wanted)
    if _are_numbers(found, wanted) or (isinstance(found, str) and isinstance(wanted, str)):
        return _ORDERS[symbol](found, wanted)
    return False


def _are_numbers(*values: object) -> bool:
    return all(isinstance(value, (int, float)) for value in values)
