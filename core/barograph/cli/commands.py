"""The commands: each takes the parsed call, prints, and returns the exit status."""

import argparse
import dataclasses
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from barograph.cli.artifacts import ARTIFACT_HEAD, artifact_json, artifact_rows
from barograph.cli.data import overlap_lines, summary_row
from barograph.cli.printing import ago, flatten, json_ready, number, print_json, print_line, print_table, visible
from barograph.closing import best_of, duration_text, is_telling, sparkline
from barograph.errors import BarographError
from barograph.reading import RunView, Store, open_store
from barograph.store.layout import find_store

_ROWS = 40  # of one table in `show` without --all
_SETTINGS = 24  # of them
_DEEP = 2  # levels
_INSIDE = ("weights/", "gradients/", "updates/", "activations/")
_TAIL_EVERY_S = 0.5
_PROGRESS_AFTER_S = 1.0


def ls(call: argparse.Namespace) -> int:
    """List runs."""
    store = open_store(call.store)
    views = [
        view for view in store.runs(project=call.project, where=call.where) if call.children or view.parent_id is None
    ]
    shown = views[: call.limit] if call.limit > 0 else views
    if call.json:
        print_json([_overview(view) for view in shown])
        return 0
    if not shown:
        print_line(f"No runs in {visible(store.path)}" + (" that fit." if call.where or call.project else "."))
        return 0
    keys = _telling_metrics(shown)
    rows = [
        [view.name, view.project, view.status, ago(view.created), _duration(view)]
        + [number(view.summary.get(key)) for key in keys]
        for view in shown
    ]
    print_table(["run", "project", "status", "began", "lasted", *keys], rows)
    if len(views) > len(shown):
        print_line(f"and {len(views) - len(shown)} more; --limit 0 shows all")
    return 0


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
        "lasted": _duration(view),
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
    inner = [] if call.all else [key for key in keys if key.startswith(_INSIDE) and key.count("/") > 1]
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


def tail(call: argparse.Namespace) -> int:
    """Print points as they come."""
    store = open_store(call.store)
    view = store.run(call.name)
    seen: dict[str, int] = {}
    first = True
    while True:
        ended = view.status not in ("running", "stalled")
        rows: list[tuple[float, int, str, float]] = []
        for key in call.metric or view.metrics():
            metric = view.metric(key, rank=None, attempt="all")
            begin = seen.get(key, max(0, len(metric.steps) - call.n) if first else 0)
            seen[key] = len(metric.steps)
            for at in range(begin, len(metric.steps)):
                rows.append((float(metric.times[at]), int(metric.steps[at]), key, float(metric.values[at])))
        for time_s, step, key, value in sorted(rows):
            if call.json:
                print_json_line({"time_s": time_s, "step": step, "key": key, "value": value})
            else:
                clock = time.strftime("%H:%M:%S", time.localtime(time_s))
                print_line(f"{clock}  step {step:<8} {visible(key)} = {number(value)}")
        sys.stdout.flush()
        first = False
        if ended or call.no_follow:
            if not call.json and not call.no_follow:
                print_line(f"{visible(view.name)} is {view.status}")
            return 0
        time.sleep(_TAIL_EVERY_S)
        view = store.run(view.id)


def export(call: argparse.Namespace) -> int:
    """Write points."""
    from barograph.cli.exporting import export_points

    view = open_store(call.store).run(call.name)
    output = Path(call.output) if call.output else None
    count = export_points(view, output, call.format, call.metric, replace=call.force)
    if output is not None:
        if call.json:
            print_json({"run": view.id, "points": count, "file": str(output)})
        else:
            print_line(f"{count} points of {visible(view.name)} written to {visible(output)}")
    return 0


def sql(call: argparse.Namespace) -> int:
    """Ask SQL."""
    import duckdb

    try:
        answer = open_store(call.store).sql(call.query)
        names, rows = list(answer.columns), answer.fetchall()
    except duckdb.Error as error:
        raise BarographError(f"the query failed: {error}") from error
    if call.json:
        print_json([dict(zip(names, row, strict=True)) for row in rows])
    else:
        print_table(names, [[number(cell) if isinstance(cell, float) else cell for cell in row] for row in rows])
    return 0


