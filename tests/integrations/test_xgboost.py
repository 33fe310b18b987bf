"""XGBoost: what a training leaves in the run, whatever its form, its callbacks and its end."""

import contextlib
import copy
import gc
import pickle
import subprocess
import sys
import threading
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost
from sklearn.model_selection import GridSearchCV
from xgboost.callback import (
    EarlyStopping,
    EvaluationMonitor,
    LearningRateScheduler,
    TrainingCallback,
    TrainingCheckPoint,
)

import barograph
from barograph.compare.verdict import judge
from barograph.integrations.xgboost import BarographCallback, model, trees, watching

from .recorded import event, only_run

CLASSES: dict[str, Any] = {"objective": "binary:logistic", "max_depth": 3, "nthread": 1, "seed": 1}
SPLIT = 150


def draw(rows: int = 200, columns: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Inputs, and labels of 0 and 1 that depend on them."""
    drawn = np.random.default_rng(3)
    inputs = drawn.normal(size=(rows, columns))
    return inputs, (inputs[:, 0] + inputs[:, 1] * inputs[:, 2] + drawn.normal(size=rows) > 0.4).astype(int)


def matrices() -> tuple[xgboost.DMatrix, xgboost.DMatrix]:
    """A set to train on and one to validate on."""
    inputs, labels = draw()
    return xgboost.DMatrix(inputs[:SPLIT], labels[:SPLIT]), xgboost.DMatrix(inputs[SPLIT:], labels[SPLIT:])


def train(*callbacks: TrainingCallback, rounds: int = 6, **arguments: Any) -> xgboost.Booster:
    """A training as users write it, with a validation set."""
    training, validation = matrices()
    arguments = {"params": CLASSES, "evals": [(training, "train"), (validation, "valid")], **arguments}
    arguments = {"dtrain": training, "num_boost_round": rounds, "verbose_eval": False, **arguments}
    return xgboost.train(callbacks=list(callbacks), **arguments)


class StopAfter(TrainingCallback):
    """A user's callback that ends the training after some rounds."""

    def __init__(self, rounds: int) -> None:
        self.rounds = rounds

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        """Whether it was enough."""
        return epoch + 1 >= self.rounds


# -- rounds ----------------------------------------------------------------------------------------------------------


def test_every_metric_of_every_set_is_recorded_at_every_round() -> None:
    """The points are those that XGBoost reports, to the bit."""
    told: dict[str, Any] = {}
    train(BarographCallback(), params={**CLASSES, "eval_metric": ["logloss", "error@0.3"]}, evals_result=told)
    view = only_run()
    for data, metrics in told.items():
        for metric, scores in metrics.items():
            points = view.metric(f"{data}/{metric}")
            assert points.steps.tolist() == list(range(6))
            assert points.values.tolist() == scores


def test_rounds_are_recorded_without_evaluation_sets() -> None:
    """There is a time, a rate of rows and a learning rate even if nothing is evaluated."""
    train(BarographCallback(), evals=[])
    view = only_run()
    seconds = view.metric("time/step_s").values
    assert len(seconds) == 6
    np.testing.assert_allclose(view.metric("throughput/samples_per_s").values, SPLIT / seconds)
    assert view.metric("epoch").values.tolist() == list(range(6))


@pytest.mark.parametrize("evaluates", [True, False])
def test_the_last_round_is_kept_when_an_earlier_callback_stops(evaluates: bool) -> None:
    """XGBoost does not call the callbacks after the one that asks to stop."""
    train(StopAfter(3), BarographCallback(), **({} if evaluates else {"evals": []}))
    assert only_run().metric("time/step_s").steps.tolist() == [0, 1, 2]
    assert event("fit_end")["reason"] == "stopped"


def test_a_round_that_was_not_begun_is_not_recorded() -> None:
    """A later callback may end the training before a round."""

    class StopBefore(TrainingCallback):
        def before_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            return epoch == 2

    train(BarographCallback(), StopBefore(), evals=[])
    assert only_run().metric("time/step_s").steps.tolist() == [0, 1]


def test_a_set_that_is_evaluated_twice_under_one_name_makes_no_rounds() -> None:
    """XGBoost keeps both scores in one list."""
    training, _ = matrices()
    train(BarographCallback(), evals=[(training, "same"), (training, "same")])
    view = only_run()
    assert view.metric("same/logloss").steps.tolist() == list(range(6))
    assert event("fit_end")["steps"] == 6


def test_a_metric_that_changes_its_name_is_recorded_when_it_was_told() -> None:
    """XGBoost keeps the old scores, which are none of later rounds."""
    calls = 0

    def metric(predictions: np.ndarray, data: xgboost.DMatrix) -> tuple[str, float]:
        nonlocal calls
        calls += 1
        return f"call{calls % 2}", float(calls)

    training, _ = matrices()
    train(BarographCallback(), evals=[(training, "train")], custom_metric=metric)
    view = only_run()
    assert view.metric("train/call1").steps.tolist() == [0, 2, 4]
    assert view.metric("train/call0").values.tolist() == [2, 4, 6]
    assert view.metric("train/logloss").steps.tolist() == list(range(6))


def test_a_training_of_no_rounds_is_recorded() -> None:
    """The model exists all the same, at step 0."""
    with barograph.init():
        train(BarographCallback(), rounds=0)
        train(BarographCallback(), rounds=2)
    view = only_run()
    assert [table.step for table in view.tables("model/importance")] == [0, 1]
    assert view.metric("time/step_s").steps.tolist() == [0, 1]
    assert [found.data["steps"] for found in view.events("fit_end")] == [0, 2]


def test_a_training_that_xgboost_refuses_is_failed_by_its_error() -> None:
    """Nothing of ours complains about it."""
    data = xgboost.DMatrix(np.empty((9, 0)), np.zeros(9))
    with pytest.raises(xgboost.core.XGBoostError, match="0 feature"):
        xgboost.train(CLASSES, data, 2, callbacks=[BarographCallback()])
    view = only_run()
    assert (view.status, view.end_reason) == ("failed", "XGBoostError")


def test_a_learning_rate_schedule_is_recorded_as_it_is_in_force() -> None:
    """A scheduler sets the rate after a round, for the next one."""
    scheduler = LearningRateScheduler([0.2, 0.1, 0.05, 0.02, 0.01, 0.005])
    rates = scheduler.learning_rates
    train(scheduler, BarographCallback(), params={**CLASSES, "eta": 0.5})
    assert only_run().metric("lr/eta").values.tolist() == [0.5, 0.2, 0.1, 0.05, 0.02, 0.01]
    assert scheduler.learning_rates is rates


def test_a_learning_rate_that_a_users_callback_sets_is_recorded() -> None:
    """Whatever is recorded is the rate in force, even where it changes unseen."""

    class Halve(TrainingCallback):
        def before_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            model.set_param("learning_rate", 0.5**epoch)
            return False

    train(BarographCallback(), Halve())
    points = only_run().metric("lr/eta")
    assert points.steps[0] == 0
    assert points.values.tolist() == [0.5**step for step in points.steps]


def test_rates_that_there_was_no_time_to_read_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a training with a callback that may change them; the run says so."""

    class Nothing(TrainingCallback):
        pass

    for name, share in (("full", 1e9), ("short", 0.0)):
        monkeypatch.setattr(watching, "_READING_SHARE", share)
        train(BarographCallback(name=name), Nothing())
    views = [barograph.open().run(name) for name in ("full", "short")]
    assert [len(view.metric("lr/eta").values) for view in views] == [6, 1]
    assert views[1].events("results_left_out")[0].data["dataset"] == "lr"
    assert judge(*views).kind == "identical"


def test_threads_that_train_at_once_with_one_callback_have_runs_of_their_own() -> None:
    """The models are as without us, and what comes after the first is its child."""
    expected = train().save_raw()
    callback, barrier = BarographCallback(name="shared"), threading.Barrier(3)
    models: list[bytearray] = []

    class Together(TrainingCallback):
        def before_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            if epoch == 0:
                barrier.wait(60)
            return False

    def work() -> None:
        models.append(train(callback, Together()).save_raw())

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert models == [expected] * 3
    views = barograph.open().runs()
    assert [view.status for view in views] == ["finished"] * 3
    assert all(len(view.metric("valid/logloss").values) == 6 for view in views)
    first = barograph.open().run("shared")
    assert len(first.children()) == 2
    train(callback)
    assert len(barograph.open().run("shared").events("fit_end")) == 2


# -- what it was called with -----------------------------------------------------------------------------------------


def test_parameters_are_recorded_as_given_and_as_configured() -> None:
    """What the user wrote, what XGBoost made of it, what the call said, and the data in figures."""

    def own_objective(predictions: np.ndarray, data: xgboost.DMatrix) -> tuple[np.ndarray, np.ndarray]:
        return predictions - data.get_label(), np.ones_like(predictions)

    train(BarographCallback(), params={"max_depth": 3, "lambda": 2}, obj=own_objective, early_stopping_rounds=4)
    config = only_run().config
    assert config["params"] == {"max_depth": 3, "lambda": 2}
    configured = config["model"]["booster"]["gradient_booster"]["tree_train_param"]
    assert (configured["reg_lambda"], configured["eta"], configured["max_depth"]) == (2, 0.3, 3)
    assert config["fit"]["rounds"] == 6
    assert config["fit"]["early_stopping_rounds"] == 4
    assert config["fit"]["objective_function"].endswith("own_objective")
    assert config["data"]["samples"] == SPLIT
    assert config["data"]["features"] == 5
    assert config["data"]["evaluated_samples"] == {"train": SPLIT, "valid": 50}
    assert config["framework"] == {"name": "xgboost", "version": xgboost.__version__}


def test_a_base_score_that_was_estimated_is_in_the_configuration() -> None:
    """XGBoost estimates it in the first round, after the configuration was first read."""
    booster = train(BarographCallback())
    recorded = only_run().config["model"]["booster"]["learner_model_param"]
    assert recorded == model.configuration(booster.save_config())["learner_model_param"]
    assert recorded["base_score"] not in (0.5, "[5E-1]")


def test_the_configuration_is_not_read_each_round(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading it costs as much as a small round: once before the training and once after it is enough."""
    reads = 0
    save_config = xgboost.Booster.save_config

    def counted(booster: xgboost.Booster) -> str:
        nonlocal reads
        reads += 1
        return str(save_config(booster))

    monkeypatch.setattr(xgboost.Booster, "save_config", counted)
    train(LearningRateScheduler(lambda epoch: 0.1), BarographCallback(), rounds=20, early_stopping_rounds=20)
    assert reads == 2


def test_an_estimators_random_state_is_not_drawn_from() -> None:
    """get_params() of the wrappers draws from a RandomState, so it must not be called a second time."""
    inputs, labels = draw()
    states = []
    for callbacks in (None, [BarographCallback()]):
        state = np.random.RandomState(2)
        xgboost.XGBClassifier(n_estimators=2, random_state=state, callbacks=callbacks).fit(inputs, labels)
        states.append(state.randint(1 << 30))
    assert states[0] == states[1]


def test_users_objects_are_left_as_they_were() -> None:
    """Neither the list of callbacks, nor the parameters, nor the trained model carry anything of ours."""
    callbacks: list[TrainingCallback] = [LearningRateScheduler([0.1] * 6), BarographCallback()]
    before, params = list(callbacks), dict(CLASSES)
    booster = xgboost.train(params, matrices()[0], 6, callbacks=callbacks)
    assert callbacks == before
    assert params == CLASSES
    assert vars(booster).keys() == vars(xgboost.train(params, matrices()[0], 1)).keys()


def test_a_model_can_be_pickled_from_a_callback(tmp_path: Path) -> None:
    """A checkpoint that pickles the model meets nothing of ours in it."""
    train(BarographCallback(), TrainingCheckPoint(tmp_path, as_pickle=True, interval=2))
    with (tmp_path / "model_4.pkl").open("rb") as file:
        booster = pickle.load(file)  # written by this test
    booster.update(matrices()[0], 5)
    assert booster.num_boosted_rounds() == 6


# -- the model -------------------------------------------------------------------------------------------------------


def test_importance_of_five_kinds_and_the_shape_of_the_trees_are_recorded() -> None:
    """The table holds what get_score tells, and the figures what a dump of the model shows."""
    booster = train(BarographCallback())
    view = only_run()
    (table,) = view.tables("model/importance")
    for kind in ("weight", "gain", "cover", "total_gain", "total_cover"):
        column = {row[0]: row[table.columns.index(kind)] for row in table.rows}
        assert column == booster.get_score(importance_type=kind)
    dumped = booster.get_dump()
    assert view.summary["trees/count"] == len(dumped)
    assert view.summary["trees/leaves"] == sum(tree.count("leaf=") for tree in dumped)
    assert view.summary["trees/max_depth"] == 3
    assert view.texts("model/summary")[0].text is not None


def test_a_big_model_is_looked_at_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The figures are the same."""
    booster = train(rounds=11)
    config = model.configuration(booster.save_config())
    raw = booster.save_raw("ubj")
    whole = model.portray([booster], [raw], config)
    for size in (1, 1000, 5000):
        monkeypatch.setattr(trees, "_PART_BYTES", size)
        assert model.portray([booster], [raw], config) == whole


def test_pruned_branches_are_not_counted() -> None:
    """A saved model still holds the nodes that pruning took away."""
    params = {**CLASSES, "tree_method": "exact", "gamma": 4, "max_depth": 6}
    dumped = train(BarographCallback(), params=params).get_dump()
    view = only_run()
    assert view.summary["trees/leaves"] == sum(tree.count("leaf=") for tree in dumped)
    assert view.summary["trees/max_depth"] == max(line.count("\t") for tree in dumped for line in tree.splitlines())


@pytest.mark.parametrize(
    "params",
    [
        {"booster": "dart", "rate_drop": 0.3},
        {"booster": "gblinear", "updater": "coord_descent"},
        {"booster": "gblinear", "updater": "coord_descent", "objective": "multi:softprob", "num_class": 2},
        {"objective": "multi:softprob", "num_class": 2, "multi_strategy": "multi_output_tree", "num_parallel_tree": 2},
        {"objective": "reg:absoluteerror", "tree_method": "exact"},
    ],
    ids=["dart", "linear", "linear classes", "multi-output forest", "adaptive leaves"],
)
def test_every_kind_of_booster_is_recorded_and_left_the_same(params: dict[str, Any]) -> None:
    """The model does not depend on us to the bit, and features and learning rate are found in each kind."""
    params = {"nthread": 1, "seed": 1, **params}
    assert train(BarographCallback(), params=params).save_raw() == train(params=params).save_raw()
    view = only_run()
    assert bool(view.tables("model/importance")[0].rows) == bool(
        model.importance_kinds(view.config["model"]["booster"])
    )
    assert len(view.metric("lr/eta").values) == 6
    assert ("trees/count" in view.metrics()) == (params.get("booster") != "gblinear")


# -- early stopping --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["argument", "before", "after"])
def test_early_stopping_is_an_event_wherever_it_stands(place: str) -> None:
    """Who stopped, what was watched, the best and where it was, and all rounds up to the stop."""
    stop = EarlyStopping(rounds=3, save_best=True, min_delta=0.001)
    ours = BarographCallback()
    callbacks = {"argument": [ours], "before": [stop, ours], "after": [ours, stop]}[place]
    booster = train(
        *callbacks,
        rounds=100,
        params={**CLASSES, "eta": 1},
        **({"early_stopping_rounds": 3} if not callbacks[1:] else {}),
    )
    view, told = only_run(), event("early_stop")
    losses = view.metric("valid/logloss").values
    assert told["by"] == "EarlyStopping"
    assert (told["monitor"], told["mode"]) == ("valid/logloss", "min")
    assert (told["wait"], told["patience"], told["reason"]) == (3, 3, "patience_exhausted")
    assert told["message"].startswith("valid/logloss has not improved")
    assert told["min_delta"] == (0 if place == "argument" else 0.001)
    assert told["best_step"] == booster.best_iteration == len(losses) - 4
    assert told["best"] == booster.best_score == losses[told["best_step"]]
    end = event("fit_end")
    assert (end["reason"], end["steps"], end["best"]) == ("early_stop", len(losses), told["best"])
    assert view.status == "finished"


def test_early_stopping_that_did_not_stop_tells_its_best() -> None:
    """The best and the rounds without gain are known without an early stop."""
    booster = train(BarographCallback(), early_stopping_rounds=50)
    end = event("fit_end")
    assert (end["reason"], end["best"], end["best_step"]) == (
        "epochs_reached",
        booster.best_score,
        booster.best_iteration,
    )
    assert end["wait"] == 5 - booster.best_iteration
    assert not only_run().events("early_stop")


# -- cross-validation ------------------------------------------------------------------------------------------------


def test_cv_records_mean_deviation_and_each_fold() -> None:
    """The table that cv() returns comes out again, and its means are those of the folds."""
    callbacks = [BarographCallback()]
    table = xgboost.cv(
        CLASSES, matrices()[0], 8, nfold=4, metrics=["error", "logloss"], as_pandas=False, callbacks=callbacks
    )
    view = only_run()
    for data in ("train", "test"):
        for metric in ("error", "logloss"):
            assert view.metric(f"{data}/{metric}").values.tolist() == table[f"{data}-{metric}-mean"]
            assert view.metric(f"{data}/{metric}_std").values.tolist() == table[f"{data}-{metric}-std"]
            folds = [view.metric(f"{data}/{metric}/fold{fold}").values for fold in range(4)]
            np.testing.assert_allclose(np.mean(folds, axis=0), table[f"{data}-{metric}-mean"])
    config = view.config
    assert config["fit"]["call"] == "cv"
    assert config["fit"]["nfold"] == 4
    seconds = view.metric("time/step_s").values
    np.testing.assert_allclose(view.metric("throughput/samples_per_s").values, 3 * SPLIT / seconds)
    assert {row[0] for row in view.tables("model/importance")[0].rows} == {0, 1, 2, 3}


def test_cv_with_early_stopping_keeps_the_rounds_after_the_best() -> None:
    """cv() cuts its table at the best round; the run keeps what happened."""
    callbacks = [BarographCallback()]
    table = xgboost.cv(
        {**CLASSES, "eta": 1}, matrices()[0], 50, early_stopping_rounds=4, as_pandas=False, callbacks=callbacks
    )
    told = event("early_stop")
    assert told["best_step"] == len(table["test-logloss-mean"]) - 1
    assert told["best"] == table["test-logloss-mean"][-1]
    assert len(only_run().metric("test/logloss").steps) == len(table["test-logloss-mean"]) + 4


# -- other forms of training -----------------------------------------------------------------------------------------


def test_a_classifier_is_recorded_with_its_name_and_parameters() -> None:
    """The wrapper's sets keep the names it gives them."""
    inputs, labels = draw()
    model = xgboost.XGBClassifier(
        n_estimators=5,
        max_depth=2,
        early_stopping_rounds=3,
        eval_metric=["auc", "logloss"],
        callbacks=[BarographCallback()],
    )
    model.fit(inputs[:SPLIT], labels[:SPLIT], eval_set=[(inputs[SPLIT:], labels[SPLIT:])], verbose=False)
    view = only_run()
    assert view.metric("validation_0/auc").values.tolist() == model.evals_result()["validation_0"]["auc"]
    assert view.config["fit"]["estimator"] == "XGBClassifier"
    assert view.config["params"]["max_depth"] == 2
    assert "gamma" not in view.config["params"]


def test_a_regressor_with_categories_is_recorded() -> None:
    """Categorical columns are counted."""
    pandas = pytest.importorskip("pandas")
    inputs, labels = draw()
    frame = pandas.DataFrame(
        {"number": inputs[:, 0], "kind": pandas.Categorical(np.digitize(inputs[:, 1], [-0.5, 0.5]))}
    )
    model = xgboost.XGBRegressor(n_estimators=4, enable_categorical=True, callbacks=[BarographCallback()])
    model.fit(frame, labels)
    view = only_run()
    assert view.config["data"]["categorical_features"] == 1
    assert {row[0] for row in view.tables("model/importance")[0].rows} <= {"number", "kind"}


def test_a_ranker_is_recorded() -> None:
    """Metric names with an @ stay as they are; groups are counted."""
    inputs, labels = draw()
    groups = np.repeat(np.arange(20), 10)
    model = xgboost.XGBRanker(n_estimators=3, eval_metric="ndcg@5", callbacks=[BarographCallback()])
    model.fit(inputs, labels, qid=groups, eval_set=[(inputs, labels)], eval_qid=[groups], verbose=False)
    view = only_run()
    assert len(view.metric("validation_0/ndcg@5").values) == 3
    assert view.config["data"]["groups"] == 20


@pytest.mark.parametrize("kind", [xgboost.DMatrix, xgboost.QuantileDMatrix])
def test_data_in_batches_is_recorded(kind: type[xgboost.DMatrix], tmp_path: Path) -> None:
    """Rows are counted without holding them: external memory for DMatrix, an iterator for QuantileDMatrix."""
    inputs, labels = draw()

    class Batches(xgboost.DataIter):
        def __init__(self) -> None:
            self.at = 0
            super().__init__(cache_prefix=str(tmp_path / "cache") if kind is xgboost.DMatrix else None)

        def next(self, input_data: Any) -> bool:
            part = slice(50 * self.at, 50 * self.at + 50)
            self.at += 1
            if self.at <= 4:
                input_data(data=inputs[part], label=labels[part])
            return self.at <= 4

        def reset(self) -> None:
            self.at = 0

    data = kind(Batches())
    train(BarographCallback(), dtrain=data, evals=[(data, "train")], params={**CLASSES, "tree_method": "hist"})
    config = only_run().config
    assert (config["data"]["samples"], config["data"]["features"], config["data"]["class"]) == (200, 5, kind.__name__)
    assert len(only_run().metric("train/logloss").values) == 6


# -- several trainings -----------------------------------------------------------------------------------------------


def test_a_continued_model_goes_on_with_its_rounds() -> None:
    """The first step is the number of rounds that the model brings along."""
    first = train(rounds=4)
    train(BarographCallback(), rounds=3, xgb_model=first)
    assert only_run().metric("valid/logloss").steps.tolist() == [4, 5, 6]
    assert event("fit_start")["first_step"] == 4


def test_a_continued_model_in_the_same_run_is_not_counted_twice() -> None:
    """Training further in one run continues the curve; a new model after that follows on it."""
    with barograph.init():
        first = train(BarographCallback(), rounds=4)
        train(BarographCallback(), rounds=3, xgb_model=first)
        train(BarographCallback(), rounds=2)
    view = only_run()
    assert view.metric("valid/logloss").steps.tolist() == list(range(9))
    assert view.metric("epoch").values.tolist() == [0, 1, 2, 3, 4, 5, 6, 0, 1]


def test_early_stopping_of_a_later_training_names_the_step_of_the_run() -> None:
    """The best step is one of the run's steps, and the value recorded there is the best."""
    with barograph.init():
        train(BarographCallback(), rounds=5)
        train(BarographCallback(), rounds=100, early_stopping_rounds=3, params={**CLASSES, "eta": 1})
    told, points = event("early_stop"), only_run().metric("valid/logloss")
    assert told["best_step"] >= 5
    assert points.values[points.steps.tolist().index(told["best_step"])] == told["best"]


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_grid_search_is_one_run_with_children(jobs: int) -> None:
    """Each of the fits on a copy of the estimator, and so of the callback, is a child of one run."""
    inputs, labels = draw()
    estimator = xgboost.XGBClassifier(n_estimators=2, n_jobs=1, callbacks=[BarographCallback()])
    grid = {"max_depth": [1, 2], "learning_rate": [0.1, 0.3]}
    GridSearchCV(estimator, grid, cv=5, n_jobs=jobs, error_score="raise").fit(inputs, labels)
    views = barograph.open().runs()
    children = [view for view in views if view.parent_id is not None]
    assert len(children) == 4 * 5 + 1  # the best is fitted again on all
    assert len({view.parent_id for view in children}) == 1
    assert len(views) == len(children) + 1
    assert {view.config["params"]["max_depth"] for view in children} == {1, 2}
    assert all(view.status == "finished" for view in children)


def test_a_callback_is_copied_in_the_middle_of_a_training() -> None:
    """A copy made by another callback holds nothing of the training that goes on."""
    ours = BarographCallback()
    copies: list[BarographCallback] = []

    class Copy(TrainingCallback):
        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            copies.extend([copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))])  # our own bytes
            return False

    train(ours, Copy(), rounds=1)
    assert [copied.run for copied in copies] == [None, None]
    assert len(barograph.open().runs()) == 1


