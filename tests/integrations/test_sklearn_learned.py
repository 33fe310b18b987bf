"""autolog of scikit-learn: what fitted estimators have learned, after the fit and from call to call."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import KMeans
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from .recorded import autologged, table

pytestmark = [
    # Tiny fits with few iterations do not converge, and are not meant to.
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    # scikit-learn 1.6 calls a newer SciPy as it should no longer be called.
    pytest.mark.filterwarnings("ignore:scipy.optimize:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def data() -> tuple[pd.DataFrame, np.ndarray]:
    """Two classes, with names of the features."""
    frame = load_breast_cancer(as_frame=True)
    return frame.data, frame.target.to_numpy()


def test_coefficients_carry_the_names_of_the_features(data: Any) -> None:
    """Also in a pipeline, whose last step speaks for it; the weightiest feature leads the table."""
    X, y = data
    X = (X - X.mean()) / X.std()
    model = make_pipeline(PCA().set_output(transform="pandas"), LogisticRegression())
    view = autologged(lambda: (LogisticRegression().fit(X, y), model.fit(X, y)))
    plain = LogisticRegression().fit(X, y)
    for name, coefficient in zip(X.columns, plain.coef_[0], strict=True):
        assert view.metric(f"coef/{name}").values[0] == coefficient
    assert view.metric("coef/pca0").values[0] == model[-1].coef_[0, 0]
    rows = dict(
        zip(view.tables("model/coefficients")[0].columns, view.tables("model/coefficients")[0].rows[0], strict=True)
    )
    assert rows["feature"] == X.columns[np.abs(plain.coef_[0]).argmax()]
    assert view.metric("weights/coef/norm").values[0] == pytest.approx(np.linalg.norm(plain.coef_))
    assert view.histogram("weights/intercept").records[0].mean == pytest.approx(plain.intercept_[0])


def test_coefficients_of_several_classes_are_columns() -> None:
    """Named by the class."""
    X, y = load_iris(return_X_y=True)
    model = LogisticRegression(max_iter=50)
    columns = table(autologged(lambda: model.fit(X, y)), "model/coefficients")
    assert sorted(columns["feature"]) == ["x0", "x1", "x2", "x3"]
    for place in range(3):
        assert columns[f"coefficient {place}"][columns["feature"].index("x2")] == model.coef_[place, 2]


def test_layers_of_a_perceptron_are_distributions(data: Any) -> None:
    """Weights and biases of each, at the last step of the fit."""
    model = MLPClassifier((4, 3), max_iter=3, random_state=0)
    view = autologged(lambda: model.fit(*data))
    for place, (weights, biases) in enumerate(zip(model.coefs_, model.intercepts_, strict=True)):
        assert view.histogram(f"weights/layer{place}").records[0].mean == pytest.approx(weights.mean())
        assert view.histogram(f"weights/bias{place}").records[0].count == biases.size
    assert view.metric("weights/layer0/norm").steps.tolist() == [2]


@pytest.mark.parametrize(
    "model",
    [
        DecisionTreeClassifier(random_state=0),
        RandomForestClassifier(5, random_state=0),
        ExtraTreesRegressor(5, random_state=0),
        GradientBoostingClassifier(n_estimators=4, random_state=0),
    ],
    ids=lambda model: type(model).__name__,
)
def test_importance_and_trees_are_recorded(data: Any, model: Any) -> None:
    """The importance is that of the estimator, the trees are counted."""
    X, y = data
    view = autologged(lambda: model.fit(X, y))
    found = table(view, "model/importance")
    np.testing.assert_allclose(
        [found["importance"][found["feature"].index(name)] for name in X.columns],
        model.feature_importances_,
        atol=1e-12,
    )
    trees = [model] if hasattr(model, "tree_") else list(np.ravel(model.estimators_))
    assert view.summary["trees/count"] == len(trees)
    assert view.summary["trees/leaves"] == sum(tree.get_n_leaves() for tree in trees)
    assert view.summary["trees/max_depth"] == max(tree.get_depth() for tree in trees)
    assert view.metric(f"importance/{X.columns[0]}").values[0] == pytest.approx(model.feature_importances_[0])
    assert ("trees/depth" in view.histograms()) == (len(trees) > 1)


def test_at_most_fifty_features_have_series() -> None:
    """The weightiest ones; the table holds more."""
    X = np.random.default_rng(0).normal(size=(100, 200))
    model = LogisticRegression()
    view = autologged(lambda: model.fit(X, X[:, 170] > 0))
    assert len([key for key in view.metrics() if key.startswith("coef/")]) == 50
    assert view.metric("coef/x170").values[0] == model.coef_[0, 170]
    assert len(view.tables("model/coefficients")[0].rows) == 200


@pytest.mark.parametrize("model", [GradientBoostingClassifier, HistGradientBoostingClassifier])
def test_trees_of_a_boosting_are_series_over_its_iterations(data: Any, model: Any) -> None:
    """A warm start adds only its new ones."""
    X, y = data
    size = "n_estimators" if model is GradientBoostingClassifier else "max_iter"
    boosting = model(warm_start=True, **{size: 3})
    view = autologged(lambda: (boosting.fit(X, y), boosting.set_params(**{size: 5}).fit(X, y)))
    depth = view.metric("trees/round/depth")
    assert depth.steps.tolist() == [0, 1, 2, 3, 4]
    if model is GradientBoostingClassifier:
        assert depth.values.tolist() == [tree.get_depth() for tree in boosting.estimators_[:, 0]]
    assert (view.metric("trees/round/leaves").values > 1).all()


def test_centres_and_components_are_tables(data: Any) -> None:
    """With the sizes of the clusters, and the share of the variance."""
    X, _ = data
    clusters, components = KMeans(3, n_init=1, random_state=0), PCA(4)
    view = autologged(lambda: (clusters.fit(X), components.fit(X)))
    centres = table(view, "model/cluster_centers")
    assert centres["size"] == np.bincount(clusters.labels_).tolist()
    assert centres[X.columns[1]] == clusters.cluster_centers_[:, 1].tolist()
    assert table(view, "model/components")["explained_variance_ratio"] == components.explained_variance_ratio_.tolist()
    assert view.summary["components/explained_variance_ratio"] == pytest.approx(
        components.explained_variance_ratio_.sum()
    )
    assert {"weights/cluster_centers", "weights/components"} <= set(view.histograms())


def test_parts_of_a_pipeline_and_the_best_of_a_search_are_seen(data: Any) -> None:
    """A part's keys begin with its name."""
    pipeline = make_pipeline(StandardScaler(), PCA(3), LogisticRegression())
    search = GridSearchCV(pipeline, {"logisticregression__C": [0.1, 1.0]}, cv=2)
    view = autologged(lambda: search.fit(*data))
    assert "pca/weights/components" in view.histograms()
    assert view.metric("weights/coef/norm").values[0] == pytest.approx(np.linalg.norm(search.best_estimator_[-1].coef_))


