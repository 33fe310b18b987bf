"""autolog of scikit-learn: what is told while a fit goes on, and scikit-learn's own callbacks."""

import copy
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.datasets import load_iris
from sklearn.experimental import enable_halving_search_cv  # noqa: F401  # makes HalvingGridSearchCV importable
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, RandomizedSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

import barograph
from barograph.compare.verdict import judge
from barograph.integrations.sklearn import BarographCallback, autolog, live

from .recorded import autologged

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:scipy.optimize:DeprecationWarning"),
]
with_callbacks = pytest.mark.skipif(
    not hasattr(LogisticRegression, "set_callbacks"), reason="scikit-learn before 1.9 has no callbacks"
)

X, Y = load_iris(return_X_y=True)
GRID = {"max_depth": [1, 2, 3]}


def folds(search: Any) -> list[list[float]]:
    """The scores of a fitted search: for each candidate those of its folds."""
    results = search.cv_results_
    return np.transpose([results[f"split{fold}_test_score"] for fold in range(search.n_splits_)]).tolist()  # type: ignore[no-any-return]


# -- searches ----------------------------------------------------------------------------------------------------------


def test_each_fold_of_a_search_is_told_as_it_is_done() -> None:
    """Its score and its time stand at its candidate's step, before the next one is fitted."""
    seen: list[int] = []

    class Looks(DecisionTreeClassifier):
        def fit(self, X: Any, y: Any, check_input: bool = True) -> Any:
            metrics = barograph.open().runs()[0]
            seen.append(len(metrics.metric("search/fold/score").values) if "time/fold_s" in metrics.metrics() else 0)
            return super().fit(X, y)

    search = GridSearchCV(Looks(random_state=0), GRID, cv=2)
    view = autologged(lambda: search.fit(X, Y))
    assert seen == [0, 1, 2, 3, 4, 5, 6]
    points = view.metric("search/fold/score")
    assert points.steps.tolist() == [0, 0, 1, 1, 2, 2]
    assert points.values.reshape(3, 2).tolist() == folds(search)
    assert view.metric("search/score").steps.tolist() == [0, 1, 2]


def test_rounds_of_a_halving_search_follow_each_other() -> None:
    """A candidate that is tried again has another step."""
    search = HalvingGridSearchCV(DecisionTreeClassifier(random_state=0), GRID, cv=2, random_state=0, min_resources=20)
    view = autologged(lambda: search.fit(X, Y))
    points = view.metric("search/fold/score")
    assert points.values.reshape(-1, 2).tolist() == folds(search)
    assert points.steps.tolist() == np.repeat(np.arange(len(folds(search))), 2).tolist()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.FitFailedWarning", "ignore:One or more of the test scores")
def test_several_scores_and_failed_folds_are_told() -> None:
    """Each score under its name; a fold that failed is NaN, as in the results."""

    class Fails(DecisionTreeClassifier):
        def fit(self, X: Any, y: Any, check_input: bool = True) -> Any:
            if self.max_depth == 2:
                raise ValueError("the user's own")
            return super().fit(X, y)

    search = GridSearchCV(Fails(), GRID, cv=2, scoring=["accuracy", "f1_macro"], refit=False)
    view = autologged(lambda: search.fit(X, Y))
    values = view.metric("search/fold/f1_macro").values
    assert np.isnan(values).tolist() == [False, False, True, True, False, False]
    assert "search/fold/accuracy" in view.metrics()


def test_a_search_inside_another_call_is_not_told_fold_by_fold() -> None:
    """What is fitted inside is a part of it."""
    inner = GridSearchCV(DecisionTreeClassifier(), GRID, cv=2)
    view = autologged(lambda: cross_val_score(inner, X, Y, cv=2))
    assert "search/fold/score" not in view.metrics()