def test_only_rank_0_of_a_distributed_training_records(store: Path) -> None:
    """Two workers train one model together; one of them writes, and neither waits for the other."""
    from xgboost.tracker import RabitTracker

    tracker = RabitTracker(host_ip="127.0.0.1", n_workers=2)
    tracker.start()
    worker = f"""
import numpy as np, xgboost
from xgboost import collective
from barograph.integrations.xgboost import BarographCallback, model
with collective.CommunicatorContext(**{tracker.worker_args()!r}):
    rank = collective.get_rank()
    drawn = np.random.default_rng(rank)
    data = xgboost.DMatrix(drawn.normal(size=(50, 3)), drawn.integers(0, 2, 50))
    callback = BarographCallback(quiet=True)
    xgboost.train({{"objective": "binary:logistic", "nthread": 1}}, data, 4, evals=[(data, "train")],
                  verbose_eval=False, callbacks=[callback])
    assert (callback.run is None) == (rank > 0)
"""
    workers = [subprocess.Popen([sys.executable, "-c", worker]) for _ in range(2)]
    assert [process.wait(timeout=60) for process in workers] == [0, 0]
    view = only_run()
    assert len(view.metric("train/logloss").values) == 4
    assert view.config["fit"]["workers"] == 2


# -- bad ends --------------------------------------------------------------------------------------------------------


