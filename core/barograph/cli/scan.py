"""The commands about what was captured: `scan` for secrets, `console` for what a run printed."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

from barograph.cli.printing import print_json, print_line, print_table
from barograph.cli.scanning import Scan
from barograph.errors import StoreError
from barograph.reading import open_store
from barograph.store.layout import find_store
from barograph.voice import visible


def declare(command: Callable[[str, str, object], argparse.ArgumentParser]) -> None:
    """Add the commands to the command line."""
    command("scan", "Look for passwords, keys and tokens in everything a store holds.", scan)
    printed = command("console", "Print what a run printed.", console)
    printed.add_argument("name", metavar="RUN")
    printed.add_argument("--times", action="store_true", help="with the time and the stream of each line")


def scan(call: argparse.Namespace) -> int:
    """Look for secrets; 1 if there are any, or something could not be looked at."""
    path = find_store(call.store)
    if not path.is_dir():
        raise StoreError(f"{path} is no store: there is no such folder.")
    search = Scan(path)
    found = list(search.findings())
    if call.json:
        print_json({"findings": [one.as_dict() for one in found], "files": search.files, "unread": search.unread})
        return int(bool(found or search.unread))
    if found:
        rows = [(one.path.relative_to(path), one.where, one.excerpt) for one in found]
        print_table(["file", "where", "what"], rows, flexible=2)
        print_line()
    for line in search.unread:
        print_line(f"not looked at: {visible(line)}")
    places = "1 place holds" if len(found) == 1 else f"{len(found)} places hold"
    print_line(f"{visible(path)}: {places} what looks like a secret; {search.files} files were read.")
    if found:
        print_line("A secret that got out is best replaced; `barograph rm RUN` removes a run from the store.")
    return int(bool(found or search.unread))


def console(call: argparse.Namespace) -> int:
    """Print what a run printed."""
    lines = open_store(call.store).run(call.name).console()
    if call.json:
        print_json([line._asdict() for line in lines])
        return 0
    for line in lines:
        about = f"{time.strftime('%H:%M:%S', time.localtime(line.time_s))} {line.stream}  " if call.times else ""
        print_line(about + visible(line.text.expandtabs()))
    return 0
