"""XGBoost: what stays of a training, and how good it says that the model is."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    f1_score,
    log_loss,
    mean_absolute_error,
    mean_squared_error,
    precision_recall_fscore_support,
    r2_score,
)
from xgboost.callback import EarlyStopping, TrainingCallback

import barograph
from barograph.compare.verdict import judge
from barograph.integrations.xgboost import BarographCallback, contributions, looks, predicting, results

from .recorded import only_run, table

PARAMS: dict[str, Any] = {"max_depth": 3, "nthread": 1, "seed": 1}
SPLIT = 300


def draw(classes: int = 0, columns: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """400 inputs, and labels that depend on them: numbers, or so many classes."""
    drawn = np.random.default_rng(3)
    inputs = drawn.normal(size=(400, columns))
    targets = inputs[:, 0] + inputs[:, 1] * inputs[:, 2] + drawn.normal(size=400)
    return inputs, targets if not classes else np.digitize(targets, np.linspace(-1, 1, classes - 1))


def matrices(classes: int = 0, **options: Any) -> tuple[xgboost.DMatrix, xgboost.DMatrix]:
    """A set to train on and one to validate on."""
    inputs, labels = draw(classes)
    parts = (inputs[:SPLIT], labels[:SPLIT]), (inputs[SPLIT:], labels[SPLIT:])
    return xgboost.DMatrix(*parts[0], **options), xgboost.DMatrix(*parts[1])


def train(
    callback: TrainingCallback | None, classes: int = 0, rounds: int = 8, evaluates: bool = True, **params: Any
) -> xgboost.Booster:
    """A short training with a validation set."""
    training, validation = matrices(classes)
    evals = [(training, "train"), (validation, "valid")] if evaluates else []
    return xgboost.train(
        {**PARAMS, **params},
        training,
        rounds,
        evals=evals,
        verbose_eval=False,
        callbacks=[callback] if callback else [],
    )


@pytest.fixture
def unbounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainings are long enough for anything."""
    monkeypatch.setattr(results, "_SHARE", 1e9)
    monkeypatch.setattr(predicting, "_BUDGET_SHARE", 1e9)


# -- the model -------------------------------------------------------------------------------------------------------


def test_the_model_comes_back_from_its_artifact() -> None:
    """What is loaded from the store predicts the same to the bit."""
    booster = train(BarographCallback())
    artifact = only_run().artifact("model")
    again = xgboost.Booster(model_file=bytearray(artifact.read_bytes()))
    data = matrices()[1]
    assert (again.predict(data) == booster.predict(data)).all()
    assert (artifact.kind, artifact.step, artifact.metadata["rounds"]) == ("model", 7, 8)
    assert artifact.local_path().suffix == ".ubj"


@pytest.mark.parametrize("is_first", [True, False])
def test_the_model_that_is_kept_is_the_one_that_train_returns(is_first: bool) -> None:
    """Early stopping with save_best cuts it, wherever that callback stands."""
    callbacks = [EarlyStopping(rounds=4, save_best=True), BarographCallback()]
    training, validation = matrices(2)
    booster = xgboost.train(
        {**PARAMS, "objective": "binary:logistic", "eta": 1},
        training, 50, evals=[(validation, "valid")], verbose_eval=False,
        callbacks=callbacks if is_first else callbacks[::-1],
    )  # fmt: skip
    run = only_run()
    artifact = run.artifact("model")
    assert booster.num_boosted_rounds() == artifact.metadata["rounds"] == run.summary["trees/count"]
    assert int(artifact.metadata["best_iteration"]) == booster.best_iteration
    assert artifact.read_bytes() == bytes(booster.save_raw("ubj"))
    assert len(run.metric("valid/logloss").values) == booster.num_boosted_rounds() + 4


def test_a_large_model_is_kept_on_request_only() -> None:
    """The end of the fit says what became of it."""
    for wished in (None, True, False):
        train(BarographCallback(log_model=wished, name=str(wished)), rounds=300, max_depth=8)
    views = {name: barograph.open().run(name) for name in ("None", "True", "False")}
    assert {name: len(view.artifacts("model")) for name, view in views.items()} == {"None": 0, "True": 1, "False": 0}
    told = {name: view.events("fit_end")[0].data["model"] for name, view in views.items()}
    assert (told["True"], told["False"]) == ("kept", "not asked for")
    assert "log_model=True" in told["None"]


