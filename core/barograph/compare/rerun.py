"""The command of a run, given again: the same arguments, the same variables, in the rebuilt code."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from barograph.capture.environment import VARIABLES
from barograph.capture.secret_shapes import REDACTED
from barograph.errors import BarographError

from .captured import Captured
from .conditions import is_identity
from .rebuild import NOTEBOOK_NAME, Rebuilt

_PATIENCE_S = 10.0  # between asking a training to stop and stopping it
_DEVICES = frozenset(("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"))


class RerunError(BarographError):
    """A run cannot be started again from here."""


def command_of(captured: Captured, rebuilt: Rebuilt) -> list[str]:
    """The command that starts the run again, by this interpreter. RerunError if there is none."""
    environment = captured.environment
    entry = environment.get("entry") or {}
    kind, command = entry.get("kind"), environment.get("command")
    if captured.cells():
        return _notebook(captured, rebuilt)
    if kind == "interactive":
        raise RerunError("it was typed at a prompt, and what is typed there is not captured.")
    if kind == "stdin":
        raise RerunError("it was read from standard input, which is not captured.")
    if not isinstance(command, list) or len(command) < 2:
        raise RerunError("its command was not captured.")
    given = [rebuilt.moved(str(argument)) for argument in command[1:]]
    if hidden := [argument for argument in given if REDACTED in argument]:
        raise RerunError(f"its command holds a secret that was not kept: {' '.join(hidden)[:200]}")
    processes = _processes(environment)
    return [sys.executable, *(processes and ["-m", "torch.distributed.run", *processes]), *_launched(given, processes)]


def variables_of(captured: Captured, rebuilt: Rebuilt, store: Path, mark: str) -> dict[str, str]:
    """The variables for the run: today's, those that were captured as they were then, and the mark of a repetition."""
    then = captured.environment.get("variables")
    then = then if isinstance(then, Mapping) else {}
    variables = {
        name: value
        for name, value in os.environ.items()
        if (name not in VARIABLES or name in _DEVICES or name == "VIRTUAL_ENV")
        and not name.startswith(("SLURM_", "TORCHELASTIC_", "BAROGRAPH_REPRODUCES", "BAROGRAPH_MODE"))
    }
    variables |= {
        name: str(value)
        for name, value in then.items()
        if name in VARIABLES and not is_identity(name) and name not in _DEVICES and REDACTED not in str(value)
    }
    paths = [*rebuilt.paths, *filter(None, [os.environ.get("PYTHONPATH")])]
    if paths:
        variables["PYTHONPATH"] = os.pathsep.join(paths)
    return variables | {"BAROGRAPH_STORE": str(store), "BAROGRAPH_REPRODUCES": mark}


def run_command(command: list[str], folder: Path, variables: dict[str, str], timeout_s: float | None) -> int | None:
    """Run it to its end and return its exit status; None if it was stopped after the time. It prints to our stderr."""
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr.fileno() if _has_descriptor(sys.stderr) else subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        return process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        return None
    finally:
        _stop(process)


def _launched(given: list[str], processes: list[str]) -> list[str]:
    """The arguments after the launcher's: it puts -u before the script by itself."""
    return given[1:] if processes and given[:1] == ["-u"] else given


def _processes(environment: Mapping[str, Any]) -> list[str]:
    """What torchrun is told of processes; empty for a run that it did not start."""
    variables = environment.get("variables") or {}
    world = int(variables.get("WORLD_SIZE", "1")) if str(variables.get("WORLD_SIZE", "1")).isdecimal() else 1
    if "TORCHELASTIC_RUN_ID" in variables:
        if variables.get("LOCAL_WORLD_SIZE") != variables.get("WORLD_SIZE"):
            raise RerunError(f"it ran on several machines, as {world} processes.")
        return ["--standalone", "--nnodes=1", f"--nproc-per-node={world}"]
    if world > 1 and any(str(name).startswith(("SLURM_PROCID", "OMPI_", "PMI")) for name in variables):
        raise RerunError(f"it ran as {world} processes that a cluster's launcher started.")
    return []


def _notebook(captured: Captured, rebuilt: Rebuilt) -> list[str]:
    """The cells as a script: by IPython where it is installed, which knows magics and !commands."""
    from importlib.util import find_spec

    path = rebuilt.root / NOTEBOOK_NAME
    if find_spec("IPython") is not None:
        notebook = path.with_suffix(".ipy")
        notebook.write_bytes(path.read_bytes())
        rebuilt.notes.append("the cells of the notebook are run as one script, in order, by IPython")
        return [sys.executable, "-m", "IPython", "--no-banner", "--colors=NoColor", str(notebook)]
    lines = path.read_text("utf-8", "surrogateescape").splitlines()
    magic = [line for line in lines if line.lstrip().startswith(("%", "!"))]
    path.write_text("\n".join(f"# {line}" if line in magic else line for line in lines), "utf-8", "surrogateescape")
    rebuilt.notes.append("the cells of the notebook are run as one script, in order")
    if magic:
        rebuilt.notes.append(f"{len(magic)} lines that only IPython understands are left out; it is not installed")
    return [sys.executable, str(path)]


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the process and what it started, first politely, so that its run can say how it ended."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None and number is signal.SIGINT:
            return
        try:
            os.killpg(process.pid, number)
        except (ProcessLookupError, PermissionError):
            return
        try:
            process.wait(_PATIENCE_S)
            return
        except subprocess.TimeoutExpired:
            continue


def _has_descriptor(stream: Any) -> bool:  # Any: whatever stands in for stderr
    try:
        return int(stream.fileno()) >= 0
    except (AttributeError, OSError, ValueError):
        return False
