"""One change told once: a seed is an argument, a setting and the state of a generator, and changes as one thing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from .change import Change
from .facts import PARSED

# What frameworks tell of a model and its data because the data are so.
_OF_DATA = re.compile(
    r"data\.(.*\.)?(samples|evaluated_samples(\..*)?|present_values|shape)|.*\.learner_model_param\..*"
)
_SEEDS = ("seed", "random_state")


def told_once(changes: list[Change]) -> list[Change]:
    """Without what only says again what another change says.

    Settings of one name that changed alike are one; an argument that gives a setting its value is told as the setting;
    what was parsed of an argument as the argument; the seeds of generators as the setting or argument they came from.
    """
    together = _together(changes)
    differing = [change for change in together if change.kind != "same"]
    settings = [change for change in differing if change.section == "parameters"]
    parsed = {_word(one.name): one for one in differing if _is_parsed(one)}
    given = [one for one in differing if one.section == "arguments" and not _is_parsed(one)]
    whole = [_with_defaults(one, parsed) for one in given]

    def is_echo(change: Change) -> bool:
        if change.section == "parameters":
            return any(_is_in(change, setting) for setting in changes if setting.section == "parameters")
        if change.section == "seeds":
            return any(_is_a_seed(one) and _gives(one, change) for one in [*settings, *whole])
        if change.section != "arguments":
            return False
        whole_change = _with_defaults(change, parsed)
        if any(_is_value_of(whole_change, setting) for setting in settings):
            return True
        return _is_parsed(change) and any(_is_parsed_from(change, argument) for argument in given)

    return [change for change in together if not is_echo(change)]


def with_data(changes: list[Change], data: Sequence[Change]) -> list[Change]:
    """Changes and those of the data; without the settings that only tell that there were so many rows."""
    if any(change.kind != "same" for change in data):
        changes = [
            change for change in changes if not (change.section == "parameters" and _OF_DATA.fullmatch(change.name))
        ]
    return [*changes, *data]


def _together(changes: list[Change]) -> list[Change]:
    """One change for settings of one name that changed alike: frameworks tell what was set in several places."""
    found: dict[tuple[str, str, str], list[Change]] = {}
    for change in changes:
        if change.section == "parameters" and change.kind != "same":
            key = _word(change.name), str(change.before), str(change.after)  # some keep a number as a text
            found.setdefault(key, []).append(change)
    for key, alike in list(found.items()):  # a framework, and what a model says of itself, may have other names for it
        cause = next((other for other in found if other != key and _is_told_of(alike, found[other])), None)
        if cause is not None:
            found[cause] += found.pop(key)
    again: dict[int, Change | None] = {}
    for alike in found.values():
        first, *others = sorted(alike, key=lambda change: (change.name.count("."), change.name))
        names = ", ".join(change.name for change in others)
        again |= {id(change): None for change in others}
        again[id(first)] = replace(first, text=f"{first.text}; also {names}") if names else first
    return [kept for change in changes if (kept := again.get(id(change), change)) is not None]


def _is_told_of(changes: list[Change], causes: list[Change]) -> bool:
    """Whether settings only pass another one on: eta of a booster what a person calls lr."""
    change, cause = changes[0], causes[0]
    if (str(change.before), str(change.after)) != (str(cause.before), str(cause.after)) or _is_of_model(causes):
        return False
    # Of equal rank by other names only with values that are no coincidence.
    is_rare = _is_rare(change.before) and _is_rare(change.after)
    is_passed_on = "." in change.name and "." not in cause.name
    return _is_of_model(changes) or (is_passed_on and (is_rare or (_is_a_seed(change) and _is_a_seed(cause))))


def _is_in(change: Change, setting: Change) -> bool:
    """Whether a setting that only one run has says what another says of both: lists of what is not the default do."""
    if change.kind == setting.kind or setting.kind != "changed" or "." not in change.name:
        return False
    return _word(change.name) == _word(setting.name) and _gives(change, setting)


def _is_of_model(changes: list[Change]) -> bool:
    return all(change.name.startswith("model.") for change in changes)


def _with_defaults(argument: Change, parsed: dict[str, Change]) -> Change:
    """An argument with the values that the script had for it where it was not given."""
    value = parsed.get(_word(argument.name))
    if value is None or _is_parsed(argument):
        return argument
    before, after = (
        default if given is None else given
        for given, default in ((argument.before, value.before), (argument.after, value.after))
    )
    return replace(argument, before=before, after=after)


def _is_value_of(argument: Change, setting: Change) -> bool:
    """Whether an argument gives a setting its value; where it is not given, the setting has its default."""
    if _word(argument.name) == _word(setting.name):
        return _gives(argument, setting)
    if not _gives(argument, setting) or None in (argument.before, argument.after):
        return False
    # By another name only with values that are no coincidence, or none at all.
    has_no_name = argument.name.startswith(("argument ", PARSED))
    return has_no_name or _is_rare(argument.after) or (_is_a_seed(argument) and _is_a_seed(setting))


def _is_parsed_from(parsed: Change, argument: Change) -> bool:
    """Whether a value comes from an argument: of its name, of that with "no", or of any other name with its value."""
    word = _word(argument.name)
    return _word(parsed.name) in (word, word.removeprefix("no_")) or _gives(argument, parsed)


def _gives(argument: Change, change: Change) -> bool:
    """Whether the values of an argument, where it was given, are those of another change, or in their lists."""
    pairs = (argument.before, change.before), (argument.after, change.after)
    return all(
        given is None or any(_is_same(given, one) for one in (value if isinstance(value, list) else [value]))
        for given, value in pairs
    )


def _is_same(given: Any, value: Any) -> bool:
    """Whether the text of an argument means a value: 1e-3 and 0.001."""
    if str(given) == str(value):
        return True
    try:
        return not isinstance(value, bool) and float(given) == float(value)
    except (TypeError, ValueError):
        return False


def _is_rare(value: Any) -> bool:
    """Whether two settings hardly have a value by chance: many are 0, 1 or true."""
    try:
        return not float(value).is_integer()
    except (TypeError, ValueError):
        return isinstance(value, str) and len(value) > 3 and value.lower() not in ("true", "false", "none", "auto")


def _is_a_seed(change: Change) -> bool:
    return any(word in _word(change.name) for word in _SEEDS)


def _is_parsed(change: Change) -> bool:
    return change.section == "arguments" and change.name.startswith(PARSED)


def _word(name: str) -> str:
    return name.lstrip("-").rpartition(".")[2].replace("-", "_").lower()