def test_folds_in_threads_are_told_once_each() -> None:
    """Also where joblib works in threads."""
    search = RandomizedSearchCV(DecisionTreeClassifier(random_state=0), GRID, n_iter=3, cv=2, random_state=0)
    with joblib.parallel_backend("threading", n_jobs=2):
        view = autologged(lambda: search.fit(X, Y))
    if "search/fold/score" in view.metrics():  # since 1.9, which tells whose fold it is
        points = view.metric("search/fold/score")
        told = sorted(zip(points.steps.tolist(), points.values.tolist(), strict=True))
        assert told == sorted((step, score) for step, row in enumerate(folds(search)) for score in row)
    assert not live._searches


@with_callbacks
def test_workers_tell_of_their_folds_themselves() -> None:
    """In journals of their own, at the step of the candidate; nothing of it stays in the search."""
    search = GridSearchCV(DecisionTreeClassifier(random_state=0), GRID, cv=2, n_jobs=2)
    view = autologged(lambda: search.fit(X, Y))
    assert sorted(view.metric("time/fold_s").steps.tolist()) == [0, 0, 1, 1, 2, 2]
    assert view.status == "finished"
    assert "_skl_callbacks" not in vars(search) | vars(search.best_estimator_)
    assert b"barograph" not in pickle.dumps(search)


def test_candidates_are_runs_of_their_own_on_request() -> None:
    """Children of the search's run: parameters, the score of each fold, the mean; the best is marked."""
    search = GridSearchCV(DecisionTreeClassifier(random_state=0), GRID, cv=2)
    view = autologged(lambda: search.fit(X, Y), candidates="runs")
    children = sorted(view.children(), key=lambda child: int(child.config["candidate"]))
    assert [child.config["params"] for child in children] == search.cv_results_["params"]
    assert [child.metric("val/score").values.tolist() for child in children] == folds(search)
    assert [child.metric("val/score_mean").values[0] for child in children] == list(
        search.cv_results_["mean_test_score"]
    )
    assert [place for place, child in enumerate(children) if "best" in child.tags] == [search.best_index_]
    assert {child.status for child in children} == {"finished"}
    assert len(view.tables("search/candidates")) == 1


# -- iterations --------------------------------------------------------------------------------------------------------


@with_callbacks
def test_iterations_of_a_logistic_regression_are_a_series() -> None:
    """The loss without the penalty and the size of the coefficients after each, the last those of the fitted model."""
    names = np.array(["a", "b", "c"])[Y]
    model = LogisticRegression(max_iter=10)
    view = autologged(lambda: model.fit(X, names))
    loss = view.metric("train/loss")
    assert loss.steps.tolist() == list(range(10))
    assert loss.values[-1] == pytest.approx(log_loss(names, model.predict_proba(X)))
    assert view.metric("iteration/coef_norm").values[-1] == pytest.approx(np.linalg.norm(model.coef_))
    assert view.metric("time/fit_s").steps.tolist() == [9]
    assert view.events("fit_end")[0].data["last_step"] == 9


@with_callbacks
def test_weights_of_samples_count_in_the_loss() -> None:
    """In a pipeline, too."""
    weights = np.linspace(0, 1, len(Y))
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=4))
    view = autologged(lambda: model.fit(X, Y, logisticregression__sample_weight=weights))
    expected = log_loss(Y, model.predict_proba(X), sample_weight=weights)
    assert view.metric("train/loss").values[-1] == pytest.approx(expected)


@with_callbacks
def test_the_users_own_callbacks_stay_and_are_called() -> None:
    """Ours comes after them and goes when the fit is over."""

    class Mine:
        ended = 0

        def setup(self, estimator: Any, context: Any) -> None: ...

        def teardown(self, estimator: Any, context: Any) -> None: ...

        def on_fit_task_begin(self, estimator: Any, context: Any) -> None: ...

        def on_fit_task_end(self, estimator: Any, context: Any) -> None:
            self.ended += 1

    outside, inside = Mine(), Mine()
    LogisticRegression(max_iter=4).set_callbacks(outside).fit(X, Y)
    model = LogisticRegression(max_iter=4).set_callbacks(inside)
    autologged(lambda: model.fit(X, Y))
    assert inside.ended == outside.ended > 4
    assert vars(model)["_skl_callbacks"] == [inside]