def test_no_model_is_kept_if_none_is_wanted_or_none_is_returned() -> None:
    """cv() gives its models to nobody."""
    with barograph.init():
        train(BarographCallback(log_model=False))
        xgboost.cv(PARAMS, matrices()[0], 3, nfold=2, callbacks=[BarographCallback()])
    assert only_run().artifacts() == []


def test_the_digest_of_the_weights_tells_models_apart() -> None:
    """The same training gives the same digest, another seed another one."""
    for seed in (1, 1, 2):
        train(BarographCallback(), seed=seed, subsample=0.5)
    digests = [run.weights()[0].digest for run in barograph.open().runs()]
    assert digests[1] == digests[2] != digests[0]


def test_every_fold_of_cv_has_a_digest() -> None:
    """By the number of the fold."""
    xgboost.cv(PARAMS, matrices()[0], 3, nfold=2, callbacks=[BarographCallback()])
    (weights,) = only_run().weights()
    assert set(weights.each) == {"booster/fold0", "booster/fold1"}


# -- what keeps it from overfitting -----------------------------------------------------------------------------------


def test_regularization_in_force_is_in_the_configuration() -> None:
    """With the values that XGBoost uses, and what stops the training early."""
    training, validation = matrices()
    xgboost.train(
        {**PARAMS, "reg_lambda": 3, "alpha": 0.5, "min_split_loss": 0.1, "subsample": 0.8},
        training, 5, evals=[(validation, "valid")], verbose_eval=False,
        callbacks=[BarographCallback(), EarlyStopping(rounds=4, min_delta=0.01, data_name="valid", metric_name="rmse")],
    )  # fmt: skip
    found = only_run().config["regularization"]
    told = {name: found[name] for name in ("lambda", "alpha", "gamma", "max_depth", "subsample", "colsample_bytree")}
    assert told == {
        "lambda": 3, "alpha": 0.5, "gamma": 0.1, "max_depth": 3, "subsample": 0.8, "colsample_bytree": 1,
    }  # fmt: skip
    (rule,) = found["early_stopping"]
    assert rule.items() >= {"by": "EarlyStopping", "monitor": "valid/rmse", "mode": None}.items()
    assert rule.items() >= {"patience": 4, "min_delta": 0.01}.items()


def test_dropout_of_dart_and_penalties_of_linear_models_are_regularization() -> None:
    """Each kind of booster has its own."""
    train(BarographCallback(name="dart"), booster="dart", rate_drop=0.3)
    data = matrices()[0]
    params = {"booster": "gblinear", "updater": "coord_descent", "lambda": 0.2, "nthread": 1}
    xgboost.train(params, data, 2, callbacks=[BarographCallback(name="linear")])
    store = barograph.open()
    assert store.run("dart").config["regularization"]["rate_drop"] == 0.3
    assert store.run("linear").config["regularization"] == {"lambda": 0.2, "alpha": 0, "early_stopping": []}


# -- results ---------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("unbounded")
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("objective", "classes"), [("binary:logistic", 2), ("multi:softprob", 4), ("multi:softmax", 4)]
)
def test_results_of_a_classifier_are_those_of_scikit_learn(objective: str, classes: int, weighted: bool) -> None:
    """Accuracy and F1 of both sets, and the log loss where there are probabilities."""
    inputs, labels = draw(classes)
    weights = np.random.default_rng(0).random(len(labels)) if weighted else None
    data = xgboost.DMatrix(inputs, labels, weight=weights)
    params = {**PARAMS, "objective": objective, "eval_metric": "auc" if classes == 2 else "merror"}
    params |= {"num_class": classes} if classes > 2 else {}
    booster = xgboost.train(
        params, data, 5, evals=[(data, "known")], verbose_eval=False, callbacks=[BarographCallback()]
    )
    outputs = booster.predict(data)
    said = outputs.argmax(axis=1) if outputs.ndim > 1 else (outputs > 0.5 if classes == 2 else outputs).astype(int)
    told = only_run().summary
    assert told["known/accuracy"] == pytest.approx(accuracy_score(labels, said, sample_weight=weights))
    average = "binary" if classes == 2 else "macro"
    assert told["known/f1"] == pytest.approx(f1_score(labels, said, sample_weight=weights, average=average))
    if objective != "multi:softmax":
        assert told["known/log_loss"] == pytest.approx(log_loss(labels, outputs, sample_weight=weights))
    assert ("known/log_loss" in told) == (objective != "multi:softmax")


