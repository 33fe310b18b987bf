"""What a run says when it ends: a small table of its metrics, and how an exception is described."""

import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

from barograph.capture.redaction import redact_text
from barograph.keys import best_of, is_telling
from barograph.voice import visible

_BARS = "▁▂▃▄▅▆▇█"
_ROWS = 12
_TRACEBACK_LIMIT = 64 * 1024  # characters, the end of it
_MESSAGE_LIMIT = 4096


def sparkline(values: Sequence[float], width: int = 16) -> str:
    """A curve as one line of block characters; NaN and infinities are shown as x."""
    if len(values) > width:
        values = [values[index * (len(values) - 1) // (width - 1)] for index in range(width)]
    finite = [value for value in values if abs(value) < float("inf")]
    if not finite:
        return "x" * len(values)
    low, span = min(finite), (max(finite) - min(finite)) or 1.0
    return "".join(
        _BARS[min(7, int((value - low) / span * 8))] if abs(value) < float("inf") else "x" for value in values
    )


def duration_text(seconds: float) -> str:
    """Seconds as a person says them: 850 ms, 12.3 s, 4 min 05 s, 3 h 12 min."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{int(seconds // 60)} min {int(seconds % 60):02d} s"
    return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60):02d} min"


def closing_lines(
    name: str,
    status: str,
    reason: str | None,
    duration_s: float,
    cost_s: float,
    summary: Mapping[str, Any],
) -> list[str]:
    """The table at the end of a run. summary: key to what journal.writer keeps of it."""
    why = f" ({reason})" if reason and status != "finished" else ""
    share = f", {cost_s / duration_s:.2%} of it our own" if duration_s > 0 else ""
    lines = [f"barograph: {name} {status}{why} after {duration_text(duration_s)}{share}"]
    shown = [key for key in summary if is_telling(key)]
    rows = [_row(key, summary[key]) for key in sorted(shown)[:_ROWS]]
    if rows:
        widths = [max(len(row[column]) for row in [_HEAD, *rows]) for column in range(len(_HEAD))]
        room = max(20, _terminal_width() - sum(widths[1:]) - 12)
        widths[0] = min(widths[0], room)
        lines += ["  " + "  ".join(_fit(cell, width) for cell, width in zip(row, widths, strict=True)).rstrip()
                  for row in [_HEAD, *rows]]  # fmt: skip
    if len(shown) > len(rows):
        lines.append(f"  and {len(shown) - len(rows)} more metrics")
    return lines


def loss_line(name: str, lost: Mapping[str, int]) -> str:
    """What a run that the disk refused could not keep."""
    counts = ", ".join(f"{count} {what}" for what, count in lost.items() if count)
    return f"barograph: {name}: not kept, because the disk refused: {counts}"


def describe_error(error: BaseException | None) -> dict[str, str] | None:
    """Type, message and traceback of an exception, as the end of a run keeps them: without credentials."""
    if error is None:
        return None
    try:
        lines = "".join(traceback.format_exception(error))
    except Exception:  # noqa: BLE001  # an exception whose own text fails
        lines = ""
    return {**name_error(error), "traceback": redact_text(lines[-_TRACEBACK_LIMIT:])}


def name_error(error: BaseException) -> dict[str, str]:
    """Type and message alone, as the event "exception" has them."""
    try:
        message = str(error)
    except Exception:  # noqa: BLE001  # as above
        message = "<unprintable>"
    return {"type": type(error).__name__, "message": redact_text(message[:_MESSAGE_LIMIT])}


_HEAD = ("metric", "curve", "last", "best", "at step")


def _terminal_width() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns
    except (OSError, ValueError, AttributeError):  # no terminal, closed, or none at all
        return 100


def _row(key: str, numbers: Any) -> tuple[str, ...]:
    best, step = best_of(key, numbers)
    return (
        visible(key),
        sparkline(numbers.spark),
        f"{numbers.last:.6g}",
        "" if best is None else f"{best:.6g}",
        "" if step is None else str(step),
    )


def _fit(cell: str, width: int) -> str:
    return cell.ljust(width) if len(cell) <= width else f"{cell[: width - 3]}..."
