"""Checking that what a run wrote can be read to the last bit. Nothing is ever changed."""

import dataclasses
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from barograph.errors import BarographError
from barograph.journal.format import SUFFIX
from barograph.journal.reader import read_journal
from barograph.reading import RunView
from barograph.store.objects import Objects, is_digest
from barograph.store.sealing import check_segment

_NAMING = ("object", "diff")  # under these an environment names objects; other digests may stand in it as well


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """What was found in one file."""

    path: Path
    records: int
    problem: str | None = None

    @property
    def is_sound(self) -> bool:
        """Whether everything in it can be read."""
        return self.problem is None

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {"file": str(self.path), "records": self.records, "problem": self.problem}


def check_file(path: Path) -> Report:
    """Read a journal with every check sum."""
    try:
        contents = read_journal(path)
    except (BarographError, OSError) as error:
        return Report(path, 0, str(error))
    damage = contents.damage
    points = sum(len(series.steps) for series in contents.series.values())
    problems = []
    if damage.lost_frames:
        problems.append(f"{damage.lost_frames} records lost")
    if damage.damaged_bytes:
        places = ", ".join(str(place) for place in damage.places[:3])
        problems.append(f"{damage.damaged_bytes} bytes cannot be read (at {places})")
    if damage.torn_tail_bytes:
        problems.append(f"the last {damage.torn_tail_bytes} bytes are half a record")
    return Report(path, len(contents.records) + points, "; ".join(problems) or None)


def check_run(view: RunView, checked: dict[str, Report]) -> list[Report]:
    """Every journal of a run, its sealed segments against the counts they carry, and the objects it names.

    checked: the objects that were read already, by digest; those of this run are added and not reported again.
    """
    reports = [check_file(path) for path in sorted((view.path / "journals").glob(f"*{SUFFIX}"))]
    for path in sorted((view.path / "segments").glob("*.parquet")):
        try:
            reports.append(Report(path, check_segment(path)))
        except (BarographError, OSError) as error:
            reports.append(Report(path, 0, str(error)))
    return reports + _check_objects(view, checked)


def _check_objects(view: RunView, checked: dict[str, Report]) -> list[Report]:
    objects = Objects(view.path.parent.parent)
    try:
        named = dict.fromkeys(_objects_of(view))
    except (BarographError, OSError):  # its records cannot be read, which is reported of their file
        return []
    new = [digest for digest in named if digest not in checked]
    for digest in new:
        problem = None
        try:
            objects.copy_to(digest)
        except (BarographError, OSError) as error:
            problem = str(error)
        checked[digest] = Report(objects.path(digest), 0, problem)
    return [checked[digest] for digest in new]


def _objects_of(view: RunView) -> Iterator[str]:
    """The objects that must be there for a run to be whole: its artifacts' and those of its captured code."""
    for artifact in view.artifacts():
        if artifact.stored and artifact.digest is not None:
            yield artifact.digest
            with suppress(BarographError, OSError):  # the listing is damaged, which is found when it is checked itself
                yield from artifact.objects()
    waiting: list[Any] = [view.environment]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            yield from (part[key] for key in _NAMING if is_digest(part.get(key)))
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part
