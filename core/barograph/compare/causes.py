"""Why a run was not repeated: what is proven to be different, never a guess stated as a fact."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from barograph.reading import RunView

from .change import SEED, SURROUNDING, Change
from .difference import changes_between
from .generators import Parting, partings, states_of
from .rebuild import NOTEBOOK_NAME


@dataclass(frozen=True, slots=True)
class Cause:
    """Something that differs and can make a training go another way.

    kind: generator, code, data, parameters, inputs, arguments, packages, environment, or open for what could not be
    excluded. is_proven: whether the records show that it differs; what is not proven was merely not ruled out.
    """

    kind: str
    name: str
    text: str
    is_proven: bool

    def as_dict(self) -> dict[str, Any]:
        """As JSON. Any: JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


def causes_of(before: RunView, after: RunView) -> list[Cause]:
    """What is proven to differ, the likeliest cause first; if nothing is, what could not be ruled out."""
    told = changes_between([before], [after])
    changes = [
        change
        for change in told
        if change.kind != "same" and change.importance > SURROUNDING and change.section != "seeds"
    ]
    if after.reproduces == before.id and (before.environment.get("entry") or {}).get("kind") == "notebook":
        changes = [change for change in changes if not _comes_of_a_script(change)]
    unseeded = [
        (SEED, Cause("generator", parting.generator, parting.text, True))
        for rank in before.ranks
        for parting in partings(before, after, rank)
        if parting.begins_otherwise or not any(_explains(change, parting) for change in changes)
    ]
    found = [(change.importance, Cause(change.section, change.name, _words(change), True)) for change in changes]
    if unseeded:
        # Data may be made or mixed by numbers that were drawn, but no generator is another one because of data.
        found = [
            (min(importance, SEED - 1) if cause.kind == "data" else importance, cause) for importance, cause in found
        ]
    ordered = sorted(dict.fromkeys([*found, *unseeded]), key=lambda one: -one[0])
    return [cause for _, cause in ordered] or _open(before, after)


def _comes_of_a_script(change: Change) -> bool:
    """Whether it differs because the cells of a notebook are repeated as a script."""
    is_code = change.section == "code" and change.name.startswith(("notebook", NOTEBOOK_NAME.partition(".")[0]))
    return is_code or change.section == "arguments" or change.name == "interpreter options"


def _explains(change: Change, parting: Parting) -> bool:
    """Whether a change may be why a generator went another way; as many rows need as many numbers."""
    is_of_rows = isinstance(change.before, dict) and isinstance(change.after, dict) and change.section == "data"
    if not (parting.is_seen_once and is_of_rows):
        return True
    return bool(change.before.get("rows") != change.after.get("rows"))


def _open(before: RunView, after: RunView) -> list[Cause]:
    """What the records leave possible, said as such."""
    found = []
    if not states_of(before) or not states_of(after):
        found.append(Cause("open", "generators", "the states of the random generators were not recorded", False))
    text = "generators that only a function or an object holds, such as numpy.random.default_rng() there, are not seen"
    found.append(Cause("open", "generators", text, False))
    loose = _loose_switches(before)
    if loose and (before.environment.get("machine") or {}).get("gpus"):
        text = f"kernels that need not give the same result twice were allowed: {', '.join(loose)}"
        found.append(Cause("open", "kernels", text, False))
    if "PYTHONHASHSEED" not in (before.environment.get("variables") or {}):
        text = "the order of sets and hashes of texts differ in every process, because PYTHONHASHSEED was not set"
        found.append(Cause("open", "PYTHONHASHSEED", text, False))
    return found


def _loose_switches(view: RunView) -> list[str]:
    """The switches that allow results to differ: determinism off, or the search for the fastest kernel on."""
    switches: dict[str, Any] = {}
    for seeds in view.seeds():
        switches |= seeds.switches
    return [
        name
        for name, value in switches.items()
        if ("deterministic" in name.lower() and not value) or ("benchmark" in name.lower() and value)
    ]


def _words(change: Change) -> str:
    lines = change.text.splitlines()
    return f"{change.section}, {change.name}: " + (change.text if len(lines) == 1 else "the file differs")
