"""What a terminal would show of a stream in the end: lines, of which a progress bar is one in its last state."""

import re
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

_KEPT_LINES = 200  # above the cursor, within its reach
_LINE_LIMIT = 4096  # characters
# A line's end, a carriage return, a backspace; a control sequence (CSI), a title or link (OSC), another escape.
_CONTROL = re.compile(
    r"\n|\r|\x08+|\x1b\[([0-?]{0,32})[ -/]*([@-~])|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[ -/]*[0-Z\\^-~]|\x07"
)
# A control sequence of which the rest is still to come; one that is longer than any is text.
_CUT_SHORT = re.compile(r"\x1b(?:\[[0-?]{0,32}[ -/]{0,4}|\][^\x07\x1b]{0,1024}\x1b?|[ -/]{0,4})?\Z")


class Row(NamedTuple):
    """A line as it was when it was last changed. number: of its beginning, in the order of all of them."""

    number: int
    time_s: float
    text: str
    is_open: bool


class _Line:
    def __init__(self, number: int) -> None:
        self.number = number
        self.time_s = 0.0
        self.text = ""
        self.is_rewritten = False


class Screen:
    """One stream's lines. Text goes where a terminal's cursor is: after "\\r" at the beginning, upwards by escapes.

    Colours and titles are left out. A line of more than 4,096 characters is cut. hide: takes the secrets out of a text;
    asked before a part of a line is overwritten, since nobody could tell the rest of a token from any other text.
    """

    def __init__(self, hide: Callable[[str], str] = str) -> None:
        self._hide = hide
        self._lines: deque[_Line] = deque([_Line(0)], maxlen=_KEPT_LINES)
        self._row = 0  # of the cursor, from the last line up
        self._column = 0
        self._rest = ""
        self._changed: dict[int, _Line] = {}
        self._begun = 1

    def write(self, text: str, time_s: float) -> None:
        """Show some text."""
        text = self._rest + text
        self._rest = ""
        if "\x1b" in text[-1100:] and (cut := _CUT_SHORT.search(text, max(0, len(text) - 1100))):
            text, self._rest = text[: cut.start()], cut[0]
        at = 0
        for control in _CONTROL.finditer(text):
            self._put(text[at : control.start()], time_s)
            self._obey(control, time_s)
            at = control.end()
        self._put(text[at:], time_s)

    def take(self, everything: bool = True) -> list[Row]:
        """What has changed since it was last taken; of lines that are still written to only if everything is wanted."""
        taken = []
        for line in list(self._changed.values()):
            is_open = line.is_rewritten or line is self._lines[-1]
            if everything or not is_open:
                taken.append(Row(line.number, line.time_s, line.text.rstrip(), is_open))
                del self._changed[line.number]
        return taken

    @property
    def _line(self) -> _Line:
        return self._lines[-1 - self._row]

    def _put(self, text: str, time_s: float) -> None:
        room = _LINE_LIMIT - self._column
        if not text or room <= 0:
            return
        line, text = self._line, text[:room]
        end = self._column + len(text)
        if self._column < len(line.text):
            line.is_rewritten = True
            line.text = self._hide(line.text)
        line.text = line.text[: self._column].ljust(self._column) + text + line.text[end:]
        line.time_s = time_s
        self._changed[line.number] = line
        self._column = end

    def _obey(self, control: re.Match[str], time_s: float) -> None:
        sign, final = control[0], control[2]
        if sign == "\n":
            if not self._line.time_s:  # an empty line is one, too
                self._line.time_s = time_s
                self._changed[self._line.number] = self._line
            self._down(1)
            self._column = 0
        elif sign == "\r":
            self._column = 0
        elif sign[0] == "\x08":
            self._column = max(0, self._column - len(sign))
        elif final is not None and (control[1] or "0").isdecimal():
            self._move(final, int(control[1] or 0), time_s)

    def _move(self, final: str, count: int, time_s: float) -> None:
        """The control sequences that move the cursor or erase; others mean colours and the like."""
        if final in "AF":
            self._row = min(self._row + max(1, count), len(self._lines) - 1)
        elif final in "BE":
            self._down(min(max(1, count), _KEPT_LINES))
        elif final == "C":
            self._column += min(max(1, count), _LINE_LIMIT)
        elif final == "D":
            self._column = max(0, self._column - max(1, count))
        elif final == "G":
            self._column = min(max(1, count), _LINE_LIMIT) - 1
        elif final == "K":
            self._erase(self._line, self._column if count == 0 else None, time_s)
        elif final == "J" and count == 0:
            self._erase(self._line, self._column, time_s)
            for row in range(self._row):
                self._erase(self._lines[-1 - row], None, time_s)
        if final in "EF":
            self._column = 0

    def _erase(self, line: _Line, keep: int | None, time_s: float) -> None:
        if line.text[keep or 0 :]:
            line.text, line.time_s, line.is_rewritten = line.text[: keep or 0], time_s, True
            self._changed[line.number] = line

    def _down(self, count: int) -> None:
        for _ in range(count):
            if self._row:
                self._row -= 1
            else:
                self._lines.append(_Line(self._begun))
                self._begun += 1
