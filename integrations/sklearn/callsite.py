"""How the user's code names its data where it makes a call: `score(X_val, y_val)` is about validation data."""

from __future__ import annotations

import collections
import dis
import functools
import re
import sys
from types import CodeType

_SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "eval": "val",
    "test": "test",
    "testing": "test",
    "holdout": "test",
}
# A word of its own in a name (X_val, val_data), or after the letter of the data (Xtest, y_test2).
_WORD = re.compile(rf"(?:^|_|^[xy])({'|'.join(_SPLITS)})(?=$|_|\d)", re.IGNORECASE)


def split_at_call() -> str | None:
    """The split that the arguments of the user's call name; None if they do not.

    Read from the bytecode of the calling function, not from its variables: looking at those would keep data alive.
    """
    frame = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] in ("barograph", "sklearn"):
        frame = frame.f_back  # type: ignore[assignment]  # None at the outermost frame
    return None if frame is None else _split_in(frame.f_code, frame.f_lasti)


@functools.lru_cache(maxsize=256)
def _split_in(code: CodeType, at: int) -> str | None:
    instructions = list(dis.get_instructions(code))
    begin, end = _span([one for one in instructions if one.offset <= at][-1])  # `at` may lie in the call's inline cache
    called = begin
    named: list[tuple[tuple[int, int], str]] = []
    for one in instructions:
        if one.opname.startswith("LOAD_") and begin < end:
            first, last = _span(one)
            if first == begin and last < end:
                called = max(called, last)  # what is called, and the object it is a method of
            elif begin < first and last <= end:
                names = one.argval if isinstance(one.argval, tuple) else (one.argval,)  # newer Pythons load two at once
                named += [(first, name) for name in names if isinstance(name, str)]
    words = [_SPLITS[word.lower()] for first, name in named if first >= called for word in _WORD.findall(name)]
    return collections.Counter(words).most_common(1)[0][0] if words else None


def _span(one: dis.Instruction) -> tuple[tuple[int, int], tuple[int, int]]:
    """Line and column of the begin and the end of what an instruction was compiled from; -1 where not known."""
    places = one.positions or (None,) * 4
    line, end_line, column, end_column = (-1 if place is None else place for place in places)
    return (line, column), (end_line, end_column)
