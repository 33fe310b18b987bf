"""Conditions say what they look like, are never evaluated, and tell where they stop making sense."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from barograph.reading.where import parse_where

_RUN: dict[str, Any] = {
    "status": "finished",
    "name": "calm-heron-12",
    "tag": ["first", "draft"],
    "lr": 1e-3,
    "layers": [64, 32],
    "optimizer.name": "adam",
    "val/loss": 0.25,
    "nan": float("nan"),
    "flag": True,
    "none": None,
    "mAP@50[x] (a=1.3)": 0.5,
    "created": 1_700_000_000.0,
}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("status = finished", True),
        ("status == 'finished'", True),
        ("status != finished", False),
        ("lr = 0.001", True),
        ("lr <= 1e-3 and lr >= .001", True),
        ("lr < 1e-3 or val/loss < 0.3", True),
        ("not lr < 1e-3", True),
        ("not (status = finished and lr = 0.001)", False),
        ("status = failed or status = finished and lr = 5", False),
        ("(status = failed or status = finished) and lr = 0.001", True),
        ("optimizer.name = adam", True),
        ("optimizer.name ~ ADA", True),
        ("name ~ heron", True),
        ("tag = first", True),
        ("tag = last", False),
        ("tag != first", False),
        ("tag ~ raf", True),
        ("layers = 32", True),
        ("flag = true", True),
        ("flag = false", False),
        ("none = none", True),
        ("missing = none", True),
        ("missing = 3", False),
        ("missing != 3", True),
        ("missing < 3", False),
        ("nan < 1", False),
        ("nan != 1", True),
        ("'mAP@50[x] (a=1.3)' = 0.5", True),
        ("name < lr", True),
        ("name > 5", False),
        ("created > 2023-01-01", True),
        ("created > '2099-12-31'", False),
        ("AND_not_a_word = none", True),
        ("status=finished AND lr<1", True),
        (r'"quo\"ted" = none', True),
    ],
)
def test_conditions_hold_or_not(text: str, holds: bool) -> None:
    """Numbers by value, texts by letters, lists one by one, missing names never except for none and !=."""
    assert parse_where(text)(_RUN.get) is holds


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "expected a name"),
        ("status", "expected one of"),
        ("status =", "expected a value"),
        ("status = finished lr = 1", "expected 'and', 'or' or the end at letter 19"),
        ("(status = finished", r"expected '\)'"),
        ("status = 'open", "cannot be read"),
        ("created > yesterday", "date"),
        ("(" * 100 + "a = 1" + ")" * 100, "deep"),
        ("not " * 100 + "a = 1", "deep"),
        ("a" * 20_000, "20000 letters"),
        ("__import__('os').system('x')", "expected one of"),
    ],
)
def test_what_makes_no_sense_is_refused(text: str, problem: str) -> None:
    """With what was expected, and where."""
    with pytest.raises(ValueError, match=problem):
        parse_where(text)


@given(st.text(alphabet="ab()='\"<>!~ \\andornot1.", max_size=60))
def test_any_text_is_a_condition_or_a_value_error(text: str) -> None:
    """Nothing else ever comes out."""
    try:
        condition = parse_where(text)
    except ValueError:
        return
    assert condition(_RUN.get) in (True, False)
