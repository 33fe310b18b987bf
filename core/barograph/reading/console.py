"""What a run printed: lines as a terminal would show them in the end."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from barograph.journal.reader import Record


class Line(NamedTuple):
    """A line. time_s: Unix seconds of its last change; stream: "stdout" or "stderr"."""

    time_s: float
    stream: str
    text: str


def lines_of(records: Iterable[Record]) -> list[Line]:
    """The lines by time. Of a progress bar, which is told again and again, the last state."""
    found: dict[tuple[str, str, int], Line] = {}
    for record in records:
        since, lines = repr(record.body.get("since")), record.body.get("lines")
        for line in lines if isinstance(lines, list) else []:
            match line:
                case [str(stream), int(number), int() | float() as time_s, str(text)]:
                    found[since, stream, number] = Line(float(time_s), stream, text)
    return [line for _, line in sorted(found.items(), key=lambda item: (item[1].time_s, item[0]))]
