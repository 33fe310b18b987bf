"""XGBoost: what is seen of a booster while it grows, and that looking leaves it as it was."""

import json
from typing import Any

import numpy as np
import pytest
import xgboost

import barograph
from barograph.integrations.xgboost import BarographCallback, looks
from barograph.integrations.xgboost.trees import Trees

from .recorded import only_run

PARAMS: dict[str, Any] = {"objective": "reg:squarederror", "max_depth": 3, "nthread": 1, "seed": 1}


def draw(columns: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Inputs, and targets that depend on the first two."""
    drawn = np.random.default_rng(3)
    inputs = drawn.normal(size=(200, columns))
    return inputs, inputs[:, 0] + inputs[:, 1] + drawn.normal(size=200)


def train(*callbacks: BarographCallback, rounds: int = 6, columns: int = 5, **params: Any) -> xgboost.Booster:
    """A short training."""
    data = xgboost.DMatrix(*draw(columns))
    params = {**PARAMS, **params}
    if params.get("booster") == "gblinear":  # which warns of parameters that it does not know
        del params["max_depth"]
    return xgboost.train(params, data, rounds, callbacks=list(callbacks))


def nodes(booster: xgboost.Booster, number: int) -> list[dict[str, Any]]:
    """The nodes of one round's tree, as XGBoost dumps them."""
    found = [json.loads(booster[number : number + 1].get_dump(dump_format="json", with_stats=True)[0])]
    for node in found:
        found += node.get("children", [])
    return found


@pytest.mark.parametrize("whole_bytes", [0, 10**9])
def test_leaves_gains_and_depth_of_each_round_are_those_of_a_dump(
    monkeypatch: pytest.MonkeyPatch, whole_bytes: int
) -> None:
    """Whether the round was cut out of the model or the whole model was read."""
    monkeypatch.setattr(looks, "_WHOLE_MODEL_BYTES", whole_bytes)
    booster = train(BarographCallback(watch_every=1), tree_method="exact", gamma=4, max_depth=6)
    run = only_run()
    values, gains = run.histogram("trees/leaf_values"), run.histogram("trees/gains")
    depth, leaves = run.metric("trees/round/depth").values, run.metric("trees/round/leaves").values
    assert values.steps.tolist() == list(range(6))
    for number in range(6):
        dumped = nodes(booster, number)
        of_leaves = [node["leaf"] for node in dumped if "leaf" in node]
        assert leaves[number] == len(of_leaves) == values.records[number].count
        assert depth[number] == max(node.get("depth", -1) for node in dumped) + 1
        assert values.records[number].max == pytest.approx(max(of_leaves))
        assert values.records[number].mean == pytest.approx(np.mean(of_leaves), abs=1e-6)
        assert gains.records[number].mean == pytest.approx(
            np.mean([node["gain"] for node in dumped if "gain" in node]), rel=1e-5
        )
    np.testing.assert_allclose(run.metric("trees/leaf_values/norm").values, [one.l2 for one in values.records])


def test_all_trees_of_a_forest_count_and_no_earlier_ones() -> None:
    """A round may have several trees."""
    booster = train(BarographCallback(watch_every=1), num_parallel_tree=3, subsample=0.5)
    trees = booster[5:6].get_dump()
    assert len(trees) == 3
    assert only_run().metric("trees/round/leaves").values[5] == sum(tree.count("leaf=") for tree in trees)


@pytest.mark.parametrize(
    "params",
    [
        {"subsample": 0.5, "colsample_bytree": 0.5, "colsample_bynode": 0.5},
        {"subsample": 0.5, "colsample_bytree": 0.5, "tree_method": "exact"},
        {"booster": "dart", "rate_drop": 0.3, "subsample": 0.5},
        {"booster": "gblinear", "updater": "shotgun", "feature_selector": "shuffle"},
        {"booster": "gblinear", "updater": "coord_descent", "feature_selector": "random"},
    ],
    ids=["hist", "exact", "dart", "linear shuffled", "linear random"],
)
@pytest.mark.parametrize("whole_bytes", [0, 10**9])
def test_looking_draws_no_random_number(
    monkeypatch: pytest.MonkeyPatch, params: dict[str, Any], whole_bytes: int
) -> None:
    """The booster is the same to the bit if each round is looked into, whatever draws in it."""
    monkeypatch.setattr(looks, "_WHOLE_MODEL_BYTES", whole_bytes)
    monkeypatch.setattr(looks, "_IMPORTANCE_EVERY", 1)
    assert train(BarographCallback(watch_every=1), **params).save_raw() == train(**params).save_raw()


def test_importance_of_five_kinds_is_a_series() -> None:
    """Every tenth round that is looked into has one, and the last round has that of the table."""
    booster = train(BarographCallback(watch_every=10), rounds=25)
    run = only_run()
    for kind in ("weight", "gain", "cover", "total_gain", "total_cover"):
        points = run.metric(f"importance/{kind}/f0")
        assert points.steps.tolist() == [10, 20, 24]
        until = booster[:11].get_score(importance_type=kind), booster.get_score(importance_type=kind)
        assert points.values[[0, 2]].tolist() == [scores["f0"] for scores in until]


def test_at_most_fifty_features_have_series() -> None:
    """The table holds all of them."""
    train(BarographCallback(), rounds=40, columns=90, max_depth=6)
    run = only_run()
    assert len([key for key in run.metrics() if key.startswith("importance/gain/")]) == 50
    assert len(run.tables("model/importance")[0].rows) > 50


def test_coefficients_of_a_linear_model_are_recorded() -> None:
    """Of several classes a feature's series is the norm."""
    inputs, targets = draw()
    labels = np.digitize(targets, [-0.5, 0.5])
    params = {"booster": "gblinear", "updater": "coord_descent", "objective": "multi:softprob", "num_class": 3}
    callback = BarographCallback(watch_every=1)
    booster = xgboost.train(params, xgboost.DMatrix(inputs, labels), 3, callbacks=[callback])
    coefficients = booster.get_score(importance_type="weight")
    run = only_run()
    assert run.histogram("weights/coefficients").records[2].count == 15
    assert run.metric("weights/coefficients/norm").values[2] == pytest.approx(
        np.linalg.norm(list(coefficients.values()))
    )
    assert run.metric("importance/weight/f0").values[-1] == pytest.approx(np.linalg.norm(coefficients["f0"]))


def test_leaves_that_are_vectors_are_recorded() -> None:
    """Trees of several outputs have at least a depth and a number of leaves."""
    inputs, targets = draw()
    data = xgboost.DMatrix(inputs, np.stack([targets, -targets], axis=1))
    params = {"multi_strategy": "multi_output_tree", "max_depth": 3}
    booster = xgboost.train(params, data, 3, callbacks=[BarographCallback(watch_every=1)])
    run = only_run()
    leaves = Trees(booster[2:3].save_raw("ubj")).leaves
    assert run.metric("trees/round/leaves").values[2] == leaves
    for key in set(run.histograms()) & {"trees/leaf_values"}:  # XGBoost 2.1 does not keep them in that form
        assert run.histogram(key).records[2].count == 2 * leaves


def test_every_fold_of_cv_is_looked_into() -> None:
    """The fold stands at the end of the key."""
    data = xgboost.DMatrix(*draw())
    xgboost.cv(PARAMS, data, 3, nfold=2, callbacks=[BarographCallback(watch_every=1)])
    run = only_run()
    assert {"trees/leaf_values/fold0", "trees/gains/fold1"} <= set(run.histograms())
    assert run.metric("trees/round/depth/fold1").steps.tolist() == [0, 1, 2]
    assert run.metric("importance/total_gain/f0/fold1").steps.tolist() == [2]


def test_a_model_that_goes_on_is_seen_by_its_new_rounds() -> None:
    """The rounds it had are not looked at."""
    first = train(rounds=4, num_parallel_tree=2)
    callback = BarographCallback(watch_every=1)
    data = xgboost.DMatrix(*draw())
    booster = xgboost.train(PARAMS, data, 3, xgb_model=first, callbacks=[callback])
    points = only_run().metric("trees/round/leaves")
    assert points.steps.tolist() == [4, 5, 6]
    assert points.values[2] == sum(tree.count("leaf=") for tree in booster[6:7].get_dump())


def test_looks_are_left_out_where_they_would_cost_too_much() -> None:
    """By default not every round is looked into; with 0 none is."""
    barograph.init(id="default", overhead_budget=0.0)
    train(BarographCallback(), rounds=60)
    barograph.init(id="none")
    train(BarographCallback(watch_every=0), rounds=3)
    steps = barograph.open().run("default").metric("trees/round/depth").steps
    assert 0 in steps
    assert len(steps) <= 4
    assert not barograph.open().run("none").histograms()
    with pytest.raises(ValueError, match="watch_every"):
        BarographCallback(watch_every=-1)
