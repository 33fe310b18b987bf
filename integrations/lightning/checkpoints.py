"""What is noted of a checkpoint: where it lies, who saved it and how good it was."""

import os
from typing import Any

from barograph.integrations.lightning.ends import is_a, number


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


def _absolute(path: str) -> str:
    return path if "://" in path else os.path.abspath(path)
