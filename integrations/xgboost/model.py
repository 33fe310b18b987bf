"""What a booster is: its configuration, the learning rate in force, which features it uses, the shape of its trees."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from xgboost import Booster

# The learning rate stands in any booster's configuration under both names, with the same number.
_RATE = re.compile(r'"(?:learning_rate|eta)":"([^"]+)"')
_INTEGER = re.compile(r"-?\d+")
_DECIMAL = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?")
# A text dump costs 1 us a split; this bounds it to about 2 ms.
_SPLITS_READ = 2_000


def boosters_of(model: Any) -> Sequence[Booster]:
    """The boosters behind what a callback is given: one, or under cv() that of each fold."""
    return [fold.bst for fold in model.cvfolds] if hasattr(model, "cvfolds") else [model]


def configuration(text: str) -> dict[str, Any]:
    """What save_config() returned, as a nested dict with numbers as numbers."""
    learner: dict[str, Any] = json.loads(text, object_hook=_with_numbers)["learner"]
    return learner


def learning_rate(text: str) -> float | None:
    """The learning rate in what save_config() returned."""
    match = _RATE.search(text)
    return None if match is None else _shortest(match[1])


class Portrait(NamedTuple):
    """A trained model: importance has one row a feature that is used, figures are metrics, summary is text."""

    importance: list[dict[str, Any]]
    figures: dict[str, float]
    summary: str


def portray(boosters: Sequence[Booster], is_linear: bool) -> Portrait:
    """Look at a trained model, or at those of several folds; a linear one has no trees."""
    portraits = [_portray(booster, is_linear) for booster in boosters]
    if len(portraits) == 1:
        return portraits[0]
    folds = list(enumerate(portraits))
    return Portrait(
        [{"fold": fold, **row} for fold, portrait in folds for row in portrait.importance],
        {f"{key}/fold{fold}": figure for fold, portrait in folds for key, figure in portrait.figures.items()},
        "\n".join(f"fold {fold}: {portrait.summary}" for fold, portrait in folds),
    )


def _portray(booster: Booster, is_linear: bool) -> Portrait:
    rounds = booster.num_boosted_rounds()
    used = importance(booster, is_linear)
    facts = [f"{rounds} rounds", f"{len(used)} of {booster.num_features()} features used"]
    figures: dict[str, float] = {}
    if rounds and not is_linear:
        shape = _tree_shape(booster, rounds)
        figures = {"trees/count": shape.trees, "trees/leaves": shape.leaves, "trees/max_depth": shape.max_depth}
        looked = f" (of every {shape.step}th round)" if shape.step > 1 else ""
        facts += [f"{shape.trees} trees with {shape.leaves} leaves", f"depth at most {shape.max_depth}{looked}"]
    return Portrait(used, figures, ", ".join(facts))


def importance(booster: Booster, is_linear: bool) -> list[dict[str, Any]]:
    """One row for each feature that the model uses, the most useful first, with all five kinds of importance.

    A linear model has only one kind: its coefficients under "weight", a list of them if there are several classes.
    """
    kinds = ("weight",) if is_linear else ("total_gain", "gain", "weight", "cover", "total_cover")
    scores = {kind: booster.get_score(importance_type=kind) for kind in kinds}
    rows = [{"feature": name, **{kind: scores[kind].get(name) for kind in kinds}} for name in scores[kinds[0]]]
    return sorted(rows, key=lambda row: -float(np.abs(row[kinds[0]]).sum()))


class _TreeShape(NamedTuple):
    """The trees of a model. The deepest was looked for in every `step`-th round."""

    trees: int
    leaves: int
    max_depth: int
    step: int


def _tree_shape(booster: Booster, rounds: int) -> _TreeShape:
    """Count the trees and leaves, and find the deepest.

    A tree has one leaf more than it has splits, and the splits are the sum of the weights: only the depth needs the
    trees themselves.
    """
    splits = int(sum(booster.get_score(importance_type="weight").values()))
    step = min(rounds, 1 + splits // _SPLITS_READ)
    # a slice whose step does not divide its length is refused
    part = booster if step == 1 else booster[0 : rounds - rounds % step : step]
    trees = part.get_dump()
    count = len(trees) * rounds // part.num_boosted_rounds()
    return _TreeShape(count, splits + count, max(map(_depth, trees)), step)


def _depth(tree: str) -> int:
    """How deep a dumped tree is: each node stands on a line of its own, behind as many tabs as it is deep."""
    depth = 0
    while "\n" + "\t" * (depth + 1) in tree:
        depth += 1
    return depth


def _with_numbers(values: dict[str, Any]) -> dict[str, Any]:
    return {name: _number(value) if isinstance(value, str) else value for name, value in values.items()}


def _number(text: str) -> int | float | str:
    if _INTEGER.fullmatch(text):
        return int(text)
    return _shortest(text) if _DECIMAL.fullmatch(text) else text


def _shortest(text: str) -> float:
    """XGBoost's numbers are of single precision: 0.300000012 is what a person writes as 0.3."""
    return float(str(np.float32(text)))
