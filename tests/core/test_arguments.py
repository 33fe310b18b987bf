"""Wrong arguments of an integration are said at once, in the same words."""

from __future__ import annotations

from typing import Any

import pytest

from barograph.arguments import check_count, check_shares


@pytest.mark.parametrize(("value", "error"), [(-1, ValueError), (1.5, TypeError), (True, TypeError), ("9", TypeError)])
def test_what_is_no_count_is_refused(value: Any, error: type[Exception]) -> None:
    """The error names the argument and what was given."""
    with pytest.raises(error, match=f"log_predictions must .* {value!r}"):
        check_count("log_predictions", value)


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ((0,), ValueError),
        ((0.5, 1), ValueError),
        ((float("nan"),), ValueError),
        (("a",), ValueError),
        (3, TypeError),
        ("0.5", TypeError),
    ],
)
def test_what_are_no_shares_is_refused(value: Any, error: type[Exception]) -> None:
    """Neither nothing nor all of the data is a share of it."""
    with pytest.raises(error, match="learning_curve must be"):
        check_shares("learning_curve", value)


def test_what_is_right_passes() -> None:
    """None at all, too."""
    check_count("log_predictions", 0)
    check_count("log_predictions", 20)
    check_shares("learning_curve", ())
    check_shares("learning_curve", [0.1, 0.5])
