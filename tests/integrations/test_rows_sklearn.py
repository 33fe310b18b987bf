"""Rows of the table of what trackers record of scikit-learn that other tests do not show, on data of its own."""

import io
from collections.abc import Callable
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.cluster import DBSCAN, KMeans
from sklearn.datasets import load_diabetes, load_digits, load_wine, make_blobs
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, SGDClassifier
from sklearn.metrics import (
    average_precision_score,
    classification_report,
    log_loss,
    roc_auc_score,
    silhouette_samples,
)
from sklearn.model_selection import cross_val_score, learning_curve
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import barograph
from barograph.integrations.sklearn import autolog, requests
from barograph.integrations.sklearn.evaluation import Outputs, evaluate
from barograph.reading import RunView

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:scipy.optimize:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def wine() -> tuple[Any, Any, Any, Any]:
    """Three classes, every other row for the test: X, X, y, y."""
    X, y = load_wine(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    return X[::2], X[1::2], y[::2], y[1::2]


def recorded(do: Callable[[], object], **arguments: Any) -> RunView:
    """The run of what is done in an autolog."""
    with autolog(quiet=True, **arguments):
        do()
    (view,) = barograph.open().runs()
    return view


def columns(view: RunView, key: str) -> dict[str, list[Any]]:
    """A table of which there is one."""
    (table,) = view.tables(key)
    return {name: [row[place] for row in table.rows] for place, name in enumerate(table.columns)}


# -- cross-validation --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", [cross_val_score, learning_curve])
def test_what_is_cross_validated_leaves_its_parameters(function: Any) -> None:
    """As a fit does: all of them, the changed ones, what regularises, and the data."""
    X, y = load_diabetes(return_X_y=True)
    view = recorded(lambda: function(make_pipeline(StandardScaler(), Ridge(alpha=0.3)), X, y, cv=3))
    assert view.config["params"]["Pipeline"]["steps"]["ridge"]["alpha"] == 0.3
    assert view.config["changed"]["Pipeline"]["steps.ridge.alpha"] == 0.3
    assert view.config["regularization"]["Pipeline"]["steps.ridge.alpha"] == 0.3
    assert view.config["data"]["Pipeline"]["samples"] == len(X)
    (event,) = view.events("cross_validation")
    assert event.data["changed"]["steps.ridge.alpha"] == 0.3


# -- loops of partial_fit ----------------------------------------------------------------------------------------------


def partial_fits(X: Any, y: Any, times: int) -> SGDClassifier:
    """A model that has seen its data piece by piece."""
    model = SGDClassifier(random_state=0)
    for piece in range(times):
        model.partial_fit(X[piece::times], y[piece::times], classes=[0, 1, 2])
    return model


def test_a_loop_of_partial_fit_leaves_the_model_that_it_ends_with(wine: Any) -> None:
    """One artifact and one digest, of the last step and not of the first, also if the user let go of the model."""
    X, _, y, _ = wine
    view = recorded(lambda: partial_fits(X, y, 4))
    (artifact,) = view.artifacts("model")
    assert artifact.step == 3
    model = joblib.load(io.BytesIO(artifact.read_bytes()))
    assert np.array_equal(model.coef_, partial_fits(X, y, 4).coef_)
    (weights,) = view.weights()
    assert weights.step == 3


def test_the_digest_of_a_loop_tells_its_end_apart(wine: Any) -> None:
    """Two loops that differ in their last piece only."""
    X, _, y, _ = wine
    digests = set()
    for times in (4, 5):
        with autolog(quiet=True, name=str(times)) as run:
            partial_fits(X, y, times)
        digests.add(barograph.open().run(run.id).weights()[0].digest)
    assert len(digests) == 2


def test_a_fit_after_a_loop_is_what_is_kept_of_an_estimator(wine: Any) -> None:
    """The loop has come to nothing."""
    X, _, y, _ = wine
    view = recorded(lambda: partial_fits(X, y, 2).fit(X, y))
    (artifact,) = view.artifacts("model")
    assert artifact.step == view.events("fit_end")[-1].data["last_step"]
    assert len(view.weights()) == 1


def test_a_loop_under_the_switch_is_kept_when_it_is_switched_off(wine: Any) -> None:
    """In a run of the user's, which stays open."""
    X, _, y, _ = wine
    with barograph.init(quiet=True) as run:
        autolog.enable()
        partial_fits(X, y, 2)
        autolog.disable()
        assert not run.is_finished
    (view,) = barograph.open().runs()
    assert [artifact.step for artifact in view.artifacts("model")] == [1]


def test_a_loop_ends_for_no_reason_of_the_estimators(wine: Any) -> None:
    """It is the user who goes on or not: one pass over a piece has not converged."""
    X, _, y, _ = wine
    view = recorded(lambda: partial_fits(X, y, 2))
    assert view.events("fit_end")[0].data["reason"] == "completed"


# -- more than two classes ---------------------------------------------------------------------------------------------


def test_more_than_two_classes_have_curves_each_against_all_others(wine: Any) -> None:
    """ROC and precision-recall as rows with their class; the mean areas are those of scikit-learn."""
    X, X_test, y, y_test = wine
    model = LogisticRegression()
    view = recorded(lambda: model.fit(X, y).score(X_test, y_test), training_score=True)
    roc, pr = columns(view, "test/roc"), columns(view, "test/pr")
    assert set(roc["class"]) == set(pr["class"]) == {0, 1, 2}
    assert roc["tpr"][roc["class"].index(1)] == 0.0
    scores = model.predict_proba(X_test)
    each = [roc_auc_score(y_test == name, scores[:, name]) for name in range(3)]
    assert view.metric("test/roc_auc_ovr").values[-1] == pytest.approx(np.mean(each))
    each = [average_precision_score(y_test == name, scores[:, name]) for name in range(3)]
    assert view.metric("test/average_precision_ovr").values[-1] == pytest.approx(np.mean(each))


def test_scores_of_pairs_of_classes_are_not_taken_for_those_of_classes(wine: Any) -> None:
    """Of three classes there are three pairs."""
    X, X_test, y, y_test = wine
    model = SVC(decision_function_shape="ovo").fit(X, y)
    found = evaluate(
        y_test, Outputs(model.predict(X_test), None, model.decision_function(X_test)), False, model.classes_, True
    )
    assert found is not None
    assert "roc" not in found.tables
    model = SVC().fit(X, y)
    found = evaluate(
        y_test, Outputs(model.predict(X_test), None, model.decision_function(X_test)), False, model.classes_, True
    )
    assert found is not None
    assert "roc" in found.tables


@pytest.mark.parametrize("as_dict", [True, False])
def test_a_report_of_classes_is_kept(wine: Any, as_dict: bool) -> None:
    """As a table, or as the words that are printed."""
    X, X_test, y, y_test = wine
    model = LogisticRegression()
    told = []
    view = recorded(
        lambda: told.append(classification_report(y_test, model.fit(X, y).predict(X_test), output_dict=as_dict))
    )
    if not as_dict:
        assert [text.text for text in view.texts("test/classification_report")] == told
        return
    rows = columns(view, "test/classification_report")
    assert rows["label"] == list(told[0])
    assert rows["recall"][:3] == [told[0][name]["recall"] for name in ("0", "1", "2")]
    assert rows["f1-score"][rows["label"].index("accuracy")] == told[0]["accuracy"]


def test_a_classifier_that_is_scored_has_a_log_loss_where_that_is_next_to_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though its score asks for no probabilities: of a fit that took long enough, and unless nothing may be asked."""
    monkeypatch.setattr(requests, "_SHARE_OF_FIT", 1e9)
    monkeypatch.setattr(requests, "_CHEAP_S", 1e9)
    X, y = load_digits(return_X_y=True)
    model = LogisticRegression(max_iter=100)
    for asked in (None, False):
        with autolog(quiet=True, name=str(asked), training_score=asked):
            model.fit(X[:1000], y[:1000]).score(X[1000:1100], y[1000:1100])
    views = {view.name: view for view in barograph.open().runs()}
    expected = log_loss(y[1000:1100], model.predict_proba(X[1000:1100]))
    assert views["None"].metric("test/log_loss").values.tolist() == pytest.approx([expected])
    assert "test/log_loss" not in views["False"].metrics()


# -- clusters ----------------------------------------------------------------------------------------------------------


def test_a_loop_over_the_number_of_clusters_is_an_elbow() -> None:
    """How many there were stands beside the inertia of each fit."""
    X, _ = make_blobs(90, centers=3, random_state=0)
    models = [KMeans(count, random_state=0, n_init=1) for count in (2, 3, 4)]
    view = recorded(lambda: [model.fit(X) for model in models])
    assert view.metric("fit/clusters").values.tolist() == [2, 3, 4]
    assert view.metric("train/inertia").values.tolist() == [model.inertia_ for model in models]
    assert view.metric("fit/clusters").steps.tolist() == view.metric("train/inertia").steps.tolist()


def test_noise_is_no_cluster() -> None:
    """DBSCAN calls it -1."""
    X, _ = make_blobs(60, centers=2, cluster_std=0.2, random_state=0)
    view = recorded(lambda: DBSCAN(eps=1.0).fit(np.vstack([X, [[99.0, 99.0]]])))
    assert view.metric("fit/clusters").values.tolist() == [2]


def test_silhouettes_of_samples_are_a_table() -> None:
    """Each with its cluster."""
    X, _ = make_blobs(60, centers=3, random_state=0)
    model = KMeans(3, random_state=0, n_init=1)
    view = recorded(lambda: silhouette_samples(X, model.fit(X).labels_))
    assert columns(view, "train/silhouette_samples")["cluster"] == model.labels_.tolist()


# -- predictions -------------------------------------------------------------------------------------------------------


def test_a_regression_on_zeros_and_ones_is_no_classification() -> None:
    """Rows that are kept show what the model said, not which class that is nearer to."""
    X = np.linspace(0, 1, 20)[:, None]
    y = (X[:, 0] > 0.5).astype(float)
    model = LinearRegression()
    view = recorded(lambda: model.fit(X[::2], y[::2]).score(X[1::2] * 0.5 + 0.25, y[1::2]), log_predictions=4)
    rows = columns(view, "predictions/test")
    assert rows["score"] == [None] * 4
    assert rows["prediction"] == pytest.approx(model.predict(X[1::2] * 0.5 + 0.25)[[0, 3, 6, 9]].tolist())


def test_rows_that_cannot_be_had_are_told(wine: Any) -> None:
    """Who scores the training data only is told why there is no table; who has one is not."""
    X, X_test, y, y_test = wine
    for name, data in (("train", (X, y)), ("test", (X_test, y_test))):
        with autolog(quiet=True, name=name, log_predictions=3):
            LogisticRegression().fit(X, y).score(*data)
    views = {view.name: view for view in barograph.open().runs()}
    assert len(views["train"].events("predictions_left_out")) == 1
    assert not views["test"].events("predictions_left_out")