def test_each_call_of_partial_fit_is_a_step_as_long_as_it_is_cheap(data: Any) -> None:
    """The first ones always; the table is that of the first only."""
    X, y = data
    model = SGDClassifier(random_state=0)
    norms: list[float] = []

    def do() -> None:
        for _ in range(30):
            model.partial_fit(X, y, classes=[0, 1])
            norms.append(float(np.linalg.norm(model.coef_)))

    view = autologged(do)
    points = view.metric("weights/coef/norm")
    assert points.steps.tolist()[:4] == [0, 1, 2, 3]
    assert points.values.tolist() == pytest.approx([norms[step] for step in points.steps])
    assert len(view.tables("model/coefficients")) == 1


def test_a_fit_comes_out_the_same_to_the_bit(data: Any) -> None:
    """And with the same random numbers left for the next one."""
    X, y = data

    def fit() -> list[Any]:
        state = np.random.RandomState(0)
        forest = RandomForestClassifier(5, random_state=state).fit(X, y)
        return [forest.predict_proba(X), MLPClassifier((3,), max_iter=3, random_state=state).fit(X, y).coefs_[0]]

    found: list[Any] = []
    autologged(lambda: found.extend(fit()))
    for mine, plain in zip(found, fit(), strict=True):
        assert mine.tobytes() == plain.tobytes()