@pytest.mark.usefixtures("unbounded")
def test_results_of_a_regression_are_those_of_scikit_learn() -> None:
    """Without a set to evaluate they are of the training set; a metric that XGBoost tells is not told twice."""
    booster = train(BarographCallback(name="alone"), evaluates=False)
    training = matrices()[0]
    labels, said = training.get_label(), booster.predict(training)
    told = barograph.open().run("alone").summary
    assert told["train/mae"] == pytest.approx(mean_absolute_error(labels, said))
    assert told["train/mse"] == pytest.approx(mean_squared_error(labels, said))
    assert told["train/r2"] == pytest.approx(r2_score(labels, said))
    train(BarographCallback(name="told"), eval_metric="mae")
    points = barograph.open().run("told").metric("valid/mae")
    assert points.steps.tolist() == list(range(8))


@pytest.mark.usefixtures("unbounded")
@pytest.mark.parametrize(
    "odd",
    [
        {"objective": "rank:pairwise"},
        {"objective": "survival:cox"},
        {"objective": "reg:quantileerror", "quantile_alpha": [0.1, 0.9]},
        {"objective": "binary:logitraw"},
        {"objective": "binary:hinge"},
        {"objective": "count:poisson"},
    ],
    ids=lambda odd: odd["objective"],
)
def test_other_objectives_are_no_trouble(odd: dict[str, Any]) -> None:
    """What makes no sense for an objective is left out."""
    train(BarographCallback(log_predictions=5), classes=2, **odd)
    run = only_run()
    assert run.status == "finished"
    assert ("valid/accuracy" in run.metrics()) == odd["objective"].startswith("binary:")
    assert len(run.tables("predictions/valid")[0].rows) == 5


@pytest.mark.usefixtures("unbounded")
def test_labels_that_are_shares_are_no_classes() -> None:
    """binary:logistic takes labels between 0 and 1."""
    inputs, labels = draw()
    data = xgboost.DMatrix(inputs, 1 / (1 + np.exp(-labels)))
    params = {**PARAMS, "objective": "binary:logistic"}
    xgboost.train(
        params, data, 3, evals=[(data, "all")], verbose_eval=False, callbacks=[BarographCallback(log_predictions=2)]
    )
    run = only_run()
    assert "all/accuracy" not in run.metrics()
    assert run.tables("predictions/all")[0].rows[0][2] == pytest.approx(data.get_label()[0])


def test_results_that_would_cost_time_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said of which sets, and what to ask for."""
    monkeypatch.setattr(results, "_SHARE", 0.0)
    train(BarographCallback(name="unasked"))
    view = barograph.open().run("unasked")
    assert "valid/mae" not in view.metrics()
    assert [one.data["dataset"] for one in view.events("results_left_out")] == ["train", "valid"]
    assert "results=True" in view.events("results_left_out")[0].data["reason"]
    for wished in (True, False):
        train(BarographCallback(name=str(wished), results=wished))
        asked = barograph.open().run(str(wished))
        assert ("valid/mae" in asked.metrics()) == wished
        assert not asked.events("results_left_out")


def test_what_there_was_time_for_makes_no_difference_between_two_trainings(monkeypatch: pytest.MonkeyPatch) -> None:
    """One has all that can be had, the other as little as possible."""
    for name, most in (("long", 1e9), ("short", 0.0)):
        monkeypatch.setattr(results, "_SHARE", most)
        for module in (predicting, contributions, looks):
            monkeypatch.setattr(module, "_BUDGET_SHARE", most)
        train(BarographCallback(name=name, log_predictions=2, log_shap=2), classes=2, rounds=60)
    views = [barograph.open().run(name) for name in ("long", "short")]
    assert len(views[0].metrics()) > len(views[1].metrics())
    assert [judge(*pair).kind for pair in (views, views[::-1])] == ["identical", "identical"]


def test_sets_that_have_no_results_are_not_left_out_for_want_of_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of a ranking, or of an objective of the user's."""
    monkeypatch.setattr(results, "_SHARE", 0.0)
    train(BarographCallback(), classes=2, objective="rank:pairwise")
    assert not only_run().events("results_left_out")


