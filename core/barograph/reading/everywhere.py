"""The records of some kinds out of all runs of a store at once: one query for all that is sealed."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from barograph.errors import StoreError
from barograph.journal.reader import Record
from barograph.store.catalogue import Catalogue
from barograph.store.contents import SegmentSource, Source
from barograph.store.parquet import quoted
from barograph.store.segment import as_record, parquet_names


def records_everywhere(catalogue: Catalogue, kinds: Sequence[str]) -> dict[str, list[Record]]:
    """The records of these kinds by run, each run's by writer and in the order of writing; runs that have none, too.

    What cannot be read is left out.
    """
    sources: dict[str, list[Source]] = {}
    sealed: dict[str, SegmentSource] = {}
    for overview in catalogue.overviews():
        contents = catalogue.contents(overview.id)
        with suppress(StoreError, OSError):
            contents.refresh()
        sources[overview.id] = list(contents.sources)
        for source in sources[overview.id]:
            if isinstance(source, SegmentSource):
                name = parquet_names(source.digest.writer_id)[1]
                if name not in source.missing:
                    sealed[(contents.folder.segments / name).as_posix()] = source
    read = _read_sealed(catalogue, sealed, kinds)
    return {
        run_id: [record for source in of_run for record in _records(source, kinds, read)]
        for run_id, of_run in sources.items()
    }


def _records(source: Source, kinds: Sequence[str], read: dict[int, list[Record]] | None) -> list[Record]:
    if read is not None and isinstance(source, SegmentSource):
        return read.get(id(source), [])
    found: list[Record] = []
    with suppress(StoreError, OSError):
        for kind in kinds:
            found += source.records(kind)
    return sorted(found, key=lambda record: record.sequence)


def _read_sealed(
    catalogue: Catalogue, sealed: dict[str, SegmentSource], kinds: Sequence[str]
) -> dict[int, list[Record]] | None:
    """The records of sealed writers, by the identity of their source; None if they have to be read one by one."""
    if not sealed:
        return {}
    files = ", ".join(quoted(path) for path in sealed)
    most = sum(source.digest.records for source in sealed.values())
    try:
        rows = catalogue.database.rows(
            f"SELECT filename, kind, sequence, step, time_us, body FROM read_parquet([{files}], filename = true, "
            f"union_by_name = true) WHERE kind IN ({', '.join(quoted(kind) for kind in kinds)}) "
            f"ORDER BY filename, sequence LIMIT {most}"
        )
    except StoreError:  # one damaged file spoils the query
        return None
    found: dict[int, list[Record]] = {}
    for path, kind, sequence, step, time_us, body in rows:
        if (source := sealed.get(path)) is not None:
            found.setdefault(id(source), []).append(as_record(sequence, kind, step, time_us, body))
    return found