class Broken(Exception):
    """The user's own error."""


def broken_at(call: int) -> Any:
    """A function of predictions and data that raises at the n-th call, and is an objective before."""
    calls = 0

    def objective(predictions: np.ndarray, data: xgboost.DMatrix) -> tuple[np.ndarray, np.ndarray]:
        nonlocal calls
        calls += 1
        if calls == call:
            raise Broken("not today")
        return predictions - data.get_label(), np.ones_like(predictions)

    return objective


class BreakAt(TrainingCallback):
    """A user's callback that raises after some rounds."""

    def __init__(self, round: int, error: BaseException) -> None:
        self.round, self.error = round, error

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        """Raise in the given round."""
        if epoch == self.round:
            raise self.error
        return False


def test_an_error_in_the_objective_makes_the_run_failed_at_once() -> None:
    """XGBoost has no hook for it, and still type, message, traceback and step are there while the error is handled."""
    with pytest.raises(Broken):
        train(BarographCallback(), obj=broken_at(4))
    view = only_run()
    assert (view.status, view.end_reason) == ("failed", "Broken")
    assert view.error is not None
    assert (view.error.type, view.error.message, view.error.step) == ("Broken", "not today", 2)
    assert "in objective" in view.error.traceback
    assert view.metric("time/step_s").steps.tolist() == [0, 1, 2]
    assert event("exception")["step"] == 3
    assert event("fit_end")["reason"] == "exception"


