"""autolog of scikit-learn: data, models, digests and seeds that a fit leaves, and what is made only on request."""

import io
import pickle
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import (
    BaggingClassifier,
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
    VotingClassifier,
)
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.inspection import permutation_importance
from sklearn.linear_model import ElasticNet, LogisticRegression, Ridge, SGDClassifier
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.tree import DecisionTreeClassifier

import barograph
from barograph.integrations.sklearn import autolog
from barograph.integrations.sklearn.state import learned_arrays

from .recorded import autologged

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:scipy.optimize:DeprecationWarning"),
]

X, Y = load_breast_cancer(return_X_y=True)


# -- data --------------------------------------------------------------------------------------------------------------


def test_the_data_of_fits_and_scores_is_described_once() -> None:
    """Under the names of the splits, with rows, features and a fingerprint; the same array is read once."""
    X_test, y_test = X[400:], Y[400:]

    def do() -> None:
        model = DecisionTreeClassifier().fit(X[:400], Y[:400])
        for _ in range(3):
            model.score(X_test, y_test)
        X_val, y_val = X[::2].copy(), Y[::2].copy()
        accuracy_score(y_val, model.predict(X_val))

    view = autologged(do)
    assert {one.name: (one.rows, one.features) for one in view.datasets()} == {
        "train": (400, 30),
        "test": (169, 30),
        "val": (285, 30),
    }
    assert all(one.fingerprint and one.labels for one in view.datasets())
    assert len(view.records("dataset")) == 3


@pytest.mark.parametrize(
    "data",
    [
        pd.DataFrame(X).add_prefix("x"),
        scipy.sparse.csr_array(X),
        X.tolist(),
        np.asfortranarray(X)[:, ::2],
        X.astype(np.float32),
    ],
    ids=lambda data: type(data).__name__,
)
def test_data_of_every_kind_is_described(data: Any) -> None:
    """Frames, sparse matrices, lists, arrays that are not contiguous."""
    view = autologged(lambda: DecisionTreeClassifier(max_depth=2).fit(data, Y))
    assert view.dataset("train").rows == len(Y)


def test_texts_are_data() -> None:
    """A vectoriser is given a list of them."""
    view = autologged(lambda: CountVectorizer().fit_transform(["wind and rain", "rain", "sun"]))
    assert view.dataset("train").rows == 3


def test_the_data_of_a_cross_validation_is_described() -> None:
    """There is no fit of the user's that it could be known from."""
    view = autologged(lambda: cross_val_score(DecisionTreeClassifier(max_depth=1), X, Y, cv=2))
    assert view.dataset("train").rows == len(Y)


# -- the model ---------------------------------------------------------------------------------------------------------


def test_a_small_model_is_kept_with_its_signature() -> None:
    """As a file that joblib loads, with a word of warning and what it takes and gives."""
    frame = pd.DataFrame(X[:, :3], columns=["a", "b", "c"])
    names = np.array(["malignant", "benign"])[Y]
    model = make_pipeline(StandardScaler(), LogisticRegression())
    view = autologged(lambda: model.fit(frame, names))
    (kept,) = view.artifacts("model")
    loaded = joblib.load(io.BytesIO(kept.read_bytes()))
    assert loaded.predict(frame).tolist() == model.predict(frame).tolist()
    about = kept.metadata
    assert (kept.name, about["framework"], about["format"]) == ("Pipeline", "scikit-learn", "joblib")
    assert "runs code" in about["warning"]
    assert about["signature"]["inputs"]["names"] == ["a", "b", "c"]
    assert about["signature"]["inputs"]["dtypes"] == {"a": "float64", "b": "float64", "c": "float64"}
    assert about["signature"]["outputs"]["classes"] == ["benign", "malignant"]
    assert view.events("fit_end")[0].data["model"] == "kept"


def test_the_best_of_a_search_is_the_model() -> None:
    """Not the search with all its results."""
    search = GridSearchCV(DecisionTreeClassifier(), {"max_depth": [1, 2]}, cv=2)
    (kept,) = autologged(lambda: search.fit(X, Y)).artifacts("model")
    assert type(joblib.load(io.BytesIO(kept.read_bytes()))).__name__ == "DecisionTreeClassifier"


