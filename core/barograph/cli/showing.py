"""show: one run on one page, from its settings to what it left behind."""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from collections.abc import Sequence
from typing import Any

from barograph.cli.artifacts import ARTIFACT_HEAD, artifact_json, artifact_rows
from barograph.cli.data import overlap_lines, summary_row
from barograph.cli.printing import ago, flatten, number, print_json, print_line, print_table
from barograph.closing import duration_text, sparkline
from barograph.keys import best_of, is_inside, is_telling
from barograph.reading import RunView, open_store
from barograph.voice import visible

_ROWS = 40  # of one table without --all
_SETTINGS = 24  # of them
_DEEP = 2  # levels


def show(call: argparse.Namespace) -> int:
    """Show one run."""
    view = open_store(call.store).run(call.name)
    if call.json:
        print_json(_everything(view))
        return 0
    print_line(f"{visible(view.name)}  {view.status}")
    facts = {
        "id": view.id,
        "project": view.project,
        "began": time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(view.created)) + f" ({ago(view.created)})",
        "lasted": lasted(view),
        "folder": view.path,
        "tags": ", ".join(view.tags),
        "group": view.group,
        "notes": view.notes,
        "part of": view.parent_id,
        "parts": len(view.children()) or None,
        "attempts": len(view.attempts) if len(view.attempts) > 1 else None,
        "code": _code(view),
        "own cost": _cost(view),
    }
    for name, value in facts.items():
        if value:
            print_line(f"  {name:<10}{visible(value)}")
    _print_error(view)
    for line in [*view.problems, *_damage_lines(view)]:
        print_line(f"  {visible(line)}")
    limit = sys.maxsize if call.all else _ROWS
    keys = [key for key in view.metrics() if call.all or not key.startswith(("system/", "gpu/"))]
    inner = [] if call.all else [key for key in keys if is_inside(key) and key.count("/") > 1]
    keys = sorted(set(keys) - set(inner), key=lambda key: (not is_telling(key) or key.startswith("lr/"), key))
    _print_part(
        "metrics",
        ["metric", "curve", "last", "best", "at step", "points"],
        [_metric_row(view, key) for key in keys[:limit]],
        limit,
        of=len(keys),
    )
    if inner:
        print_line(f"  and {len(inner)} figures from inside the model; --all shows them")
    events = [[event.step, event.name, _brief(event.data)] for event in view.events()]
    _print_part("events", ["step", "event", "what"], events, limit, flexible=2)
    # what a person set stands high up; what a framework filled in lies deep
    settings = sorted(flatten(view.config).items(), key=lambda item: item[0].count(".") > _DEEP)
    _print_part("settings", ["setting", "value"], settings, limit if call.all else _SETTINGS, flexible=1)
    _print_part("artifacts", ARTIFACT_HEAD, artifact_rows(view.artifacts()), limit, flexible=len(ARTIFACT_HEAD) - 1)
    found = view.datasets()
    _print_part("data", ["data", "rows", "features", "class", "fingerprint"], list(map(summary_row, found)), limit)
    for line in overlap_lines(found):
        print_line(f"  {visible(line)}")
    kept: dict[str, Sequence[Any]] = {
        "texts": view.texts(),
        "images": view.images(),
        "tables": view.tables(),
    }
    also = [[kind, ", ".join(dict.fromkeys(item.key for item in items))] for kind, items in kept.items() if items]
    _print_part("also kept", ["what", "under"], also, limit, flexible=1)
    return 0


def overview(view: RunView) -> dict[str, Any]:
    """A run in a list of runs, as JSON. Any: JSON."""
    return {
        "id": view.id,
        "name": view.name,
        "project": view.project,
        "status": view.status,
        "created": view.created,
        "duration_s": view.duration_s,
        "tags": view.tags,
        "group": view.group,
        "parent_id": view.parent_id,
        "config": view.config,
        "summary": view.summary,
    }


def lasted(view: RunView) -> str:
    """How long it took, as a person says it; nothing if that is not known."""
    return "" if view.duration_s is None else duration_text(view.duration_s)


def _everything(view: RunView) -> dict[str, Any]:
    return {
        **overview(view),
        "notes": view.notes,
        "path": str(view.path),
        "attempts": view.attempts,
        "error": dataclasses.asdict(view.error) if view.error else None,
        "overhead": view.overhead,
        "damage": _damage_lines(view),
        "problems": view.problems,
        "metrics": {key: dataclasses.asdict(view.statistics(key)) for key in view.metrics()},
        "events": [
            {"step": event.step, "name": event.name, "time_s": event.time_s, "data": event.data}
            for event in view.events()
        ],
        "artifacts": [artifact_json(artifact) for artifact in view.artifacts()],
        "environment": view.environment,
        "datasets": [one.as_dict() for one in view.datasets()],
        "weights": [dataclasses.asdict(one) for one in view.weights()],
        "children": [child.id for child in view.children()],
    }


def _metric_row(view: RunView, key: str) -> list[object]:
    numbers = view.statistics(key)
    best, step = best_of(key, numbers)
    return [
        key,
        sparkline(_thinned(view, key)),
        number(numbers.last),
        number(best),
        "" if step is None else step,
        numbers.count,
    ]


def _thinned(view: RunView, key: str, width: int = 16) -> list[float]:
    values = view.metric(key).values
    places = (
        range(len(values)) if len(values) <= width else (i * (len(values) - 1) // (width - 1) for i in range(width))
    )
    return [float(values[place]) for place in places]


def _print_part(
    title: str, head: list[str], rows: list[Any], limit: int, *, flexible: int = 0, of: int | None = None
) -> None:
    if not rows:
        return
    print_line()
    print_line(title)
    print_table(head, rows[:limit], flexible=flexible, indent="  ")
    total = len(rows) if of is None else of
    if total > limit:
        print_line(f"  and {total - limit} more; --all shows them")


def _print_error(view: RunView) -> None:
    error = view.error
    if error:
        print_line(f"  {'error':<10}{visible(error.type)}: {visible(error.message)}")
        for line in error.traceback.rstrip().splitlines()[-12:]:
            print_line(f"            {visible(line)}")


def _damage_lines(view: RunView) -> list[str]:
    damage = view.damage
    lines = []
    if damage.lost_frames:
        lines.append(f"damaged: {damage.lost_frames} records lost, {damage.damaged_bytes} bytes cannot be read")
    if damage.torn_tail_bytes:
        lines.append(f"cut short: the last {damage.torn_tail_bytes} bytes are half a record (the process was killed)")
    for gap in damage.gaps:
        lines.append(f"not kept while the disk refused: {gap}")
    return lines


def _cost(view: RunView) -> str | None:
    total_s = view.overhead.get("total_s") if view.overhead else None
    if total_s is None:
        return None
    share = f" ({total_s / view.duration_s:.2%})" if view.duration_s else ""
    return duration_text(total_s) + share


def _code(view: RunView) -> str | None:
    git = view.environment.get("git")
    if not isinstance(git, dict) or not git.get("commit"):
        return None
    counts = {"changed": git.get("changed"), "new": len(git.get("untracked_files") or [])}
    beyond = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    branch = f"{git['branch']} " if git.get("branch") else ""
    return f"{branch}{str(git['commit'])[:10]}" + (f" and {beyond}" if beyond else "")


def _brief(data: Any) -> str:
    parts = (f"{key}={number(value) if isinstance(value, float) else value}" for key, value in flatten(data).items())
    return " ".join(parts)
