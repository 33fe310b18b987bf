"""A run in a few kilobytes: what listings show and searches ask, as JSON so that the index can hold it."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from barograph.errors import StoreError
from barograph.journal.format import SUFFIX as JOURNAL_SUFFIX

from .contents import JournalSource, RunContents, Source
from .digest import Damage, WriterDigest, as_float, merged
from .layout import RunFolder
from .liveness import LIVENESS_S, life_of, silent_s, status_of_silent
from .signature import parsed

ENDS = ("finished", "failed", "interrupted")
LIVE = ("running", "stalled")
EMPTY = "empty"  # nothing was ever written
_PROCESS = ("host", "boot_id", "pid", "pid_start_s")


@dataclass(slots=True)
class Deciding:
    """The writer that a run's status is read from: the newest of the training itself on rank 0.

    process: host, boot_id, pid and pid_start_s. journal: its file's name, None once it is sealed. is_dead: the process
    was looked for and is gone for good.
    """

    process: dict[str, Any]  # Any: JSON, here and below
    created_s: float
    last_sign_s: float | None
    end: dict[str, Any] | None
    journal: str | None
    is_dead: bool

    def status(self, folder: str, liveness_s: float, now_s: float) -> str:
        """The status at this moment; `folder` is the run's."""
        if self.end is not None:
            status = str(self.end.get("status"))
            return status if status in ENDS else "failed"
        if self.is_dead:
            return "killed"
        written_s = None
        if self.journal is not None:
            try:
                written_s = os.stat(f"{folder}/journals/{self.journal}").st_mtime
            except OSError:
                pass
        return status_of_silent(life_of(self.process), silent_s([self.last_sign_s, written_s], now_s), liveness_s)


@dataclass(slots=True)
class Overview:
    """What is said about a run as a whole, at the moment it was read.

    id: the folder's name, which is unique in a store. claimed_id: what its files call it, where that is something else.
    duration_s: of all writers of rank 0 together; a live one counts up to its last sign.
    config_text, summary_text: JSON, parsed only by those who ask.
    """

    id: str
    claimed_id: str | None = None
    name: str = ""
    project: str = ""
    group: str | None = None
    parent_id: str | None = None
    tags: list[str] = field(default_factory=list)
    notes: str = ""
    created_s: float = 0.0
    duration_s: float = 0.0
    attempts: list[int] = field(default_factory=list)
    points: int = 0
    problems: list[str] = field(default_factory=list)
    is_damaged: bool = False
    deciding: Deciding | None = None
    config_text: str = "{}"
    summary_text: str = "{}"
    _config: dict[str, Any] | None = None
    _summary: dict[str, float] | None = None

    def head_text(self) -> str:
        """Everything but configuration and summary, as JSON."""
        fields = asdict(self)
        for name in ("config_text", "summary_text", "_config", "_summary"):
            del fields[name]
        return json.dumps(fields)

    @classmethod
    def from_texts(cls, head_text: str, config_text: str, summary_text: str) -> Overview:
        """The way back. Raises ValueError, TypeError or KeyError for texts that are none."""
        head = parsed(head_text)
        if head["deciding"] is not None:
            head["deciding"] = Deciding(**head["deciding"])
        return cls(**head, config_text=config_text, summary_text=summary_text)

    @property
    def config(self) -> dict[str, Any]:
        """The configuration, a copy that is the caller's own."""
        if self._config is None:
            self._config = parsed(self.config_text)
        config: dict[str, Any] = _copied(self._config)
        return config

    @property
    def summary(self) -> dict[str, float]:
        """The last value of each metric, a copy that is the caller's own."""
        if self._summary is None:
            self._summary = parsed(self.summary_text)
        return dict(self._summary)

    @property
    def last_sign_s(self) -> float:
        """When it was last written to by the writer that decides; infinite while that may go on."""
        if self.deciding is None or (self.deciding.end is None and not self.deciding.is_dead):
            return float("inf")
        return self.created_s if self.deciding.last_sign_s is None else self.deciding.last_sign_s

    @property
    def age_order(self) -> tuple[float, str]:
        """What runs are sorted by, oldest first; dates may be anything, even no number."""
        return (self.created_s if self.created_s == self.created_s else 0.0), self.id

    def status(self, folder: str, liveness_s: float = LIVENESS_S) -> str:
        """running, stalled, killed, finished, failed or interrupted; empty if nothing was ever written."""
        return EMPTY if self.deciding is None else self.deciding.status(folder, liveness_s, time.time())


