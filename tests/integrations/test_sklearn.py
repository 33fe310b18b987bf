"""autolog of scikit-learn: what a run holds of fits, scores, searches and warnings."""

import itertools
import threading
import time
import warnings
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, VotingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_halving_search_cv  # noqa: F401  # makes HalvingGridSearchCV importable
from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier
from sklearn.metrics import (
    accuracy_score,
    auc,
    confusion_matrix,
    f1_score,
    roc_auc_score,
    roc_curve,
    silhouette_score,
)
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    cross_val_score,
    cross_validate,
    learning_curve,
    train_test_split,
    validation_curve,
)
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

import barograph
from barograph.integrations.sklearn import autolog

from .recorded import autologged, series

pytestmark = [
    # Tiny fits with few iterations do not converge, and are not meant to.
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    # scikit-learn 1.6 calls a newer SciPy as it should no longer be called.
    pytest.mark.filterwarnings("ignore:scipy.optimize:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def data() -> tuple[Any, Any, Any, Any]:
    """Training and test data: X, X, y, y."""
    X, y = load_breast_cancer(return_X_y=True)
    split: tuple[Any, Any, Any, Any] = tuple(train_test_split(X, y, random_state=0))  # type: ignore[assignment]
    return split


# -- a fit -------------------------------------------------------------------------------------------------------------


def test_a_fit_leaves_its_parameters_and_the_changed_ones(data: Any) -> None:
    """All parameters are in the configuration, those that differ from the defaults once more."""
    X, _, y, _ = data
    view = autologged(lambda: Ridge(alpha=2.0, solver="svd").fit(X, y))
    assert view.config["params"]["Ridge"] == Ridge(alpha=2.0, solver="svd").get_params()
    assert view.config["changed"]["Ridge"] == {"alpha": 2.0, "solver": "svd"}
    assert view.config["model"]["Ridge"]["kind"] == "regressor"
    assert view.config["framework"]["name"] == "scikit-learn"


def test_a_fit_leaves_its_time_and_the_shape_of_its_data(data: Any) -> None:
    """Seconds and samples a second are metrics; samples, features and classes are told."""
    X, _, y, _ = data
    view = autologged(lambda: DummyClassifier().fit(X, y, sample_weight=np.ones(len(y))))
    seconds = view.metric("time/fit_s").values[0]
    assert view.metric("throughput/samples_per_s").values[0] == pytest.approx(len(X) / seconds)
    (end,) = view.events("fit_end")
    assert end.data["duration_s"] == seconds
    assert end.data["classes"] == 2
    described = {"samples": len(X), "features": 30, "class": "ndarray", "dtype": "float64", "targets": 1}
    assert view.config["data"]["DummyClassifier"] == described


def test_a_fitted_model_is_summarised(data: Any) -> None:
    """The text says what was fitted, and the shapes of what it learned."""
    X, _, y, _ = data
    view = autologged(lambda: make_pipeline(StandardScaler(), LogisticRegression(max_iter=3)).fit(X, y))
    (text,) = view.texts("model/summary")
    assert "coef_: float64 (1, 30)" in text.text
    assert "LogisticRegression(max_iter=3)" in text.text


def test_sparse_data_stays_sparse(monkeypatch: pytest.MonkeyPatch, data: Any) -> None:
    """Only the shape and the number of stored entries are read."""
    X, _, y, _ = data
    sparse = scipy.sparse.csr_array(np.round(X))
    stored = sparse.nnz
    monkeypatch.setattr(type(sparse), "toarray", lambda *_: pytest.fail("densified"))
    monkeypatch.setattr(type(sparse), "todense", lambda *_: pytest.fail("densified"))
    view = autologged(lambda: SGDClassifier(max_iter=2).fit(sparse, y).score(sparse, y))
    assert view.config["data"]["SGDClassifier"]["present_values"] == stored
    assert "train/score" in view.metrics()


def test_nothing_is_predicted_on_our_own(data: Any) -> None:
    """A fit is a fit: no prediction is made for the record."""
    X, _, y, _ = data

    class Counts(ClassifierMixin, BaseEstimator):
        predictions = 0

        def fit(self, X: Any, y: Any) -> Any:
            self.classes_ = np.unique(y)
            return self

        def predict(self, X: Any) -> Any:
            self.predictions += 1
            return np.zeros(len(X), int)

    model = Counts()
    autologged(lambda: model.fit(X, y))
    assert model.predictions == 0


def test_fits_in_one_run_follow_each_other(data: Any) -> None:
    """Their metrics have the same keys and rising steps; events say which fit they are of."""
    X, _, y, _ = data
    view = autologged(lambda: [model.fit(X, y) for model in (Ridge(), Ridge(alpha=3), DummyClassifier())])
    assert list(series(view, "time/fit_s")) == [0, 1, 2]
    ends = [(event.data["fit"], event.data["estimator"], event.data["last_step"]) for event in view.events("fit_end")]
    assert ends == [(1, "Ridge", 0), (2, "Ridge", 1), (3, "DummyClassifier", 2)]
    assert view.events("fit_start")[1].data["changed"] == {"alpha": 3}


def test_estimators_of_one_class_with_other_parts_have_other_names(data: Any) -> None:
    """Parameters of two different pipelines are not mixed up in the configuration."""
    X, _, y, _ = data
    pipelines = [make_pipeline(StandardScaler(), Ridge()), make_pipeline(DummyClassifier())]
    view = autologged(lambda: [one.fit(X, y) for one in pipelines])
    params = view.config["params"]
    assert sorted(params) == ["Pipeline", "Pipeline_2"]
    assert sorted(params["Pipeline_2"]["steps"]) == ["dummyclassifier"]


def test_a_failed_fit_is_told_and_the_next_one_goes_on(data: Any) -> None:
    """The exception reaches the user who catches it; the run holds both fits."""
    X, _, y, _ = data

    def do() -> None:
        with pytest.raises(ValueError, match="must be"):
            LogisticRegression(C=-1).fit(X, y)
        Ridge().fit(X, y)

    view = autologged(do)
    assert [event.data["reason"] for event in view.events("fit_end")] == ["exception", "completed"]
    assert view.events("exception")[0].data["type"] == "InvalidParameterError"
    assert view.status == "finished"


def test_a_thousand_small_fits_leave_few_events_and_all_numbers(data: Any) -> None:
    """After the first hundred fits of a kind only numbers are kept, which takes less time than the smallest fit."""
    X, y = np.arange(20.0).reshape(10, 2), np.arange(10.0)

    def fit(count: int) -> float:
        for _ in range(count):
            Ridge().fit(X, y)
        return sum(run.overhead["hooks"][hook] for hook in ("call_begins", "call_ends"))

    with autolog(quiet=True) as run:
        spent_s, begun_s = fit(100), time.perf_counter()
        spent_s, took_s = fit(900) - spent_s, time.perf_counter() - begun_s
    view = barograph.open().runs()[0]
    assert len(view.metric("time/fit_s").steps) == 1000
    assert len(view.events()) < 250
    assert view.events("calls")[0].data["totals"]["Ridge"]["fits"] == 1000
    assert spent_s < took_s / 2


# -- what is inside a fit ----------------------------------------------------------------------------------------------


def test_a_pipeline_is_one_fit_with_the_times_of_its_steps(data: Any) -> None:
    """Steps inside steps too, under their names."""
    X, _, y, _ = data
    columns = ColumnTransformer([("left", make_pipeline(StandardScaler()), [0, 1]), ("right", "passthrough", [2])])
    model = Pipeline([("columns", columns), ("model", LogisticRegression(max_iter=2))])
    view = autologged(lambda: model.fit(X, y))
    (end,) = view.events("fit_end")
    names = ["columns", "columns/left", "columns/left/standardscaler", "columns/right", "model"]
    assert list(end.data["parts"]) == names  # scikit-learn makes a transformer of "passthrough"
    assert view.metric("time/fit/model_s").values[0] <= view.metric("time/fit_s").values[0]
    params = view.config["params"]["Pipeline"]["steps"]
    assert params["columns"]["transformers"]["left"]["steps"]["standardscaler"]["with_mean"] is True
    assert params["columns"]["transformers"]["right"] == {"class": "passthrough", "columns": [2]}
    changed = view.config["changed"]["Pipeline"]
    assert changed["steps.model"] == "LogisticRegression"
    assert changed["steps.model.max_iter"] == 2
    assert changed["steps.columns.transformers.left"] == "Pipeline"


def test_a_pipeline_learns_as_its_last_step_does(data: Any) -> None:
    """Curves, iterations and early stopping are those of the estimator at its end."""
    X, _, y, _ = data
    model = make_pipeline(StandardScaler(), MLPClassifier((4,), early_stopping=True, n_iter_no_change=2))
    view = autologged(lambda: model.fit(X, y))
    assert list(series(view, "train/loss").values()) == model[-1].loss_curve_
    assert view.events("early_stop")[0].data["by"] == "MLPClassifier"
    assert view.events("fit_end")[0].data["iterations"] == model[-1].n_iter_


def test_members_of_an_ensemble_are_parts_of_its_fit(data: Any) -> None:
    """Named members have their times; the fit is one."""
    X, _, y, _ = data
    members = [("tree", DecisionTreeClassifier(max_depth=2)), ("dummy", DummyClassifier())]
    view = autologged(lambda: VotingClassifier(members).fit(X, y))
    (end,) = view.events("fit_end")
    assert sorted(end.data["parts"]) == ["dummy", "tree"]
    assert len(view.metric("time/fit_s").steps) == 1


def test_fit_transform_and_fit_predict_are_fits(data: Any) -> None:
    """Also where the class does not define them itself."""
    X, _, _, _ = data
    view = autologged(lambda: (StandardScaler().fit_transform(X), KMeans(2, n_init=1).fit_predict(X)))
    assert [event.data["method"] for event in view.events("fit_start")] == ["fit_transform", "fit_predict"]
    assert view.metric("train/inertia").values[0] > 0


# -- curves and early stopping -----------------------------------------------------------------------------------------


def test_the_loss_curve_of_a_perceptron_is_a_series(data: Any) -> None:
    """Point by point, with its epoch; the next fit's goes on after it."""
    X, _, y, _ = data
    model = MLPClassifier((4,), max_iter=5, random_state=0)
    view = autologged(lambda: (model.fit(X, y), model.fit(X, y)))
    assert series(view, "train/loss") == dict(enumerate(model.loss_curve_ * 2))
    assert list(series(view, "epoch").values()) == [0, 1, 2, 3, 4] * 2
    assert [event.data["reason"] for event in view.events("fit_end")] == ["max_steps"] * 2


def test_a_warm_start_adds_only_its_new_points(data: Any) -> None:
    """The curve of a model that goes on is written once."""
    X, _, y, _ = data
    model = GradientBoostingClassifier(n_estimators=3, warm_start=True)

    def do() -> None:
        model.fit(X, y)
        model.set_params(n_estimators=5).fit(X, y)

    view = autologged(do)
    assert series(view, "train/loss") == dict(enumerate(model.train_score_))


def test_a_partial_fit_loop_has_one_start_and_every_step(data: Any) -> None:
    """Each call is a step; the score between two calls stands at the step of the model it is of."""
    X, X_test, y, y_test = data
    model = SGDClassifier()

    def do() -> None:
        for _ in range(4):
            model.partial_fit(X, y, classes=[0, 1])
            model.score(X_test, y_test)

    view = autologged(do)
    assert len(view.events("fit_start")) == 1
    assert list(series(view, "time/partial_fit_s")) == [0, 1, 2, 3]
    assert list(series(view, "test/score")) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("model", "monitor"),
    [
        (MLPClassifier((4,), early_stopping=True, n_iter_no_change=2, random_state=0), "val/score"),
        (HistGradientBoostingClassifier(early_stopping=True, n_iter_no_change=2, learning_rate=1.0), "val/loss"),
        (HistGradientBoostingClassifier(early_stopping=True, n_iter_no_change=2, scoring="accuracy"), "val/score"),
        (GradientBoostingClassifier(n_iter_no_change=2, learning_rate=1.0), "val/loss"),
        (SGDClassifier(early_stopping=True, n_iter_no_change=2), "val/score"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseEstimator) else str(value),
)
def test_early_stopping_is_an_event(data: Any, model: Any, monitor: str) -> None:
    """Who stopped, watching what, with which patience, and where the best value was if the estimator keeps it."""
    X, _, y, _ = data
    view = autologged(lambda: model.fit(X, y))
    (stop,) = view.events("early_stop")
    assert stop.data["by"] == type(model).__name__
    assert (stop.data["monitor"], stop.data["patience"]) == (monitor, 2)
    assert view.events("fit_end")[0].data["reason"] == "early_stop"
    if monitor in view.metrics():
        curve = series(view, monitor)
        best = max(curve.values()) if stop.data["mode"] == "max" else min(curve.values())
        assert curve[stop.data["best_step"]] == stop.data["best"] == best


def test_a_fit_that_used_all_its_iterations_did_not_stop_early(data: Any) -> None:
    """No event, and the reason says so."""
    X, _, y, _ = data
    model = MLPClassifier((4,), early_stopping=True, max_iter=2, random_state=0)
    view = autologged(lambda: model.fit(X, y))
    assert not view.events("early_stop")
    assert view.events("fit_end")[0].data["reason"] == "max_steps"


# -- searches and cross-validation -------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_grid_search_is_one_fit_with_a_row_a_candidate(data: Any, n_jobs: int) -> None:
    """Every fold is in the table, the means are a series over the candidates, the best stands at the end."""
    X, _, y, _ = data
    search = GridSearchCV(DecisionTreeClassifier(random_state=0), {"max_depth": [1, 2, 3]}, cv=2, n_jobs=n_jobs)
    view = autologged(lambda: search.fit(X, y))
    (table,) = view.tables("search/candidates")
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    assert [row["param_max_depth"] for row in rows] == [1, 2, 3]
    assert [row["split1_test_score"] for row in rows] == search.cv_results_["split1_test_score"].tolist()
    assert series(view, "search/score") == dict(enumerate(search.cv_results_["mean_test_score"]))
    assert view.metric("val/score").values.tolist() == [search.best_score_]
    (end,) = view.events("fit_end")
    assert end.data["best_params"] == search.best_params_
    assert (end.data["candidates"], end.data["folds"]) == (3, 2)


def test_a_halving_search_with_several_scores_keeps_all_of_them(data: Any) -> None:
    """Candidates of every round, with what they were given."""
    X, _, y, _ = data
    grid = {"max_depth": [1, 2, 3]}
    halving = HalvingGridSearchCV(DecisionTreeClassifier(random_state=0), grid, cv=2, random_state=0)
    several = GridSearchCV(DecisionTreeClassifier(), grid, cv=2, scoring=["accuracy", "f1"], refit=False)
    named = GridSearchCV(DecisionTreeClassifier(), grid, cv=2, scoring="roc_auc", return_train_score=True)
    view = autologged(lambda: [one.fit(X, y) for one in (halving, several, named)])
    first, second, _ = view.tables("search/candidates")
    assert "n_resources" in first.columns
    assert {"split0_test_accuracy", "split0_test_f1"} <= set(second.columns)
    assert len(view.metric("search/f1").steps) == 3
    assert view.metric("val/roc_auc").values.tolist() == [named.best_score_]
    assert list(series(view, "search/train_roc_auc").values()) == named.cv_results_["mean_train_score"].tolist()


def test_cross_validation_is_a_series_over_the_folds(data: Any) -> None:
    """Fold by fold under the score's name, with mean and deviation."""
    X, _, y, _ = data
    scores = {}

    def do() -> None:
        scores["plain"] = cross_val_score(DummyClassifier(), X, y, cv=3)
        scores["named"] = cross_validate(DummyClassifier(), X, y, cv=3, scoring="f1", return_train_score=True)

    view = autologged(do)
    assert list(series(view, "val/score").values()) == scores["plain"].tolist()
    assert list(series(view, "val/f1").values()) == scores["named"]["test_score"].tolist()
    assert list(series(view, "train/f1").values()) == scores["named"]["train_score"].tolist()
    assert view.metric("val/score_mean").values[0] == pytest.approx(scores["plain"].mean())
    assert not view.events("fit_start")
    assert len(view.tables("cross_validation/folds")) == 2


def test_a_learning_curve_is_a_series_over_the_amount_of_data(data: Any) -> None:
    """The step is the number of samples; a validation curve's step is the place of the value."""
    X, _, y, _ = data
    view = autologged(
        lambda: (
            learning_curve(DummyClassifier(), X, y, cv=2, train_sizes=[50, 100]),
            validation_curve(DecisionTreeClassifier(), X, y, param_name="max_depth", param_range=[1, 2, 3], cv=2),
        )
    )
    assert list(series(view, "learning_curve/val/score")) == [50, 100]
    assert len(series(view, "validation_curve/val/score")) == 3
    (table,) = view.tables("validation_curve")
    assert [row[table.columns.index("max_depth")] for row in table.rows] == [1, 2, 3]


# -- scores and metrics ------------------------------------------------------------------------------------------------


def test_scores_are_recorded_under_the_split_they_are_about(data: Any) -> None:
    """Data that was fitted is "train", other data "test", a third set is told apart."""
    X, X_test, y, y_test = data
    model = DecisionTreeClassifier(max_depth=2)
    scores: list[float] = []

    def do() -> None:
        model.fit(X, y)
        scores.extend(model.score(*one) for one in ((X, y), (X_test, y_test), (X_test[:50], y_test[:50])))

    view = autologged(do)
    assert [view.metric(f"{split}/score").values[0] for split in ("train", "test", "test_2")] == scores
    assert len(view.metric("time/score_s").steps) == 3


def test_a_split_is_called_what_the_user_calls_it() -> None:
    """Where data was not seen before, the names at the place of the call say what it is."""
    X, y = np.arange(40.0).reshape(20, 2), np.arange(20) % 2
    X_train, X_valid, Xtest = X[:8], X[8:14], X[14:]
    y_train, y_valid, ytest = y[:8], y[8:14], y[14:]

    def do() -> None:
        train_model = DummyClassifier().fit(X_train, y_train)
        for _ in range(2):
            train_model.score(X_valid, y_valid.copy())
        accuracy_score(ytest, train_model.predict(Xtest))
        train_model.score(X_train.copy(), y_train.copy())

    view = autologged(do)
    scores = {key for key in view.metrics() if key.endswith(("/score", "/accuracy"))}
    assert scores == {"val/score", "val/accuracy", "test/accuracy", "train/score", "train/accuracy"}


def test_data_is_not_kept_alive(data: Any) -> None:
    """What the user deletes is gone, data and models alike, while the block is still open."""
    X, _, y, _ = data

    def do() -> None:
        mine, targets = X.copy(), y.copy()
        model = DecisionTreeClassifier(max_depth=1)
        guess = model.fit(mine, targets).predict(mine)
        model.score(mine, targets)
        accuracy_score(targets, guess)
        left = [weakref.ref(one) for one in (mine, targets, model, guess)]
        del mine, targets, model, guess
        assert [one() for one in left] == [None] * 4

    autologged(do)


def test_metric_functions_imported_by_name_before_are_recorded(data: Any) -> None:
    """Their value, what they were given, and the split, found by the prediction or the targets."""
    X, X_test, y, y_test = data
    values: list[float] = []

    def do() -> None:
        model = LogisticRegression(max_iter=5).fit(X, y)
        guess = model.predict(X_test)
        values.append(accuracy_score(y_test, guess))
        values.append(f1_score(y_test, guess, average="macro"))
        values.append(roc_auc_score(y_test, model.predict_proba(X_test)[:, 1]))
        values.append(accuracy_score(y, model.predict(X)))

    view = autologged(do)
    keys = ["test/accuracy", "test/f1_macro", "test/roc_auc", "train/accuracy"]
    assert [view.metric(key).values[0] for key in keys] == values
    about = view.events("metric")[1].data
    assert (about["function"], about["samples"], about["arguments"]) == ("f1_score", len(y_test), {"average": "macro"})
    assert {"time/predict_s", "time/predict_proba_s"} <= set(view.metrics())


def test_metrics_inside_fits_and_scores_are_not_the_users(data: Any) -> None:
    """`score` calls accuracy_score; that is one call of the user's, not two."""
    X, _, y, _ = data
    view = autologged(lambda: DummyClassifier().fit(X, y).score(X, y))
    assert not view.events("metric")
    assert len(view.metric("train/score").steps) == len(view.metric("train/accuracy").steps) == 1


def test_matrices_and_curves_are_tables(data: Any) -> None:
    """What is no number is kept as data; a number about a curve belongs to the data the curve is of."""
    X, X_test, y, y_test = data

    def do() -> None:
        model = LogisticRegression(max_iter=5).fit(X, y)
        confusion_matrix(y_test, model.predict(X_test))
        rising = roc_curve(y_test, model.predict_proba(X_test)[:, 1])
        auc(rising[0], rising[1])

    view = autologged(do)
    (matrix,) = view.tables("test/confusion_matrix")
    assert sum(map(sum, matrix.rows)) == len(y_test)
    assert view.tables("test/roc_curve")[0].columns == ["fpr", "tpr", "threshold"]
    assert view.metric("test/auc").values[0] > 0.5


def test_scores_of_clusters_are_about_the_data_that_was_clustered(data: Any) -> None:
    """A silhouette has no true labels."""
    X, _, _, _ = data
    view = autologged(lambda: silhouette_score(X, KMeans(2, n_init=1).fit_predict(X)))
    assert view.metrics().count("train/silhouette") == 1


def test_the_split_is_found_for_frames_lists_and_arrays(data: Any) -> None:
    """The same rows with other columns, a list, a view of the same buffer."""
    X, _, y, _ = data
    frame = pd.DataFrame(X).add_prefix("c")
    few = ["c0", "c1"]
    cases = [
        lambda: DummyClassifier().fit(frame[few], y).score(frame[few], y.copy()),
        lambda: DummyClassifier().fit([[0], [1]], same := [0, 1]).score([[1], [1]], same),
        lambda: DummyClassifier().fit(X[:100], y[:100]).score(X[:100], y[:100]),
        lambda: DummyClassifier().fit(X.copy(), y).score(X.copy(), y),
    ]
    view = autologged(lambda: [case() for case in cases])
    assert len(view.metric("train/score").steps) == len(cases)


def test_freed_training_data_is_not_taken_for_what_lies_in_its_place() -> None:
    """Two folds of one size often get the same memory."""
    X, y = np.random.default_rng(0).normal(size=(2000, 50)), np.arange(2000) % 2
    halves = np.arange(2000).reshape(2, 1000)

    def do() -> None:
        for train, test in itertools.permutations(halves):
            model = DummyClassifier().fit(X[train], y[train])
            model.score(X[test], y[test])

    assert "train/score" not in autologged(do).metrics()


def test_a_model_fitted_elsewhere_is_scored_too(data: Any) -> None:
    """There is no fit in this run; the score is there."""
    X, X_test, y, y_test = data
    model = DummyClassifier().fit(X, y)
    view = autologged(lambda: (model.score(X_test, y_test), accuracy_score(y_test, model.predict(X_test))))
    assert {"test/score", "test/accuracy"} <= set(view.metrics())


# -- warnings ----------------------------------------------------------------------------------------------------------


class _Warns(BaseEstimator):
    def fit(self, X: Any, y: Any = None) -> Any:
        warnings.warn("mind the step", RuntimeWarning, stacklevel=2)
        return self


def _shown(fit: Callable[[], object]) -> list[tuple[str, str, int]]:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        shown: list[tuple[str, str, int]] = []

        def show(message: Any, category: Any, filename: str, lineno: int, *_: Any) -> None:
            shown.append((str(message), filename, lineno))

        warnings.showwarning = show
        fit()
        return shown


def test_warnings_are_events_and_shown_as_ever() -> None:
    """With the same text, at the same line of the user's, as often."""
    fit = lambda: [_Warns().fit([[0]]) for _ in range(3)]  # noqa: E731  # one line, so that both warn at it
    without = _shown(fit)
    within = _shown(lambda: autologged(fit))
    assert within == without
    assert within[0][1] == __file__
    view = barograph.open().runs()[0]
    (event,) = view.events("warning")
    assert (event.data["category"], event.data["message"], event.data["file"]) == (
        "RuntimeWarning",
        "mind the step",
        __file__,
    )
    assert view.events("calls")[0].data["warnings"] == {"RuntimeWarning: mind the step": 3}


def test_a_fit_that_did_not_converge_says_so(data: Any) -> None:
    """As the warning that was shown, and as the reason of the end even where nobody sees warnings."""
    X, _, y, _ = data
    shown = _shown(lambda: autologged(lambda: LogisticRegression(max_iter=2).fit(X, y)))
    view = barograph.open().runs()[0]
    assert any("converge" in text for text, _, _ in shown)
    assert ConvergenceWarning.__name__ in [event.data["category"] for event in view.events("warning")]
    assert view.events("fit_end")[0].data["reason"] == "max_steps"


# -- others that follow the API ----------------------------------------------------------------------------------------


def test_an_estimator_of_other_descent_is_recorded(data: Any) -> None:
    """All it takes is `fit` and `get_params`."""
    X, _, y, _ = data

    class Stranger:
        def get_params(self, deep: bool = True) -> dict[str, Any]:
            return {"depth": 3}

        def fit(self, X: Any, y: Any) -> Any:
            return self

    view = autologged(lambda: Stranger().fit(X, y))
    assert view.config["params"]["Stranger"] == {"depth": 3}


def test_xgboost_with_our_callback_is_recorded_once(data: Any) -> None:
    """The callback joins the run and writes the rounds; autolog adds time and scores."""
    xgboost = pytest.importorskip("xgboost")
    from barograph.integrations.xgboost import BarographCallback

    X, X_test, y, y_test = data
    model = xgboost.XGBClassifier(n_estimators=5, callbacks=[BarographCallback()], n_jobs=1)
    view = autologged(lambda: model.fit(X, y, eval_set=[(X_test, y_test)], verbose=False).score(X_test, y_test))
    assert len(view.events("fit_start")) == len(view.events("fit_end")) == 1
    assert list(series(view, "validation_0/logloss")) == [0, 1, 2, 3, 4]
    assert list(series(view, "test/score")) == list(series(view, "time/fit_s")) == [4]


def test_xgboost_alone_is_recorded_with_its_curves(data: Any) -> None:
    """Evaluation sets and early stopping, read after the fit."""
    xgboost = pytest.importorskip("xgboost")
    X, X_test, y, y_test = data
    model = xgboost.XGBClassifier(n_estimators=200, early_stopping_rounds=3, learning_rate=1.0, n_jobs=1)
    view = autologged(lambda: model.fit(X, y, eval_set=[(X_test, y_test)], verbose=False))
    told = model.evals_result()["validation_0"]["logloss"]
    assert list(series(view, "validation_0/logloss").values()) == told
    (stop,) = view.events("early_stop")
    assert (stop.data["best_step"], stop.data["best"]) == (model.best_iteration, min(told))
    assert (stop.data["monitor"], stop.data["mode"]) == ("validation_0/logloss", "min")


def test_several_threads_may_write_one_run(store: Path, data: Any) -> None:
    """With the switch for the process every fit has steps of its own."""
    X, _, y, _ = data
    autolog.enable(quiet=True)
    try:
        threads = [threading.Thread(target=MLPClassifier((2,), max_iter=5).fit, args=(X, y)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        autolog.disable()
    (view,) = barograph.open(store).runs()
    assert sorted(view.metric("train/loss").steps) == list(range(20))
    assert len(view.events("fit_end")) == 4


def test_the_time_of_a_call_is_the_users_own() -> None:
    """What we do around it does not count."""

    class Slow(BaseEstimator):
        def fit(self, X: Any, y: Any = None) -> Any:
            time.sleep(0.02)
            return self

    seconds = autologged(lambda: Slow().fit([[0]])).metric("time/fit_s").values[0]
    assert 0.02 <= seconds < 0.5
