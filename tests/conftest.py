"""What holds for every test: errors of ours raise, and each test has a store of its own and leaves no run open."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from barograph import testing

_ABOUT_CODE = {"capture", "cli", "compare"}  # rooms whose tests need it


def pytest_configure() -> None:
    """Ctrl-C works here and in what the tests start, also where a shell runs them in the background and ignores it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _strict(request: pytest.FixtureRequest) -> Iterator[None]:
    with testing.strict(request.node.get_closest_marker("expects_guard") is None):
        yield


@pytest.fixture(autouse=True)
def _without_code(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of most tests do not record the code of this suite: git and the sources take 50 ms a run."""
    if not _ABOUT_CODE & set(request.path.parts):
        monkeypatch.setenv("BAROGRAPH_CAPTURE_CODE", "0")


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder that runs of this test go to."""
    folder = tmp_path / "store"
    monkeypatch.setenv("BAROGRAPH_STORE", str(folder))
    monkeypatch.setenv("BAROGRAPH_CACHE", str(tmp_path / "cache"))
    yield folder
    testing.close_open_runs()
