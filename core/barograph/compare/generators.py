"""Which random generators of two runs were in different states where it could matter."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

from barograph.reading import RunView

from .change import SEED, Change


@dataclass(frozen=True, slots=True)
class Parting:
    """A generator whose states differ from a moment on to the end.

    at: the first moment that was looked at and at which they differ; since: the one before, at which they were equal;
    None if they never were. is_seen_once: it was there at no other moment, so that nobody can tell how it began.
    """

    generator: str
    at: str
    since: str | None
    before: str
    after: str
    is_seen_once: bool = False

    @property
    def begins_otherwise(self) -> bool:
        """Whether it is known never to have been in one state."""
        return self.since is None and not self.is_seen_once

    @property
    def text(self) -> str:
        """In words."""
        if self.is_seen_once and self.since is None:
            return f"{self.generator}: in another state at {self.at}, where it was first seen"
        if self.since is None:
            return f"{self.generator}: never in the same state from {self.at} on, and drawn from: not seeded alike"
        return f"{self.generator}: in the same state at {self.since}, in another at {self.at}"


def partings(before: RunView, after: RunView, rank: int = 0) -> list[Parting]:
    """The generators that parted and were drawn from, those that never agreed first.

    A generator that nobody draws from changes no result, whatever its state: it is left out. So is one that begins
    differently and is seeded alike later. One that came to be in between, such as that of a module that was imported
    late, has been drawn from unless it is known to be unused.
    """
    unused = _unused(before, rank) & _unused(after, rank)
    old, new = states_of(before, rank), states_of(after, rank)
    alike = _seeded(before, rank).items() & _seeded(after, rank).items()
    seeded_alike = {name for name, _ in alike}
    found = []
    for generator in sorted({name for states in old.values() for name in states}):
        moments = [at for at in old if generator in old[at] and generator in new.get(at, {})]
        pairs = [(at, old[at][generator], new[at][generator]) for at in moments]
        agreed = [place for place, (_, one, other) in enumerate(pairs) if one == other]
        first = agreed[-1] + 1 if agreed else 0
        is_new = len(pairs) == 1 and len(old) > 1
        was_drawn_from = _changes(pairs, 1) or _changes(pairs, 2) or (is_new and generator not in unused)
        if first >= len(pairs) or not was_drawn_from:
            continue
        at, one, other = pairs[first]
        since = pairs[first - 1][0] if first else "its seeding" if generator in seeded_alike else None
        found.append(Parting(generator, at, since, str(one), str(other), len(pairs) == 1))
    return sorted(found, key=lambda parting: (parting.since is not None, parting.generator))


def generator_changes(before: RunView, after: RunView, others: list[Change]) -> list[Change]:
    """One change that names the generators that parted, unless another change explains them.

    A seed in the settings explains every generator; one that agreed when the run began is explained by any change of
    code, data or settings, which may draw more or fewer numbers.
    """
    if any(change.section == "seeds" or "seed" in change.name.lower() for change in others):
        return []
    found = [
        one for one in partings(before, after) if one.begins_otherwise or not any(o.importance >= SEED for o in others)
    ]
    if not found:
        return []
    names = ", ".join(one.generator for one in found)
    states = {one.generator: one.before for one in found}, {one.generator: one.after for one in found}
    return [Change("seeds", names, "changed", *states, SEED, "; ".join(one.text for one in found))]


def states_of(view: RunView, rank: int = 0) -> dict[str, dict[str, Any]]:
    """The digests of the generators' states, by the moment: init, fit_start, fit_start 2, ..., end. Any: JSON."""
    found: dict[str, dict[str, Any]] = {}
    counts: dict[str, int] = {}
    for seeds in view.seeds(rank):
        counts[seeds.at] = counts.get(seeds.at, 0) + 1
        found[seeds.at if counts[seeds.at] == 1 else f"{seeds.at} {counts[seeds.at]}"] = seeds.states
    return found


def _seeded(view: RunView, rank: int) -> dict[str, str]:
    """The seeds that are known to have been set, as they were last."""
    return {name: str(value) for seeds in view.seeds(rank) for name, value in seeds.seeded.items()}


def _unused(view: RunView, rank: int) -> set[str]:
    """The generators that had given no number when they were looked at last."""
    records = view.records("seeds", rank)
    names = records[-1].body.get("unused") if records else None
    return {str(name) for name in names} if isinstance(names, list) else set()


def _changes(pairs: list[tuple[str, Any, Any]], side: int) -> bool:
    return any(one[side] != other[side] for one, other in itertools.pairwise(pairs))
