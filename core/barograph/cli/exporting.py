"""Writing the points of a run as CSV, JSON lines or Parquet: whole files or none."""

import csv
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from barograph.cli.printing import json_ready
from barograph.errors import BarographError
from barograph.reading import RunView

_COLUMNS = ("key", "step", "time", "value")
_SUFFIXES = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet", ".pq": "parquet"}


def export_points(
    view: RunView, output: Path | None, form: str | None, keys: list[str] | None, *, replace: bool = False
) -> int:
    """Write the points and return how many; to `output` under a temporary name first, so that no half file is left.

    form: "csv", "jsonl", "parquet"; None goes by the file's name. keys: only these metrics.
    """
    form = form or (_SUFFIXES.get(output.suffix.lower(), "csv") if output else "csv")
    wanted = keys or view.metrics()
    if missing := sorted(set(wanted) - set(view.metrics())):
        raise BarographError(f"run {view.name} has no metric {missing[0]!r}; it has: {', '.join(view.metrics()[:20])}")
    if output is None:
        if form == "parquet":
            raise BarographError("Parquet is no text; give a file with -o FILE")
        return _write_text(sys.stdout, view, wanted, form)
    if output.exists() and not replace:
        raise BarographError(f"{output} exists already; --force replaces it")
    temporary = output.with_name(f".{output.name}.{os.getpid()}.tmp")
    try:
        if form == "parquet":
            count = _write_parquet(temporary, view, wanted)
        else:
            with temporary.open("w", encoding="utf-8", newline="") as stream:
                count = _write_text(stream, view, wanted, form)
        os.replace(temporary, output)
    finally:
        temporary.unlink(missing_ok=True)
    return count


def _points(view: RunView, keys: list[str]) -> Iterator[tuple[str, int, float, float]]:
    for key in keys:
        metric = view.metric(key, rank=None, attempt="all")
        for step, time_s, value in zip(
            metric.steps.tolist(), metric.times.tolist(), metric.values.tolist(), strict=True
        ):
            yield key, step, time_s, value


def _write_text(stream: TextIO, view: RunView, keys: list[str], form: str) -> int:
    count = 0
    rows = csv.writer(stream, lineterminator="\n")
    if form == "csv":
        rows.writerow(_COLUMNS)
    for key, step, time_s, value in _points(view, keys):
        count += 1
        if form == "csv":
            rows.writerow((_harmless(key), step, repr(time_s), repr(value)))
        else:
            point = dict(zip(_COLUMNS, (key, step, time_s, value), strict=True))
            stream.write(json.dumps(json_ready(point)) + "\n")
    return count


def _harmless(key: str) -> str:
    """A spreadsheet runs cells that begin like a formula; a quote in front makes them text."""
    return f"'{key}" if key.startswith(("=", "+", "-", "@", "\t", "\r")) else key


def _write_parquet(path: Path, view: RunView, keys: list[str]) -> int:
    import duckdb
    import numpy as np

    metrics: list[Any] = [view.metric(key, rank=None, attempt="all") for key in keys]
    lengths = [len(metric.steps) for metric in metrics]
    points = {  # read by name in the query below
        "place": np.repeat(np.arange(len(keys)), lengths),
        "step": np.concatenate([metric.steps for metric in metrics]) if metrics else np.empty(0, np.int64),
        "time": np.concatenate([metric.times for metric in metrics]) if metrics else np.empty(0),
        "value": np.concatenate([metric.values for metric in metrics]) if metrics else np.empty(0),
    }
    connection = duckdb.connect()
    connection.register("points", points)
    connection.execute("create table keys (place bigint, key varchar)")
    connection.executemany("insert into keys values (?, ?)", [*enumerate(keys), (-1, "")])
    connection.execute(
        "copy (select key, step, time, value from points join keys using (place) order by key, step) to "
        f"'{str(path).replace(chr(39), chr(39) * 2)}' (format parquet, compression zstd, parquet_version v2)"
    )
    return sum(lengths)