@with_callbacks
def test_iterations_are_told_no_longer_than_they_are_cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fit goes on as without us, and comes out the same to the bit."""
    monkeypatch.setattr(live, "_GRACE_S", 0.0)
    model = LogisticRegression(max_iter=50)
    with autolog(quiet=True, overhead_budget=1e-9) as run:
        model.fit(X, Y)
    assert len(barograph.open().run(run.id).metric("train/loss").values) == 1
    assert model.coef_.tobytes() == LogisticRegression(max_iter=50).fit(X, Y).coef_.tobytes()


@with_callbacks
def test_how_many_iterations_there_was_time_for_makes_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes after them stands at the same steps, and the run says that some are missing."""
    runs = []
    for grace_s in (1e9, 0.0):
        monkeypatch.setattr(live, "_GRACE_S", grace_s)
        with autolog(quiet=True, overhead_budget=1e-9, training_score=False) as run:
            for _ in range(2):
                LogisticRegression(max_iter=20).fit(X, Y).score(X[:99], Y[:99])
        runs.append(barograph.open().run(run.id))
    assert runs[0].metric("test/score").steps.tolist() == runs[1].metric("test/score").steps.tolist()
    assert len(runs[1].metric("train/loss").values) == 2
    assert [one.data["dataset"] for one in runs[1].events("results_left_out")] == ["train"]
    assert judge(*runs).kind == "identical"


@with_callbacks
@pytest.mark.expects_guard
def test_an_error_of_ours_in_an_iteration_does_not_reach_the_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """One warning, and the model is fitted."""
    monkeypatch.setattr(live, "_log_loss", lambda *_: 1 / 0)
    with autolog(quiet=True), pytest.warns(barograph.BarographWarning, match="iterated"):
        model = LogisticRegression(max_iter=4).fit(X, Y)
    assert model.coef_.tobytes() == LogisticRegression(max_iter=4).fit(X, Y).coef_.tobytes()


# -- the callback of our own -------------------------------------------------------------------------------------------


@with_callbacks
def test_the_callback_records_a_fit_without_an_autolog() -> None:
    """One finished run with parameters, iterations and an end; a second fit goes on in it."""
    callback = BarographCallback(quiet=True, project="iris")
    model = LogisticRegression(max_iter=5).set_callbacks(callback)
    model.fit(X, Y)
    model.fit(X, Y)
    (view,) = barograph.open().runs()
    assert (view.project, view.status, len(view.events("fit_end"))) == ("iris", "finished", 2)
    assert view.config["params"]["LogisticRegression"]["max_iter"] == 5
    assert view.metric("train/loss").steps.tolist() == list(range(10))
    assert callback.run is not None
    assert callback.run.id == view.id


@with_callbacks
def test_the_callback_uses_the_run_that_is_open() -> None:
    """And leaves it open; inside an autolog it adds nothing."""
    with barograph.init(quiet=True) as run:
        LogisticRegression(max_iter=3).set_callbacks(BarographCallback()).fit(X, Y)
        assert not run.is_finished
        with autolog():
            LogisticRegression(max_iter=3).set_callbacks(BarographCallback()).fit(X, Y)
    (view,) = barograph.open().runs()
    assert len(view.events("fit_end")) == 2
    assert len(view.metric("train/loss").values) == 6


@with_callbacks
def test_a_failed_fit_ends_the_callbacks_run_as_failed() -> None:
    """With the user's own exception; the next fit has a run of its own."""
    callback = BarographCallback(quiet=True)
    model = LogisticRegression(max_iter=3).set_callbacks(callback)
    with pytest.raises(ValueError, match="2 classes"):
        model.fit(X, np.zeros(len(X)))
    model.fit(X, Y)
    assert sorted(view.status for view in barograph.open().runs()) == ["failed", "finished"]


