"""Rows of the table of what trackers record of XGBoost that other tests do not show, through its estimators too."""

from typing import Any

import numpy as np
import pytest
import xgboost

from barograph.integrations.xgboost import BarographCallback, contributions, rows

from .recorded import only_run


def draw(kind: str = "class") -> tuple[np.ndarray, np.ndarray]:
    """200 rows with a value that is missing, and what to make of them."""
    drawn = np.random.default_rng(5)
    inputs = drawn.normal(size=(200, 4))
    inputs[3, 2] = np.nan
    labels = inputs[:, 0] + 0.3 * drawn.normal(size=200)
    return inputs, (labels > 0).astype(int) if kind == "class" else labels


def test_what_an_estimator_was_given_is_among_its_parameters() -> None:
    """Also what XGBoost itself does not call a parameter; what was left alone is not."""
    callback = BarographCallback()
    model = xgboost.XGBClassifier(n_estimators=4, max_depth=2, missing=-1.0, nthread=1, callbacks=[callback])
    model.fit(*draw())
    params = only_run().config["params"]
    assert {name: params[name] for name in ("n_estimators", "max_depth", "missing", "nthread")} == {
        "n_estimators": 4,
        "max_depth": 2,
        "missing": -1.0,
        "nthread": 1,
    }
    assert not {"importance_type", "callbacks", "random_state", "enable_categorical"} & set(params)


def test_a_model_has_a_signature() -> None:
    """What it takes, by name and type where they are known, and what it was trained to give."""
    inputs, labels = draw()
    data = xgboost.DMatrix(inputs, labels, feature_names=["a", "b", "c", "d"], feature_types=["float"] * 4)
    xgboost.train({"objective": "binary:logistic"}, data, 2, callbacks=[BarographCallback()])
    assert only_run().artifact("model").metadata["signature"] == {
        "inputs": {"shape": [None, 4], "names": ["a", "b", "c", "d"], "types": ["float"] * 4},
        "outputs": {"objective": "binary:logistic"},
    }


@pytest.mark.parametrize("booster", ["gbtree", "dart"])
def test_the_first_trees_are_a_table_of_their_nodes(booster: str) -> None:
    """A row's way through them leads to what the model says of it."""
    inputs, labels = draw("value")
    params = {"booster": booster, "max_depth": 3, "base_score": 0.0, "nthread": 1}
    model = xgboost.train(params, xgboost.DMatrix(inputs, labels), 3, callbacks=[BarographCallback(log_trees=2)])
    (table,) = only_run().tables("model/trees")
    nodes = {(row[0], row[1]): dict(zip(table.columns, row, strict=True)) for row in table.rows}
    assert {tree for tree, _ in nodes} == {0, 1}
    said = 0.0
    for tree in (0, 1):
        node = nodes[tree, 0]
        while node["leaf"] is None:
            value = inputs[7, int(node["feature"][1:])]
            node = nodes[tree, node["yes" if value < node["condition"] else "no"]]
        said += node["leaf"]
    first_two = model.predict(xgboost.DMatrix(inputs[7:8]), iteration_range=(0, 2))
    assert said == pytest.approx(first_two[0], abs=1e-6)


def test_a_training_of_no_round_is_recorded_to_the_end() -> None:
    """Whatever was asked for of its trees."""
    data = xgboost.DMatrix(np.eye(4), np.arange(4))
    asked = BarographCallback(log_trees=2, log_predictions=2, log_shap=2, log_model=True, results=True)
    xgboost.train({"nthread": 1}, data, 0, evals=[(data, "all")], verbose_eval=False, callbacks=[asked])
    view = only_run()
    assert view.events("fit_end")[0].data["model"] == "kept"
    assert {"all/mae", "shap/f0"} <= set(view.metrics())


@pytest.mark.parametrize("params", [{"booster": "gblinear"}, {"multi_strategy": "multi_output_tree"}, {"max_depth": 2}])
@pytest.mark.parametrize("log_trees", [0, 5])
def test_trees_that_are_not_there_are_no_trouble(params: dict[str, Any], log_trees: int) -> None:
    """Of a linear model there are none; leaves may be vectors, for which XGBoost is not asked before 3.2; too few."""
    inputs, labels = draw("value")
    data = xgboost.DMatrix(inputs, np.stack([labels, -labels], axis=1) if "multi_strategy" in params else labels)
    xgboost.train({**params, "nthread": 1}, data, 2, callbacks=[BarographCallback(log_trees=log_trees)])
    is_old = tuple(map(int, xgboost.__version__.split(".")[:2])) < (3, 2)
    has_trees = "booster" not in params and not (is_old and "multi_strategy" in params)
    assert bool(only_run().tables("model/trees")) == (log_trees > 0 and has_trees)


def test_estimators_have_shap_values(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though they train on quantized data, of which XGBoost cuts no rows."""
    monkeypatch.setattr(contributions, "_BUDGET_SHARE", 1e9)
    inputs, labels = draw()
    model = xgboost.XGBClassifier(n_estimators=12, nthread=1, callbacks=[BarographCallback(log_shap=4)])
    model.fit(inputs[:150], labels[:150], eval_set=[(inputs[150:], labels[150:])], verbose=False)
    chosen = xgboost.DMatrix(inputs[150:][[0, 16, 32, 49]])
    expected = np.abs(model.get_booster().predict(chosen, pred_contribs=True)[:, :-1]).mean(axis=0)
    view = only_run()
    assert [view.metric(f"shap/f{place}").values[-1] for place in range(4)] == pytest.approx(expected.tolist())


def test_rows_of_large_quantized_data_are_not_cut_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """For all of it would have to be copied."""
    monkeypatch.setattr(rows, "_MOST_CELLS", 100)
    xgboost.train({}, xgboost.QuantileDMatrix(*draw()), 2, callbacks=[BarographCallback(log_shap=3)])
    (event,) = only_run().events("shap_left_out")
    assert "quantized" in event.data["reason"]


def test_a_regression_on_zeros_and_ones_is_no_classification() -> None:
    """Rows that are kept show the value that the model said."""
    callback = BarographCallback(log_predictions=3)
    model = xgboost.XGBRegressor(n_estimators=3, nthread=1, callbacks=[callback])
    inputs, labels = draw()
    model.fit(inputs, labels)
    table = only_run().tables("predictions/train")[-1]
    said = [row[table.columns.index("prediction")] for row in table.rows]
    assert said == pytest.approx(model.predict(inputs)[[0, 99, 199]].tolist())
