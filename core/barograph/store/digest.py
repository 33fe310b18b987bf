"""What one writer said, without its points: small enough to keep beside a segment and in the index."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from barograph.journal.reader import Contents, Record

DEEPEST = 50  # levels of a configuration; what a stranger nests deeper is left out
MOST_PLACES = 100  # damaged places kept one by one; the counts cover all of them

_WRITER_ID = re.compile(r"a(\d{1,9})-r(\d{1,9})-[a-z0-9]{8}")


@dataclass(frozen=True, slots=True)
class Statistics:
    """A metric in figures. min and max are None where every value is NaN; last is the value at the greatest step."""

    count: int
    first_step: int
    last: float
    last_step: int
    last_time_s: float
    min: float | None
    min_step: int | None
    max: float | None
    max_step: int | None

    @classmethod
    def of(cls, steps: NDArray[np.int64], times: NDArray[np.float64], values: NDArray[np.float64]) -> Statistics:
        """The figures of at least one point; the points are in the order of writing, or stably sorted by step."""
        last = len(steps) - 1 - int(np.argmax(steps[::-1]))
        low: tuple[float, int] | tuple[None, None] = (None, None)
        high = low
        is_nan = np.isnan(values)
        if not is_nan.all():
            # the plain ones are ten times faster, which counts with thousands of metrics
            least, greatest = (np.nanargmin, np.nanargmax) if is_nan.any() else (np.argmin, np.argmax)
            at_low, at_high = int(least(values)), int(greatest(values))
            low = float(values[at_low]), int(steps[at_low])
            high = float(values[at_high]), int(steps[at_high])
        return cls(
            len(steps),
            int(steps.min()),
            float(values[last]),
            int(steps[last]),
            float(times[last]),
            *low,
            *high,
        )

    def merged(self, later: Statistics) -> Statistics:
        """The figures of these points and of others that were written later."""
        newest = later if later.last_step >= self.last_step else self
        low, high = self, self
        if later.min is not None and (self.min is None or later.min < self.min):
            low = later
        if later.max is not None and (self.max is None or later.max > self.max):
            high = later
        return Statistics(
            self.count + later.count,
            min(self.first_step, later.first_step),
            newest.last,
            newest.last_step,
            newest.last_time_s,
            low.min,
            low.min_step,
            high.max,
            high.max_step,
        )

    def as_record(self) -> dict[str, float | int | None]:
        """The figures by name."""
        return {name: getattr(self, name) for name in self.__slots__}

    def to_json(self) -> list[float | int | None]:
        """All figures in their order."""
        return list(self.as_record().values())

    @classmethod
    def from_json(cls, value: object) -> Statistics:
        """Raises ValueError or TypeError for anything but the list that a Statistics becomes in JSON."""
        if not isinstance(value, list) or len(value) != len(cls.__slots__):
            raise ValueError("not the figures of a metric")
        count, first, last, last_step, time_s, low, low_step, high, high_step = value
        return cls(
            int(count),
            int(first),
            float(last),
            int(last_step),
            float(time_s),
            None if low is None else float(low),
            None if low_step is None else int(low_step),
            None if high is None else float(high),
            None if high_step is None else int(high_step),
        )


@dataclass(slots=True)
class Damage:
    """What is missing or broken in a writer's journal, or in those of a whole run; false where nothing is."""

    lost_frames: int = 0
    damaged_bytes: int = 0
    torn_tail_bytes: int = 0
    places: list[str] = field(default_factory=list)
    gaps: list[dict[str, object]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return self.is_in_file or bool(self.gaps)

    @property
    def is_in_file(self) -> bool:
        """Whether bytes of the journal are broken or missing; a gap that the writer noted itself is no such damage."""
        return bool(self.lost_frames or self.damaged_bytes or self.torn_tail_bytes or self.places)

    def add(self, other: Damage) -> None:
        """Count another writer's damage in."""
        self.lost_frames += other.lost_frames
        self.damaged_bytes += other.damaged_bytes
        self.torn_tail_bytes += other.torn_tail_bytes
        self.places += other.places
        self.gaps += other.gaps


@dataclass(slots=True)
class WriterDigest:
    """One writer: who it was, the figures of its metrics, and those of its records that describe the whole run.

    attempt and rank stand in the writer's id, so they are known even where the first frame of its journal is damaged.
    """

    writer_id: str
    attempt: int = 0
    rank: int = 0
    header: dict[str, object] = field(default_factory=dict)
    statistics: dict[str, Statistics] = field(default_factory=dict)
    config: dict[str, object] = field(default_factory=dict)
    meta: dict[str, object] = field(default_factory=dict)
    overhead: dict[str, object] = field(default_factory=dict)
    lost: dict[str, object] = field(default_factory=dict)
    end: dict[str, object] | None = None
    first_sign_s: float | None = None
    last_sign_s: float | None = None
    records: int = 0
    damage: Damage = field(default_factory=Damage)

    def __post_init__(self) -> None:
        match = _WRITER_ID.fullmatch(self.writer_id)
        told = (match[1], match[2]) if match else (self.header.get("attempt"), self.header.get("rank"))
        self.attempt, self.rank = (int(one) if isinstance(one, (str, int)) else 0 for one in told)

    @property
    def is_main(self) -> bool:
        """Whether it is a process of the training itself, not one that was forked off it."""
        return self.header.get("role", "main") == "main"

    @property
    def created_s(self) -> float:
        """When the writer began, by its own clock, as far as that is known."""
        created_s = as_float(self.header.get("created"))
        return next((one for one in (created_s, self.first_sign_s) if one is not None), 0.0)

    @property
    def order(self) -> tuple[int, float, str]:
        """What writers are sorted by: the order in which they began."""
        return self.attempt, self.created_s, self.writer_id

    @property
    def points(self) -> int:
        """How many points of metrics were written."""
        return sum(figures.count for figures in self.statistics.values())

    @property
    def duration_s(self) -> float:
        """Seconds from the beginning to the end, by the monotonic clock where the writer lived to say so."""
        told_s = as_float(self.end.get("duration_s")) if self.end else None
        if told_s is not None:
            return told_s
        return 0.0 if self.last_sign_s is None else self.last_sign_s - self.created_s

    def with_more(self, contents: Contents) -> WriterDigest:
        """The digest with what was read from the journal since; this one stays as it is, for whoever is reading it."""
        more = replace(self, statistics=dict(self.statistics), meta=dict(self.meta))
        more._take(contents)
        return more

    def _take(self, contents: Contents) -> None:
        if contents.header is not None:
            self.header = _clipped(contents.header)
            self.__post_init__()
        for key, series in contents.series.items():
            figures = Statistics.of(series.steps, series.times, series.values)
            known = self.statistics.get(key)
            self.statistics[key] = figures if known is None else known.merged(figures)
            self._sign(float(series.times[0]))
            self._sign(float(series.times[-1]))
        for record in contents.records:
            self._take_record(record)
        self.records += len(contents.records) + len(contents.statistics)
        if contents.last_beat is not None:
            self._sign(contents.last_beat.time_s)
        found = contents.damage
        self.damage = Damage(
            found.lost_frames,
            found.damaged_bytes,
            found.torn_tail_bytes,
            [_place(*place) for place in found.places[:MOST_PLACES]],
            [dict(gap) for gap in found.gaps[:MOST_PLACES]],
        )

    def _take_record(self, record: Record) -> None:
        self._sign(record.time_s)
        body = record.body
        match record.kind:
            case "config":
                self.config = merged(self.config, _clipped(body.get("config")))
            case "meta":
                self.meta.update(_clipped(body))
            case "summary":
                self.overhead = _clipped(body.get("overhead"))
                self.lost = _clipped(body.get("lost"))
            case "end":
                self.end = {**_clipped(body), "step": record.step}

    def _sign(self, time_s: float) -> None:
        if time_s == time_s:  # a NaN is no time
            self.first_sign_s = time_s if self.first_sign_s is None else min(self.first_sign_s, time_s)
            self.last_sign_s = time_s if self.last_sign_s is None else max(self.last_sign_s, time_s)

    def to_json(self) -> dict[str, object]:
        """Everything, as JSON can hold it."""
        fields = {name: getattr(self, name) for name in self.__slots__}
        fields["statistics"] = {key: figures.to_json() for key, figures in self.statistics.items()}
        fields["damage"] = asdict(self.damage)
        return fields

    @classmethod
    def from_json(cls, value: object) -> WriterDigest:
        """The digest in a file that anybody may have made; ValueError, TypeError or KeyError where it is none."""
        if not isinstance(value, dict):
            raise ValueError("not a digest")
        damage = Damage(**value["damage"])
        return cls(
            writer_id=str(value["writer_id"]),
            header=_clipped(value["header"]),
            statistics={str(key): Statistics.from_json(one) for key, one in dict(value["statistics"]).items()},
            config=_clipped(value["config"]),
            meta=_clipped(value["meta"]),
            overhead=_clipped(value["overhead"]),
            lost=_clipped(value["lost"]),
            end=None if value["end"] is None else _clipped(value["end"]),
            first_sign_s=as_float(value["first_sign_s"]),
            last_sign_s=as_float(value["last_sign_s"]),
            records=int(value["records"]),
            damage=Damage(
                int(damage.lost_frames),
                int(damage.damaged_bytes),
                int(damage.torn_tail_bytes),
                [str(place) for place in damage.places[:MOST_PLACES]],
                [_clipped(gap) for gap in damage.gaps[:MOST_PLACES]],
            ),
        )


def merged(earlier: Mapping[str, object], later: Mapping[str, object]) -> dict[str, object]:
    """Two nested configurations as one, in which the later one wins. Neither is changed."""
    whole = dict(earlier)
    for key, value in later.items():
        known = whole.get(key)
        whole[key] = merged(known, value) if isinstance(known, dict) and isinstance(value, dict) else value
    return whole


def _clipped(value: object) -> dict[str, object]:
    """A mapping with nothing nested too deeply in it; an empty one for what is none."""
    clipped = _clip(value, 0)
    return clipped if isinstance(clipped, dict) else {}


def _clip(value: object, depth: int) -> object:
    if not isinstance(value, (dict, list)):
        return value
    if depth > DEEPEST:
        return "(nested too deeply)"
    if isinstance(value, list):
        return [_clip(one, depth + 1) for one in value]
    return {str(key): _clip(one, depth + 1) for key, one in value.items()}


def _place(start: int | None, end: int | None, reason: str) -> str:
    return reason if start is None else f"bytes {start} to {end}: {reason}"


def as_float(value: object) -> float | None:
    """A number out of JSON, which may hold anything; None if it is none that a double can hold."""
    try:
        return float(value) if isinstance(value, (int, float)) else None
    except OverflowError:
        return None