@with_callbacks
def test_the_callback_on_a_search_tells_its_folds() -> None:
    """And on a pipeline its steps."""
    search = GridSearchCV(DecisionTreeClassifier(random_state=0), GRID, cv=2)
    search.set_callbacks(BarographCallback(quiet=True, name="search")).fit(X, Y)
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(max_iter=3))
    pipeline.set_callbacks(BarographCallback(quiet=True, name="pipeline")).fit(X, Y)
    store = barograph.open()
    assert store.run("search").metric("search/fold/score").values.reshape(3, 2).tolist() == folds(search)
    assert "time/fit/standardscaler_s" in store.run("pipeline").metrics()
    assert len(store.run("pipeline").metric("train/loss").values) == 3


@with_callbacks
def test_estimators_with_the_callback_may_be_copied() -> None:
    """clone, deepcopy and pickle make no run, and a fit of a copy is recorded."""
    model = LogisticRegression(max_iter=3).set_callbacks(BarographCallback(quiet=True)).fit(X, Y)
    copies = [clone(model), copy.deepcopy(model), pickle.loads(pickle.dumps(model))]
    assert len(barograph.open().runs()) == 1
    for one in copies:
        one.fit(X, Y)
    assert sum(len(view.events("fit_end")) for view in barograph.open().runs()) == 4
    assert len(pickle.dumps(model)) < 3000


@with_callbacks
def test_the_callbacks_run_can_be_read() -> None:
    """As a reader sees it; there is none before the first fit."""
    callback = BarographCallback(quiet=True)
    assert callback.view() is None
    LogisticRegression(max_iter=3).set_callbacks(callback).fit(X, Y)
    view = callback.view()
    assert view is not None
    assert view.events("fit_end")


def test_the_callback_refuses_what_is_no_argument() -> None:
    """At once."""
    with pytest.raises(TypeError, match="projet"):
        BarographCallback(projet="iris")
    with pytest.raises(ValueError, match="candidates"):
        BarographCallback(candidates="both")


# -- a script ----------------------------------------------------------------------------------------------------------


class _Mine(ClassifierMixin, BaseEstimator):
    """An estimator of the user's own, which takes no callbacks."""

    def __init__(self, shift: float = 0.0) -> None:
        self.shift = shift

    def fit(self, X: Any, y: Any) -> Any:
        self.classes_ = np.unique(y)
        return self

    def predict(self, X: Any) -> Any:
        return self.classes_[(X[:, 0] > self.shift).astype(int)]


def test_a_search_over_the_users_own_estimator_warns_of_nothing() -> None:
    """scikit-learn warns where a callback is to be passed on to an estimator that takes none; ours is not."""
    view = autologged(lambda: GridSearchCV(_Mine(), {"shift": [5.0, 6.0]}, cv=2).fit(X, (Y > 0).astype(int)))
    assert not view.events("warning")


_SCRIPT = """
import sys
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV
from sklearn.tree import DecisionTreeClassifier

if sys.argv[1] == "with":
    from barograph.integrations.sklearn import autolog

    autolog.enable(quiet=True)
X, y = load_iris(return_X_y=True)
search = GridSearchCV(DecisionTreeClassifier(random_state=0), {"max_depth": [1, 2]}, cv=2, n_jobs=4).fit(X, y)
print(search.cv_results_["mean_test_score"].tolist(), search.best_params_)
"""


def test_a_parallel_search_ends_by_itself(tmp_path: Path) -> None:
    """Workers, their journals and the process's end; the output is that of the script alone."""
    script = tmp_path / "search.py"
    script.write_text(_SCRIPT)
    said = []
    for how in ("with", "without"):
        done = subprocess.run(
            [sys.executable, str(script), how], capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path
        )
        assert (done.returncode, done.stderr) == (0, "")
        said.append(done.stdout)
    assert said[0] == said[1]
    (view,) = barograph.open().runs()
    assert view.status == "finished"
