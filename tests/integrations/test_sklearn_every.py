"""autolog of scikit-learn: every estimator that scikit-learn has, on data that it can be fitted on."""

import inspect
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.experimental import enable_halving_search_cv, enable_iterative_imputer  # noqa: F401  # these too
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils import all_estimators

import barograph
from barograph.integrations.sklearn import autolog

_draw = np.random.default_rng(0)
X = np.abs(_draw.normal(size=(60, 4)))
Y = (X[:, 0] > X[:, 1]).astype(int)
_NEEDED: dict[str, Any] = {
    "estimator": LogisticRegression(),
    "base_estimator": LogisticRegression(),  # of chains, until scikit-learn 1.7
    "estimators": [("a", LogisticRegression()), ("b", DecisionTreeClassifier(random_state=0))],
    "steps": [("scale", StandardScaler()), ("model", LogisticRegression())],
    "transformers": [("scale", StandardScaler(), [0, 1])],
    "transformer_list": [("scale", StandardScaler())],
    "param_grid": {"C": [0.1, 1.0]},
    "param_distributions": {"C": [0.1, 1.0]},
    "dictionary": np.eye(4),
}
# What each of these is given to be fitted on; the others are given X and Y.
_TEXTS = ["wind and rain", "rain", "sun"] * 20
_ELSE = {
    "CountVectorizer": (_TEXTS,),
    "TfidfVectorizer": (_TEXTS,),
    "HashingVectorizer": (_TEXTS,),
    "DictVectorizer": ([{"a": 1.0}, {"b": 2.0}] * 30,),
    "LabelEncoder": (Y,),
    "LabelBinarizer": (Y,),
    "MultiLabelBinarizer": ([[0], [0, 1]] * 30,),
    "IsotonicRegression": (X[:, 0], Y),
    "MultiTaskElasticNet": (X, np.c_[Y, Y]),
    "MultiTaskElasticNetCV": (X, np.c_[Y, Y]),
    "MultiTaskLasso": (X, np.c_[Y, Y]),
    "MultiTaskLassoCV": (X, np.c_[Y, Y]),
    "MultiOutputClassifier": (X, np.c_[Y, 1 - Y]),
    "MultiOutputRegressor": (X, np.c_[Y, 1 - Y]),
    "ClassifierChain": (X, np.c_[Y, 1 - Y]),
    "RegressorChain": (X, np.c_[Y, 1 - Y]),
    "SparseCoder": (X,),
    "CCA": (X, X),
    "PLSCanonical": (X, X),
    "PLSSVD": (X, X),
    "GammaRegressor": (X, 1.0 + Y),
    "KernelCenterer": (X @ X.T,),
}
# Whose defaults do not fit so few data, or that want an estimator without saying so
_CHANGED: dict[str, dict[str, Any]] = {
    "GaussianRandomProjection": {"n_components": 2},
    "SparseRandomProjection": {"n_components": 2},
    "SelfTrainingClassifier": {"estimator": LogisticRegression()},
    "FrozenEstimator": {"estimator": DecisionTreeClassifier().fit(X, Y)},
    "TSNE": {"max_iter": 250},
}
_REGRESSIONS = ("MultiOutputRegressor", "RegressorChain", "VotingRegressor", "StackingRegressor")


def _instances() -> Iterator[Any]:
    """One of each class, in its defaults."""
    for name, cls in all_estimators():
        needed = {one: clone(value, safe=False) for one, value in _NEEDED.items()}
        if name in _REGRESSIONS:
            needed |= dict.fromkeys(("estimator", "base_estimator"), Ridge())
            needed |= {"estimators": [("a", Ridge()), ("b", Ridge(alpha=2.0))]}
        parameters = inspect.signature(cls.__init__).parameters.values()
        required = [one.name for one in parameters if one.default is one.empty and one.name in needed]
        yield cls(**({one: needed[one] for one in required} | _CHANGED.get(name, {})))


@pytest.mark.filterwarnings("ignore")
def test_every_estimator_is_recorded_without_trouble() -> None:
    """Fit and score go as without us, errors of ours would raise here, and each leaves an end, a digest and data."""
    fitted = []
    with autolog(quiet=True) as run:
        for model in _instances():
            name = type(model).__name__
            model.fit(*_ELSE.get(name, (X, Y)))
            if hasattr(model, "score"):
                model.score(*_ELSE.get(name, (X, Y)))
            fitted.append(name)
    view = barograph.open().run(run.id)
    assert [event.data["estimator"] for event in view.events("fit_end")] == fitted
    assert len(fitted) > 190
    assert len(view.weights()) == len(fitted)
    assert not view.events("exception")