@pytest.mark.usefixtures("unbounded")
def test_classes_have_tables_as_in_every_framework() -> None:
    """How often which was taken for which, and what each is worth; rows count by their weights."""
    inputs, labels = draw(3)
    weights = np.where(labels == 0, 2.0, 1.0)
    data = xgboost.DMatrix(inputs, labels, weight=weights)
    params = {**PARAMS, "objective": "multi:softprob", "num_class": 3}
    booster = xgboost.train(params, data, 3, evals=[(data, "all")], verbose_eval=False, callbacks=[BarographCallback()])
    said = booster.predict(data).argmax(axis=1)
    pairs = table(only_run(), "all/confusion")
    matrix = np.zeros((3, 3))
    matrix[pairs["label"], pairs["prediction"]] = pairs["count"]
    assert (matrix == confusion_matrix(labels, said, sample_weight=weights)).all()
    classes = table(only_run(), "all/classes")
    expected = precision_recall_fscore_support(labels, said, sample_weight=weights)
    for name, values in zip(("precision", "recall", "f1", "count"), expected, strict=True):
        assert classes[name] == pytest.approx(values.tolist()), name


# -- predictions -----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("unbounded")
@pytest.mark.parametrize("classes", [0, 2, 3])
def test_fixed_rows_have_a_table_each_round(classes: int) -> None:
    """The rows are spread over the validation set, with label, prediction and score, the last as the model says it."""
    objectives = {0: "reg:squarederror", 2: "binary:logistic", 3: "multi:softprob"}
    params = {"num_class": 3} if classes == 3 else {}
    booster = train(BarographCallback(log_predictions=4), classes, objective=objectives[classes], **params)
    tables = only_run().tables("predictions/valid")
    assert [table.step for table in tables] == list(range(8))
    last = dict(zip(tables[-1].columns, zip(*tables[-1].rows, strict=True), strict=True))
    assert last["index"] == (0, 33, 66, 99)
    validation = matrices(classes)[1]
    outputs, labels = booster.predict(validation)[[0, 33, 66, 99]], validation.get_label()[[0, 33, 66, 99]]
    assert list(last["label"]) == pytest.approx(labels.tolist())
    if classes == 0:
        assert list(last["prediction"]) == pytest.approx(outputs.tolist())
        assert set(last["score"]) == {None}
    elif classes == 2:
        assert list(last["prediction"]) == (outputs >= 0.5).astype(int).tolist()
        assert list(last["score"]) == pytest.approx(outputs.tolist())
    else:
        assert list(last["prediction"]) == outputs.argmax(axis=1).tolist()
        assert list(last["score"]) == pytest.approx(outputs.max(axis=1).tolist())


def test_predictions_change_no_bit_of_the_model() -> None:
    """Nor does asking for more rows than there are."""
    params: dict[str, Any] = {"booster": "dart", "rate_drop": 0.3, "subsample": 0.5}
    assert train(BarographCallback(log_predictions=10**6), **params).save_raw() == train(None, **params).save_raw()
    assert len(only_run().tables("predictions/valid")[-1].rows) == 100


def test_the_last_evaluation_has_its_table_whatever_it_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    """In between, the budget decides."""
    monkeypatch.setattr(predicting, "_BUDGET_SHARE", 0.0)
    train(BarographCallback(log_predictions=2))
    assert [table.step for table in only_run().tables("predictions/valid")] == [0, 7]


def test_folds_of_cv_have_tables_of_their_own() -> None:
    """Rows are those of the fold's test set."""
    xgboost.cv(PARAMS, matrices()[0], 3, nfold=2, callbacks=[BarographCallback(log_predictions=3)])
    assert [len(only_run().tables(f"predictions/test/fold{fold}")[0].rows) for fold in range(2)] == [3, 3]


@pytest.mark.parametrize("evaluates_training_only", [True, False])
def test_rows_of_quantized_data_are_found(evaluates_training_only: bool) -> None:
    """XGBoost cannot cut them out; the training set serves where no other is evaluated."""
    inputs, labels = draw()
    training = xgboost.QuantileDMatrix(inputs, labels)
    validation = xgboost.QuantileDMatrix(inputs[:50], labels[:50], ref=training)
    evals = [(training, "known")] + ([] if evaluates_training_only else [(validation, "new")])
    booster = xgboost.train(
        PARAMS, training, 3, evals=evals, verbose_eval=False, callbacks=[BarographCallback(log_predictions=3)]
    )
    name, data = ("known", training) if evaluates_training_only else ("new", validation)
    table = only_run().tables(f"predictions/{name}")[-1]
    places = [row[0] for row in table.rows]
    assert [row[3] for row in table.rows] == pytest.approx(booster.predict(data)[places].tolist())