def verify(call: argparse.Namespace) -> int:
    """Check journals."""
    from barograph.cli.verifying import Report, check_file, check_run

    files = [Path(name) for name in call.names if Path(name).is_file()]
    names = [name for name in call.names if not Path(name).is_file()]
    reports = [check_file(path) for path in files]
    checked: dict[str, Report] = {}  # objects, which runs share
    if names or not files:
        store = open_store(call.store)
        for view in _progress([store.run(name) for name in names] or store.runs(), "checked"):
            reports += check_run(view, checked)
    damaged = [report for report in reports if not report.is_sound]
    if call.json:
        print_json([report.as_dict() for report in reports])
    else:
        for report in damaged:
            print_line(f"{visible(report.path)}: {report.problem}")
        records = sum(report.records for report in reports)
        print_line(f"{len(reports)} journals, segments and objects, {records} records, {len(damaged)} of them damaged")
    return 1 if damaged else 0


def seal(call: argparse.Namespace) -> int:
    """Seal runs."""
    store = open_store(call.store)
    views = [store.run(name) for name in call.names] or store.runs()
    results: list[dict[str, Any]] = []
    skipped = 0
    for view in _progress(views, "sealed"):
        try:
            result = store.seal(view)
            results.append(result.as_dict())
            problem = result.problem
        except (BarographError, OSError) as error:
            results.append({"run": view.id, "problem": str(error)})
            problem = str(error)
        if problem:
            skipped += 1
            print(f"barograph: {visible(view.name)} was not sealed: {visible(problem)}", file=sys.stderr)
    if call.json:
        print_json(results)
    else:
        points = sum(result.get("points", 0) for result in results)
        print_line(f"{len(results) - skipped} runs sealed, {points} points; {skipped} left as they are")
    return 1 if skipped and call.names else 0


def rm(call: argparse.Namespace) -> int:
    """Move runs to the trash."""
    store = open_store(call.store)
    views = [store.run(name) for name in call.names]
    if not call.yes:
        if not sys.stdin.isatty():
            raise BarographError("rm moves runs into the trash; pass --yes to do it without being asked")
        print_line(f"Move to the trash: {', '.join(visible(view.name) for view in views)}? [y/N]")
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            return 2
    moved = [(view.name, view.id, store.delete_run(view, force=call.force)) for view in views]
    if call.json:
        print_json([{"run": run_id, "trash": str(place)} for _, run_id, place in moved])
    else:
        for name, _, place in moved:
            print_line(f"{visible(name)} is now in {visible(place)}")
    return 0


def where(call: argparse.Namespace) -> int:
    """Tell where the store is."""
    path = find_store(call.store)
    runs = path / "runs"
    count = sum(1 for entry in runs.iterdir() if entry.is_dir()) if runs.is_dir() else 0
    if call.json:
        print_json({"store": str(path), "exists": path.is_dir(), "runs": count})
    else:
        print_line(f"{visible(path)} ({count} runs)" if path.is_dir() else f"{visible(path)} (not made yet)")
    return 0


def print_json_line(value: dict[str, object]) -> None:
    """One JSON object on one line."""
    import json

    print(json.dumps(json_ready(value), ensure_ascii=True))


def _overview(view: RunView) -> dict[str, Any]:
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


def _everything(view: RunView) -> dict[str, Any]:
    return {
        **_overview(view),
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


def _telling_metrics(views: list[RunView]) -> list[str]:
    """Up to four metrics that most of these runs have, what was validated first."""
    counts: dict[str, int] = {}
    for view in views:
        for key in view.summary:
            if is_telling(key) and not key.startswith("lr/"):
                counts[key] = counts.get(key, 0) + 1
    return sorted(counts, key=lambda key: (-counts[key], not key.startswith(("val", "test")), key))[:4]


def _duration(view: RunView) -> str:
    return "" if view.duration_s is None else duration_text(view.duration_s)


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


def _progress(views: list[RunView], done: str) -> Any:
    """The runs one by one; on a terminal a line tells how far it is once it takes over a second."""
    start = time.monotonic()
    for index, view in enumerate(views):
        if sys.stderr.isatty() and time.monotonic() - start > _PROGRESS_AFTER_S:
            print(f"\r{index} of {len(views)} {done}", end="", file=sys.stderr, flush=True)
        yield view
    if sys.stderr.isatty() and time.monotonic() - start > _PROGRESS_AFTER_S:
        print("\r" + " " * 40 + "\r", end="", file=sys.stderr)


__all__ = ["Store", "export", "ls", "rm", "seal", "show", "sql", "tail", "verify", "where"]