def overview_of(folder: RunFolder, contents: RunContents) -> Overview:
    """Sum a run up from its manifest and what its writers said."""
    overview = Overview(folder.path.name, problems=list(contents.problems))
    digests = [source.digest for source in contents.sources]
    _take_manifest(overview, folder, digests)
    config: dict[str, object] = {}
    # A process of its own (another rank, a fork) may tell of itself; what rank 0 of the training says wins.
    for digest in sorted(digests, key=lambda digest: digest.is_main and digest.rank == 0):
        config = merged(config, digest.config)
        _take_meta(overview, digest.meta)
        claimed = digest.header.get("run_id")
        if isinstance(claimed, str) and claimed != overview.id:
            overview.claimed_id = claimed
    if overview.claimed_id is not None:
        overview.problems.append(f"the folder {overview.id!r} holds what calls itself run {overview.claimed_id!r}")
    decisive = decisive_sources(contents.sources)
    if decisive:
        overview.deciding = _deciding(decisive[-1])
        overview.duration_s = sum(source.digest.duration_s for source in decisive)
    overview.attempts = sorted({digest.attempt for digest in digests})
    overview.points = sum(digest.points for digest in digests)
    overview.is_damaged = bool(visible_damage(contents.sources))
    overview.config_text = json.dumps(config)
    overview.summary_text = json.dumps(_last_values(digests))
    return overview


def _take_manifest(overview: Overview, folder: RunFolder, digests: list[WriterDigest]) -> None:
    try:
        manifest = folder.read_manifest()
    except (StoreError, OSError) as error:
        manifest = {}
        overview.problems.append(str(error))
    overview.name = _text(manifest.get("name")) or overview.id
    overview.project = _text(manifest.get("project")) or ""
    overview.parent_id = _text(manifest.get("parent_id"))
    created_s = as_float(manifest.get("created"))
    if created_s is None and digests:
        created_s = digests[0].created_s
    overview.created_s = created_s or 0.0
    claimed = manifest.get("id", overview.id)
    overview.claimed_id = None if claimed == overview.id else str(claimed)
    _take_meta(overview, manifest)


def _take_meta(overview: Overview, meta: dict[str, Any]) -> None:
    if isinstance(tags := meta.get("tags"), list):
        overview.tags = [str(tag) for tag in tags]
    overview.name = _text(meta.get("name")) or overview.name
    overview.group = _text(meta.get("group")) or overview.group
    overview.notes = _text(meta.get("notes")) or overview.notes


def decisive_sources(sources: list[Source]) -> list[Source]:
    """The writers that speak for the run, in the order in which they began."""
    main = [source for source in sources if source.digest.is_main]
    return [source for source in main if source.digest.rank == 0] or main or sources


def _deciding(source: Source) -> Deciding:
    digest = source.digest
    process = {name: digest.header.get(name) for name in _PROCESS}
    journal = f"{digest.writer_id}{JOURNAL_SUFFIX}" if isinstance(source, JournalSource) else None
    is_dead = source.is_over and digest.end is None
    return Deciding(process, digest.created_s, digest.last_sign_s, digest.end, journal, is_dead)


def visible_damage(sources: list[Source]) -> Damage:
    """The damage of all writers together. A torn tail counts only where its writer can no longer complete it."""
    whole = Damage()
    for source in sources:
        damage = source.digest.damage
        whole.add(damage if source.is_over else replace(damage, torn_tail_bytes=0))
    return whole


def _last_values(digests: list[WriterDigest]) -> dict[str, float]:
    """The last value of each metric: of the lowest rank that has it, its newest attempt, its greatest step."""
    best: dict[str, tuple[tuple[int, int, int], float]] = {}
    for digest in digests:
        for key, figures in digest.statistics.items():
            standing = (-digest.rank, digest.attempt, figures.last_step)
            known = best.get(key)
            if known is None or standing >= known[0]:
                best[key] = standing, figures.last
    return {key: value for key, (_, value) in best.items()}


def _copied(value: Any) -> Any:
    """A copy of what came out of JSON; several times faster than deepcopy, and than parsing it again."""
    if isinstance(value, dict):
        return {key: _copied(one) for key, one in value.items()}
    return [_copied(one) for one in value] if isinstance(value, list) else value


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
