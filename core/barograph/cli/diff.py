"""`barograph diff`: what changed between runs, and what came of it."""

from __future__ import annotations

import argparse

from barograph.cli.printing import print_json, print_line
from barograph.compare.difference import Difference, diff
from barograph.compare.layout import lines_of
from barograph.reading import Store, open_store


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument(
        "names",
        metavar="RUN",
        nargs="+",
        help="two runs, or more to compare each with the first, or one to compare with the nearest earlier run; "
        "group:NAME and tag:NAME stand for several runs that are one side",
    )
    parser.add_argument(
        "--vs", metavar="RUN", nargs="+", help="the runs before it are one side together, those after it the other"
    )
    parser.add_argument("--all", action="store_true", help="also what is the same, every metric, and whole patches")


def run(call: argparse.Namespace) -> int:
    """Print the difference."""
    with open_store(call.store) as store:
        found = _difference(call, store)
        if call.json:
            print_json(found.as_dict())
        else:
            for line in lines_of(found, every=call.all):
                print_line(line)
    return 0


def _difference(call: argparse.Namespace, store: Store) -> Difference:
    if call.vs:
        return diff(call.names, call.vs, store=store, every=call.all)
    return diff(*call.names, store=store, every=call.all)
