"""The first trees of a model, node by node: `log_trees=N`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from xgboost import Booster

from barograph.integrations.xgboost.model import importance_kinds

_COLUMNS = ("tree", "node", "depth", "feature", "condition", "yes", "no", "missing", "gain", "leaf", "cover")


def tree_table(booster: Booster, config: Mapping[str, Any], count: int) -> dict[str, list[Any]]:
    """One row a node of so many first trees, for `run.log_table()`; empty for a model without trees.

    config: what configuration() gives. condition: a row with a value below it goes to the node `yes`; of a categorical
    feature, the categories that go to `no`. leaf: what a leaf adds, None for a split, which has a gain instead. Of
    trees with several outputs XGBoost tells neither gain nor cover, and before 3.2 is not asked at all.
    """
    rounds = booster.num_boosted_rounds()
    if not rounds or config["gradient_booster"]["name"] == "gblinear" or not importance_kinds(config):
        return {}
    has_vector_leaves = config["learner_train_param"].get("multi_strategy") == "multi_output_tree"
    first = booster[: min(count, rounds)]  # a round has one tree or more
    dumped = first.get_dump(dump_format="json", with_stats=not has_vector_leaves)[:count]
    rows = [node for tree, text in enumerate(dumped) for node in _nodes(tree, json.loads(text), 0)]
    return {column: [row.get(column) for row in rows] for column in _COLUMNS}


def _nodes(tree: int, node: dict[str, Any], depth: int) -> Iterator[dict[str, Any]]:
    yield {
        **{column: node.get(column) for column in _COLUMNS},
        "tree": tree,
        "node": node["nodeid"],
        "depth": depth,
        "feature": node.get("split"),
        "condition": node.get("split_condition"),
    }
    for child in node.get("children", ()):
        yield from _nodes(tree, child, depth + 1)
