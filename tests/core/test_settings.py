"""Settings come from arguments, then the environment, then defaults; what is wrong is told by name."""

import pytest

from barograph.errors import SettingsError
from barograph.settings import Settings


def test_defaults_hold_when_nothing_is_set() -> None:
    """An empty environment gives the documented defaults."""
    assert Settings.read({}) == Settings()
    assert Settings().overhead_budget == 0.02


def test_the_environment_is_read_by_type() -> None:
    """Numbers, switches and texts are taken from their variables."""
    settings = Settings.read(
        {
            "BAROGRAPH_QUIET": "yes",
            "BAROGRAPH_HEARTBEAT_S": "2.5",
            "BAROGRAPH_BUFFER_LIMIT_BYTES": "10",
            "BAROGRAPH_STORE": "/x",
        }
    )
    assert (settings.quiet, settings.heartbeat_s, settings.buffer_limit_bytes, settings.store) == (True, 2.5, 10, "/x")


def test_an_argument_outranks_the_environment() -> None:
    """An override that is not None wins; None leaves the environment's value."""
    environment = {"BAROGRAPH_OVERHEAD_BUDGET": "0.5"}
    assert Settings.read(environment, overhead_budget=0.1).overhead_budget == 0.1
    assert Settings.read(environment, overhead_budget=None).overhead_budget == 0.5


def test_all_wrong_variables_are_named_at_once() -> None:
    """Text where a number belongs, a negative number, an unknown mode: one error with all of them."""
    environment = {"BAROGRAPH_HEARTBEAT_S": "soon", "BAROGRAPH_SYNC_EVERY_S": "-1", "BAROGRAPH_MODE": "off?"}
    with pytest.raises(SettingsError) as raised:
        Settings.read(environment)
    assert all(name in str(raised.value) for name in environment)


def test_a_run_begins_with_defaults_where_variables_are_wrong() -> None:
    """With on_wrong the mistake is told and the rest of the environment counts."""
    told: list[str] = []
    settings = Settings.read({"BAROGRAPH_HEARTBEAT_S": "soon", "BAROGRAPH_QUIET": "1"}, on_wrong=told.append)
    assert (settings.heartbeat_s, settings.quiet) == (10.0, True)
    assert len(told) == 1
    assert "BAROGRAPH_HEARTBEAT_S" in told[0]
