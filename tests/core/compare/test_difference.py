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
        ({"eta": 1, "model": {"rate": 1}}, {"eta": 2, "model": {"rate": 2}}, {"eta"}),
        ({"eta": 1, "model": {"rate": 3}}, {"eta": 2, "model": {"rate": 4}}, {"eta", "model.rate"}),
    ],
)
def test_settings_are_compared_by_what_they_mean(store: Path, before: Any, after: Any, names: set[str]) -> None:
    """Nested ones by their place; addresses are none; one that is told twice is named once."""
    assert _named(diff(_run(before), _run(after))) == {("parameters", name) for name in names}


@pytest.mark.parametrize(
    ("before", "after", "parsed", "names"),
    [
        (["--lr", "1e-3"], ["--lr", "1e-2"], [{"lr": 0.001}, {"lr": 0.01}], {"--lr"}),
        (["-l", "1e-3"], ["-l", "1e-2"], [{"lr": 0.001}, {"lr": 0.01}], {"-l"}),
        (["a.csv"], ["b.csv"], [{"data": "a.csv"}, {"data": "b.csv"}], {"argument 1"}),
        ([], ["--no-amp"], [{"amp": True}, {"amp": False}], {"--no-amp"}),
        (["--layers", "8", "8"], ["--layers", "8", "16"], [{"layers": [8, 8]}, {"layers": [8, 16]}], {"argument 1"}),
        ([], [], [{"lr": 0.1}, {"lr": 0.2}], {"parsed.lr"}),
        (["--a", "1"], ["--a", "2"], [{"a": 1, "lr": 0.1}, {"a": 2, "lr": 0.2}], {"--a", "parsed.lr"}),
        ([], [], [{"lr": 0.1}, {}], set()),
    ],
)
def test_an_argument_is_told_once(
    store: Path, before: list[str], after: list[str], parsed: list[dict[str, Any]], names: set[str]
) -> None:
    """As it was given; what the script made of it is told where nobody gave it, such as a default from elsewhere."""
    given = (before, parsed[0]), (after, parsed[1])
    runs = [
        _run(environment={"arguments": ["t.py", *words], "command": ["python", "t.py", *words], "parsed": values})
        for words, values in given
    ]
    assert {name for _, name in _named(diff(*runs))} == names


def test_an_argument_that_is_a_setting_is_told_as_that(store: Path) -> None:
    """However its number was written."""
    runs = [
        _run({"lr": float(rate)}, {"arguments": ["train.py", "--lr", rate], "parsed": {"lr": float(rate)}})
        for rate in ("1e-3", "1e-2")
    ]
    assert _named(diff(*runs)) == {("parameters", "lr")}


@pytest.mark.parametrize(
    ("name", "values", "setting", "is_told"),
    [
        ("lr", (0.1, 0.2), "optimizer.learning_rate", False),
        ("seed", (1, 2), "params.random_state", False),
        ("fold", (1, 2), "params.depth", True),
        ("amp", (False, True), "shuffle", True),
    ],
)
def test_an_argument_that_is_a_setting_of_another_name(
    store: Path, name: str, values: tuple[Any, Any], setting: str, is_told: bool
) -> None:
    """Known by a value that two settings do not have by chance, also where the argument was left at its default."""
    words: tuple[list[str], ...] = ["t.py"], ["t.py", f"--{name}", str(values[1])]
    runs = [
        _run({setting: value}, {"arguments": given, "command": ["python", *given], "parsed": {name: value}})
        for given, value in zip(words, values, strict=True)
    ]
    assert _named(diff(*runs)) == {("parameters", setting), *([("arguments", f"--{name}")] if is_told else [])}


def test_a_setting_that_a_framework_calls_otherwise_is_told_once(store: Path) -> None:
    """What a person calls lr is eta to a booster; two settings that are 1 by chance stay two."""
    runs = [
        _run({"lr": rate, "depth": depth, "params": {"eta": rate, "lambda": depth}})
        for rate, depth in ((0.1, 1), (0.2, 2))
    ]
    changes = {change.name: change.text for change in diff(*runs).changes}
    assert set(changes) == {"lr", "depth", "params.lambda"}
    assert "params.eta" in changes["lr"]


def test_a_setting_that_is_listed_because_it_is_not_the_default_is_told_once(store: Path) -> None:
    """It is new in the list, and changed where it stands itself, under a name of the framework or of a person."""
    runs = [
        _run({"strength": 0.1, "seed": "1", "params": {"alpha": 0.1, "seed": 1}, "changed": {}}),
        _run({"strength": 0.2, "seed": "2", "params": {"alpha": 0.2, "seed": 2}, "changed": {"Ridge": {"alpha": 0.2}}}),
    ]
    assert _named(diff(*runs)) == {("parameters", "strength"), ("parameters", "seed")}


def test_how_many_rows_there_are_is_told_with_the_data(store: Path) -> None:
    """And not again as a setting; where the data lies is one."""
    ids = []
    for rows in (30, 40):
        with barograph.init(quiet=True, config={"data": {"samples": rows, "path": f"{rows}.csv"}}) as run:
            run.log_dataset("train", [[float(row)] for row in range(rows)])
        ids.append(run.id)
    assert _named(diff(*ids)) == {("data", "train"), ("parameters", "data.path")}


def test_what_was_not_imported_yet_is_no_difference(store: Path) -> None:
    """Names in memory and libraries count where both runs have them."""
    told = {"packages": {"numpy": "2.0"}, "loaded": {"numpy": "2.0"}, "libraries": {}}
    blas = {"blas": [{"internal_api": "openblas", "version": "0.3"}]}
    runs = [
        _run(environment=told),
        _run(environment=told | {"loaded": {"odd_name": "1.0"}, "libraries": blas}),
        _run(environment=told | {"loaded": {"odd_name": "2.0"}, "libraries": blas}),
    ]
    assert _named(diff(*runs[:2])) == set()
    assert _named(diff(*runs[1:])) == {("packages", "odd_name")}


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
