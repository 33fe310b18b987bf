"""The artifacts of runs, put together from their records, and found by name, version or digest."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from barograph.artifacts.artifact import Artifact
from barograph.errors import StoreError
from barograph.journal.reader import Record
from barograph.store.objects import is_digest

_VERSIONED = re.compile(r"(.+):([1-9]\d{0,8})", re.DOTALL)
_DIGEST_START = re.compile(r"(sha256:)?([0-9a-f]{6,64})")
_UNREAD = "its content was not read: the process ended first"


def artifacts_of(records: Iterable[Record], run_id: str, store_path: Path, *, is_live: bool) -> list[Artifact]:
    """The artifacts that some records tell of, by time. A later record of an artifact completes the first one.

    is_live: whether what is not known yet may still come.
    """
    found: dict[str, Artifact] = {}
    for record in records:
        artifact = _artifact(record, run_id, store_path)
        key = artifact.id or f"{record.time_s} {len(found)}"
        if (first := found.get(key)) is not None:
            artifact = replace(artifact, step=first.step, time_s=first.time_s)
        found[key] = artifact
    versions: dict[tuple[str, str], int] = {}
    whole = []
    for artifact in sorted(found.values(), key=lambda one: one.time_s):
        named = artifact.role, artifact.name
        versions[named] = versions.get(named, 0) + 1
        is_lost = artifact.digest is None and artifact.problem is None and not is_live
        whole.append(replace(artifact, version=versions[named], problem=_UNREAD if is_lost else artifact.problem))
    return whole


def pick(artifacts: Sequence[Artifact], wanted: str) -> Artifact | None:
    """The artifact that is meant by a name, `name:2`, or the beginning of a digest; None if there is none.

    artifacts: by time. Of several that fit the newest; what a run made goes before what one used.
    """
    outputs_last = sorted(artifacts, key=lambda one: one.role == "output")
    match = _VERSIONED.fullmatch(wanted)
    start = _DIGEST_START.fullmatch(wanted)
    for candidates in (
        [one for one in outputs_last if one.name == wanted],
        [one for one in outputs_last if match and (one.name, one.version) == (match[1], int(match[2]))],
        [one for one in outputs_last if start and (one.digest or "").startswith(f"sha256:{start[2]}")],
    ):
        if candidates:
            return candidates[-1]
    return None


def missing(wanted: str, where: str, artifacts: Iterable[Artifact]) -> StoreError:
    """What to say where nothing answers to a name."""
    import difflib

    names = list(dict.fromkeys(one.name for one in artifacts))
    near = difflib.get_close_matches(wanted, names, n=3, cutoff=0.5) or names[-3:]
    hint = f" There are: {', '.join(near)}." if near else " There is none at all."
    return StoreError(f"{where} no artifact {wanted!r}.{hint}")


def _artifact(record: Record, run_id: str, store_path: Path) -> Artifact:
    """An artifact from one record, which a stranger may have written."""
    body = record.body
    digest = body.get("digest")
    metadata = body.get("metadata")
    known = digest if is_digest(digest) else None
    return Artifact(
        name=str(body.get("name", "")),
        kind=str(body.get("type", "file")),
        role="input" if body.get("role") == "input" else "output",
        digest=known,
        size_bytes=_count(body.get("size_bytes")),
        files=_count(body.get("files")),
        path=str(body.get("path", "")),
        stored=body.get("stored") is True and known is not None,
        step=record.step,
        time_s=record.time_s,
        run_id=run_id,
        metadata=metadata if isinstance(metadata, dict) else {},
        problem=_text(body.get("problem")),
        modified_ns=_count(body.get("modified_ns")),
        id=str(body.get("id", "")),
        store_path=store_path,
    )


def _count(value: Any) -> int | None:  # Any: JSON
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _text(value: Any) -> str | None:  # Any: JSON
    return None if value is None else str(value)
