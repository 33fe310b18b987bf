"""The commands about artifacts: what a run made and used, where it came from, and what may be cleared away."""

import argparse
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from barograph.artifacts.artifact import Artifact
from barograph.cli.printing import print_json, print_line, print_table
from barograph.reading import open_store
from barograph.reading.lineage import Branch, Node
from barograph.store.collecting import GRACE_S
from barograph.store.trash import TRASH_NAME
from barograph.voice import visible

_ROWS = 40
_DIGITS = 12  # of a digest, enough to ask for it again
_BRANCHES = 20  # of one node, without --all


def declare(command: Callable[[str, str, object], argparse.ArgumentParser]) -> None:
    """Add the commands of this file."""
    kept = command("artifacts", "List the files a run made and used, or write one out.", artifacts)
    kept.add_argument("name", metavar="RUN")
    kept.add_argument("artifact", metavar="NAME", nargs="?", help="name, name:2 for its second version, or digest")
    kept.add_argument("--kind", help="only of this kind: model, checkpoint, data, figure, file, directory, ...")
    kept.add_argument("-o", "--output", metavar="PATH", help="write NAME to this file or folder, checked")
    kept.add_argument("--force", action="store_true", help="replace a file that is there")

    origin = command("lineage", "Tell what something came from and what came of it.", lineage)
    origin.add_argument("name", metavar="RUN|ARTIFACT|DIGEST|FILE", help="also the name of a data set")
    origin.add_argument("--all", action="store_true", help="every branch")

    clearing = command("gc", "Remove contents that no run names, in the trash or not.", gc)
    clearing.add_argument("--dry-run", action="store_true", help="only tell what would be removed")
    clearing.add_argument(
        "--grace", type=float, default=GRACE_S / 3600, metavar="HOURS", help="what is younger stays (default 24)"
    )


def artifacts(call: argparse.Namespace) -> int:
    """List a run's artifacts, tell of one, or write it out."""
    view = open_store(call.store).run(call.name)
    if call.artifact is None:
        found = view.artifacts(call.kind)
        if call.json:
            print_json([artifact_json(one) for one in found])
        elif found:
            print_table(ARTIFACT_HEAD, artifact_rows(found))
        else:
            print_line(f"{visible(view.name)} has no artifacts" + (" of that kind." if call.kind else "."))
        return 0
    artifact = view.artifact(call.artifact)
    if call.output is not None:
        return _write(artifact, Path(call.output), call)
    files = artifact.listing() if artifact.is_directory and artifact.digest is not None else None
    if call.json:
        listed = [] if files is None else [file._asdict() for file in files.files]
        left_out = [] if files is None else [one._asdict() for one in files.left_out]
        print_json({**artifact_json(artifact), "listing": listed, "left_out": left_out})
        return 0
    for name, value in artifact_json(artifact).items():
        if value not in (None, {}, ""):
            print_line(f"{name:<12}{visible(value)}")
    if files is not None:
        print_line()
        print_table(
            ["file", "size", "content"],
            [[file.path, size_text(file.size_bytes), short(file.digest)] for file in files.files],
        )
        _print_left_out(artifact)
    return 0


def lineage(call: argparse.Namespace) -> int:
    """Tell where something came from, and what came of it."""
    found = open_store(call.store).lineage(call.name)
    if call.json:
        print_json(found.as_dict())
        return 0
    print_line(_node_text(found.node))
    for title, branches in (("came from", found.sources), ("led to", found.results)):
        print_line(f"{title}:" if branches else f"{title}: nothing that was recorded")
        _print_branches(branches, None if call.all else _BRANCHES)
    return 0


