"""autolog of scikit-learn: what a prediction is worth where the user's own calls bring it together with the truth."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import calibration_curve
from sklearn.cluster import KMeans
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.ensemble import IsolationForest, RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier, SGDClassifier
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

import barograph
from barograph.compare.verdict import judge
from barograph.integrations.sklearn import autolog, live, recorder, requests
from barograph.integrations.sklearn.evaluation import Outputs, evaluate
from barograph.reading import RunView

from .recorded import autologged, table

# Tiny fits with few iterations do not converge, and are not meant to; 1.6 calls a newer SciPy as it should not.
pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:scipy.optimize:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def data() -> tuple[Any, Any, Any, Any]:
    """Training and test data: X, X, y, y."""
    X, y = load_breast_cancer(return_X_y=True)
    split: tuple[Any, Any, Any, Any] = tuple(train_test_split(X, y, random_state=0))  # type: ignore[assignment]
    return split


def value(view: RunView, key: str) -> float:
    """The one value of a metric."""
    (only,) = view.metric(key).values
    return float(only)


def test_a_score_of_a_classifier_tells_the_usual_figures(data: Any) -> None:
    """Equal to those of sklearn.metrics, though nobody asked for them and nothing was predicted again."""
    X, X_test, y, y_test = data
    model = RandomForestClassifier(10, random_state=0)
    view = autologged(lambda: model.fit(X, y).score(X_test, y_test), training_score=False)
    said, chance = model.predict(X_test), model.predict_proba(X_test)
    expected = {
        "accuracy": metrics.accuracy_score(y_test, said),
        "balanced_accuracy": metrics.balanced_accuracy_score(y_test, said),
        "precision": metrics.precision_score(y_test, said),
        "recall": metrics.recall_score(y_test, said),
        "f1": metrics.f1_score(y_test, said),
        "f1_macro": metrics.f1_score(y_test, said, average="macro"),
        "log_loss": metrics.log_loss(y_test, chance),
        "brier": metrics.brier_score_loss(y_test, chance[:, 1]),
        "roc_auc": metrics.roc_auc_score(y_test, chance[:, 1]),
        "average_precision": metrics.average_precision_score(y_test, chance[:, 1]),
    }
    for name, figure in expected.items():
        assert value(view, f"test/{name}") == pytest.approx(figure), name


def test_a_score_of_a_regression_tells_the_usual_figures(data: Any) -> None:
    """Errors, and the residuals as rows and as a distribution."""
    X, X_test, _, _ = data
    model = LinearRegression()
    view = autologged(lambda: model.fit(X[:, 1:], X[:, 0]).score(X_test[:, 1:], X_test[:, 0]), training_score=False)
    truth, said = X_test[:, 0], model.predict(X_test[:, 1:])
    assert value(view, "test/mae") == pytest.approx(metrics.mean_absolute_error(truth, said))
    assert value(view, "test/mse") == pytest.approx(metrics.mean_squared_error(truth, said))
    assert value(view, "test/rmse") == pytest.approx(metrics.root_mean_squared_error(truth, said))
    assert value(view, "test/r2") == pytest.approx(metrics.r2_score(truth, said))
    assert table(view, "test/residuals")["residual"] == pytest.approx((truth - said).tolist())
    assert view.histogram("test/residuals").records[0].count == len(truth)


def test_curves_and_matrices_come_without_being_asked_for(data: Any) -> None:
    """Confusion, ROC, precision and recall, calibration, as data."""
    X, X_test, y, y_test = data
    model = RandomForestClassifier(10, random_state=0)
    view = autologged(lambda: model.fit(X, y).score(X_test, y_test), training_score=False)
    confusion = table(view, "test/confusion")
    expected = metrics.confusion_matrix(y_test, model.predict(X_test))
    pairs = zip(confusion["label"], confusion["prediction"], confusion["count"], strict=True)
    assert {(label, said): count for label, said, count in pairs} == dict(np.ndenumerate(expected))
    chance = model.predict_proba(X_test)[:, 1]
    fpr, tpr, _ = metrics.roc_curve(y_test, chance, drop_intermediate=False)
    roc = table(view, "test/roc")
    assert (roc["fpr"], roc["tpr"]) == (pytest.approx(fpr.tolist()), pytest.approx(tpr.tolist()))
    observed, predicted = calibration_curve(y_test, chance, n_bins=10)
    calibration = table(view, "test/calibration")
    assert calibration["observed"] == pytest.approx(observed.tolist())
    assert calibration["predicted"] == pytest.approx(predicted.tolist())
    assert {"recall", "precision", "threshold"} == set(table(view, "test/pr"))


def test_one_metric_of_the_users_brings_the_others(data: Any) -> None:
    """What was predicted meets the truth in accuracy_score; nothing is written twice."""
    X, X_test, y, y_test = data
    model = LogisticRegression(max_iter=20)

    def do() -> None:
        said = model.fit(X, y).predict(X_test)
        metrics.accuracy_score(y_test, said)
        metrics.f1_score(y_test, said)
        metrics.roc_auc_score(y_test, model.predict_proba(X_test)[:, 1])

    view = autologged(do, training_score=False)
    assert value(view, "test/accuracy") == model.score(X_test, y_test)
    assert value(view, "test/f1") == metrics.f1_score(y_test, model.predict(X_test))
    assert value(view, "test/log_loss") == pytest.approx(metrics.log_loss(y_test, model.predict_proba(X_test)))
    assert value(view, "test/roc_auc") == pytest.approx(
        metrics.roc_auc_score(y_test, model.predict_proba(X_test)[:, 1])
    )
    assert len(view.tables("test/confusion")) == len(view.tables("test/roc")) == 1


def test_parts_of_a_prediction_and_other_orders_of_it_are_not_the_prediction(data: Any) -> None:
    """The user's own figure is of what the user compared; no others are made up."""
    X, X_test, y, y_test = data

    def do() -> None:
        said = LogisticRegression(max_iter=20).fit(X, y).predict(X_test)
        metrics.accuracy_score(y_test[::-1], said[::-1])
        metrics.accuracy_score(y_test[:50], said[:50])

    view = autologged(do, training_score=False)
    assert len(view.events("metric")) == 2
    assert not [key for key in view.metrics() if key.endswith("/f1")]


