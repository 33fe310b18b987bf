"""Any configuration as JSON: what is no JSON becomes readable text, and what is too much is left out and said so."""

import itertools
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from barograph.capture.readable import Contents, Failed, class_name, contents_of, simple_value, tag

Json = Any  # None, bool, int, float, str, list or dict of these; mypy's recursive aliases would hinder every caller

_SMALLEST_SHARE = 64
_LARGEST_INTEGER_BITS = 256


class Limits(NamedTuple):
    """How much of a value is kept.

    depth: containers inside each other. leaves: values in all. text: characters in all. string: characters of one text.
    tag: characters of a key, or of a text that stands for an object.
    """

    depth: int = 20
    leaves: int = 10_000
    text: int = 1024 * 1024
    string: int = 64 * 1024
    tag: int = 1024


_DEFAULT = Limits()


class Plain(NamedTuple):
    """A value as JSON; and, in the words of a sentence's end, what could not be kept of it, or None."""

    value: Json
    problem: str | None


def to_plain(value: object, limits: Limits = _DEFAULT) -> Plain:
    """A value as JSON, within limits, whatever it is. Raises nothing, changes nothing, waits for no device.

    Kept as they are: None, bool, int, float with NaN and infinities, str with lone surrogates. Containers, dataclasses,
    pydantic and attrs objects, namespaces and mappings of all kinds become dicts and lists, their keys text; dates,
    paths, Decimal, members of enumerations and the like what a person would write; small arrays on the CPU lists.
    Everything else becomes a text in angle brackets that says what it was.

    In a container that is too large the plain values are kept before the nested ones, and these share the room that is
    left: a list of a million indices never displaces a learning rate. A last entry says how many are missing.
    """
    conversion = _Conversion(limits)
    try:
        plain, _ = conversion.convert(value, limits.leaves, ())
    except Exception as error:  # noqa: BLE001  # RecursionError, where the caller has all but used up the stack
        return Plain(f"<{class_name(value)}>", f"could not be read ({type(error).__name__})")
    return Plain(plain, conversion.problem())


class _Conversion:
    """One call of `to_plain()`: what is left of its limits."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._text_left = limits.text
        self._is_cut = False

    def problem(self) -> str | None:
        """What was left out, for a warning."""
        limits = self._limits
        limited = f"{limits.leaves} values, {limits.text} characters, {limits.depth} levels"
        return f"is too large and was cut (limits: {limited})" if self._is_cut else None

    def convert(self, value: object, room: int, above: tuple[int, ...]) -> tuple[Json, int]:
        """JSON, and how many leaves it has; at most `room`. above: ids of the containers around it."""
        contents = self._contents(value)
        if contents is None:
            return self._leaf(value), 1
        if id(value) in above:
            return f"<the {class_name(value)} {len(above) - above.index(id(value))} levels above>", 1
        if len(above) >= self._limits.depth:
            self._is_cut = True
            return f"<{class_name(value)} more than {self._limits.depth} levels deep>", 1
        return self._container(contents, room, (*above, id(value)))

    def _container(self, contents: Contents, room: int, above: tuple[int, ...]) -> tuple[Json, int]:
        entries = self._take(contents.pairs, room)
        plain: dict[int, Json] = {}
        nested = []
        for place, (_, item) in enumerate(entries):
            if self._contents(item) is not None:
                nested.append(place)
            elif len(plain) < room and self._text_left > 0:
                plain[place] = self._leaf(item)
        used = len(plain)
        for waiting, place in zip(range(len(nested), 0, -1), nested, strict=True):
            if used >= room or self._text_left <= 0:
                break
            share = min(room - used, max(_SMALLEST_SHARE, (room - used) // waiting))
            plain[place], leaves = self.convert(entries[place][1], share, above)
            used += leaves
        missing = (contents.length if contents.length is not None else len(entries)) - len(plain)
        self._is_cut = self._is_cut or missing > 0
        rest = f"<{missing} more left out>"
        if not contents.has_names:
            return [plain[place] for place in sorted(plain)] + ([rest] if missing > 0 else []), max(1, used)
        named: dict[str, Json] = {}
        for place in sorted(plain):
            named[self._key(entries[place][0], named)] = plain[place]
        if missing > 0:
            named["..."] = rest
        return named, max(1, used)

    def _contents(self, value: object) -> Contents | None:
        try:
            return contents_of(value)
        except Exception:  # noqa: BLE001  # a user's object may raise anything from any method
            return None

    def _take(self, pairs: Iterator[tuple[object, object]], room: int) -> list[tuple[object, object]]:
        """So many entries and one more; where the container fails, those before and the failure."""
        taken: list[tuple[object, object]] = []
        try:
            taken.extend(itertools.islice(pairs, room + 1))
        except Exception as error:  # noqa: BLE001  # as above
            taken.append(("...", Failed(error)))
        return taken

    def _leaf(self, value: object) -> Json:
        kind = type(value)
        if value is None or kind is bool or kind is float:
            return value
        try:
            simple = value if kind is str or kind is int else simple_value(value)
            if isinstance(simple, str):
                return self._string(simple, self._limits.string)
            if isinstance(simple, int) and simple.bit_length() > _LARGEST_INTEGER_BITS:
                return self._string(f"<integer of {simple.bit_length()} bits: {hex(simple)}>", self._limits.tag)
            return self._string(tag(value), self._limits.tag) if simple is None else simple
        except Exception as error:  # noqa: BLE001  # as above
            return self._string(f"<{class_name(value)}, which raised {type(error).__name__}>", self._limits.tag)

    def _string(self, text: str, longest: int) -> str:
        longest = min(longest, self._text_left)
        if len(text) > longest:
            self._is_cut = self._is_cut or longest != self._limits.tag  # nobody misses the end of an object's text
            rest = f"<{len(text) - longest} more characters left out>"
            text = text[: max(0, longest - len(rest))] + rest
        self._text_left -= len(text)
        return text

    def _key(self, key: object, taken: dict[str, Json]) -> str:
        """The text of a key: at most as long as a tag, and never one that is taken."""
        try:
            simple = key if isinstance(key, str) else simple_value(key)
            name = str(key) if simple is None else str(simple)
        except Exception as error:  # noqa: BLE001  # as above
            name = f"<{class_name(key)}, which raised {type(error).__name__}>"
        if len(name) > self._limits.tag:
            self._is_cut = True
            name = f"{name[: self._limits.tag - 9]}#{zlib.crc32(name.encode('utf-8', 'surrogatepass')):08x}"
        while name in taken:
            name += f" <{class_name(key)}>"
        self._text_left -= len(name)
        return name