def gc(call: argparse.Namespace) -> int:
    """Remove what no run names."""
    if call.grace < 0:
        raise ValueError(f"--grace must not be negative, got {call.grace:g}")
    store = open_store(call.store)
    result = store.collect(grace_s=call.grace * 3600, dry_run=call.dry_run)
    if call.json:
        print_json(result.as_dict())
        return 0
    done = "would be removed" if call.dry_run else "removed"
    print_line(f"{result.objects} objects, {size_text(result.bytes)}, in the store")
    print_line(f"{result.removed} of them, {size_text(result.removed_bytes)}, are named by no run and {done}")
    if result.trashed:
        print_line(
            f"{result.trashed} more, {size_text(result.trashed_bytes)}, are named only by runs in the trash, and stay "
            f"as long as those lie in {visible(store.path / TRASH_NAME)}"
        )
    if result.leftovers:
        print_line(f"{result.leftovers} half copies, {size_text(result.leftover_bytes)}, {done}")
    if result.young:
        print_line(
            f"{result.young} more, {size_text(result.young_bytes)}, are named by no run but younger than "
            f"{call.grace:g} hours, and stay; --grace changes that"
        )
    return 0


ARTIFACT_HEAD = ["artifact", "kind", "role", "size", "content", "step", "kept"]


def artifact_rows(found: list[Artifact]) -> list[list[object]]:
    """One line each for a table."""
    newest = {(one.role, one.name): one.version for one in found}
    return [
        [
            one.name if newest[one.role, one.name] == 1 else f"{one.name}:{one.version}",
            one.kind,
            one.role,
            _extent(one),
            short(one.digest),
            "" if one.step is None else one.step,
            "in the store" if one.stored else one.problem or one.path,
        ]
        for one in found
    ]


def artifact_json(artifact: Artifact) -> dict[str, Any]:
    """Everything about one, as JSON can hold it."""
    return {
        field.name: getattr(artifact, field.name)
        for field in dataclasses.fields(artifact)
        if field.name not in ("id", "store_path", "modified_ns")
    }


def size_text(size_bytes: int) -> str:
    """Bytes as a person says them: 12 B, 3.4 kB, 1.2 GB."""
    size = float(size_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def short(digest: str | None) -> str:
    """The beginning of a digest."""
    return "" if digest is None else digest.partition(":")[2][:_DIGITS]


def _write(artifact: Artifact, target: Path, call: argparse.Namespace) -> int:
    path = artifact.save(target, replace=call.force)
    if call.json:
        print_json({**artifact_json(artifact), "written": str(path)})
        return 0
    print_line(f"{visible(artifact.name)}:{artifact.version} written to {visible(path)}")
    if artifact.is_directory:
        _print_left_out(artifact)
    return 0


def _print_left_out(artifact: Artifact) -> None:
    for path, reason in artifact.listing().left_out[:_ROWS]:
        print_line(f"not kept: {visible(path)}: {visible(reason)}")


def _extent(artifact: Artifact) -> str:
    size = "" if artifact.size_bytes is None else size_text(artifact.size_bytes)
    return f"{size} in {artifact.files} files" if artifact.is_directory else size


def _print_branches(branches: list[Branch], most: int | None) -> None:
    """A tree, indented, without recursion: a store made by a stranger may be as deep as it likes."""
    waiting = [(branch, "  ") for branch in reversed(_cut(branches, most))]
    while waiting:
        branch, indent = waiting.pop()
        print_line(indent + _node_text(branch.node) + (" (see above)" if branch.is_repeated else ""))
        waiting += [(one, indent + "  ") for one in reversed(_cut(branch.branches, most))]


def _cut(branches: list[Branch], most: int | None) -> list[Branch]:
    if most is None or len(branches) <= most:
        return branches
    return [*branches[:most], Branch(Node("", "", f"and {len(branches) - most} more; --all shows them"))]


def _node_text(node: Node) -> str:
    if not node.kind:
        return node.name
    known = short(node.id) if node.id.startswith("sha256:") else ""
    words = [node.kind, visible(node.name), visible(node.id) if node.kind == "run" else known, visible(node.about)]
    return "  ".join(word for word in words if word)
