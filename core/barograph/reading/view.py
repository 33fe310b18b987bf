"""RunView: one run, read."""

from __future__ import annotations

import difflib
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from barograph.artifacts.artifact import Artifact
from barograph.errors import RunNotFoundError, StoreError
from barograph.journal.reader import Record
from barograph.store.catalogue import Catalogue
from barograph.store.contents import RunContents, SegmentSource, Source
from barograph.store.digest import Damage, Statistics, merged
from barograph.store.layout import RunFolder
from barograph.store.overview import EMPTY, LIVE, Overview, decisive_sources, visible_damage

from .artifacts import artifacts_of, missing, pick
from .console import Line, lines_of
from .datasets import DatasetView, Weights, datasets_of, weights_of
from .histogram import Histogram, histogram_keys, merged_histogram
from .metric import Attempt, Metric, checked_attempt, merged_metric
from .params import flat
from .records import Event, Image, Table, Text, event_of, image_of, table_of, text_of
from .seeds import Seeds, seeds_of


@dataclass(frozen=True, slots=True)
class RunError:
    """What made a run fail. step: of the newest point before it."""

    type: str
    message: str
    traceback: str
    step: int | None


class RunView:
    """One run, read when it is asked; every question is answered from what is on disk at that moment.

    It never changes the run, takes no lock that a writer could wait for, and may be used from several threads. A run
    that is still being written can be read like any other.
    """

    def __init__(self, path: str | os.PathLike[str], catalogue: Catalogue | None = None) -> None:
        self._path = os.fspath(path) if catalogue is not None else os.path.abspath(path)
        self._id = os.path.basename(self._path)
        self._catalogue = catalogue if catalogue is not None else Catalogue(Path(self._path).parent)
        self._contents_kept: RunContents | None = None
        self._sealed_records: dict[tuple[str, str], list[Record]] = {}
        self._metrics: dict[tuple[str, int | None, Attempt], tuple[int, Metric]] = {}

    def __repr__(self) -> str:
        return f"<RunView {self.name!r} ({self.id}): {self.status}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RunView) and other._path == self._path

    def __hash__(self) -> int:
        return hash(self._path)

    # -- the run as a whole ------------------------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """The run's id: the name of its folder."""
        return self._id

    @property
    def path(self) -> Path:
        """The run's folder."""
        return Path(self._path)

    @property
    def name(self) -> str:
        """The name it was given, or that was made for it."""
        return self._overview().name

    @property
    def project(self) -> str:
        """The project it belongs to."""
        return self._overview().project

    @property
    def status(self) -> str:
        """running, stalled, killed, finished, failed, interrupted; empty if nothing was ever written.

        A run that only holds the parts of a search is what its parts are: running as long as one of them is.
        """
        own = self._overview().status(self._path)
        if own != EMPTY:
            return own
        parts = {part.status for part in self.children()} - {EMPTY}
        return next((status for status in (*LIVE, "finished", *parts) if status in parts), own)

    @property
    def config(self) -> dict[str, Any]:
        """The configuration, nested as it was logged. Any: JSON."""
        return self._overview().config

    @property
    def params(self) -> dict[str, Any]:
        """The configuration, flat: `{"optimizer.lr": 0.1}`. Any: JSON."""
        return flat(self.config)

    @property
    def summary(self) -> dict[str, float]:
        """The last value of each metric, as `metric(key).values[-1]` gives it."""
        return self._overview().summary

    @property
    def tags(self) -> list[str]:
        """Its tags."""
        return list(self._overview().tags)

    @property
    def notes(self) -> str:
        """Its notes."""
        return self._overview().notes

    @property
    def group(self) -> str | None:
        """The group it was put into."""
        return self._overview().group

    @property
    def parent_id(self) -> str | None:
        """The id of the run that this one is a part of."""
        return self._overview().parent_id

    @property
    def created(self) -> float:
        """When it began, Unix seconds."""
        return self._overview().created_s

    @property
    def duration_s(self) -> float:
        """Seconds it ran, all attempts together; a live run counts up to now."""
        overview = self._overview()
        running_s = 0.0
        if overview.deciding is not None and overview.status(self._path) in LIVE:
            last_s = overview.deciding.last_sign_s
            running_s = max(0.0, time.time() - last_s) if last_s is not None else 0.0
        return overview.duration_s + running_s

    @property
    def attempts(self) -> list[int]:
        """The numbers of the attempts that wrote something."""
        return list(self._overview().attempts)

    @property
    def error(self) -> RunError | None:
        """What made it fail; None if nothing did."""
        deciding = self._overview().deciding
        end = deciding.end if deciding is not None else None
        error = end.get("error") if end is not None else None
        if end is None or not isinstance(error, dict):
            return None
        step = end.get("step")
        return RunError(
            type=str(error.get("type", "")),
            message=str(error.get("message", "")),
            traceback=str(error.get("traceback", "")),
            step=step if isinstance(step, int) else None,
        )

    @property
    def end_reason(self) -> str | None:
        """Why it ended, in words, if its end says so."""
        deciding = self._overview().deciding
        reason = deciding.end.get("reason") if deciding is not None and deciding.end is not None else None
        return None if reason is None else str(reason)

    @property
    def problems(self) -> list[str]:
        """What is wrong with the folder itself: files missing, copied from another run, or not to be read."""
        problems = list(self._overview().problems)
        other = self._catalogue.claimant(self.id)
        return [*problems, f"the folder {other!r} holds what calls itself this run, too"] if other else problems

    @property
    def reproduces(self) -> str | None:
        """The id of the run that this one was started to repeat (`barograph reproduce`)."""
        try:
            told = self._folder.read_manifest().get("reproduces")
        except (OSError, StoreError):
            return None
        return told if isinstance(told, str) and told else None

    @property
    def ranks(self) -> list[int]:
        """The ranks that wrote something, rising."""
        return sorted({source.digest.rank for source in self._contents().sources})

    @property
    def parent(self) -> RunView | None:
        """The run that this one is a part of, if it is in the same store."""
        parent_id = self.parent_id
        if parent_id is None or self._catalogue.overview(parent_id) is None:
            return None
        return RunView(self.path.parent / parent_id, self._catalogue)

    def children(self) -> list[RunView]:
        """The runs that are a part of this one, oldest first."""
        found = [overview for overview in self._catalogue.overviews() if overview.parent_id == self.id]
        found.sort(key=lambda overview: overview.age_order)
        return [RunView(self.path.parent / overview.id, self._catalogue) for overview in found]

    # -- numbers -----------------------------------------------------------------------------------------------------

    def metrics(self) -> list[str]:
        """The keys of all metrics, sorted."""
        return sorted({key for source in self._contents().sources for key in source.digest.statistics})

    def metric(self, key: str, rank: int | None = 0, attempt: Attempt = "latest") -> Metric:
        """A metric's points by step, then order of writing, as arrays that are yours to change.

        rank: of the process that logged it; None for those of all. attempt: "latest" (where a later attempt went over
        the same steps again, its points count), "all", or a number. Raises StoreError if nobody logged such a metric.
        """
        attempt = checked_attempt(attempt)
        contents = self._contents()
        version = contents.version  # before anything is read: another thread may see more in between
        kept_version, found = self._metrics.get((key, rank, attempt), (-1, None))
        if found is None or kept_version != version:
            if not any(key in source.digest.statistics for source in contents.sources):
                raise StoreError(f"run {self.name} ({self.id}) has no metric {key!r}.{self._similar(key)}")
            found = merged_metric(contents.sources, key, rank, attempt)
            self._metrics[key, rank, attempt] = version, found
            self._catalogue.seal_later(contents)
        return Metric(np.array(found.steps), np.array(found.values), np.array(found.times))

    def statistics(self, key: str) -> Statistics:
        """Count, first, last, least and greatest of `metric(key)`, without reading the points where that can be."""
        having = [source.digest for source in self._contents().sources if key in source.digest.statistics]
        ranks = {digest.rank for digest in having}
        rank = 0 if 0 in ranks or not ranks else min(ranks)
        chosen = [digest for digest in having if digest.rank == rank]
        if len({digest.attempt for digest in chosen}) == 1:
            figures = chosen[0].statistics[key]
            for digest in chosen[1:]:
                figures = figures.merged(digest.statistics[key])
            return figures
        points = self.metric(key, rank)
        return Statistics.of(points.steps, points.times, points.values)

    def histograms(self) -> list[str]:
        """The names of all tensors and arrays whose distribution was recorded, sorted."""
        return histogram_keys(self._contents().sources)

    def histogram(self, key: str, bins: int = 64) -> Histogram:
        """A tensor's distribution over the steps, on one linear scale of `bins` bins, with quantiles and exact figures.

        What several ranks recorded of a step is added up. Raises StoreError if nobody recorded such a tensor.
        """
        found = merged_histogram(self._contents().sources, key, bins)
        if found is None:
            raise StoreError(f"run {self.name} ({self.id}) has no histogram {key!r}; histograms() lists those it has.")
        return found

    # -- everything else ---------------------------------------------------------------------------------------------

    def events(self, name: str | None = None) -> list[Event]:
        """What happened, or only what has this name, in the order of writing."""
        events = [event_of(record) for record in self._records("event")]
        return [event for event in events if name is None or event.name == name]

    def texts(self, key: str | None = None) -> list[Text]:
        """The texts, or only those under a key."""
        return _of_key(key, [text_of(record, self._folder) for record in self._records("text")])

    def images(self, key: str | None = None) -> list[Image]:
        """The pictures, or only those under a key."""
        return _of_key(key, [image_of(record, self._folder) for record in self._records("image")])

    def tables(self, key: str | None = None) -> list[Table]:
        """The tables, or only those under a key."""
        return _of_key(key, [table_of(record, self._folder) for record in self._records("table")])

    def artifacts(self, kind: str | None = None, role: str | None = None) -> list[Artifact]:
        """The files and folders that it made (role "output") or used ("input"), or only those of a kind, by time."""
        found = artifacts_of(
            self.records("artifact", None), self.id, self.path.parent.parent, is_live=self.status in LIVE
        )
        return [one for one in found if kind in (None, one.kind) and role in (None, one.role)]

    def artifact(self, name: str) -> Artifact:
        """One artifact: the newest of a name, `name:2` for the second of it, or by the beginning of its digest."""
        found = self.artifacts()
        artifact = pick(found, name)
        if artifact is None:
            raise missing(name, f"run {self.name} ({self.id}) has", found)
        return artifact

    def datasets(self, rank: int | None = 0) -> list[DatasetView]:
        """What it was fed, as it was last recorded under each name."""
        return datasets_of(self.records("dataset", rank), self.path.parent.parent)

    def dataset(self, name: str) -> DatasetView:
        """One dataset. Raises StoreError if none of that name was recorded."""
        found = {one.name: one for one in self.datasets()}
        if name not in found:
            there = f" There are: {', '.join(found)}." if found else ""
            raise StoreError(f"run {self.name} ({self.id}) has no dataset {name!r}.{there}")
        return found[name]

    def weights(self, rank: int | None = 0) -> list[Weights]:
        """The digests of the model's weights, one for each time they were logged."""
        return [weights_of(record) for record in self.records("weights", rank)]

    @property
    def environment(self) -> dict[str, Any]:
        """Code, packages and machine, as they were when it ran. Any: JSON."""
        whole: dict[str, Any] = {}
        for source in decisive_sources(self._contents().sources):
            for record in self._records_of(source, "environment"):
                part = record.body.get("environment")
                if isinstance(part, dict):
                    whole = merged(whole, part)
        return whole

    def records(self, kind: str, rank: int | None = 0) -> list[Record]:
        """Everything of one kind as it was written, in the order of writing; rank: None for those of all."""
        return [
            record
            for source in self._contents().sources
            if rank in (None, source.digest.rank)
            for record in self._records_of(source, kind)
        ]

    def console(self) -> list[Line]:
        """What it printed, as a terminal would show it in the end, by time."""
        return lines_of(self.records("console"))

    def seeds(self, rank: int | None = 0) -> list[Seeds]:
        """The random generators at the beginning, at each fit and at the end, of a rank or, for None, of all."""
        return [seeds_of(record) for record in self.records("seeds", rank)]

    @property
    def overhead(self) -> dict[str, Any]:
        """What recording cost the training: total_s and seconds by hook; empty before the end. Any: JSON."""
        told = [source.digest.overhead for source in decisive_sources(self._contents().sources)]
        return dict(next((one for one in reversed(told) if one), {}))

    @property
    def damage(self) -> Damage:
        """What is missing or broken in its journals; false if nothing is."""
        return visible_damage(self._contents().sources)

    # -- how it is read ----------------------------------------------------------------------------------------------

    @property
    def _folder(self) -> RunFolder:
        return RunFolder(self.path)

    def _overview(self) -> Overview:
        overview = self._catalogue.overview(self._id)
        if overview is None:
            raise RunNotFoundError(f"{self.path} holds no run (any more).")
        return overview

    def _contents(self) -> RunContents:
        if self._contents_kept is None:
            self._contents_kept = self._catalogue.contents(self.id)
        self._contents_kept.refresh()
        return self._contents_kept

    def _records(self, kind: str) -> list[Record]:
        return [record for source in self._contents().sources for record in self._records_of(source, kind)]

    def _records_of(self, source: Source, kind: str) -> list[Record]:
        """A writer's records of a kind. Those of a sealed one stay as they are; to ask for them takes milliseconds."""
        if not isinstance(source, SegmentSource):
            return source.records(kind)
        key = source.digest.writer_id, kind
        if key not in self._sealed_records:
            self._sealed_records[key] = source.records(kind)
        return self._sealed_records[key]

    def _similar(self, key: str) -> str:
        near = difflib.get_close_matches(key, self.metrics(), n=3)
        return f" Similar: {', '.join(near)}." if near else ""


_Keyed = TypeVar("_Keyed", Text, Image, Table)


def _of_key(key: str | None, found: list[_Keyed]) -> list[_Keyed]:
    return [one for one in found if key is None or one.key == key]
