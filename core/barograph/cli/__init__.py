"""The command line: what a person at a terminal asks of a store. Everything it prints is public in the library too."""

import argparse
import os
import sys
from collections.abc import Sequence

from barograph.cli import artifacts, commands, data, diff, reproduce, scan, showing
from barograph.errors import BarographError
from barograph.version import __version__

_EPILOG = """exit status: 0 done; 1 done, and something is wrong (verify found damage, a run was not sealed);
2 a mistake in the call, or nothing found; 130 interrupted; 141 the reader of the output went away."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status. A user's mistake is one line on stderr, never a traceback."""
    parsed = _parser().parse_args(arguments)
    try:
        status = int(parsed.run(parsed))
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # whoever read our output is gone; keep the interpreter from complaining again when it flushes at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        return 130
    except (BarographError, ValueError, OSError) as error:
        print(f"barograph: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="barograph",
        description="Look at what was recorded.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"barograph {__version__}")
    subparsers = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def command(name: str, about: str, run: object) -> argparse.ArgumentParser:
        sub = subparsers.add_parser(name, help=about, description=about)
        sub.add_argument("--store", metavar="FOLDER", help="the store (default: the one runs from here go to)")
        sub.add_argument("--json", action="store_true", help="print JSON")
        sub.set_defaults(run=run)
        return sub

    ls = command("ls", "List runs, newest first.", commands.ls)
    ls.add_argument("--project", help="only runs of this project")
    ls.add_argument("--where", metavar="EXPRESSION", help="such as: lr < 1e-3 and val/loss < 0.2 and status = finished")
    ls.add_argument("--limit", type=int, default=50, metavar="N", help="at most N runs (default 50; 0: all)")
    ls.add_argument("--children", action="store_true", help="also runs that are parts of another run")

    show = command("show", "Show one run: settings, metrics, events, how it ended.", showing.show)
    show.add_argument("name", metavar="RUN", help="id, name or unique beginning of either")
    show.add_argument("--all", action="store_true", help="every metric, setting and event")

    tail = command("tail", "Print what a run records, as it is recorded.", commands.tail)
    tail.add_argument("name", metavar="RUN")
    tail.add_argument("-n", type=int, default=10, metavar="N", help="begin with the last N steps (default 10)")
    tail.add_argument("--metric", action="append", metavar="KEY", help="only this metric; may be repeated")
    tail.add_argument("--no-follow", action="store_true", help="print what is there and stop")

    export = command("export", "Write the points of a run as CSV, JSON lines or Parquet.", commands.export)
    export.add_argument("name", metavar="RUN")
    export.add_argument("--format", choices=("csv", "jsonl", "parquet"), help="default: by the file's name, else csv")
    export.add_argument("-o", "--output", metavar="FILE", help="default: stdout (not for parquet)")
    export.add_argument("--metric", action="append", metavar="KEY", help="only this metric; may be repeated")
    export.add_argument("--force", action="store_true", help="replace FILE if it exists")

    sql = command("sql", "Ask SQL of the tables runs, params, metrics, events and statistics.", commands.sql)
    sql.add_argument("query")

    verify = command("verify", "Check journals for damage; nothing is changed.", commands.verify)
    verify.add_argument("names", metavar="RUN|FILE", nargs="*", help="default: every run of the store")

    seal = command("seal", "Turn the journals of runs that have ended into Parquet.", commands.seal)
    seal.add_argument("names", metavar="RUN", nargs="*", help="default: every run of the store")

    rm = command("rm", "Move runs into the store's trash.", commands.rm)
    rm.add_argument("names", metavar="RUN", nargs="+")
    rm.add_argument("--yes", action="store_true", help="do it without asking")
    rm.add_argument("--force", action="store_true", help="even if something still writes to it")

    diff.declare(command("diff", "Show what changed between runs, and what came of it.", diff.run))

    again = command("reproduce", "Run a run again and tell whether it came out the same.", reproduce.run)
    reproduce.declare(again)

    artifacts.declare(command)

    scan.declare(command)

    data.declare(command)

    command("where", "Tell which store is used from here.", commands.where)
    return parser
