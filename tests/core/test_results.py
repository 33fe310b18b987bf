"""Figures of predictions, held against those of scikit-learn."""

from typing import Any

import numpy as np
import pytest

from barograph.results import judge, tables_of_classes

metrics = pytest.importorskip("sklearn.metrics")
ROWS = 200


def draw(*shape: int) -> Any:
    """Numbers that are the same each time."""
    return np.random.default_rng(len(shape)).normal(size=shape)


def results(*arguments: Any, **known: bool) -> dict[str, float]:
    """The figures alone."""
    return judge(*arguments, **known).figures


def shares_of(scores: Any) -> Any:
    """Softmax."""
    powers = np.exp(scores)
    return powers / powers.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("are_shares", [True, False])
@pytest.mark.parametrize("labels", ["whole", "floats", "column", "one_hot"])
def test_figures_of_classes_are_those_of_scikit_learn(are_shares: bool, labels: str) -> None:
    """However labels are written, and whether outputs are probabilities or scores."""
    scores, right = draw(ROWS, 4), np.random.default_rng(1).integers(0, 3, ROWS)  # the last class never occurs
    given = {
        "whole": right,
        "floats": right.astype(np.float32),
        "column": right[:, None],
        "one_hot": np.eye(4, dtype=np.float32)[right],
    }
    found = results(given[labels], shares_of(scores) if are_shares else scores)
    said = scores.argmax(axis=1)
    assert found == pytest.approx(
        {
            "accuracy": metrics.accuracy_score(right, said),
            "f1": metrics.f1_score(right, said, average="macro"),
            "log_loss": metrics.log_loss(right, shares_of(scores), labels=range(4)),
        }
    )


@pytest.mark.parametrize("kind", ["chances", "scores", "known_scores"])
def test_figures_of_two_classes_are_those_of_scikit_learn(kind: str) -> None:
    """Of one output a row, F1 is that of class 1; scores that look like probabilities have to be told."""
    scores = np.abs(draw(ROWS, 1)) / 10 if kind == "known_scores" else draw(ROWS, 1)
    right, chances = np.random.default_rng(1).integers(0, 2, ROWS), 1 / (1 + np.exp(-scores))
    found = results(right, chances if kind == "chances" else scores, are_scores=kind == "known_scores")
    said = (chances[:, 0] >= 0.5).astype(int)
    assert found == pytest.approx(
        {
            "accuracy": metrics.accuracy_score(right, said),
            "f1": metrics.f1_score(right, said),
            "log_loss": metrics.log_loss(right, chances[:, 0]),
        }
    )


@pytest.mark.parametrize("shape", [(ROWS,), (ROWS, 1), (ROWS, 3)])
def test_figures_of_values_are_those_of_scikit_learn(shape: tuple[int, ...]) -> None:
    """With weights, and the mean over several values a row."""
    right, said, weights = draw(*shape), draw(*shape) + 0.3, np.random.default_rng(1).random(ROWS)
    assert results(right, said.reshape(ROWS, -1), weights) == pytest.approx(
        {
            "mae": metrics.mean_absolute_error(right, said, sample_weight=weights),
            "mse": metrics.mean_squared_error(right, said, sample_weight=weights),
            "r2": metrics.r2_score(right, said, sample_weight=weights),
        }
    )


def test_what_the_framework_knows_goes_before_what_labels_look_like() -> None:
    """Values of 0 and 1 are told from classes by who trained for them."""
    right = np.array([0.0, 1.0, 1.0])
    assert set(results(right, right)) == {"accuracy", "f1", "log_loss"}
    assert results(right, right, are_values=True) == {"mae": 0.0, "mse": 0.0, "r2": 1.0}


def test_tables_of_classes_are_those_of_scikit_learn() -> None:
    """A row for each pair and for each class that occurs, under the names that are given."""
    right, said = np.array([0, 0, 2, 3, 3, 3]), np.array([0, 2, 2, 3, 0, 3])
    found = judge(right, np.eye(5)[said] * 9, are_scores=True).tables
    assert found["confusion"] == {"label": [0, 0, 2, 3, 3], "prediction": [0, 2, 2, 0, 3], "count": [1, 1, 1, 1, 2]}
    precision, recall, f1, count = metrics.precision_recall_fscore_support(right, said)
    assert found["classes"].pop("label") == [0, 2, 3]
    assert found["classes"].pop("count") == count.tolist()
    expected = {"precision": precision, "recall": recall, "f1": f1}
    assert {name: pytest.approx(one.tolist()) for name, one in expected.items()} == found["classes"]
    named = tables_of_classes(np.array([[2, 0], [1, 0]]), ["sun", "rain"])
    assert named["confusion"] == {"label": ["sun", "rain"], "prediction": ["sun", "sun"], "count": [2, 1]}
    assert named["classes"]["recall"] == [1.0, 0.0]


def test_values_and_very_many_classes_have_no_tables() -> None:
    """There would be more cells than anybody reads."""
    assert judge(draw(ROWS), draw(ROWS)).tables == {}
    assert judge(np.arange(300), np.eye(300)).tables == {}


def test_rows_of_no_class_do_not_count() -> None:
    """Such as padding."""
    found = results(np.array([0, -1, 1, 255]), np.array([[0.9, 0.1], [0.9, 0.1], [0.2, 0.8], [0.9, 0.1]]))
    assert found["accuracy"] == 1.0
    assert results(np.array([-1, -1]), np.array([[0.9, 0.1], [0.9, 0.1]])) == {}


@pytest.mark.parametrize(
    ("labels", "outputs"),
    [
        (np.array([]), np.array([])),
        (np.array(1.0), np.array(1.0)),
        (np.zeros(3), np.zeros(4)),
        (np.array([1.0, np.nan]), np.array([1.0, 2.0])),
        (np.array([1.0, 2.0]), np.array([np.nan, 2.0])),
        (np.array(["a", "b"], dtype=object), np.zeros((2, 2))),
        (np.array([0.5, 1.5]), np.zeros((2, 3))),
        (np.array([[0, 1], [1, 1]]), np.zeros((2, 2))),
        (np.zeros((2, 0)), np.zeros((2, 0))),
    ],
)
def test_what_tells_nothing_gives_nothing(labels: Any, outputs: Any) -> None:
    """No rows, no numbers, several labels a row, or outputs that do not go with the labels."""
    assert results(labels, outputs) == {}


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_a_probability_of_nothing_counts_as_in_scikit_learn(kind: Any) -> None:
    """As the least that its type can add to 1."""
    shares, right = np.array([[1, 0], [0.5, 0.5]], kind), np.array([1, 0])
    expected = metrics.log_loss(right, shares)
    assert results(right, shares)["log_loss"] == pytest.approx(expected)
    assert results(right, shares[:, 1])["log_loss"] == pytest.approx(expected)


def test_halves_are_as_good_as_floats() -> None:
    """Outputs in half precision, and infinite scores, as masks give them."""
    right = np.array([0, 1])
    assert results(right, np.array([[0.75, 0.25], [0.25, 0.75]], np.float16))["log_loss"] == pytest.approx(
        -np.log(0.75)
    )
    assert results(right, np.array([[1.0, -np.inf], [-np.inf, 3.0]]))["log_loss"] == pytest.approx(0.0)