def test_groups_of_a_ranker_are_no_trouble() -> None:
    """Rows are taken out of their groups."""
    inputs, labels = draw(3)
    ranker = xgboost.XGBRanker(n_estimators=3, callbacks=[BarographCallback(log_predictions=6)])
    groups = np.repeat(np.arange(40), 10)
    ranker.fit(inputs, labels, qid=groups, eval_set=[(inputs, labels)], eval_qid=[groups], verbose=False)
    assert len(only_run().tables("predictions/validation_0")[0].rows) == 6


def test_several_targets_are_lists() -> None:
    """A label and a prediction for each."""
    inputs, labels = draw()
    data = xgboost.DMatrix(inputs, np.stack([labels, -labels], axis=1))
    xgboost.train(
        PARAMS, data, 3, evals=[(data, "all")], verbose_eval=False, callbacks=[BarographCallback(log_predictions=2)]
    )
    (row, _) = only_run().tables("predictions/all")[0].rows
    assert len(row[2]) == len(row[3]) == 2


def test_a_wrong_number_of_rows_is_refused_at_once() -> None:
    """Before any training."""
    with pytest.raises(ValueError, match="log_predictions"):
        BarographCallback(log_predictions=-1)


def test_without_a_validation_set_rows_of_the_training_set_are_shown() -> None:
    """The table has its name."""
    train(BarographCallback(log_predictions=2), evaluates=False)
    assert only_run().tables("predictions/train")[-1].step == 7


# -- contributions ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [0, 3])
def test_shap_values_over_rounds_are_those_that_xgboost_tells(monkeypatch: pytest.MonkeyPatch, classes: int) -> None:
    """The mean size of each feature's every tenth round and at the end, and in a table the values of each row."""
    monkeypatch.setattr(contributions, "_BUDGET_SHARE", 1e9)
    params = {"objective": "multi:softprob", "num_class": 3} if classes else {}
    booster = train(BarographCallback(log_shap=4), classes, rounds=12, **params)
    run = only_run()
    rows = matrices(classes)[1].slice([0, 33, 66, 99])
    values = booster.predict(rows, pred_contribs=True)[..., :-1]
    points = run.metric("shap/f0")
    assert points.steps.tolist() == [0, 10, 11]
    assert points.values[-1] == pytest.approx(np.abs(values[..., 0]).mean())
    (table,) = run.tables("shap/valid")
    assert [row[0] for row in table.rows] == [0, 33, 66, 99]
    assert np.array(table.rows[2][1], np.float32) == pytest.approx(values[2, ..., 0])


def test_shap_values_change_no_bit_of_the_model() -> None:
    """Nor do those of each fold."""
    params: dict[str, Any] = {"booster": "dart", "rate_drop": 0.3, "subsample": 0.5}
    assert train(BarographCallback(log_shap=9), **params).save_raw() == train(None, **params).save_raw()
    with barograph.init(id="folds"):
        xgboost.cv(PARAMS, matrices()[0], 3, nfold=2, callbacks=[BarographCallback(log_shap=3)])
    assert "shap/f1/fold1" in barograph.open().run("folds").metrics()


def test_where_there_are_no_shap_values_is_an_event() -> None:
    """XGBoost has none of leaves that are vectors."""
    inputs, labels = draw()
    data = xgboost.DMatrix(inputs, np.stack([labels, -labels], axis=1))
    xgboost.train({**PARAMS, "multi_strategy": "multi_output_tree"}, data, 3, callbacks=[BarographCallback(log_shap=3)])
    assert len(only_run().events("shap_left_out")) == 1


# -- learning curves ---------------------------------------------------------------------------------------------------


def test_scores_over_the_amount_of_data_are_those_of_trainings_on_it() -> None:
    """Each share is trained on from nothing, with as many rounds; the last point is the training itself."""
    told: dict[str, Any] = {}
    training, validation = matrices(2)
    params = {**PARAMS, "objective": "binary:logistic", "subsample": 0.5}
    xgboost.train(
        params, training, 5, evals=[(training, "train"), (validation, "valid")], evals_result=told, verbose_eval=False,
        callbacks=[BarographCallback(learning_curve=(0.5, 0.1))],
    )  # fmt: skip
    points = only_run().metric("learning_curve/valid/logloss")
    assert points.steps.tolist() == [30, 150, 300]
    assert points.values[-1] == told["valid"]["logloss"][-1]
    assert only_run().events("fit_end")[0].step == 4
    half = training.slice(np.linspace(0, SPLIT - 1, 150).astype(int).tolist())
    alone: dict[str, Any] = {}
    xgboost.train(
        params, half, 5, evals=[(half, "train"), (validation, "valid")], evals_result=alone, verbose_eval=False
    )
    assert points.values[1] == alone["valid"]["logloss"][-1]
    assert only_run().metric("learning_curve/train/logloss").values[1] == alone["train"]["logloss"][-1]


