"""Store: the runs of one folder, listed, found, searched and queried."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from barograph.artifacts.artifact import Artifact
from barograph.errors import AmbiguousRunError, RunIsLiveError, RunNotFoundError, StoreError
from barograph.store.catalogue import Catalogue
from barograph.store.collecting import GRACE_S, Collected, collect
from barograph.store.index import Index
from barograph.store.layout import RUNS_NAME, RunFolder, find_store, safe_run_id
from barograph.store.overview import LIVE, Overview
from barograph.store.sealing import SealResult, seal
from barograph.store.trash import move_to_trash

from .artifacts import artifacts_of, missing, pick
from .everywhere import records_everywhere
from .params import flat
from .tables import Tables
from .view import RunView
from .where import parse_where

if TYPE_CHECKING:
    import duckdb

    from .lineage import Lineage

_MOST_NAMED = 10  # candidates that an error names


def open_store(path: str | os.PathLike[str] | None = None) -> Store:
    """The store at a path, or the one that `barograph.init()` would write to from here; StoreError if there is none."""
    return Store(find_store(path))


def find_run(place: tuple[str, str] | None) -> RunView | None:
    """The run at a place (its store and id), as it is now, whichever process writes it; None if it is not there yet."""
    try:
        return None if place is None else open_store(place[0]).run(place[1])
    except StoreError:
        return None


class Store:
    """The runs of a store, and what can be asked about all of them at once.

    Reading takes no lock that a training could wait for. The first reader of a big finished run may seal it on the
    side; `close()`, or leaving a with block, waits for that. May be used from several threads.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        runs = self.path / RUNS_NAME
        if not runs.is_dir():
            raise StoreError(
                f"There is no store at {self.path}. Train something with barograph.init() or a callback first, or say "
                "where the store is: barograph.open(path), --store, or the variable BAROGRAPH_STORE."
            )
        self._catalogue = Catalogue(runs, Index(self.path), seals=True)
        self._tables = Tables(self._catalogue)

    def __repr__(self) -> str:
        return f"<Store {str(self.path)!r}>"

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Wait for what is being sealed and give the memory back; relations of `sql` end with it."""
        self._catalogue.close()

    def runs(self, project: str | None = None, where: str | Callable[[RunView], bool] | None = None) -> list[RunView]:
        """The runs, newest first.

        where: a condition such as `status = finished and val/loss < 0.2` (reading/where.py describes its language;
        ValueError where it cannot be read), or a function that says yes or no to a run.
        """
        found = [one for one in self._catalogue.overviews() if project is None or one.project == project]
        found.sort(key=lambda overview: overview.age_order, reverse=True)
        if isinstance(where, str):
            condition = parse_where(where)
            found = [overview for overview in found if condition(_lookup(overview, self._status_of))]
        views = [self._view(overview) for overview in found]
        return views if where is None or isinstance(where, str) else [view for view in views if where(view)]

    def run(self, name_or_id: str) -> RunView:
        """A run by its exact id, else the newest of that name, else the only one whose id or name begins so.

        Raises RunNotFoundError or AmbiguousRunError, which name what comes close.
        """
        for run_id in dict.fromkeys((name_or_id, safe_run_id(name_or_id))):
            if _is_name(run_id) and (exact := self._catalogue.overview(run_id)) is not None:
                return self._view(exact)
        overviews = sorted(self._catalogue.overviews(), key=lambda overview: overview.age_order, reverse=True)
        claimed = [overview for overview in overviews if overview.claimed_id == name_or_id]
        named = [overview for overview in overviews if overview.name == name_or_id]
        begun = [one for one in overviews if one.id.startswith(name_or_id) or one.name.startswith(name_or_id)]
        candidates = claimed or named[:1] or (begun if name_or_id else [])
        if len(candidates) == 1:
            return self._view(candidates[0])
        if not candidates:
            raise RunNotFoundError(f"{self.path} has no run {name_or_id!r}.{_similar(name_or_id, overviews)}")
        listed = ", ".join(f"{one.name} ({one.id})" for one in candidates[:_MOST_NAMED])
        raise AmbiguousRunError(
            f"{len(candidates)} runs of {self.path} answer to {name_or_id!r}: {listed}"
            f"{', ...' if len(candidates) > _MOST_NAMED else ''}. Give the whole id."
        )

    def sql(self, query: str) -> duckdb.DuckDBPyRelation:
        """A SELECT over the tables runs, params, metrics, events and statistics, live runs and sealed ones alike.

        Columns: runs(id, name, project, status, "group", parent_id, tags, notes, created, duration_s, points, path),
        params(run_id, key, value, number), metrics(run_id, key, step, time, value, attempt, rank, writer),
        events(run_id, name, step, time, data, attempt, rank), statistics(run_id, key, step, time, count, zeros, nans,
        pos_infs, neg_infs, sampling, mean, std, min, max, centre, bins, counts, attempt, rank, writer) of tensors, with
        NULL for moments where no value was finite. Times are UTC; data is JSON. Every point is there, of all ranks and
        attempts. Nothing but this store can be read, and nothing written. Raises StoreError for a query
        that is no SELECT or cannot be understood. The relation can be used as long as this store object lives.
        """
        return self._tables.query(query)

    def artifacts(self, kind: str | None = None, role: str | None = None) -> list[Artifact]:
        """The files and folders that any run made (role "output") or used ("input"), or only those of a kind, by time.

        What cannot be read is left out.
        """
        records = records_everywhere(self._catalogue, ["artifact"])
        found = [
            artifact
            for view in self.runs()
            for artifact in artifacts_of(records.get(view.id, ()), view.id, self.path, is_live=view.status in LIVE)
            if kind in (None, artifact.kind) and role in (None, artifact.role)
        ]
        return sorted(found, key=lambda artifact: artifact.time_s)

    def artifact(self, name: str) -> Artifact:
        """One artifact: the newest of a name, `name:2` for the newest that is the second in its run, or by its digest.

        What a run made goes before what one used. Raises StoreError where nothing answers to it.
        """
        best: Artifact | None = None
        for overview in sorted(self._catalogue.overviews(), key=lambda one: one.last_sign_s, reverse=True):
            if best is not None and best.role == "output" and overview.last_sign_s < best.time_s:
                break  # whatever the runs before it made is older
            with suppress(StoreError):
                found = pick(self._view(overview).artifacts(), name)
                if found is not None and (best is None or _weight(found, name) > _weight(best, name)):
                    best = found
        if best is None:
            raise missing(name, f"{self.path} has", self.artifacts())
        return best

    def lineage(self, name: str) -> Lineage:
        """Where a run, an artifact or a data set came from, and what came of it, over all runs of the store.

        name: a run's id or name; an artifact's name, `name:2` or digest; a data set's name or fingerprint; or the path
        of a file whose content an artifact has. Raises StoreError where nothing answers to it.
        """
        from .lineage import lineage_of

        return lineage_of(self, name, records_everywhere(self._catalogue, ["artifact", "dataset"]))

    def collect(self, *, grace_s: float = GRACE_S, dry_run: bool = False) -> Collected:
        """Remove the contents that no record of any run names: see `barograph.store.collecting.collect`."""
        return collect(self.path, grace_s=grace_s, dry_run=dry_run)

    def seal(self, run: RunView | str) -> SealResult:
        """Seal what nobody writes to any more in a run: see `barograph.store.sealing.seal`."""
        view = self.run(run) if isinstance(run, str) else run
        return seal(RunFolder(view.path), self._catalogue.database)

    def delete_run(self, run: RunView | str, force: bool = False) -> Path:
        """Move a run into the store's trash and say where it is now.

        Raises RunIsLiveError for one that is being written, unless forced, and StoreError for a link.
        """
        view = self.run(run) if isinstance(run, str) else run
        if view.status in LIVE and not force:
            raise RunIsLiveError(
                f"run {view.name} ({view.id}) is {view.status} and was not removed. "
                "End its training first, or force it."
            )
        return move_to_trash(self.path, view.path)

    def _view(self, overview: Overview) -> RunView:
        return RunView(f"{self._catalogue.folder}/{overview.id}", self._catalogue)

    def _status_of(self, overview: Overview) -> str:
        return overview.status(f"{self._catalogue.folder}/{overview.id}")


def _weight(artifact: Artifact, name: str) -> tuple[bool, bool, float]:
    """What decides between artifacts that answer to a name."""
    return artifact.name == name, artifact.role == "output", artifact.time_s


def _lookup(overview: Overview, status_of: Callable[[Overview], str]) -> Callable[[str], object]:
    """What the names in a condition stand for in one run."""
    fixed: dict[str, Callable[[], object]] = {
        "status": lambda: status_of(overview),
        "id": lambda: overview.id,
        "name": lambda: overview.name,
        "project": lambda: overview.project,
        "group": lambda: overview.group,
        "tag": lambda: overview.tags,
        "parent": lambda: overview.parent_id,
        "created": lambda: overview.created_s,
        "duration_s": lambda: overview.duration_s,
    }

    def lookup(name: str) -> object:
        if name in fixed:
            return fixed[name]()
        of_metrics, of_config = name.removeprefix("metric."), name.removeprefix("config.")
        if of_metrics == name:
            params = flat(overview.config)
            if of_config in params or of_config != name:
                return params.get(of_config)
        return overview.summary.get(of_metrics)

    return lookup


def _is_name(text: str) -> bool:
    """Whether a text can be the name of a folder in runs/, and no path to anywhere else."""
    return bool(text) and not text.startswith(".") and not any(letter in text for letter in "/\\\0")


def _similar(text: str, overviews: list[Overview]) -> str:
    import difflib

    known = {overview.name for overview in overviews} | {overview.id for overview in overviews}
    near = difflib.get_close_matches(text, sorted(known), n=3, cutoff=0.5)
    if near:
        return f" Similar: {', '.join(near)}."
    newest = ", ".join(overview.name for overview in overviews[:3])
    return f" The newest are {newest}." if newest else " It has no runs at all yet."
