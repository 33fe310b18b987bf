"""The candidates of a search as runs of their own, children of the search's run: on request, beside the table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from barograph import starting
from barograph.run import Run

MOST_CHILDREN = 1000  # a run is a folder; the table holds all candidates


def write_children(run: Run, search: Any, label: str | None) -> None:
    """One finished run a candidate: its parameters, the scores of its folds at steps 0, 1, and so on, their mean."""
    results = getattr(search, "cv_results_", None)
    if not isinstance(results, Mapping):
        return
    folds = getattr(search, "n_splits_", 0)
    best = getattr(search, "best_index_", None)
    for place, params in enumerate(results["params"][:MOST_CHILDREN]):
        tags = ["candidate"] + (["best"] if place == best else [])
        child = starting.init(
            project=run.project, name=f"{run.name}-{place}", parent=run, quiet=True, joinable=False, tags=tags
        )
        child.log_config({"estimator": label, "candidate": place, "params": dict(params)})
        for fold in range(folds):
            child.log(_row(results, place, f"split{fold}_"), fold)
        child.log(_row(results, place, "mean_") | _row(results, place, "std_", "_std"), max(folds - 1, 0))
        child.finish()


def _row(results: Mapping[str, Any], place: int, prefix: str, suffix: str = "") -> dict[str, float]:
    """The numbers of a candidate whose column begins so: `mean_test_f1` becomes `val/f1`, a time `time/fit_s`."""
    found = {}
    for column, values in results.items():
        name = column.removeprefix(prefix)
        if name == column or not isinstance(values[place], (int, float, np.number)):
            continue
        split, _, metric = name.partition("_")
        where = {"test": "val", "train": "train"}.get(split)
        key = f"time/{split}_s" if where is None else f"{where}/{metric}"
        mean = "_mean" if prefix == "mean_" else ""
        found[f"{key}{mean}{suffix}"] = float(values[place])
    return found
