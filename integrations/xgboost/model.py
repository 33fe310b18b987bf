"""What a booster is: its configuration, the learning rate in force, which features it uses, the shape of its trees."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import xgboost
from xgboost import Booster

from barograph.integrations.xgboost.trees import Trees

_VERSION = tuple(int(part) for part in xgboost.__version__.split(".")[:2])
# The learning rate stands in any booster's configuration under both names, with the same number.
_RATE = re.compile(r'"(?:learning_rate|eta)":"([^"]+)"')
_INTEGER = re.compile(r"-?\d+")
_DECIMAL = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?")
# A saved model takes about 80 bytes a split, and is read in parts of about 16 MB.
_SPLITS_A_PART = 200_000
_MEANS = {"gain": "total_gain", "cover": "total_cover"}  # per split that uses the feature


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


def portray(boosters: Sequence[Booster], config: Mapping[str, Any]) -> Portrait:
    """Look at a trained model, or at those of several folds. config: what configuration() gives for them."""
    is_linear = config["gradient_booster"]["name"] == "gblinear"
    kinds = importance_kinds(config)
    portraits = [_portray(booster, is_linear, kinds) for booster in boosters]
    if len(portraits) == 1:
        return portraits[0]
    folds = list(enumerate(portraits))
    return Portrait(
        [{"fold": fold, **row} for fold, portrait in folds for row in portrait.importance],
        {f"{key}/fold{fold}": figure for fold, portrait in folds for key, figure in portrait.figures.items()},
        "\n".join(f"fold {fold}: {portrait.summary}" for fold, portrait in folds),
    )


def _portray(booster: Booster, is_linear: bool, kinds: Sequence[str]) -> Portrait:
    rounds = booster.num_boosted_rounds()
    used = importance(booster, kinds)
    facts = [f"{rounds} rounds", f"{len(used)} of {booster.num_features()} features used"]
    figures: dict[str, float] = {}
    if rounds and not is_linear:
        shape = _tree_shape(booster, rounds, sum(row["weight"] for row in used))
        figures = {"trees/count": shape.trees, "trees/leaves": shape.leaves, "trees/max_depth": shape.max_depth}
        facts += [f"{shape.trees} trees with {shape.leaves} leaves", f"depth at most {shape.max_depth}"]
    return Portrait(used, figures, ", ".join(facts))


def importance_kinds(config: Mapping[str, Any]) -> Sequence[str]:
    """The kinds of importance that can be asked of such a model, the one to sort by first.

    Of a linear model "weight" are its coefficients. Trees with several outputs are not asked before XGBoost 3.2:
    2.1 ends the process with a segmentation fault.
    """
    if config["gradient_booster"]["name"] == "gblinear":
        return ("weight",)
    has_vector_leaves = config["learner_train_param"].get("multi_strategy") == "multi_output_tree"
    if has_vector_leaves and _VERSION < (3, 2):
        return ()
    return ("total_gain", "gain", "weight", "cover", "total_cover")


def importance(booster: Booster, kinds: Sequence[str]) -> list[dict[str, Any]]:
    """One row for each feature that the model uses, by falling importance of the first kind.

    A linear model of several classes has a list of coefficients for each feature.
    """
    if not kinds:
        return []
    scores: dict[str, dict[str, Any]] = {
        kind: booster.get_score(importance_type=kind) for kind in kinds if kind not in _MEANS
    }
    for kind in kinds:
        if kind in _MEANS:  # as XGBoost computes it, which would add up everything once more
            splits, total = scores["weight"], scores[_MEANS[kind]]
            scores[kind] = {name: float(np.float32(total[name]) / np.float32(splits[name])) for name in total}
    rows = [{"feature": name, **{kind: scores[kind].get(name) for kind in kinds}} for name in scores[kinds[0]]]
    return sorted(rows, key=lambda row: -float(np.abs(row[kinds[0]]).sum()))


class _Shape(NamedTuple):
    """The trees of a model, counted."""

    trees: int
    leaves: int
    max_depth: int


def _tree_shape(booster: Booster, rounds: int, splits: float) -> _Shape:
    """Count the trees and leaves, and find the deepest, a part of the model at a time."""
    rounds_a_part = max(1, int(rounds * _SPLITS_A_PART / max(1, splits)))
    starts = range(0, rounds, rounds_a_part)
    parts = [booster] if len(starts) == 1 else (booster[at : min(rounds, at + rounds_a_part)] for at in starts)
    shapes = [_shape(Trees(part.save_raw("ubj"))) for part in parts]
    return _Shape(
        sum(shape.trees for shape in shapes),
        sum(shape.leaves for shape in shapes),
        max(shape.max_depth for shape in shapes),
    )


def _shape(trees: Trees) -> _Shape:
    return _Shape(trees.count, trees.leaves, trees.max_depth)


def _with_numbers(values: dict[str, Any]) -> dict[str, Any]:
    return {name: _number(value) if isinstance(value, str) else value for name, value in values.items()}


def _number(text: str) -> int | float | str:
    if _INTEGER.fullmatch(text):
        return int(text)
    return _shortest(text) if _DECIMAL.fullmatch(text) else text


def _shortest(text: str) -> float:
    """XGBoost's numbers are of single precision: 0.300000012 is what a person writes as 0.3."""
    return float(str(np.float32(text)))
