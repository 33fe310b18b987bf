"""What a booster is: its configuration, the learning rate in force, which features it uses, the shape of its trees."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import xgboost
from xgboost import Booster
from xgboost.core import XGBoostError

from barograph.integrations.xgboost.trees import shape_of

_VERSION = tuple(int(part) for part in xgboost.__version__.split(".")[:2])
# The learning rate stands in any booster's configuration under both names, with the same number.
_RATE = re.compile(r'"(?:learning_rate|eta)":"([^"]+)"')
_INTEGER = re.compile(r"-?\d+")
_DECIMAL = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?")
_REGULARIZING = (
    "lambda", "alpha", "gamma", "max_depth", "max_leaves", "min_child_weight", "max_delta_step", "subsample",
    "colsample_bytree", "colsample_bylevel", "colsample_bynode", "rate_drop", "skip_drop", "one_drop",
)  # fmt: skip
_MEANS = {"gain": "total_gain", "cover": "total_cover"}  # per split that uses the feature


def boosters_of(model: Any) -> Sequence[Booster]:
    """The boosters behind what a callback is given: one, or under cv() that of each fold."""
    return [fold.bst for fold in model.cvfolds] if hasattr(model, "cvfolds") else [model]


def as_configured(model: Any) -> tuple[str | None, int]:
    """What save_config() gives for what a callback is given, and how many rounds that has.

    None for a model that XGBoost refuses; the training itself will say why.
    """
    try:
        return boosters_of(model)[0].save_config(), model.num_boosted_rounds()
    except XGBoostError:
        return None, 0


def configuration(text: str) -> dict[str, Any]:
    """What save_config() returned, as a nested dict with numbers as numbers."""
    learner: dict[str, Any] = json.loads(text, object_hook=_with_numbers)["learner"]
    return learner


def learning_rate(text: str) -> float | None:
    """The learning rate in what save_config() returned."""
    match = _RATE.search(text)
    return None if match is None else _shortest(match[1])


def regularization(config: Mapping[str, Any]) -> dict[str, Any]:
    """What keeps a booster from learning its data by heart, in XGBoost's words. config: what configuration() gives."""
    booster = config["gradient_booster"]
    trees = booster.get("gbtree", booster)  # of DART
    found = {
        **trees.get("tree_train_param", {}),
        **booster.get("dart_train_param", {}),
        **_updater(booster).get("linear_train_param", {}),
    }
    return {name: found[name] for name in _REGULARIZING if name in found}


def _updater(booster: Mapping[str, Any]) -> Mapping[str, Any]:
    updater = booster.get("updater")
    return updater if isinstance(updater, Mapping) else {}  # a list for trees, and of several


class Portrait(NamedTuple):
    """A trained model: importance has one row a feature that is used, figures are metrics, summary is text."""

    importance: list[dict[str, Any]]
    figures: dict[str, float]
    summary: str


def portray(boosters: Sequence[Booster], raws: Sequence[bytes | bytearray], config: Mapping[str, Any]) -> Portrait:
    """Look at a trained model, or at those of several folds.

    raws: the boosters as save_raw("ubj") gives them; config: what configuration() gives for them.
    """
    is_linear = config["gradient_booster"]["name"] == "gblinear"
    kinds = importance_kinds(config)
    portraits = [_portray(booster, raw, is_linear, kinds) for booster, raw in zip(boosters, raws, strict=True)]
    if len(portraits) == 1:
        return portraits[0]
    folds = list(enumerate(portraits))
    return Portrait(
        [{"fold": fold, **row} for fold, portrait in folds for row in portrait.importance],
        {f"{key}/fold{fold}": figure for fold, portrait in folds for key, figure in portrait.figures.items()},
        "\n".join(f"fold {fold}: {portrait.summary}" for fold, portrait in folds),
    )


def _portray(booster: Booster, raw: bytes | bytearray, is_linear: bool, kinds: Sequence[str]) -> Portrait:
    rounds = booster.num_boosted_rounds()
    used = importance(booster, kinds)
    facts = [f"{rounds} rounds", f"{len(used)} of {booster.num_features()} features used"]
    figures: dict[str, float] = {}
    if rounds and not is_linear:
        shape = shape_of(raw)
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


def _with_numbers(values: dict[str, Any]) -> dict[str, Any]:
    return {name: _number(value) if isinstance(value, str) else value for name, value in values.items()}


def _number(text: str) -> int | float | str:
    if _INTEGER.fullmatch(text):
        return int(text)
    return _shortest(text) if _DECIMAL.fullmatch(text) else text


def _shortest(text: str) -> float:
    """XGBoost's numbers are of single precision: 0.300000012 is what a person writes as 0.3."""
    return float(str(np.float32(text)))
