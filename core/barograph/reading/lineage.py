"""What came from what: runs, the artifacts they made and used, and the data sets they read, over a whole store.

Artifacts are joined by their content, so a file that was copied, renamed or given by its path is known again.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from barograph.artifacts.artifact import Artifact
from barograph.errors import AmbiguousRunError, RunNotFoundError
from barograph.journal.reader import Record
from barograph.store.objects import hash_file
from barograph.store.overview import LIVE

from .artifacts import artifacts_of, missing, pick
from .view import RunView

if TYPE_CHECKING:
    from .store import Store


@dataclass(frozen=True, slots=True)
class Node:
    """A run, an artifact (one content) or a data set. id: a run's id, a digest or fingerprint, or a name in a run."""

    kind: str
    id: str
    name: str
    about: str = ""

    def as_dict(self) -> dict[str, str]:
        """As JSON can hold it."""
        return {"kind": self.kind, "id": self.id, "name": self.name, "about": self.about}


@dataclass(slots=True)
class Branch:
    """A node and what is beyond it. is_repeated: what is beyond it stands elsewhere in the same tree."""

    node: Node
    branches: list[Branch] = field(default_factory=list)
    is_repeated: bool = False


@dataclass(slots=True)
class Lineage:
    """Where something came from (sources), and what came of it (results)."""

    node: Node
    sources: list[Branch]
    results: list[Branch]

    def as_dict(self) -> dict[str, Any]:
        """As JSON can hold it: all nodes, and the joints in both directions, each from a source to what came of it."""
        nodes = {self.node.id: self.node}
        joints: dict[str, list[list[str]]] = {"sources": [], "results": []}
        for direction, found in joints.items():
            waiting = [(self.node, branch) for branch in reversed(getattr(self, direction))]
            while waiting:
                node, branch = waiting.pop()
                nodes[branch.node.id] = branch.node
                found.append([branch.node.id, node.id] if direction == "sources" else [node.id, branch.node.id])
                waiting += [(branch.node, one) for one in reversed(branch.branches)]
        return {"of": self.node.id, "nodes": [node.as_dict() for node in nodes.values()], **joints}


class Graph:
    """Everything that runs made and used. Made once from a store, as it is at that moment."""

    def __init__(self, views: Iterable[RunView], records: Mapping[str, Sequence[Record]]) -> None:
        self.artifacts: list[Artifact] = []
        self._nodes: dict[str, Node] = {}
        self._sources: dict[Node, dict[Node, None]] = {}  # dicts for their order
        self._results: dict[Node, dict[Node, None]] = {}
        for view in sorted(views, key=lambda view: view.created):
            self._add_run(view, records.get(view.id, ()))
        self.artifacts.sort(key=lambda artifact: artifact.time_s)

    def of_run(self, view: RunView) -> Lineage:
        """The lineage of a run."""
        return self._lineage(_run_node(view))

    def of_artifact(self, artifact: Artifact) -> Lineage:
        """The lineage of an artifact."""
        return self._lineage(_artifact_node(artifact))

    def of_data(self, wanted: str) -> Lineage | None:
        """The lineage of a data set by its name (of several, the newest) or its fingerprint; None if there is none."""
        nodes = [node for node in self._nodes.values() if node.kind == "dataset" and wanted in (node.name, node.id)]
        return self._lineage(nodes[-1]) if nodes else None

    def _add_run(self, view: RunView, records: Sequence[Record]) -> None:
        run = _run_node(view)
        kept = [record for record in records if record.kind == "artifact"]
        artifacts = artifacts_of(kept, view.id, view.path.parent.parent, is_live=view.status in LIVE)
        data = [_data_node(record.body, view.id) for record in records if record.kind == "dataset"]
        self.artifacts += artifacts
        for node in data:
            self._join(node, run)
        for artifact in artifacts:
            node = self._nodes.get(_artifact_id(artifact)) or _artifact_node(artifact)
            self._join(*((run, node) if artifact.role == "output" else (node, run)))

    def _join(self, source: Node, result: Node) -> None:
        for node in (source, result):
            self._nodes.setdefault(node.id, node)
        self._sources.setdefault(result, {})[source] = None
        self._results.setdefault(source, {})[result] = None

    def _lineage(self, node: Node) -> Lineage:
        node = self._nodes.get(node.id, node)
        return Lineage(node, _grown(node, self._sources), _grown(node, self._results))


def lineage_of(store: Store, wanted: str, records: Mapping[str, Sequence[Record]]) -> Lineage:
    """The lineage of a run, artifact or data set: by id, name, `name:2`, digest, or a file with that content.

    records: those of kinds artifact and dataset, by run.
    Raises StoreError where nothing answers to it.
    """
    graph = Graph(store.runs(), records)
    run = None
    with suppress(RunNotFoundError, AmbiguousRunError):
        run = store.run(wanted)
    if run is not None and wanted in (run.id, run.name):
        return graph.of_run(run)
    artifact = pick(graph.artifacts, wanted)
    if artifact is None and os.path.isfile(wanted):
        artifact = pick(graph.artifacts, hash_file(os.path.realpath(wanted))[0])
    found = graph.of_artifact(artifact) if artifact is not None else graph.of_data(wanted)
    if found is None and run is not None:  # by a unique beginning of its name
        found = graph.of_run(run)
    if found is None:
        raise missing(wanted, f"{store.path} has no run, no data set and", graph.artifacts)
    return found


def _grown(root: Node, beyond: dict[Node, dict[Node, None]]) -> list[Branch]:
    """The tree beyond a node. A node is followed where it is met first; a loop therefore ends."""
    top = Branch(root)
    followed = {root}
    waiting: list[tuple[Branch, Iterator[Node]]] = [(top, iter(beyond.get(root, {})))]
    while waiting:
        branch, rest = waiting[-1]
        node = next(rest, None)
        if node is None:
            waiting.pop()
            continue
        is_repeated = node in followed and bool(beyond.get(node))
        added = Branch(node, is_repeated=is_repeated)
        branch.branches.append(added)
        if node not in followed:
            followed.add(node)
            waiting.append((added, iter(beyond.get(node, {}))))
    return top.branches


def _run_node(view: RunView) -> Node:
    return Node("run", view.id, view.name, view.status)


def _artifact_node(artifact: Artifact) -> Node:
    return Node("artifact", _artifact_id(artifact), artifact.name, artifact.kind)


def _artifact_id(artifact: Artifact) -> str:
    """The content; where it is unknown or empty, which proves nothing, the artifact itself."""
    if artifact.digest is not None and artifact.size_bytes != 0:
        return artifact.digest
    return f"{artifact.run_id}/{artifact.role}/{artifact.name}:{artifact.version}"


def _data_node(body: dict[str, Any], run_id: str) -> Node:
    fingerprint = body.get("fingerprint")
    ordered = fingerprint.get("ordered") if isinstance(fingerprint, dict) else None
    name, rows = str(body.get("name", "")), body.get("rows")
    known = str(ordered) if isinstance(ordered, (str, int)) else f"{run_id}/data/{name}"
    return Node("dataset", known, name, f"{rows} rows" if isinstance(rows, int) else "")
