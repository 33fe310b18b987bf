"""Checking that what a run wrote can be read to the last bit. Nothing is ever changed."""

import dataclasses
from pathlib import Path

from barograph.errors import BarographError
from barograph.journal.format import SUFFIX
from barograph.journal.reader import read_journal
from barograph.reading import RunView
from barograph.store.sealing import check_segment


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


def check_run(view: RunView) -> list[Report]:
    """Every journal of a run, and its sealed segments against the counts they carry."""
    reports = [check_file(path) for path in sorted((view.path / "journals").glob(f"*{SUFFIX}"))]
    for path in sorted((view.path / "segments").glob("*.parquet")):
        try:
            reports.append(Report(path, check_segment(path)))
        except (BarographError, OSError) as error:
            reports.append(Report(path, 0, str(error)))
    return reports
