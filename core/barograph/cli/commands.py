"""The commands: each takes the parsed call, prints, and returns the exit status."""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from barograph.cli.printing import ago, json_ready, number, print_json, print_line, print_table
from barograph.cli.showing import lasted, overview
from barograph.errors import BarographError
from barograph.keys import is_telling
from barograph.reading import RunView, open_store
from barograph.store.layout import find_store
from barograph.voice import visible

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
        print_json([overview(view) for view in shown])
        return 0
    if not shown:
        print_line(f"No runs in {visible(store.path)}" + (" that fit." if call.where or call.project else "."))
        return 0
    keys = _telling_metrics(shown)
    rows = [
        [view.name, view.project, view.status, ago(view.created), lasted(view)]
        + [number(view.summary.get(key)) for key in keys]
        for view in shown
    ]
    print_table(["run", "project", "status", "began", "lasted", *keys], rows)
    if len(views) > len(shown):
        print_line(f"and {len(views) - len(shown)} more; --limit 0 shows all")
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


def _telling_metrics(views: list[RunView]) -> list[str]:
    """Up to four metrics that most of these runs have, what was validated first."""
    counts: dict[str, int] = {}
    for view in views:
        for key in view.summary:
            if is_telling(key) and not key.startswith("lr/"):
                counts[key] = counts.get(key, 0) + 1
    return sorted(counts, key=lambda key: (-counts[key], not key.startswith(("val", "test")), key))[:4]


def _progress(views: list[RunView], done: str) -> Any:
    """The runs one by one; on a terminal a line tells how far it is once it takes over a second."""
    start = time.monotonic()
    for index, view in enumerate(views):
        if sys.stderr.isatty() and time.monotonic() - start > _PROGRESS_AFTER_S:
            print(f"\r{index} of {len(views)} {done}", end="", file=sys.stderr, flush=True)
        yield view
    if sys.stderr.isatty() and time.monotonic() - start > _PROGRESS_AFTER_S:
        print("\r" + " " * 40 + "\r", end="", file=sys.stderr)