def test_pipelines_and_searches_speak_through_their_last_step(data: Any) -> None:
    """What the members of an ensemble say on the way is not taken for it."""
    X, X_test, y, y_test = data
    search = GridSearchCV(make_pipeline(StandardScaler(), LogisticRegression()), {"logisticregression__C": [1.0]}, cv=2)
    view = autologged(lambda: search.fit(X, y).score(X_test, y_test), training_score=False)
    assert value(view, "test/roc_auc") == pytest.approx(metrics.roc_auc_score(y_test, search.decision_function(X_test)))


def test_names_of_classes_are_kept() -> None:
    """Texts, more than two; a class that the test data lacks counts for nothing."""
    X, y = load_iris(return_X_y=True)
    names = np.array(["setosa", "versicolor", "virginica"])[y]
    model = DecisionTreeClassifier(max_depth=1, random_state=0)
    view = autologged(lambda: model.fit(X, names).score(X[:100], names[:100]), training_score=False)
    classes = table(view, "test/classes")
    assert (classes["label"], classes["count"]) == (["setosa", "versicolor"], [50, 50])
    said = model.predict(X[:100])
    expected = metrics.f1_score(names[:100], said, average="macro")
    assert value(view, "test/f1") == value(view, "test/f1_macro") == pytest.approx(expected)


def test_areas_of_many_classes_are_those_of_probabilities_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """As scikit-learn has them: scores order the rows of a class in another way, and there is one figure of a name."""
    monkeypatch.setattr(requests, "_SHARE_OF_FIT", 0.0)
    X, y = load_iris(return_X_y=True)
    model = LogisticRegression()

    def do() -> None:
        model.fit(X[::2], y[::2]).score(X[1::2], y[1::2])
        metrics.log_loss(y[1::2], model.predict_proba(X[1::2]))

    expected = metrics.roc_auc_score(y[1::2], model.fit(X[::2], y[::2]).predict_proba(X[1::2]), multi_class="ovr")
    assert value(autologged(do), "test/roc_auc_ovr") == pytest.approx(expected)


def test_weighted_scores_bring_nothing_else(data: Any) -> None:
    """Figures without the weights would be of something else."""
    X, _, y, _ = data
    view = autologged(lambda: DecisionTreeClassifier().fit(X, y).score(X, y, np.ones(len(y))), training_score=False)
    assert "train/score" in view.metrics()
    assert "train/f1" not in view.metrics()


def test_clusters_and_labels_of_several_kinds_bring_nothing_and_no_trouble(data: Any) -> None:
    """There is no truth that they could be compared with, or no plain one."""
    X, _, y, _ = data
    several = np.column_stack([y, 1 - y])
    view = autologged(
        lambda: (
            KMeans(2, n_init=1).fit(X).score(X),
            KNeighborsClassifier().fit(X, several).score(X, several),
        )
    )
    assert not [key for key in view.metrics() if key.endswith("/f1")]


