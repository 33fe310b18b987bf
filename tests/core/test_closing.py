"""What a run says when it ends."""

import math

import pytest

from barograph.closing import closing_lines, describe_error, duration_text, loss_line, sparkline
from barograph.journal.summary import MetricSummary


def test_a_sparkline_shows_rise_fall_and_nan() -> None:
    """Low is the lowest block, high the highest, what is not finite an x."""
    assert sparkline([0.0, 1.0, 0.5]) == "▁█▅"
    assert sparkline([math.nan, 1.0, 2.0]) == "x▁█"
    assert len(sparkline(list(range(1000)))) == 16


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0123, "12 ms"), (12.34, "12.3 s"), (245, "4 min 05 s"), (11_520, "3 h 12 min")]
)
def test_durations_are_said_as_a_person_would(seconds: float, text: str) -> None:
    """Four units, no more."""
    assert duration_text(seconds) == text


def test_the_table_has_the_best_value_and_its_step() -> None:
    """The least loss, the greatest accuracy, and what was lost."""
    summary = {
        "val/loss": MetricSummary(0.5, 9, 0.25, 4, 2.0, 0, 10, [2.0, 0.25, 0.5]),
        "val/acc": MetricSummary(0.8, 9, 0.1, 0, 0.9, 7, 10, [0.1, 0.9, 0.8]),
        "system/threads": MetricSummary(1.0, 0, 1.0, 0, 1.0, 0, 1, [1.0]),
    }
    lines = closing_lines("calm-heron-12", "failed", "ValueError", 60.0, 0.6, summary)
    text = "\n".join(lines)
    assert lines[0] == "barograph: calm-heron-12 failed (ValueError) after 1 min 00 s, 1.00% of it our own"
    loss, accuracy = (next(line.split() for line in lines if key in line) for key in ("val/loss", "val/acc"))
    assert loss[2:] == ["0.5", "0.25", "4"]
    assert accuracy[2:] == ["0.8", "0.9", "7"]
    assert "system/" not in text


def test_what_was_lost_is_said_in_one_line() -> None:
    """Counts that are zero are left out."""
    assert loss_line("calm-heron-12", {"records": 3, "points": 0}).endswith("refused: 3 records")


def test_an_error_is_kept_with_its_traceback_and_without_credentials() -> None:
    """Type, message and place; a password in the message is replaced."""
    try:
        raise ConnectionError("cannot reach postgres://user:hunter2hunter2@db/x")
    except ConnectionError as error:
        told = describe_error(error)
    assert told is not None
    assert told["type"] == "ConnectionError"
    assert "test_closing.py" in told["traceback"]
    assert "hunter2" not in str(told)


def test_an_error_whose_text_fails_is_still_kept() -> None:
    """An exception that cannot be printed is described by its type."""

    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    told = describe_error(Mute())
    assert told is not None
    assert told["type"] == "Mute"
