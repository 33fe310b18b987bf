"""init(): how a run begins. Which run it is, where it lies, whose attempt it is, and what is captured."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from barograph import open_runs
from barograph.identity import Process, new_name, this_process
from barograph.recording import Recording
from barograph.rendezvous import agree_on_id, find_attempt
from barograph.run import Run
from barograph.settings import Settings
from barograph.store.layout import (
    RunFolder,
    create_store,
    find_store,
    new_run_id,
    safe_run_id,
)
from barograph.version import __version__
from barograph.voice import warn

_starts = 0  # how many runs this process has begun: the n-th init() of every rank is the same run


def init(
    project: str | None = None,
    name: str | None = None,
    config: Mapping[str, object] | object | None = None,
    tags: Iterable[str] = (),
    notes: str = "",
    group: str | None = None,
    store: str | os.PathLike[str] | None = None,
    id: str | None = None,  # the word users know
    resume: bool = False,
    quiet: bool = False,
    *,
    parent: Run | str | None = None,
    rank: int | None = None,
    world: int | None = None,
    overhead_budget: float | None = None,
    joinable: bool = True,
) -> Run:
    """Begin a run and make it the current one; `finish()` it, or use it as a context manager.

    project: default the setting, else the name of the git repository or folder. name: default such as calm-heron-12.
    config: any nested settings of the training. store: folder; default see README, "Where data goes".
    id: to give the run an id of your own; a run that exists gets another attempt. resume: go on with the run `id`, or
    with the newest one called `name`, or with the newest of the project. quiet: nothing on the terminal.
    parent: the run, or its id, that this one is a part of. rank, world: default as the launcher set them.
    overhead_budget: share of the training's time the run may take. joinable: callbacks without a run write to this one.

    Raises TypeError or ValueError for arguments of a wrong kind, all of them in one message; nothing else.
    """
    global _starts
    start = time.perf_counter()
    _check(project=project, name=name, notes=notes, group=group, id=id, tags=tags)
    if open_runs.is_notebook() and joinable and parent is None:
        for other in open_runs.open_runs():
            if other.is_joinable:
                other.finish(reason="init() was called again in the notebook")
    settings = Settings.read(on_wrong=warn, overhead_budget=overhead_budget, quiet=quiet or None)
    if settings.reproduces:  # a run of its own beside the one it repeats, wherever the script puts its runs
        store, id, resume = settings.store or store, id and again(id, settings.reproduces), resume and id is not None
    process = this_process()
    if rank is not None:
        process = process.as_rank(rank, max(world or 1, rank + 1))
    elif parent is not None:
        process = Process()  # a part of a run is one process's own, whatever rank that has
    wish = _Wish(project, name, list(tags), notes, group, id, resume, parent, settings.reproduces)
    recording = _begin(wish, settings, process, store, _starts, joinable)
    _starts += parent is None
    parent_id = parent.id if isinstance(parent, Run) else parent
    recording.has_open_parent = any(other.id == parent_id for other in open_runs.open_runs())
    run = Run(recording)
    if config is not None:
        run.log_config(config)
    recording.start_capturing(run, is_part=parent is not None)
    run.log_seeds("init")
    run.start()
    run.spent("init", time.perf_counter() - start - run.overhead["total_s"])
    recording.say_begin()
    return run


INIT_ARGUMENTS = frozenset(init.__code__.co_varnames[: init.__code__.co_argcount + init.__code__.co_kwonlyargcount])


@dataclasses.dataclass(slots=True)
class _Wish:
    """What the caller of init() asked for."""

    project: str | None
    name: str | None
    tags: list[str]
    notes: str
    group: str | None
    id: str | None
    resume: bool
    parent: Run | str | None
    reproduces: str | None = None

    def manifest(self, run_id: str, project: str) -> dict[str, object]:
        """What run.json says of the run if this process is the one that makes it."""
        reproduced, _, reproduction = (self.reproduces or "").partition(":")
        linked = {"reproduces": reproduced, "reproduction": reproduction} if self.reproduces else {}
        return {
            "format": 1,
            "id": run_id,
            "name": self.name or new_name(),
            "project": project,
            "created": time.time(),
            "parent_id": self.parent.id if isinstance(self.parent, Run) else self.parent,
            "group": self.group,
            "tags": [_without_secrets(str(tag)) for tag in self.tags],
            "notes": _without_secrets(self.notes),
            "barograph": __version__,
            **linked,
        }


def join(store: str, run_id: str, attempt: int, rank: int, world: int) -> Run:
    """Write to a run, as one of its ranks, that rank 0 has begun."""
    settings = Settings.read(on_wrong=warn)
    root = find_store(store)
    folder = RunFolder(root / "runs" / run_id)
    manifest = folder.read_manifest() if settings.mode == "on" else {}
    recording = Recording(
        run_id,
        str(manifest.get("name", run_id)),
        str(manifest.get("project", "")),
        root,
        folder.path,
        Process(rank, world),
        attempt,
        settings,
        joinable=False,
        speaks=False,
    )
    global _starts
    _starts += 1  # rank 0 has counted this run, too
    run = Run(recording)
    run.log_seeds("init")
    run.start()
    return run


def again(run_id: str, reproduces: str | None) -> str:
    """The id of a run in a process that repeats an earlier one, so that it never becomes an attempt of that one."""
    ending = f"-{reproduces.partition(':')[2] or 'again'}" if reproduces else ""
    return run_id if run_id.endswith(ending) else run_id + ending


def make_run(run_id: str, arguments: Mapping[str, Any]) -> None:
    """Make the folder of a run that only has children: the parent of copies that work in other processes."""
    tags, notes = list(arguments.get("tags", ())), arguments.get("notes", "")
    wish = _Wish(None, arguments.get("name"), tags, notes, arguments.get("group"), run_id, resume=False, parent=None)
    root = create_store(find_store(arguments.get("store")))
    folder = RunFolder(root / "runs" / safe_run_id(run_id))
    folder.create_manifest(wish.manifest(folder.path.name, arguments.get("project") or _default_project()))


def reattach(store: str, id: str, project: str) -> Run:
    """What an unpickled run is: the open run itself in its own process, elsewhere a child of it."""
    for run in open_runs.open_runs():
        if run.id == id:
            return run
    return init(project=project, store=store, parent=id, quiet=True, joinable=False)


def _begin(
    wish: _Wish, settings: Settings, process: Process, store: str | os.PathLike[str] | None, n: int, joinable: bool
) -> Recording:
    root = find_store(store if store is not None else _parent_store(wish.parent) or settings.store)
    project = wish.project or settings.project or _default_project()
    if settings.mode == "disabled":
        nowhere = root / "runs" / "disabled"
        return Recording(
            "disabled", wish.name or "disabled", project, root, nowhere, process, 1, settings, joinable, speaks=False
        )
    try:
        create_store(root)
        folder, name, attempt, calls = _settle(wish, root, project, process, n)
    except OSError as error:
        root, folder, name = _settle_elsewhere(wish, root, project, error)
        attempt, calls = 1, 0
    speaks = not settings.quiet and process.rank == 0 and wish.parent is None and not open_runs.open_runs()
    return Recording(
        folder.path.name, name, project, root, folder.path, process, attempt, settings, joinable, speaks, calls
    )


def _settle(wish: _Wish, root: Path, project: str, process: Process, n: int) -> tuple[RunFolder, str, int, int]:
    """Find or make the run's folder; its name, this process's attempt, and the calls of log() to go on from."""
    run_id = _find_resumable(wish, root, project) if wish.resume else None
    if run_id is None and wish.id is not None:
        run_id = safe_run_id(wish.id)
    alone = wish.parent is not None
    shared = None if alone else process.run_key(n)
    if run_id is None and shared is not None:
        run_id = f"launch-{shared}"
    attempt_key = None if alone else process.attempt_key(n)
    if attempt_key is None and process.world > 1 and not alone:
        attempt_key = agree_on_id(root, process, n)  # made for this start, so it names the attempt as well
        run_id = run_id or attempt_key
    elif run_id is None and process.rank > 0 and attempt_key is not None:
        run_id = find_attempt(root, process, attempt_key)
    folder = RunFolder(root / "runs" / (run_id or new_run_id()))
    manifest = wish.manifest(folder.path.name, project)
    existed = not folder.create_manifest(manifest)
    if existed:
        manifest |= folder.read_manifest()
    attempt = folder.new_attempt(attempt_key)
    if existed and attempt > 1 and wish.id is not None and not wish.resume and shared is None:
        warn(
            f"run {wish.id!r} exists already; this is recorded as its attempt {attempt}. Pass resume=True to say so, "
            f"or another id for another run."
        )
    calls = _calls_so_far(folder) if existed and attempt > 1 and wish.resume else 0
    return folder, str(manifest["name"]), attempt, calls


def _settle_elsewhere(wish: _Wish, root: Path, project: str, error: OSError) -> tuple[Path, RunFolder, str]:
    """Another store for a run whose own cannot be written; if there is none either, the records wait in memory."""
    name = wish.name or new_name()
    try:
        store = _fallback_store()
        folder = RunFolder(store / "runs" / new_run_id())
        folder.create_manifest(wish.manifest(folder.path.name, project) | {"name": name})
        folder.new_attempt()
        place = f"this run is kept in {store} instead"
    except OSError:
        store, folder = root, RunFolder(root / "runs" / new_run_id())
        place = "nor can a temporary folder; its records wait in memory until it can"
    warn(f"the store {root} cannot be written ({error}); {place}. Set BAROGRAPH_STORE to a folder that can be written.")
    return store, folder, name


def _find_resumable(wish: _Wish, root: Path, project: str) -> str | None:
    """The id of the run to go on with: the one given, else the newest of that name, else the newest of the project."""
    if wish.id is not None:
        return safe_run_id(wish.id)
    folders = sorted((root / "runs").glob("*/run.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    for manifest_path in folders:
        manifest = RunFolder(manifest_path.parent).read_manifest()
        wanted = manifest.get("name") == wish.name if wish.name else manifest.get("project") == project
        if wanted and manifest.get("parent_id") is None:
            return manifest_path.parent.name
    return None


def _calls_so_far(folder: RunFolder) -> int:
    """How many calls of log() earlier attempts made, so that step=None counts on.

    The one question that the writing side asks the reading side, and only when a run is resumed.
    """
    from barograph.reading import RunView

    try:
        view = RunView(folder.path)
        keys = [key for key in view.metrics() if not key.startswith(("system/", "gpu/"))]
        last = [view.statistics(key).last_step for key in keys]
    except Exception as error:  # noqa: BLE001  # a damaged earlier attempt must not stop this one
        warn(f"{folder.path}: the earlier attempts could not be read ({error}); steps count from 0 again")
        return 0
    return max(last, default=-1) + 1


def _without_secrets(text: str) -> str:
    if not text:
        return text
    from barograph.capture.redaction import redact_text  # a slow import, for runs that have notes or tags

    return redact_text(text)


def _check(**arguments: Any) -> None:
    wrong = []
    for name in ("project", "name", "notes", "group", "id"):
        value = arguments[name]
        if value is not None and not isinstance(value, str):
            wrong.append(f"{name} must be a string, got {type(value).__name__}")
    if isinstance(arguments["tags"], str) or not isinstance(arguments["tags"], Iterable):
        wrong.append(f"tags must be a list of strings, got {arguments['tags']!r}")
    if wrong:
        raise TypeError("barograph.init(): " + "; ".join(wrong))


def _parent_store(parent: Run | str | None) -> str | None:
    return str(parent.store_path) if isinstance(parent, Run) else None


def _default_project() -> str:
    here = find_store().parent
    return here.name or "default"


def _fallback_store() -> Path:
    import tempfile

    user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
    return create_store(Path(tempfile.gettempdir()) / f"barograph-{user}")
