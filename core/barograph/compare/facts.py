"""What is compared of a run besides code and data: settings, inputs, how it was called, and the conditions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

from barograph.reading import RunView
from barograph.reading.params import flat

from .change import ARGUMENT, INPUT, PARAMETER, SURROUNDING, SWITCH, THREADS, Facts, Neutral, Told, mapping
from .conditions import conditions_of

PARSED = "parsed."  # what arguments are called as the script has them
_MOST_PARTS = 50  # of a list, such as the groups of an optimizer, that are compared one by one
_NUMBER = re.compile(r"-\.?\d")


def facts_of(view: RunView) -> Facts:
    """Everything about a run that is a plain value."""
    neutral = Neutral(view)
    found = conditions_of(view, neutral)
    found.take("", chain(_parameters(view), _inputs(view), _called(view.environment)), neutral)
    found.take("parsed", _parsed(view.environment), neutral, is_known=bool(mapping(view.environment, "parsed")))
    return found


def arguments_by_name(arguments: list[str]) -> dict[str, Any]:
    """A command line as names and values: --lr 0.1, --lr=0.1 and lr=0.1 by their name, what has none by its place."""
    found: dict[str, list[Any]] = {}
    place, waiting = 0, None
    for argument in arguments:
        is_option = argument.startswith("-") and len(argument) > 1 and not _NUMBER.match(argument)
        name, sign, value = argument.partition("=")
        if is_option:
            found.setdefault(name, []).append(value if sign else True)
            waiting = None if sign else name
        elif waiting is not None:
            found[waiting][-1] = argument
            waiting = None
        elif sign and re.fullmatch(r"[+~]*[\w./@-]+", name):
            found.setdefault(name, []).append(value)
        else:
            place += 1
            found.setdefault(f"argument {place}", []).append(argument)
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


def _parameters(view: RunView) -> Told:
    for name, value in view.params.items():
        for place, part in _parts(name, value):
            yield "parameters", place, part, PARAMETER


def _parts(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """A list of settings one by one, such as the groups of an optimizer; anything else whole."""
    is_list = isinstance(value, list) and 0 < len(value) <= _MOST_PARTS and all(isinstance(one, dict) for one in value)
    if not is_list:
        yield name, value
        return
    for place, part in enumerate(value):
        for key, inner in flat(part).items():
            yield from _parts(f"{name}.{place}.{key}", inner)


def _inputs(view: RunView) -> Told:
    for name, digests in inputs_of(view).items():
        yield "inputs", name, digests[0] if len(digests) == 1 else digests, INPUT


def inputs_of(view: RunView) -> dict[str, list[str]]:
    """The artifacts that a run used, by name: the digests of their contents, each once."""
    found: dict[str, set[str]] = {}
    for artifact in view.artifacts():
        if artifact.role == "input":
            content = artifact.digest or f"{artifact.size_bytes} bytes, not read"
            found.setdefault(artifact.name, set()).add(content)
    return {name: sorted(contents) for name, contents in found.items()}


def _called(environment: Mapping[str, Any]) -> Told:
    entry = mapping(environment, "entry")
    what = entry.get("module") or _within(environment, entry.get("path"))
    yield "arguments", "entry", f"{entry.get('kind')} {what or ''}".strip() if entry else None, ARGUMENT + 1
    yield "arguments", "working folder", _within(environment, environment.get("folder")) or None, SURROUNDING
    command = environment.get("command")
    given = len(environment.get("arguments") or [""]) - 1
    if isinstance(command, list):
        head = command[1 : len(command) - given]
        kind = mapping(environment, "entry").get("kind")
        yield "environment", "interpreter options", head[: -2 if kind in ("module", "command") else -1], SWITCH
    arguments = environment.get("arguments")
    for name, value in arguments_by_name([str(one) for one in arguments[1:]] if arguments else []).items():
        yield "arguments", name, value, ARGUMENT


def _parsed(environment: Mapping[str, Any]) -> Told:
    """The arguments as the script had them: also those of a default that has changed, or of a file of settings."""
    for name, value in flat(mapping(environment, "parsed")).items():
        yield "arguments", f"{PARSED}{name}", value, THREADS - 1  # it often holds folders, named after the time


def _within(environment: Mapping[str, Any], path: Any) -> str | None:
    """A path as it lies in the code: two copies of a repository are the same place."""
    for part in ("git", "sources"):
        root = mapping(environment, part).get("root")
        if isinstance(path, str) and isinstance(root, str) and (path == root or path.startswith(f"{root}/")):
            return path[len(root) + 1 :] or "."
    return path.rpartition("/")[2] if isinstance(path, str) else None
