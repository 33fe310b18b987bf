"""`barograph reproduce`: a run again from its record, and whether it came out the same to the bit."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

from barograph.cli.printing import print_json, print_line
from barograph.compare.layout import told_apart
from barograph.compare.reproduction import reproduce
from barograph.compare.verdict import Verdict, judge
from barograph.reading import open_store
from barograph.voice import listed, visible

EPILOG = """exit status: 0 identical; 1 it differs; 2 not comparable, or it could not be run again.

This runs what the run's record says, with your rights: only do it with runs whose makers you trust."""


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.epilog = EPILOG
    parser.add_argument("name", metavar="RUN", nargs="?", help="the run to repeat")
    parser.add_argument("--into", metavar="FOLDER", help="empty or new, for the code (default: a temporary one)")
    parser.add_argument("--check", metavar="RUN", nargs=2, help="run nothing; only compare two runs that exist")
    parser.add_argument("--timeout", metavar="SECONDS", type=float, help="stop the new run after so long")


def run(call: argparse.Namespace) -> int:
    """Repeat a run, or compare two."""
    if (call.name is None) == (call.check is None):
        raise ValueError("give a run to repeat, or two with --check")
    with open_store(call.store) as store:
        if call.check is not None:
            verdict = judge(*(store.run(name) for name in call.check))
            if call.json:
                print_json(verdict.as_dict())
            else:
                _print(verdict_lines(verdict))
            return verdict.exit_status
        found = reproduce(store.run(call.name), store, into=call.into, timeout_s=call.timeout, say=_say)
        if call.json:
            print_json(found.as_dict())
        elif found.verdict is None:
            _print([f"not comparable: {found.reason}"])
        else:
            _print(verdict_lines(found.verdict))
        return found.exit_status


def verdict_lines(verdict: Verdict) -> Iterator[str]:
    """A verdict as one reads it: what, where first, why, and how much was looked at."""
    before, after = told_apart([verdict.before], [verdict.after])
    yield f"{verdict.kind}: {before} and {after}"
    if verdict.reason:
        yield f"  {verdict.reason}"
    if verdict.first is not None:
        yield f"  first: {verdict.first.text}"
        if verdict.first.also:
            yield f"  at the same step: {listed(verdict.first.also)}"
    if verdict.weights:
        yield f"  weights that differ at the end: {listed(verdict.weights)}"
    proven = [cause for cause in verdict.causes if cause.is_proven]
    for cause in proven:
        yield f"  cause: {cause.text}"
    if verdict.kind == "differs" and not proven:
        yield "  no cause could be proven: nothing that was recorded differs"
        for cause in verdict.causes:
            yield f"  not excluded: {cause.text}"
    if verdict.compared:
        points, metrics = verdict.compared["points"], verdict.compared["metrics"]
        weights = "the weights at the end" if verdict.compared["weights"] else "no weights, which were not recorded"
        yield f"  compared: {_count(points, 'point')} of {_count(metrics, 'metric')}, {weights}"
    if verdict.not_compared:
        aside = _count(len(verdict.not_compared), "metric")
        yield f"  left aside, as a clock or the machine decides them: {aside}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _print(lines: Iterator[str] | list[str]) -> None:
    for line in lines:
        print_line(visible(line))


def _say(line: str) -> None:
    print(visible(line), file=sys.stderr, flush=True)
