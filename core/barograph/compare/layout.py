"""How a difference is laid out for people: what changed, the likeliest to matter first, then what came of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from barograph.reading import RunView
from barograph.voice import listed, visible

from .change import Change, short
from .difference import Difference
from .results import Figure, Result

_PATCH_LINES = 40  # of each file
_ROWS = 30
_SAME_ROWS = 1_000_000
_WIDEST = 40


def lines_of(difference: Difference, *, every: bool = False) -> list[str]:
    """The lines of a difference, free of control characters. every: also what is the same, and whole patches."""
    return [visible(line.expandtabs(4)).rstrip() for line in _lines(difference, every)]


def title(side: Sequence[RunView]) -> str:
    """What a side is called."""
    if len(side) == 1:
        return side[0].name
    groups = {view.group for view in side}
    what = f"group {groups.pop()}" if len(groups) == 1 and None not in groups else side[0].name + ", ..."
    return f"{what} ({len(side)} runs)"


def told_apart(*sides: Sequence[RunView]) -> list[str]:
    """What sides are called, with the ids of runs that were given one name."""
    names = [title(side) for side in sides]
    return [
        f"{name} ({side[0].id})" if names.count(name) > 1 and len(side) == 1 else name
        for name, side in zip(names, sides, strict=True)
    ]


def _lines(difference: Difference, every: bool) -> Iterator[str]:
    if difference.others and not every:
        yield from _side_by_side([difference, *difference.others])
        return
    names = told_apart(difference.before, difference.after)
    yield f"{names[0]} → {names[1]}"
    for view in [*difference.before, *difference.after]:
        if view.status != "finished":
            yield f"  {view.name} is {view.status}" + (f": {view.end_reason}" if view.end_reason else "")
    yield ""
    yield from _changed(difference.changes, every)
    if every and difference.same:
        yield ""
        yield "the same in both"
        yield from _table([[change.section, change.name, change.text] for change in difference.same], _SAME_ROWS)
    yield ""
    yield from _results(difference, names, every)
    for other in difference.others:
        yield ""
        yield from _lines(other, every)


def _side_by_side(differences: list[Difference]) -> Iterator[str]:
    """More than two sides at a glance: a column each, and only what differs from the first."""
    names = told_apart(differences[0].before, *(one.after for one in differences))
    told: dict[tuple[str, str], list[Change | None]] = {}
    for place, one in enumerate(differences):
        for change in one.changes:
            told.setdefault((change.section, change.name), [None] * len(differences))[place] = change
    yield "what differs from the first"
    rows = [["", "", *names]]
    for (section, name), changes in told.items():
        before = next(change for change in changes if change is not None).before
        rows.append([section, name, _cell(before), *("=" if one is None else _after(one) for one in changes)])
    yield from _table(rows, _ROWS + 1)
    if len(rows) > _ROWS + 1:
        yield f"  and {len(rows) - _ROWS - 1} more; --all shows them, pair by pair"
    yield ""
    yield "results"
    rows = [["metric", "", *names]]
    by_side = [{result.key: result for result in one.results} for one in differences]
    for key in dict.fromkeys(key for results in by_side for key in results):
        found = [results.get(key) for results in by_side]
        rows += [
            [key if name == "last" else "", name, *values]
            for name in ("last", "best")
            if (values := _across(found, name))
        ]
    yield from _table(rows, len(rows))


def _across(results: list[Result | None], name: str) -> list[str]:
    """One figure of a metric in all sides; empty if no side has it."""
    figures = [None if result is None else _named(result, name) for result in results]
    before = next((figure.before for figure in figures if figure is not None), None)
    if before is None:
        return []
    values = [_number(before)]
    for result, figure in zip(results, figures, strict=True):
        is_same = result is not None and result.is_same
        values.append(_number(before) if is_same else "" if figure is None else _number(figure.after))
    return values


def _named(result: Result, name: str) -> Figure | None:
    return next((figure for figure in result.figures if figure.name == name), None)


def _after(change: Change) -> str:
    """What stands in the column of a side: its value; where that is none to be shown, the difference in words."""
    is_value = change.section in ("parameters", "arguments", "packages", "environment")
    is_value = is_value and not isinstance(change.after or change.before, dict)
    return _cell(change.after) if is_value else short(_brief(change))


def _cell(value: object) -> str:
    return "" if value is None or isinstance(value, dict) else short(value)


def _changed(changes: list[Change], every: bool) -> Iterator[str]:
    if not changes:
        yield "nothing that was recorded of code, data, settings and surroundings differs"
        return
    yield "what changed"
    rows = [[change.section, change.name, _brief(change)] for change in changes]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for change, row in list(zip(changes, rows, strict=True))[: None if every else _ROWS]:
        yield f"  {row[0].ljust(widths[0])}  {row[1].ljust(min(widths[1], _WIDEST))}  {row[2]}"
        yield from (f"      {line}" for line in _patch(change, every))
    if not every and len(rows) > _ROWS:
        yield f"  and {len(rows) - _ROWS} more; --all shows them"


def _brief(change: Change) -> str:
    if not _is_patch(change):
        return change.text
    lines = change.text.splitlines()
    added = sum(line.startswith("+") and not line.startswith("+++") for line in lines)
    removed = sum(line.startswith("-") and not line.startswith("---") for line in lines)
    counts = [f"{count} {what}" for count, what in ((added, "added"), (removed, "removed")) if count]
    kind = {"added": "new file, ", "removed": "file gone, "}.get(change.kind, "")
    return f"{kind}lines: {', '.join(counts)}" if counts else f"{kind}no line of text differs"


def _patch(change: Change, every: bool) -> Iterator[str]:
    if not _is_patch(change):
        return
    lines = change.text.splitlines()
    begin = next((place for place, line in enumerate(lines) if line.startswith("@@")), len(lines))
    lines = lines[begin:]
    yield from lines[: None if every else _PATCH_LINES]
    if not every and len(lines) > _PATCH_LINES:
        yield f"... and {len(lines) - _PATCH_LINES} more lines; --all shows them"


def _is_patch(change: Change) -> bool:
    return change.section == "code" and change.before is None and change.after is None and "\n" in change.text


def _results(difference: Difference, names: list[str], every: bool) -> Iterator[str]:
    results = difference.results
    same = [result for result in results if result.is_same]
    other = [result for result in results if not result.is_same]
    if not results:
        yield "results: no metric was logged by both"
    if same:
        are = "metric is" if len(same) == 1 else "metrics are"
        yield f"results: {len(same)} {are} the same to the bit at every step: {listed([result.key for result in same])}"
    if other:
        yield "results"
        rows = [["metric", "", *names, "difference"]]
        for result in other[: None if every else _ROWS]:
            shown = [figure for figure in result.figures if every or _tells_more(figure, result.figures[0])]
            for place, figure in enumerate(shown):
                rows.append(["" if place else result.key, figure.name, *_figure_row(figure)])
        yield from _table(rows, len(rows))
        if not every and len(other) > _ROWS:
            yield f"  and {len(other) - _ROWS} more metrics; --all shows them"


def _tells_more(figure: Figure, last: Figure) -> bool:
    """Whether a figure differs, and is not that of the last point under another name."""
    is_last = figure is not last and (figure.before, figure.after) == (last.before, last.after)
    return figure.difference != 0 and not is_last


def _figure_row(figure: Figure) -> list[str]:
    values = [_number(figure.before), _number(figure.after)]
    if figure.difference is None:
        return [*values, ""]
    text = f"{figure.difference:+.4g}"
    if figure.before and figure.name.startswith(("last", "best", "at step", "area")):
        text += f" ({figure.difference / abs(figure.before):+.1%})"
    if figure.interval is not None:
        text += f", 95 %: {figure.interval[0]:+.4g} to {figure.interval[1]:+.4g}"
        if figure.interval[0] <= 0 <= figure.interval[1]:
            return [*values, f"{text}  not told apart"]
    elif max(figure.runs) > 1:
        text += ", of unknown certainty: one run has no spread"
    word = {True: "  better", False: "  worse", None: ""}[figure.is_better]
    return [*values, text + word]


def _number(value: float | None) -> str:
    return "never" if value is None else f"{value:.6g}"


def _table(rows: list[list[str]], limit: int) -> Iterator[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows[:limit]:
        yield "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
