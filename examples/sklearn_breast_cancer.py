"""Tell malignant from benign tumours: a pipeline that is searched, a forest, a perceptron that stops early."""

from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, roc_auc_score
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from barograph.integrations.sklearn import autolog


@autolog(project="examples", tags=["sklearn"], log_predictions=10)
def main(seed: int = 0) -> None:
    """Everything that is fitted and scored in here is recorded."""
    X, y = load_breast_cancer(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, stratify=y, random_state=seed)

    linear = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    search = GridSearchCV(linear, {"logisticregression__C": [0.01, 0.1, 1.0, 10.0]}, scoring="roc_auc", cv=5)
    search.fit(X_train, y_train)

    forest = RandomForestClassifier(n_estimators=200, oob_score=True, random_state=seed)
    cross_val_score(forest, X_train, y_train, cv=3)
    forest.fit(X_train, y_train)

    perceptron = make_pipeline(
        StandardScaler(),
        MLPClassifier((32, 16), early_stopping=True, n_iter_no_change=15, max_iter=300, random_state=seed),
    )
    perceptron.fit(X_train, y_train)

    scores = {}
    for name, model in {"search": search, "forest": forest, "perceptron": perceptron}.items():
        accuracy_score(y_test, model.predict(X_test))
        scores[name] = roc_auc_score(y_test, model.predict_proba(X_test)[:, 1])
    print("area under the curve: " + ", ".join(f"{name} {score:.4f}" for name, score in scores.items()))


if __name__ == "__main__":
    main()
