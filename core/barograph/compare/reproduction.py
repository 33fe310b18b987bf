"""reproduce(): the code of a run rebuilt, its command given again as a run of its own, and the two compared."""

from __future__ import annotations

import os
import shlex
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from barograph.errors import BarographError
from barograph.reading import RunView, Store
from barograph.store.layout import STORE_NAME, RunFolder
from barograph.store.overview import LIVE

from .captured import Captured
from .change import SURROUNDING, Change, Neutral, by_importance, compared
from .conditions import surroundings_of
from .neighbours import Neighbours
from .rebuild import Rebuilt, rebuild
from .rerun import command_of, run_command, variables_of
from .verdict import Verdict, judge

_MARK_BYTES = 6


@dataclass(slots=True)
class Reproduction:
    """How it went. different: of the surroundings, before the run was started again. notes: how the code was rebuilt.

    verdict: None if the run could not be started again; then `reason` says why.
    """

    of: RunView
    folder: Path
    command: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    different: list[Change] = field(default_factory=list)
    run: RunView | None = None
    verdict: Verdict | None = None
    reason: str | None = None

    @property
    def exit_status(self) -> int:
        """0 identical, 1 differs, 2 not comparable or not run."""
        return 2 if self.verdict is None else self.verdict.exit_status

    def as_dict(self) -> dict[str, Any]:
        """As JSON. Any: JSON."""
        verdict = {"verdict": "not comparable", "reason": self.reason}
        return {
            "run": self.of.id,
            "folder": str(self.folder),
            "command": self.command,
            "notes": self.notes,
            "different": [change.as_dict() for change in self.different],
            **(self.verdict.as_dict() if self.verdict is not None else verdict),
        }


def reproduce(
    view: RunView,
    store: Store,
    *,
    into: str | os.PathLike[str] | None = None,
    timeout_s: float | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Reproduction:
    """Rebuild the code of a run in a folder of its own, run it again, and judge whether it is repeated to the bit.

    This executes what the run's record says: only do it with runs whose makers you trust. into: an empty or new folder,
    by default a temporary one. timeout_s: after which the new run is stopped. say: is told each step in a line.
    """
    folder = Path(into) if into is not None else Path(tempfile.mkdtemp(prefix="barograph-"))
    found = Reproduction(view, folder.resolve())
    if obstacle := _obstacle(view):
        found.reason = f"{view.name} {obstacle}"
        return found
    captured = Captured(view)
    neighbours = Neighbours(view.created, view.created + view.duration_s, [store.path.resolve()])
    try:
        rebuilt = rebuild(captured, found.folder, neighbours)
        found.command = command_of(captured, rebuilt)
    except (OSError, BarographError) as error:
        found.reason = f"{view.name} cannot be run again: {error}"
        return found
    place = _place_for(store, found.folder)
    if place.path != store.path:
        rebuilt.notes.append(f"the store cannot be written to: the new run is in {place.path}")
    found.notes = rebuilt.notes
    found.different = surroundings_changed(view)
    _announce(found, rebuilt, say)
    status, mark = _run(found, rebuilt, captured, place, timeout_s)
    new = _new_run(place, view, mark)
    if new is None:
        ended = "did not come to its end in time" if status is None else f"ended with exit status {status}"
        found.reason = f"the command {ended} and recorded no run"
        return found
    found.run = new
    found.verdict = judge(view, new)
    if status is None and found.verdict.kind == "identical":
        found.verdict.kind, found.verdict.reason = "not comparable", "it was stopped before its end"
    return found


def _obstacle(view: RunView) -> str | None:
    """Why a run cannot be started again by itself, whatever was captured of it."""
    if view.status in LIVE:
        return f"is {view.status}: it cannot be repeated before it has ended"
    if view.parent_id is not None:
        parent = view.parent
        return f"is a part of {parent.name if parent else view.parent_id}: repeat that one"
    return None


def surroundings_changed(view: RunView) -> list[Change]:
    """What of interpreter, packages and machine is not as it was, the likeliest to matter first."""
    from barograph.capture.environment import capture_environment_fast, capture_environment_slow

    now = {**capture_environment_fast(), **capture_environment_slow()}
    neutral = Neutral(view)
    before, after = surroundings_of(view.environment, neutral), surroundings_of(now, neutral)
    return [change for change in by_importance(compared([before], [after])) if change.kind != "same"]


def _announce(found: Reproduction, rebuilt: Rebuilt, say: Callable[[str], None]) -> None:
    say(f"rebuilt in {found.folder}")
    for note in rebuilt.notes:
        say(f"  {note}")
    for change in found.different:
        if change.importance > SURROUNDING:
            say(f"  not the same now: {change.name} {change.text}")
    say(f"running: {shlex.join(found.command)}")


def _place_for(store: Store, folder: Path) -> Store:
    """Where the new run goes: the store, or one beside the rebuilt code if the store may only be read."""
    if os.access(store.path / "runs", os.W_OK | os.X_OK):
        return store
    path = folder / STORE_NAME
    (path / "runs").mkdir(parents=True, exist_ok=True)
    return Store(path)


def _run(
    found: Reproduction, rebuilt: Rebuilt, captured: Captured, store: Store, timeout_s: float | None
) -> tuple[int | None, str]:
    mark = os.urandom(_MARK_BYTES).hex()
    variables = variables_of(captured, rebuilt, store.path, f"{found.of.id}:{mark}")
    return run_command(found.command, rebuilt.folder, variables, timeout_s), mark


def _new_run(store: Store, view: RunView, mark: str) -> RunView | None:
    """The run that the command made; of several the one that is most like the original."""
    made = [
        other
        for other in store.runs()
        if other.parent_id is None and other.reproduces == view.id and _mark(other) == mark
    ]
    params = view.params

    def likeness(other: RunView) -> tuple[object, ...]:
        return (
            other.name == view.name,
            other.project == view.project,
            sum(params.get(name) == value for name, value in other.params.items()),
            -abs(len(other.metrics()) - len(view.metrics())),
            -other.created,
        )

    return max(made, key=likeness, default=None)


def _mark(view: RunView) -> object:
    try:
        manifest: Mapping[str, object] = RunFolder(view.path).read_manifest()
    except (BarographError, OSError):
        return None
    return manifest.get("reproduction")