def test_a_large_model_is_kept_on_request_only() -> None:
    """The end of the fit says why not; False keeps none at all."""
    model = KNeighborsClassifier()
    wide = np.random.default_rng(0).normal(size=(len(Y), 200))
    for asked, kept in ((None, 0), (True, 1), (False, 0)):
        view = autologged(lambda: model.fit(wide, Y), log_model=asked)
        assert len(view.artifacts("model")) == kept
        said = view.events("fit_end")[0].data["model"]
        assert {None: "log_model=True" in said, True: said == "kept", False: said == "not asked for"}[asked]


def test_a_model_that_is_asked_for_is_kept_in_the_format_of_skops() -> None:
    """Which runs no code when it is loaded; the types of the user's that it holds are named."""
    skops = pytest.importorskip("skops.io")
    model = make_pipeline(StandardScaler(), LogisticRegression())
    (kept,) = autologged(lambda: model.fit(X, Y), log_model=True).artifacts("model")
    assert (kept.metadata["format"], kept.metadata["types_to_trust"]) == ("skops", [])
    assert skops.loads(kept.read_bytes()).predict(X).tolist() == model.predict(X).tolist()


def test_a_model_that_cannot_be_pickled_is_not_kept_and_said() -> None:
    """Neither is there a warning."""
    model = make_pipeline(FunctionTransformer(lambda data: data), Ridge())
    view = autologged(lambda: model.fit(X, Y), log_model=True)
    assert "cannot be pickled" in view.events("fit_end")[0].data["model"]


# -- digests, seeds, settings ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "model",
    [
        LogisticRegression(),
        MLPClassifier((4, 3), max_iter=3, random_state=0),
        RandomForestClassifier(5, random_state=0),
        HistGradientBoostingClassifier(max_iter=3, random_state=0),
        BaggingClassifier(LogisticRegression(), 3, random_state=0),
        VotingClassifier([("a", SGDClassifier(random_state=0)), ("b", DecisionTreeClassifier(random_state=0))]),
        make_pipeline(StandardScaler(), KNeighborsClassifier()),
        GridSearchCV(DecisionTreeClassifier(random_state=0), {"max_depth": [1, 2]}, cv=2),
        IsolationForest(n_estimators=5, random_state=0),
    ],
    ids=lambda model: type(model).__name__,
)
def test_the_same_fit_has_the_same_digest_and_another_has_not(model: Any) -> None:
    """To the bit, whatever the model is made of."""
    view = autologged(lambda: (model.fit(X, Y), model.fit(X, Y), model.fit(X[:400], Y[:400])))
    first, second, third = view.weights()
    assert first.digest == second.digest != third.digest
    assert first.tensors > 0


def test_every_learned_array_counts() -> None:
    """Those of the parts too, under their names; times and results of a search do not."""
    model = make_pipeline(StandardScaler(), RandomForestClassifier(3, random_state=0)).fit(X, Y)
    names = set(learned_arrays(model))
    assert {"standardscaler.mean_", "randomforestclassifier.trees.threshold"} <= names


def test_the_generators_at_the_beginning_of_a_fit_are_noted() -> None:
    """With the one that the estimator was given."""
    state = np.random.RandomState(0)
    view = autologged(lambda: DecisionTreeClassifier(random_state=state).fit(X, Y))
    (seeds,) = [one for one in view.seeds() if one.at == "fit_start"]
    assert {"numpy", "random", "random_state"} <= set(seeds.states)


def test_regularization_in_force_is_told() -> None:
    """Of inner estimators too, at their defaults or not."""
    view = autologged(
        lambda: (
            make_pipeline(StandardScaler(), LogisticRegression(C=0.5)).fit(X, Y),
            ElasticNet(alpha=0.3).fit(X, Y),
            MLPClassifier((3,), max_iter=2, early_stopping=True).fit(X, Y),
        )
    )
    told = view.config["regularization"]
    assert told["Pipeline"]["steps.logisticregression.C"] == 0.5
    assert (told["ElasticNet"]["alpha"], told["ElasticNet"]["l1_ratio"]) == (0.3, 0.5)
    assert (told["MLPClassifier"]["alpha"], told["MLPClassifier"]["early_stopping"]) == (0.0001, True)


