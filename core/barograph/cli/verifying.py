"""Checking that what a run wrote can be read to the last bit. Nothing is ever changed."""

import contextlib
import dataclasses
from pathlib import Path

import duckdb

from barograph.errors import BarographError
from barograph.journal.reader import read_journal
from barograph.reading import RunView
from barograph.store.files import LocalFiles
from barograph.store.layout import RunFolder
from barograph.store.parquet import Database, quoted
from barograph.store.segment import SUFFIX, Segment, parquet_names


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
    folder = RunFolder(view.path)
    reports = [check_file(path) for path in sorted(folder.journals.glob("*.journal"))]
    with contextlib.closing(Database(folder.path)) as database:
        for note in sorted(folder.segments.glob(f"*{SUFFIX}")):
            reports.append(_check_segment(folder, note.stem, database))
    return reports


def _check_segment(folder: RunFolder, writer_id: str, database: Database) -> Report:
    path = folder.segments / parquet_names(writer_id)[0]
    try:
        digest = Segment.read(LocalFiles(folder.path), writer_id).digest
        query = f"SELECT key, count(*), count(value) FROM read_parquet({quoted(path.as_posix())}) GROUP BY key"
        found = sum(count for _, count, _ in database.rows(query))
    except (BarographError, OSError, duckdb.Error) as error:
        return Report(path, 0, str(error))
    expected = sum(figures.count for figures in digest.statistics.values())
    return Report(path, found, None if found == expected else f"{expected} points were sealed, {found} are there")
