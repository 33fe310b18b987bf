"""Journals for tests: written in C and in Python, closed at the end, their warnings kept."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from barograph.journal import writer
from barograph.journal.writer import Journal


@pytest.fixture(params=["c", "python"])
def native(request: pytest.FixtureRequest) -> bool:
    """Which of the two appenders writes."""
    if request.param == "c" and writer._append is None:
        pytest.skip("the extension barograph.journal._append was not built")
    return bool(request.param == "c")


@pytest.fixture
def warned() -> list[str]:
    """What the journals of the test have warned of."""
    return []


@pytest.fixture
def open_journal(tmp_path: Path, native: bool, warned: list[str]) -> Iterator[Callable[..., Journal]]:
    """Opens a journal under tmp_path/journals whose thread does nothing by itself for an hour."""
    opened: list[Journal] = []

    def open_one(**settings: Any) -> Journal:  # Any: the arguments of Journal
        quiet = {"sync_every_s": 3600.0, "heartbeat_s": 3600.0}
        defaults = {"run_id": "run", "identity": {}, "native": native, "warn": warned.append}
        opened.append(Journal(**{"folder": tmp_path / "journals", **defaults, **quiet, **settings}))
        return opened[-1]

    yield open_one
    for journal in opened:
        journal.close()
