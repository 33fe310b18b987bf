"""The runs of a store, found by their folders and summed up through the index."""

from __future__ import annotations

import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from barograph.errors import StoreError
from barograph.journal.format import SUFFIX as JOURNAL_SUFFIX

from .background import FEWEST_POINTS, BackgroundSealer
from .contents import JournalSource, RunContents, SegmentSource
from .index import Index, Row
from .layout import MANIFEST_NAME, RunFolder
from .overview import Overview, overview_of
from .parquet import Database
from .sealing import seal
from .signature import Signature

MOST_RUNS = 1_000_000  # names that are looked at in a store's runs/; a folder without end must not hang a listing
_KEPT_OPEN = 8  # runs whose journals stay in memory, to be asked about soon or read on from where they were
_KEPT_POINTS = 5_000_000  # of all of them together; a point takes 28 bytes


class Catalogue:
    """Finds runs and keeps what is known about each until its folder changes. Usable from several threads.

    folder: the store's runs/. index: None to work without one. seals: big finished runs that are read are sealed.
    """

    def __init__(self, folder: Path, index: Index | None = None, *, seals: bool = False) -> None:
        self.folder = folder
        self.database = Database(folder)
        self._index = index
        self._sealer = BackgroundSealer(self.database) if seals else None
        self._known: dict[str, tuple[Signature, Overview]] = {}
        self._contents: weakref.WeakValueDictionary[str, RunContents] = weakref.WeakValueDictionary()
        self._recent: OrderedDict[str, RunContents] = OrderedDict()
        self._claims: dict[str, str] | None = None
        self._index_is_read = False
        self._lock = threading.RLock()

    def names(self) -> list[str]:
        """The names of all folders that may hold a run, in no order."""
        try:
            with os.scandir(self.folder) as scan:
                entries = [entry for _, entry in zip(range(MOST_RUNS), scan, strict=False)]
            return [entry.name for entry in entries if not entry.name.startswith(".") and _is_folder(entry)]
        except OSError as error:
            raise StoreError(f"{self.folder} cannot be listed: {error.strerror}.") from error

    def overviews(self) -> list[Overview]:
        """All runs. One that cannot be read is among them, with the problem."""
        with self._lock:
            names = self.names()
            self._read_index()
            changed: list[str] = []
            found = []
            for name in names:
                overview, is_new = self._overview(name)
                if overview is not None:
                    found.append(overview)
                    if is_new:
                        changed.append(name)
            self._claims = {overview.claimed_id: overview.id for overview in found if overview.claimed_id is not None}
            gone = list(self._known.keys() - set(names))
            for name in gone:
                del self._known[name]
            self._save(changed, gone)
            return found

    def overview(self, name: str) -> Overview | None:
        """One run by its folder's name; None if there is no run of that name."""
        known = self._known.get(name)
        if known is not None and known[0].is_fresh:
            return known[1]
        with self._lock:
            if name not in self._known and not self._index_is_read and self._index is not None:
                self._take_rows(self._index.load(name))
            overview, is_new = self._overview(name)
            if is_new and overview is not None:
                self._save([name], [])
            return overview

    def claimant(self, name: str) -> str | None:
        """Another folder whose files say that they are this run; None if there is none, as it should be."""
        if self._claims is None:
            self.overviews()
        return (self._claims or {}).get(name)

    def contents(self, name: str) -> RunContents:
        """Everything in a run's folder; the same object for all who ask while anybody holds it."""
        with self._lock:
            contents = self._contents.get(name)
            if contents is None:
                contents = self._contents[name] = RunContents(RunFolder(self.folder / name), self.database)
            return contents

    def seal_later(self, contents: RunContents) -> None:
        """Seal a run on the side if it was worth it to have it sealed now."""
        if self._sealer is not None:
            self._sealer.offer(contents.folder, _sealable_points(contents))

    def seal_big(self, overviews: list[Overview]) -> None:
        """Seal what would otherwise have to be read into memory whole; what cannot be sealed is left as it is."""
        for overview in overviews:
            if self._sealer is None or overview.points < FEWEST_POINTS:
                continue
            contents = self.contents(overview.id)
            contents.refresh()
            if _sealable_points(contents) >= FEWEST_POINTS:
                with suppress(StoreError, OSError):
                    seal(contents.folder, self.database)

    def close(self) -> None:
        """Wait for what is being sealed, and close the database."""
        if self._sealer is not None:
            self._sealer.wait()
        self.database.close()

    def _overview(self, name: str) -> tuple[Overview | None, bool]:
        """What is known of a run, and whether it had to be read anew."""
        path = f"{self.folder}/{name}"
        known = self._known.get(name)
        if known is not None:
            was_settled = known[0].is_settled
            if known[0].is_current(path):
                return known[1], known[0].is_settled != was_settled
            del self._known[name]
        signature = Signature.take(path)
        if not signature.folders[0] and not signature.folders[2] and not os.path.lexists(f"{path}/{MANIFEST_NAME}"):
            return None, False
        contents = self.contents(name)
        try:
            contents.refresh()
        except OSError as error:
            return Overview(name, name=name, problems=[f"{path} cannot be read: {error.strerror}"]), False
        overview = overview_of(contents.folder, contents)
        signature.open_names = _open_names(contents, signature)
        if os.path.lexists(f"{path}/{MANIFEST_NAME}"):  # else still being copied, unseen by the signature
            self._known[name] = signature, overview
        self._keep(name, contents)
        return overview, name in self._known

    def _keep(self, name: str, contents: RunContents) -> None:
        """Hold on to the newest journals that were read; what was held the longest goes first."""
        self._recent.pop(name, None)
        self._recent[name] = contents
        points = sum(held.points_in_memory for held in self._recent.values())
        while self._recent and (len(self._recent) > _KEPT_OPEN or points > _KEPT_POINTS):
            points -= self._recent.popitem(last=False)[1].points_in_memory

    def _read_index(self) -> None:
        if self._index is not None and not self._index_is_read:
            self._index_is_read = True
            self._take_rows(self._index.load())

    def _take_rows(self, rows: dict[str, Row]) -> None:
        for name, row in rows.items():
            if name in self._known:
                continue
            try:
                overview = Overview.from_texts(row.head, row.config, row.summary)
                self._known[name] = Signature.from_text(row.signature), overview
            except (ValueError, TypeError, KeyError):  # of an older or newer version; it is read anew
                continue

    def _save(self, changed: Collection[str], gone: Collection[str]) -> None:
        rows = []
        for name in changed:
            signature, overview = self._known[name]
            texts = overview.head_text(), overview.config_text, overview.summary_text
            rows.append(Row(name, signature.to_text(), *texts))
        if self._index is not None and (rows or gone):
            self._index.save(rows, gone)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _sealable_points(contents: RunContents) -> int:
    """How many points lie in journals that nobody writes to any more."""
    return sum(
        source.digest.points
        for source in contents.sources
        if isinstance(source, JournalSource) and not source.digest.damage.is_in_file and source.is_over
    )


def _open_names(contents: RunContents, signature: Signature) -> list[str]:
    """The files that may still change without their folder telling."""
    names = {name for name in signature.files if name.startswith("journals/")}
    for source in contents.sources:
        digest = source.digest
        if isinstance(source, SegmentSource):
            names |= {f"segments/{name}" for name in source.missing}
        if isinstance(source, SegmentSource) or source.is_over:
            names.discard(f"journals/{digest.writer_id}{JOURNAL_SUFFIX}")
    return sorted(names)