@pytest.mark.parametrize("is_first", [True, False])
def test_an_error_in_another_callback_makes_the_run_failed(is_first: bool) -> None:
    """Wherever that callback stands."""
    callbacks = [BarographCallback(), BreakAt(2, Broken())]
    with pytest.raises(Broken):
        train(*(reversed(callbacks) if is_first else callbacks))
    assert only_run().status == "failed"


def test_an_error_in_a_metric_under_cv_makes_the_run_failed() -> None:
    """cv() evaluates inside its own loop."""

    def metric(predictions: np.ndarray, data: xgboost.DMatrix) -> tuple[str, float]:
        raise Broken

    with pytest.raises(Broken):
        xgboost.cv(CLASSES, matrices()[0], 4, custom_metric=metric, callbacks=[BarographCallback()])
    assert only_run().status == "failed"


def test_an_interrupt_makes_the_run_interrupted() -> None:
    """Ctrl-C is no failure."""
    with pytest.raises(KeyboardInterrupt):
        train(BarographCallback(), BreakAt(1, KeyboardInterrupt()))
    assert only_run().status == "interrupted"
    assert event("fit_end")["reason"] == "interrupted"


def test_a_failure_leaves_an_open_run_open() -> None:
    """The user's own run goes on; what happened is in its events, and the next training follows."""
    with barograph.init() as run:
        with pytest.raises(Broken):
            train(BarographCallback(), obj=broken_at(3))
        assert not run.is_finished
        train(BarographCallback(), rounds=2)
    view = only_run()
    assert view.status == "finished"
    assert [found.data["reason"] for found in view.events("fit_end")] == ["exception", "epochs_reached"]
    assert view.metric("time/step_s").steps.tolist() == [0, 1, 2, 3]