def test_a_model_that_is_trained_on_after_a_learning_curve_is_the_same_to_the_bit() -> None:
    """The trainings in between draw random numbers of their own."""
    models = []
    for callback in (BarographCallback(learning_curve=(0.5,)), None):
        booster = train(callback, subsample=0.5, colsample_bytree=0.5)
        booster.update(matrices()[0], 8)
        models.append(booster.save_raw())
    assert models[0] == models[1]


@pytest.mark.parametrize("kind", ["quantized", "grouped", "continued", "nothing evaluated"])
def test_why_there_is_no_learning_curve_is_an_event(kind: str) -> None:
    """Instead of a wrong one."""
    inputs, labels = draw(3)
    make = xgboost.QuantileDMatrix if kind == "quantized" else xgboost.DMatrix
    data = make(inputs, labels, qid=np.repeat(np.arange(40), 10) if kind == "grouped" else None)
    first = xgboost.train(PARAMS, data, 2) if kind == "continued" else None
    evals = [] if kind == "nothing evaluated" else [(data, "train")]
    params = {**PARAMS, "objective": "rank:ndcg"} if kind == "grouped" else PARAMS
    xgboost.train(
        params, data, 2, evals=evals, verbose_eval=False, xgb_model=first,
        callbacks=[BarographCallback(learning_curve=(0.5,))],
    )  # fmt: skip
    run = only_run()
    assert len(run.events("learning_curve_left_out")) == 1
    assert not [key for key in run.metrics() if key.startswith("learning_curve/")]


@pytest.mark.parametrize("shares", [(0.0,), (0.5, 1.5)])
def test_shares_that_are_none_are_refused_at_once(shares: tuple[float, ...]) -> None:
    """Before any training."""
    with pytest.raises(ValueError, match="learning_curve"):
        BarographCallback(learning_curve=shares)


# -- the data --------------------------------------------------------------------------------------------------------


def test_every_set_is_described_once(tmp_path: Path) -> None:
    """By the name it is evaluated under; the set that is trained on is called train where it has no other name."""
    training, validation = matrices()
    with barograph.init():
        for evals in ([(validation, "valid")], [(training, "known"), (validation, "valid")]):
            xgboost.train(PARAMS, training, 2, evals=evals, verbose_eval=False, callbacks=[BarographCallback()])
    rows = {data.name: data.rows for data in only_run().datasets()}
    assert rows == {"train": SPLIT, "known": SPLIT, "valid": 400 - SPLIT}


def test_labels_that_were_set_anew_are_data_of_their_own() -> None:
    """A matrix is only taken for known while its labels and weights are the same."""
    training, _ = matrices()
    with barograph.init():
        for labels in (training.get_label(), training.get_label(), np.zeros(SPLIT)):
            training.set_label(labels)
            xgboost.train(PARAMS, training, 1, callbacks=[BarographCallback()])
    assert len(only_run().records("dataset")) == 2


def test_data_in_external_memory_is_described(tmp_path: Path) -> None:
    """As far as XGBoost lets it be read, and rows are found in it for predictions."""
    inputs, labels = draw()

    class Batches(xgboost.DataIter):
        def __init__(self) -> None:
            self.at = 0
            super().__init__(cache_prefix=str(tmp_path / "cache"))

        def next(self, input_data: Any) -> bool:
            part = slice(100 * self.at, 100 * self.at + 100)
            self.at += 1
            if self.at <= 4:
                input_data(data=inputs[part], label=labels[part])
            return self.at <= 4

        def reset(self) -> None:
            self.at = 0

    data = xgboost.DMatrix(Batches())
    xgboost.train(
        {**PARAMS, "tree_method": "hist"}, data, 2, evals=[(data, "all")], verbose_eval=False,
        callbacks=[BarographCallback(log_predictions=3)],
    )  # fmt: skip
    run = only_run()
    assert [found.name for found in run.datasets()] == ["all"]
    assert run.config["data"]["samples"] == 400
    assert len(run.tables("predictions/all")[-1].rows) == 3