def test_a_loop_has_figures_at_each_step_and_no_curves(data: Any) -> None:
    """Curves stand where a fit is told in full."""
    X, X_test, y, y_test = data
    model = SGDClassifier(random_state=0)

    def do() -> None:
        for _ in range(3):
            model.partial_fit(X, y, classes=[0, 1])
            model.score(X_test, y_test)

    view = autologged(do)
    assert view.metric("test/f1").steps.tolist() == [0, 1, 2]
    assert len(view.tables("test/roc")) == 1


def test_figures_are_made_no_longer_than_they_are_cheap(data: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's own scores go on."""
    monkeypatch.setattr(recorder, "_GRACE_S", 1e-9)
    X, X_test, y, y_test = data
    model = DecisionTreeClassifier(max_depth=1).fit(X, y)
    with autolog(quiet=True, overhead_budget=1e-9) as run:
        for _ in range(5):
            model.score(X_test, y_test)
    view = barograph.open().run(run.id)
    assert len(view.metric("test/score").values) == 5
    assert len(view.metric("test/f1").values) == 1
    assert "overhead budget" in view.events("results_left_out")[-1].data["reason"]


def test_the_same_few_rows_are_kept_of_every_evaluation(data: Any) -> None:
    """With their places, labels, predictions and scores; off unless asked for."""
    X, X_test, y, y_test = data
    model = RandomForestClassifier(5, random_state=0)
    view = autologged(lambda: [model.fit(X, y).score(X_test, y_test) for _ in range(2)], log_predictions=5)
    first, second = view.tables("predictions/test")
    assert first.rows == second.rows
    rows = [dict(zip(first.columns, row, strict=True)) for row in first.rows]
    assert [row["index"] for row in rows] == np.linspace(0, len(y_test) - 1, 5).astype(int).tolist()
    for row in rows:
        chances = model.predict_proba(X_test[row["index"]][None])[0]
        assert row["label"] == y_test[row["index"]]
        assert (row["prediction"], row["score"]) == (chances.argmax(), chances.max())


def test_kept_rows_carry_the_names_of_classes_and_the_numbers_of_a_regression() -> None:
    """Whatever a model predicts."""
    X, y = load_iris(return_X_y=True)
    names = np.array(["a", "b", "c"])[y]
    frame = pd.DataFrame(X, columns=list("wxyz"))

    def do() -> None:
        KNeighborsClassifier().fit(X, names).score(X[::2].copy(), names[::2].copy())
        LinearRegression().fit(frame[["w"]], frame["x"]).score(frame[["w"]][::3], frame["x"][::3])

    view = autologged(do, log_predictions=3)
    found = [dict(zip(one.columns, row, strict=True)) for one in view.tables("predictions/test") for row in one.rows]
    assert {row["label"] for row in found[:3]} <= {"a", "b", "c"}
    assert {row["prediction"] for row in found[:3]} <= {"a", "b", "c"}
    assert all(isinstance(row["prediction"], float) for row in found[3:])


def test_rows_are_off_unless_asked_for(data: Any) -> None:
    """Data does not leave the user's arrays by itself."""
    X, X_test, y, y_test = data
    assert not autologged(lambda: DecisionTreeClassifier().fit(X, y).score(X_test, y_test)).tables("predictions/test")


# -- the training data -------------------------------------------------------------------------------------------------


class _Counts(ClassifierMixin, BaseEstimator):
    predictions = 0

    def fit(self, X: Any, y: Any) -> Any:
        self.classes_ = np.unique(y)
        return self

    def predict(self, X: Any) -> Any:
        type(self).predictions += 1
        return np.zeros(len(X), int)


def test_training_scores_are_made_on_request(data: Any) -> None:
    """One prediction, however dear; without the request none of what may be dear or draw random numbers."""
    X, _, y, _ = data
    for asked, expected in ((None, 0), (False, 0), (True, 1)):
        _Counts.predictions = 0
        with autolog(quiet=True, training_score=asked) as run:
            _Counts().fit(X, y)
        assert _Counts.predictions == expected
    assert "train/accuracy" in barograph.open().run(run.id).metrics()


def test_a_prediction_that_may_be_dear_is_not_made(data: Any) -> None:
    """Nearest neighbours fit at once and predict for long."""
    X, _, y, _ = data
    view = autologged(lambda: KNeighborsClassifier().fit(X, y))
    assert "train/accuracy" not in view.metrics()


@pytest.fixture
def no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """No prediction is cheap."""
    monkeypatch.setattr(requests, "_SHARE_OF_FIT", 0.0)


@pytest.mark.usefixtures("no_time")
def test_figures_that_there_was_no_time_for_are_said_once_with_what_to_ask_for(data: Any) -> None:
    """Of each split; and asked for they are there."""
    X, X_test, y, y_test = data
    model = DecisionTreeClassifier(random_state=0)
    view = autologged(lambda: [model.fit(X, y).score(X_test, y_test) for _ in range(2)])
    left_out = [one.data for one in view.events("results_left_out")]
    assert [one["dataset"] for one in left_out] == ["train", "test"]
    assert all("training_score=True" in one["reason"] for one in left_out)
    assert not {"train/accuracy", "test/log_loss"} & set(view.metrics())
    asked = autologged(lambda: model.fit(X, y).score(X_test, y_test), training_score=True)
    assert {"train/accuracy", "train/log_loss", "test/log_loss"} <= set(asked.metrics())
    assert not asked.events("results_left_out")


@pytest.mark.usefixtures("no_time")
@pytest.mark.parametrize(
    "model",
    [
        KNeighborsClassifier(),
        RidgeClassifier(),
        KMeans(2, n_init=1),
        IsolationForest(n_estimators=3),
        StandardScaler(),
        DecisionTreeClassifier(),
    ],
    ids=lambda model: type(model).__name__,
)
def test_figures_that_nobody_would_have_made_are_not_left_out(data: Any, model: Any) -> None:
    """Those that are dear by nature, models without probabilities, without classes, and several labels a row."""
    X, X_test, y, y_test = data
    several = isinstance(model, DecisionTreeClassifier)
    truth, test_truth = (np.column_stack([one, 1 - one]) if several else one for one in (y, y_test))

    def do() -> None:
        model.fit(X, truth)
        if hasattr(model, "score"):
            model.score(X_test, test_truth)

    left_out = [one.data["dataset"] for one in autologged(do).events("results_left_out")]
    assert left_out == (
        ["train"] if isinstance(model, RidgeClassifier) else []
    )  # which has no probabilities, but classes


def test_what_there_was_time_for_makes_no_difference_between_two_runs(
    data: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One has all that can be had, the other as little as possible."""
    X, X_test, y, y_test = data

    def do() -> None:
        for model in (RandomForestClassifier(3, random_state=0), LogisticRegression(max_iter=9), RidgeClassifier()):
            model.fit(X, y).score(X_test, y_test)
            metrics.accuracy_score(y_test, model.predict(X_test))
        model = SGDClassifier(random_state=0)
        for _ in range(30):
            model.partial_fit(X, y, classes=[0, 1]).score(X_test, y_test)

    runs = []
    for least, most, budget in ((0.0, 1e9, 1e9), (1e9, 0.0, 1e-9)):
        monkeypatch.setattr(requests, "_SHORTEST_FIT_S", least)
        for module, name in ((requests, "_SHARE_OF_FIT"), (requests, "_CHEAP_S"), (recorder, "_GRACE_S")):
            monkeypatch.setattr(module, name, most)
        monkeypatch.setattr(live, "_GRACE_S", most)
        with autolog(quiet=True, overhead_budget=budget) as run:
            do()
        runs.append(barograph.open().run(run.id))
    assert len(runs[0].metrics()) > len(runs[1].metrics())
    assert [judge(*pair).kind for pair in (runs, runs[::-1])] == ["identical", "identical"]


def test_training_scores_leave_the_random_state_alone(data: Any) -> None:
    """What the user draws afterwards is what would have been drawn."""
    X, _, y, _ = data
    drawn = []
    for asked in (False, True):
        np.random.seed(3)
        with autolog(quiet=True, training_score=asked, learning_curve=(0.5,) if asked else ()):
            DecisionTreeClassifier(splitter="random", random_state=0).fit(X, y)
        drawn.append(np.random.random())
    assert drawn[0] == drawn[1]


# -- odd input ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("truth", "said"),
    [
        ([], []),
        ([1], [1]),
        ([1, 0, 1], [1, 0]),
        ([1, "a", None], [1, "a", None]),
        ([[1, 2], [3, 4]], [[1, 2], [3, 4]]),
        (np.zeros((0, 3)), np.zeros((0, 3))),
        ([float("nan"), 1.0], [1.0, 1.0]),
        ([True, False], [True, True]),
        (pd.Series(["x", "y"], dtype="category"), ["x", "x"]),
        (np.array(["é", "ü"]), np.array(["ü", "ü"])),
    ],
    ids=str,
)
@pytest.mark.parametrize("is_regression", [True, False])
def test_odd_truths_raise_nothing(truth: Any, said: Any, is_regression: bool) -> None:
    """Figures where there is something to say, else nothing."""
    found = evaluate(truth, Outputs(said), is_regression, None, True)
    assert found is None or all(isinstance(figure, float) for figure in found.figures.values())