# -- on request --------------------------------------------------------------------------------------------------------


def test_permutation_importance_is_a_table_of_the_split_that_was_scored() -> None:
    """Repeated as often as was asked for; the features by their names."""
    frame = pd.DataFrame(X[:, :4], columns=list("abcd"))
    model = DecisionTreeClassifier(max_depth=2, random_state=0)
    view = autologged(
        lambda: model.fit(frame[:400], Y[:400]).score(frame[400:], Y[400:]),
        permutation_importance=3,
        training_score=False,
    )
    (found,) = view.tables("test/permutation_importance")
    expected = permutation_importance(model, frame[400:], Y[400:], n_repeats=3, random_state=0)
    rows = {row[0]: row[1] for row in found.rows}
    assert [rows[name] for name in "abcd"] == expected.importances_mean.tolist()


def test_a_learning_curve_over_the_amount_of_data_is_made_after_a_fit() -> None:
    """Its fits are not the user's, and the model is the one that the user fitted."""
    model = DecisionTreeClassifier(max_depth=2, random_state=0)
    view = autologged(lambda: model.fit(X, Y), learning_curve=(0.5, 0.1))
    curve = view.metric("learning_curve/val/score")
    assert curve.steps.tolist() == [len(X) * 8 // 100, len(X) * 40 // 100, len(X) * 80 // 100]
    assert len(view.events("fit_end")) == 1
    assert len(view.tables("learning_curve")) == 1
    assert pickle.dumps(model.tree_) == pickle.dumps(
        DecisionTreeClassifier(max_depth=2, random_state=0).fit(X, Y).tree_
    )


def test_what_cannot_be_made_is_told_and_the_rest_is() -> None:
    """Too few rows for the folds of a learning curve; a sparse matrix, of which no column can be shuffled."""
    few, sparse = slice(0, 3), scipy.sparse.csr_array(X)
    view = autologged(
        lambda: (Ridge().fit(X[few], Y[few]), Ridge().fit(sparse, Y).score(sparse, Y)),
        learning_curve=(0.5,),
        permutation_importance=1,
    )
    assert len(view.events("learning_curve_left_out")) == len(view.events("permutation_importance_left_out")) == 1
    assert len(view.events("fit_end")) == 2


def test_frames_of_polars_have_a_signature() -> None:
    """Names and types of their columns."""
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame(X[:, :2], schema=["a", "b"])
    (kept,) = autologged(lambda: Ridge().fit(frame, polars.Series(Y))).artifacts("model")
    assert kept.metadata["signature"]["inputs"]["dtypes"] == {"a": "Float64", "b": "Float64"}


def test_nothing_of_what_is_made_on_request_is_made_without_it() -> None:
    """No table, no curve, no rows."""
    view = autologged(lambda: LogisticRegression().fit(X[:400], Y[:400]).score(X[400:], Y[400:]))
    assert not view.tables("test/permutation_importance")
    assert not view.tables("predictions/test")
    assert "learning_curve/val/score" not in view.metrics()
    assert not view.children()


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"candidates": "all"}, ValueError),
        ({"log_predictions": -1}, ValueError),
        ({"log_predictions": "many"}, TypeError),
        ({"permutation_importance": True}, TypeError),
        ({"learning_curve": (1,)}, ValueError),
    ],
    ids=str,
)
def test_a_wrong_option_is_said_at_once(wrong: dict[str, Any], error: type[Exception]) -> None:
    """Where the autolog is made, not when training begins."""
    with pytest.raises(error, match=next(iter(wrong))):
        autolog(**wrong)


def test_options_come_along_with_copies_and_decorated_functions() -> None:
    """As the arguments of the run do."""

    @autolog(quiet=True, log_predictions=2)
    def train() -> None:
        DecisionTreeClassifier().fit(X[:400], Y[:400]).score(X[400:], Y[400:])

    train()
    with pickle.loads(pickle.dumps(autolog(quiet=True, log_predictions=2))):
        DecisionTreeClassifier().fit(X[:400], Y[:400]).score(X[400:], Y[400:])
    assert [len(view.tables("predictions/test")[0].rows) for view in barograph.open().runs()] == [2, 2]