def test_a_failed_training_leaves_nothing_of_ours_behind() -> None:
    """A model that outlives its failed training is as XGBoost made it."""
    models: list[xgboost.Booster] = []

    class Keep(TrainingCallback):
        def before_training(self, model: Any) -> Any:
            models.append(model)
            return model

    with pytest.raises(Broken):
        train(BarographCallback(), Keep(), obj=broken_at(2))
    assert "update" not in vars(models[0])


@pytest.mark.parametrize("fails", [False, True])
def test_data_and_model_are_freed_at_once(fails: bool) -> None:
    """Nothing of ours holds them after the training, not even until the garbage collector comes."""

    class Keep(TrainingCallback):
        def before_training(self, model: Any) -> Any:
            kept.append(weakref.ref(model))
            return model

    kept: list[weakref.ref[Any]] = []
    gc.disable()
    try:
        stop, data = EarlyStopping(rounds=9), matrices()[0]
        kept += [weakref.ref(stop), weakref.ref(data)]
        with pytest.raises(Broken) if fails else contextlib.nullcontext():
            train(
                BarographCallback(), Keep(), stop, LearningRateScheduler([0.1] * 6),
                dtrain=data, evals=[(data, "train")], obj=broken_at(2) if fails else None,
            )  # fmt: skip
        del stop, data
        assert [reference() for reference in kept] == [None] * 3
    finally:
        gc.enable()


def test_two_callbacks_in_one_training_record_the_same(store: Path) -> None:
    """Each has its run; neither disturbs the other, also when the training fails."""
    with pytest.raises(Broken):
        train(BarographCallback(name="one"), BarographCallback(name="two"), obj=broken_at(4))
    views = barograph.open(store).runs()
    assert sorted(view.name for view in views) == ["one", "two"]
    assert [view.status for view in views] == ["failed", "failed"]
    assert [view.metric("lr/eta").values.tolist() for view in views] == [[0.3, 0.3, 0.3]] * 2


def test_the_monitor_that_xgboost_adds_is_no_stranger(capsys: pytest.CaptureFixture[str]) -> None:
    """verbose_eval prints as ever, and nothing of ours is printed."""
    train(BarographCallback(), EvaluationMonitor(period=3), verbose_eval=2)
    lines = capsys.readouterr().out.splitlines()
    assert lines
    assert all(line.startswith("[") or not line for line in lines)
