"""The command `data`: what a run was fed, and what its splits share."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from typing import Any

from barograph.cli.printing import number, print_json, print_line, print_table
from barograph.data.sketch import Overlap
from barograph.reading import open_store
from barograph.reading.datasets import DatasetView
from barograph.voice import visible

_FEATURES = 20  # of one dataset, without --all
_CLASSES = 12
_MOST_PAIRS = 100  # a second's work; more are said not to have been compared


def declare(command: Callable[[str, str, object], argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    data = command("data", "Show what a run was fed: fingerprints, features, labels, shared rows.", run)
    data.add_argument("name", metavar="RUN")
    data.add_argument("--all", action="store_true", help="every feature")


def run(call: argparse.Namespace) -> int:
    """Show the datasets of a run."""
    view = open_store(call.store).run(call.name)
    found = view.datasets()
    if call.json:
        shared = [
            {"one": one.name, "other": other.name, **dataclasses.asdict(overlap)}
            for one, other, overlap in overlaps(found)
        ]
        print_json({"datasets": [one.as_dict() for one in found], "overlaps": shared})
        return 0
    if not found:
        print_line(f"No data was recorded of {visible(view.name)}.")
    for one in found:
        _print_dataset(one, call.all)
    for line in overlap_lines(found):
        print_line(visible(line))
    return 0


def overlaps(found: Sequence[DatasetView]) -> Iterator[tuple[DatasetView, DatasetView, Overlap]]:
    """What each two of some datasets share, where that can be told."""
    for one, other in list(combinations(found, 2))[:_MOST_PAIRS]:
        overlap = one.overlap(other)
        if overlap is not None:
            yield one, other, overlap


def overlap_lines(found: Sequence[DatasetView]) -> list[str]:
    """Which datasets share rows, in words; nothing of those that do not."""
    lines = []
    for one, other, overlap in overlaps(found):
        count = round(overlap.other_rows)
        if count and one.relation(other) != "same":
            about = "" if overlap.is_exact else "about "
            seen = "" if one.is_complete and other.is_complete else ", as far as they were seen"
            lines.append(
                f"{one.name} and {other.name} share {about}{count} {'row' if count == 1 else 'rows'}"
                f" ({_share(count, other.seen)} of {other.name}{seen})"
            )
        elif count:
            lines.append(f"{one.name} and {other.name} are the same data")
    pairs = len(found) * (len(found) - 1) // 2
    if pairs > _MOST_PAIRS:
        lines.append(f"{pairs - _MOST_PAIRS} further pairs were not compared")
    return lines


def summary_row(one: DatasetView) -> list[object]:
    """A dataset in one line of a table: name, rows, features, class, fingerprint."""
    digest = (one.fingerprint or {}).get("ordered", "")
    seen = "" if one.is_complete else f" ({one.seen} rows seen)" if one.seen else " (not read)"
    return [one.name, one.rows, one.features, one.kind, f"{digest[:12]}{seen}".strip()]


def _print_dataset(one: DatasetView, everything: bool) -> None:
    print_line(f"{visible(one.name)}  {one.kind}")
    facts: dict[str, object] = {
        "rows": one.rows,
        "features": one.features,
        "bytes": one.size_bytes,
        "ordered": (one.fingerprint or {}).get("ordered"),
        "unordered": (one.fingerprint or {}).get("unordered"),
        "seen": None if one.is_complete else f"{one.seen} rows",
        "repeated": round(one.duplicates) if one.duplicates else None,
        "labels": _balance(one.labels.get("balance")),
        "source": one.source,
        "profiled": one.profile.get("sampled"),
    }
    for name, value in facts.items():
        if value is not None and value != "":
            print_line(f"  {name:<10}{visible(value)}")
    entries = list(one.features_by_name().values())
    shown = entries if everything else entries[:_FEATURES]
    if shown:
        print_table(["feature", "missing", "min", "mean", "std", "max", "other"], map(_feature, shown), indent="  ")
    if len(entries) > len(shown):
        print_line(f"  and {len(entries) - len(shown)} more; --all shows them")
    print_line()


def _feature(entry: dict[str, Any]) -> list[object]:
    figures = [number(value) if _is_number(value := entry.get(name)) else "" for name in ("min", "mean", "std", "max")]
    if entry.get("kind") in ("category", "text"):
        distinct = entry.get("distinct")
        return [entry.get("name"), entry.get("missing"), *figures, f"{distinct} categories" if distinct else "texts"]
    infinite = entry.get("infinite")
    return [entry.get("name"), entry.get("missing"), *figures, f"{infinite} infinite" if infinite else ""]


def _balance(balance: object) -> str | None:
    if not isinstance(balance, dict):
        return None
    counts = balance.get("counts")
    if balance.get("kind") not in ("classes", "several") or not isinstance(counts, dict):
        return str(balance.get("kind"))
    rows = balance.get("rows") if _is_number(balance.get("rows")) else 0
    parts = [f"{name}: {_share(count, rows)}" for name, count in list(counts.items())[:_CLASSES] if _is_number(count)]
    more = len(counts) - len(parts)
    return ", ".join(parts) + (f" and {more} more" if more else "")


def _share(part: float, whole: object) -> str:
    return f"{part / whole:.1%}" if isinstance(whole, (int, float)) and whole else str(part)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float))
