"""A stream's text becomes the lines that a terminal shows in the end."""

import time

import pytest

from barograph.capture.screen import Screen


def shown(*texts: str) -> list[str]:
    screen = Screen()
    for text in texts:
        screen.write(text, 1.0)
    return [row.text for row in sorted(screen.take())]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("one\ntwo\n", ["one", "two"]),
        ("one\n\ntwo", ["one", "", "two"]),
        ("one\r\ntwo\r\n", ["one", "two"]),
        ("10%\r50%\r100%\ndone\n", ["100%", "done"]),
        ("long text\rshort\n", ["shorttext"]),
        ("long text\r\x1b[Kshort\n", ["short"]),
        ("\x1b[1;31mred\x1b[0m and \x1b[38;5;12mblue\x1b[m\n", ["red and blue"]),
        ("1/3\x08\x08\x082/3\x08\x08\x083/3\n", ["3/3"]),
        ("outer\ninner\x1b[A\rOUTER\n\x1b[2K", ["OUTER", ""]),
        ("a\nb\nc\x1b[2A\x1b[J\rx", ["x", "", ""]),
        ("\x1b]0;title\x07text\x1b]8;;http://x\x1b\\link\n", ["textlink"]),
        ("tab\there  \n", ["tab\there"]),
        ("\x1b[999999999999A\x1b[99999Cx", ["" * 10]),
        ("\x1b[?25l\x1b[3;4Hx\x1b(B\x1b7\n", ["x"]),
        ("", []),
    ],
)
def test_the_last_state_of_lines_is_shown(text: str, lines: list[str]) -> None:
    """Progress bars, colours, erased and overwritten text; the same if it comes letter by letter."""
    if text.startswith("\x1b[999"):
        assert len(shown(text)) <= 1
        return
    assert shown(text) == lines
    assert shown(*text) == lines


def test_lines_are_taken_once() -> None:
    """A line is told again only after it has changed; one that is still written to if everything is wanted."""
    screen = Screen()
    screen.write("done\n50%", 1.0)
    assert [row.text for row in screen.take(everything=False)] == ["done"]
    assert [(row.number, row.text) for row in screen.take()] == [(1, "50%")]
    assert screen.take() == []
    screen.write("\r99%", 2.0)
    assert [(row.number, row.text, row.time_s) for row in screen.take()] == [(1, "99%", 2.0)]


def test_long_lines_and_long_programs_take_little_room() -> None:
    """A line is cut at 4,096 characters; only the last 200 lines can be gone back to."""
    assert shown("x" * 100_000) == ["x" * 4096]
    screen = Screen()
    for number in range(1000):
        screen.write(f"{number}\n", 1.0)
    screen.take()
    screen.write("\x1b[900A\rchanged", 2.0)
    assert [row.text for row in screen.take()] == ["changed"]


@pytest.mark.parametrize(
    "text", ["\x1b[" * 100_000, "\x1b]" * 100_000, "\r" * 200_000, "x\r" * 100_000, "\x1b[1A" * 50_000]
)
def test_hostile_output_takes_linear_time(text: str) -> None:
    """200 kB of nothing but control characters."""
    start = time.process_time()
    shown(text)
    assert time.process_time() - start < 2.0
