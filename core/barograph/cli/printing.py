"""How the command line prints: tables that fit the terminal, control characters made visible, JSON when asked."""

import json
import math
import shutil
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from barograph.voice import visible


def print_line(text: str = "") -> None:
    """One line on stdout; what the terminal's encoding lacks is escaped."""
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding))


def print_table(head: Sequence[str], rows: Iterable[Sequence[object]], *, flexible: int = 0, indent: str = "") -> None:
    """A table; on a terminal column number `flexible` is shortened until it fits, elsewhere nothing is cut."""
    lines = [[visible(cell) for cell in row] for row in [head, *rows]]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    if sys.stdout.isatty():
        room = shutil.get_terminal_size((100, 24)).columns - len(indent) - 2 * (len(head) - 1)
        widths[flexible] = max(8, min(widths[flexible], room - sum(widths) + widths[flexible]))
        widths = _shrink(widths, room)
    for line in lines:
        fitted = (_fit(cell, width) for cell, width in zip(line, widths, strict=True))
        print_line(indent + "  ".join(fitted).rstrip())


def print_json(value: object) -> None:
    """One JSON document; NaN and infinities, which JSON does not have, as the texts "NaN", "Infinity", "-Infinity"."""
    print(json.dumps(json_ready(value), indent=2, ensure_ascii=True))


def json_ready(value: Any) -> Any:
    """A value that strict JSON can hold."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {str(key): json_ready(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_ready(item) for item in value]
    return value if value is None or isinstance(value, (str, bool, int, float)) else str(value)


def number(value: float | None) -> str:
    """A number in at most six digits; nothing for None."""
    return "" if value is None else f"{value:.6g}"


def ago(unix_s: float) -> str:
    """How long ago, as a person says it; the date for anything older than a month."""
    seconds = time.time() - unix_s
    for limit, unit, name in ((90, 1, "s"), (5400, 60, "min"), (129_600, 3600, "h"), (2_592_000, 86_400, "days")):
        if seconds < limit:
            return f"{max(0, round(seconds / unit))} {name} ago"
    try:
        return time.strftime("%Y-%m-%d", time.localtime(unix_s))
    except (ValueError, OverflowError, OSError):
        return number(unix_s)


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as dotted names."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _shrink(widths: list[int], room: int) -> list[int]:
    while sum(widths) > room and max(widths) > 8:
        widest = widths.index(max(widths))
        widths[widest] -= 1
    return widths


def _fit(cell: str, width: int) -> str:
    return cell.ljust(width) if len(cell) <= width else f"{cell[: width - 3]}..."
