"""What is compared of settings, arguments and conditions, and which run is the nearest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import barograph
from barograph.cli.printing import json_ready
from barograph.compare import Difference, diff
from barograph.compare.facts import arguments_by_name
from barograph.errors import RunNotFoundError


def _run(config: Any = None, environment: dict[str, Any] | None = None, **options: Any) -> str:
    with barograph.init(quiet=True, config=config, **options) as run:
        run.log({"loss": 1.0})
        if environment:
            run.log_environment(environment)
    return str(run.id)


def _named(difference: Difference) -> set[tuple[str, str]]:
    return {(change.section, change.name) for change in difference.changes}


@pytest.mark.parametrize(
    ("before", "after", "names"),
    [
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}, {"a.c"}),
        ({"a": 1}, {"a": 1.0}, set()),
        ({"a": 1}, {"a": True}, {"a"}),
        ({"a": float("nan")}, {"a": float("nan")}, set()),
        ({"a": None}, {"a": 0}, {"a"}),
        ({"groups": [{"lr": 1}, {"lr": 2}]}, {"groups": [{"lr": 1}, {"lr": 3}]}, {"groups.1.lr"}),
        ({"a": [1, 2]}, {"a": [2, 1]}, {"a"}),
        ({"what": "<object at 0x7f0011223344>"}, {"what": "<object at 0x7fffffffffff>"}, set()),
        ({"x": {"lr": 1}, "y": {"lr": 1}}, {"x": {"lr": 2}, "y": {"lr": 2}}, {"x.lr"}),
    ],
)
def test_settings_are_compared_by_what_they_mean(store: Path, before: Any, after: Any, names: set[str]) -> None:
    """Nested ones by their place; addresses are none; one that is told twice is named once."""
    assert _named(diff(_run(before), _run(after))) == {("parameters", name) for name in names}


def test_a_path_of_the_run_itself_is_no_difference(store: Path) -> None:
    """Its folder and id are its own in every run."""
    ids = []
    for _ in range(2):
        with barograph.init(quiet=True) as run:
            run.log_config({"folder": f"{run.path}/checkpoints", "name": f"model-{run.id}"})
        ids.append(run.id)
    assert diff(*ids).changes == []


def test_a_condition_that_was_not_captured_is_no_difference(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a run did not tell of its surroundings is unknown."""
    monkeypatch.setenv("BAROGRAPH_CAPTURE", "0")
    one = _run(environment={"machine": {"processor": "one"}, "packages": {"numpy": "1"}})
    other = _run(environment={"machine": {"processor": "other"}})
    assert _named(diff(one, other)) == {("environment", "processor")}


def test_more_runs_are_each_compared_with_the_first(store: Path) -> None:
    """The others stand beside."""
    found = diff(*(_run({"lr": rate}) for rate in (1, 2, 3)))
    assert [one.changes[0].after for one in (found, *found.others)] == [2, 3]


def test_a_side_of_several_runs_is_told_by_what_they_share(store: Path) -> None:
    """What varies inside of both in the same way is no difference."""
    sides = [[_run({"lr": rate, "seed": seed}) for seed in (0, 1)] for rate in (1, 2)]
    assert _named(diff(sides[0], sides[1])) == {("parameters", "lr")}


def test_the_nearest_earlier_run_is_of_the_same_kind(store: Path) -> None:
    """The newest of those that have most settings in common; a later one is never it."""
    _run({"lr": 1, "depth": 2})
    near = _run({"lr": 2, "depth": 2})
    _run({"other": 1})
    run = _run({"lr": 3, "depth": 2})
    _run({"lr": 4, "depth": 2})
    assert diff(run).before[0].id == near


def test_a_first_run_has_nothing_before_it(store: Path) -> None:
    """Which is said."""
    with pytest.raises(RunNotFoundError, match="first run"):
        diff(_run())


def test_an_empty_group_is_a_mistake(store: Path) -> None:
    """And not a side without runs."""
    run = _run()
    with pytest.raises(ValueError, match="no run belongs"):
        diff(run, "group:none")


def test_a_difference_is_json_and_can_be_shown(store: Path) -> None:
    """As a whole, with odd texts in it."""
    found = barograph.diff(_run({"a\x1b[31m": "\x1b"}), _run({"a\x1b[31m": "\u202e"}))
    json.dumps(json_ready(found.as_dict()), allow_nan=False)
    assert "\x1b" not in repr(found)
    assert "<pre>" in found._repr_html_()


def test_runs_without_anything_are_compared(store: Path) -> None:
    """No settings, no metrics."""
    ids = []
    for _ in range(2):
        run = barograph.init(quiet=True)
        run.finish()
        ids.append(run.id)
    found = diff(*ids)
    assert (found.changes, found.results) == ([], [])
    assert "nothing that was recorded" in repr(found)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--lr", "0.1"], {"--lr": "0.1"}),
        (["--lr=0.1"], {"--lr": "0.1"}),
        (["--fast", "--lr", "-1e-3"], {"--fast": True, "--lr": "-1e-3"}),
        (["model.lr=3", "+a=b"], {"model.lr": "3", "+a": "b"}),
        (["--x", "1", "--x", "2"], {"--x": ["1", "2"]}),
        (["fit", "-"], {"argument 1": "fit", "argument 2": "-"}),
        (["--", "", "a b=c"], {"--": "", "argument 1": "a b=c"}),
    ],
)
def test_arguments_have_names(arguments: list[str], expected: dict[str, Any]) -> None:
    """As people write them."""
    assert arguments_by_name(arguments) == expected
