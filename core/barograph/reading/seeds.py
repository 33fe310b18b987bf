"""The random generators of a run at the moments at which they were looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from barograph.journal.reader import Record


@dataclass(frozen=True, slots=True)
class Seeds:
    """One look. at: "init", "fit_start", "end" or what the caller of log_seeds() said; time_s: Unix seconds.

    states: digest of the state by generator. seeded: the seeds that are known to have been set. switches: what decides
    about determinism. threads: how many are computed with. Any: JSON.
    """

    at: str
    step: int | None
    time_s: float
    states: dict[str, str]
    seeded: dict[str, Any]
    switches: dict[str, Any]
    threads: dict[str, Any]


def seeds_of(record: Record) -> Seeds:
    """A look from its record."""
    body = record.body
    parts = {
        name: part if isinstance(part := body.get(name), dict) else {} for name in ("seeded", "switches", "threads")
    }
    states = body.get("states")
    digests = {str(name): str(digest) for name, digest in states.items()} if isinstance(states, dict) else {}
    return Seeds(str(body.get("at", "")), record.step, record.time_s, digests, **parts)
