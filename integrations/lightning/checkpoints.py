"""Checkpoints that were saved: an event with who saved it and how good it was, and the file itself as an artifact."""

import os
from typing import Any

from barograph.integrations.lightning.ends import is_a, number
from barograph.run import Run


class Checkpoints:
    """What is noted of each checkpoint of a run.

    copy: whether the file is kept in the store as well; otherwise its path, size and, once it is known, the hash of its
    content are. A file that is saved by another thread is looked at once it is there, at the latest at the end.
    """

    def __init__(self, run: Run, copy: bool) -> None:
        self._run, self._copy = run, copy
        self._waiting: list[tuple[dict[str, Any], int]] = []

    def note(self, path: str | os.PathLike[str], callbacks: list[Any], step: int, epoch: int | None = None) -> None:
        """A checkpoint was saved. callbacks: among which may be the one that did it."""
        about = describe_checkpoint(path, callbacks)
        position = {"step": step} if epoch is None else {"step": step, "epoch": epoch}
        self._run.event("checkpoint", **about, **position)
        self._waiting.append((about | position, step))
        self.settle()

    def settle(self, is_last: bool = False) -> None:
        """Record the files that are there by now. is_last: what is not there will not come."""
        waiting, self._waiting = self._waiting, []
        for about, step in waiting:
            if os.path.exists(about["path"]):
                metadata = {name: value for name, value in about.items() if name != "path"}
                self._run.log_artifact(about["path"], "checkpoint", copy=self._copy, metadata=metadata, step=step)
            elif not is_last:
                self._waiting.append((about, step))


def describe_checkpoint(path: str | os.PathLike[str], callbacks: list[Any]) -> dict[str, Any]:
    """The fields of a `checkpoint` event for a file that was just saved.

    best: whether it is the best one so far by the callback that saved it; None if nobody compares checkpoints.
    """
    place = os.fspath(path)
    for callback in callbacks:
        scores = getattr(callback, "best_k_models", None) or {}
        best_path, last_path = getattr(callback, "best_model_path", None), getattr(callback, "last_model_path", None)
        if not is_a(callback, "checkpoint") or not (place in scores or place in (best_path, last_path)):
            continue
        monitor = getattr(callback, "monitor", None)
        score = scores.get(place, getattr(callback, "current_score", None))
        return {
            "path": _absolute(place),
            "by": callback.__class__.__name__,  # not type(): it may be a weak proxy
            "monitor": monitor,
            "mode": getattr(callback, "mode", None),
            "score": number(score),
            "best": None if monitor is None else place == best_path,
        }
    return {"path": _absolute(place), "by": None, "monitor": None, "mode": None, "score": None, "best": None}


def best_checkpoint(callbacks: list[Any]) -> dict[str, Any] | None:
    """The checkpoint that was best by the first callback that compares them; None if none does."""
    for callback in callbacks:
        if is_a(callback, "checkpoint") and getattr(callback, "monitor", None) and callback.best_model_path:
            score = number(callback.best_model_score)
            return {"path": _absolute(callback.best_model_path), "monitor": callback.monitor, "score": score}
    return None


def _absolute(path: str) -> str:
    return path if "://" in path else os.path.abspath(path)
