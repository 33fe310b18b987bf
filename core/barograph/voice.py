"""The one voice of Barograph on the terminal: a few lines on stderr, and warnings that can never stop a training."""

import os
import re
import select
import sys
import warnings
from collections.abc import Iterable, Sequence

# Control characters, direction overrides and lone surrogates: what would move a terminal's cursor or hide text.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class BarographWarning(UserWarning):
    """Something could not be recorded as given; the training goes on."""


def say(lines: Iterable[str]) -> None:
    """Write lines on stderr; a closed, missing or broken stderr is no error. Silent under pytest."""
    if "_pytest" in sys.modules:
        return
    _write("".join(f"{line}\n" for line in lines))


def warn(message: str) -> None:
    """Warn about `message` at the user's line; where warnings are errors, write the line on stderr instead."""
    text = f"barograph: {message}"
    if not _can_be_heard():
        return
    try:
        warnings.warn(text, BarographWarning, stacklevel=_levels_to_user())
    except BarographWarning:
        _write(f"{text}\n")
    except Exception:  # noqa: BLE001  # a user's showwarning may raise anything, and stderr may be gone
        pass


def visible(text: object) -> str:
    """Any text with its control characters escaped, so that it cannot play tricks on a terminal."""
    return _UNPRINTABLE.sub(lambda match: match[0].encode("unicode_escape", "surrogatepass").decode(), str(text))


def listed(names: Sequence[str], most: int = 6) -> str:
    """The first few of some names, and how many more there are."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _levels_to_user() -> int:
    """How many frames up the first one outside this package is: that line, not ours, tells a user where to look."""
    frame, levels = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("barograph"):
        frame, levels = frame.f_back, levels + 1
    return levels


def _can_be_heard() -> bool:
    """Whether stderr leads anywhere. What is written to one that does not stays in its buffer, and makes Python exit
    with status 120 although the training ended well."""
    try:
        descriptor = sys.stderr.fileno()
    except (AttributeError, OSError, ValueError):  # None, closed, or no file: a notebook's, a test's
        return sys.stderr is not None and not getattr(sys.stderr, "closed", False)
    try:
        os.fstat(descriptor)
        return not _is_broken_pipe(descriptor)
    except OSError:
        return False


def _is_broken_pipe(descriptor: int) -> bool:
    poll = getattr(select, "poll", None)  # not on Windows
    if poll is None:
        return False
    waiting = poll()
    waiting.register(descriptor, select.POLLOUT)
    return any(event & (select.POLLERR | select.POLLNVAL) for _, event in waiting.poll(0))


def _write(text: str) -> None:
    stream = sys.stderr
    if not _can_be_heard():
        return
    try:
        stream.write(text)
        stream.flush()
    except (AttributeError, OSError, ValueError):  # None, broken pipe, closed file
        pass
    except UnicodeError:
        stream.write(text.encode("ascii", "backslashreplace").decode("ascii"))
