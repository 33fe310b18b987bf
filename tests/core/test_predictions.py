"""A few rows of an evaluation as a table, whatever form labels and outputs have."""

import numpy as np
import pytest

from barograph.predictions import prediction_table


def test_the_largest_of_several_outputs_is_the_prediction() -> None:
    """Whole labels make classes of the outputs; the score is the output itself."""
    table = prediction_table([2, 0], np.array([[0.1, 0.2, 0.7], [0.2, 0.5, 0.3]]), indices=[7, 3])
    assert table == {
        "index": [7, 3],
        "dataset": ["val", "val"],
        "label": [2, 0],
        "prediction": [2, 1],
        "score": [0.7, 0.5],
    }


def test_logits_are_not_taken_for_probabilities() -> None:
    """The score is what the model gave, not what it might mean."""
    table = prediction_table(np.array([1]), np.array([[-3.0, 4.0]]))
    assert (table["prediction"], table["score"]) == ([1], [4.0])


def test_one_hot_labels_are_classes() -> None:
    """Labels as Keras has them for categorical cross-entropy."""
    table = prediction_table(np.eye(3)[[1, 2]], np.array([[0.0, 1.0, 0.0], [0.5, 0.3, 0.2]]))
    assert (table["label"], table["prediction"]) == ([1, 2], [1, 0])


def test_names_stand_for_classes() -> None:
    """What the outputs stand for is shown in their place."""
    table = prediction_table(["b", "a"], [[0.1, 0.9], [0.2, 0.8]], classes=["a", "b"])
    assert table["prediction"] == ["b", "b"]


def test_the_probability_of_one_class_is_judged_at_a_half() -> None:
    """One output between 0 and 1 beside labels of 0 and 1."""
    table = prediction_table(np.array([[0.0], [1.0]]), np.array([[0.2], [0.5]]))
    assert (table["prediction"], table["score"]) == ([0, 1], [0.2, 0.5])


def test_a_regression_is_its_own_prediction() -> None:
    """Real labels have no classes and no score."""
    table = prediction_table(np.array([1.5, 2.5]), np.array([1.0, 3.0]))
    assert (table["prediction"], table["score"]) == ([1.0, 3.0], [None, None])


def test_several_regressed_values_stay_together() -> None:
    """A row of outputs beside a row of real labels."""
    table = prediction_table(np.array([[1.5, 2.5]]), np.array([[1.0, 3.0]]))
    assert (table["label"], table["prediction"]) == ([[1.5, 2.5]], [[1.0, 3.0]])


def test_predicted_labels_without_scores_are_kept_as_they_are() -> None:
    """What a classifier of scikit-learn predicts."""
    table = prediction_table(["cat", "dog"], np.array(["dog", "dog"]))
    assert (table["prediction"], table["score"]) == (["dog", "dog"], [None, None])


def test_a_tensor_with_a_graph_is_taken() -> None:
    """Outputs may come as the framework has them, half precision included."""
    torch = pytest.importorskip("torch")
    outputs = torch.tensor([[0.25, 0.75]], dtype=torch.bfloat16, requires_grad=True)
    assert prediction_table(torch.tensor([1]), outputs)["score"] == [0.75]


def test_nan_is_shown_and_not_thresholded() -> None:
    """A model that puts out NaN has no prediction to be believed."""
    table = prediction_table(np.array([0, 1]), np.array([np.nan, 0.5]))
    assert np.isnan(table["prediction"][0])


def test_no_rows_make_an_empty_table() -> None:
    """Nothing was evaluated."""
    assert prediction_table([], np.empty((0, 3)))["prediction"] == []


def test_numbers_of_rows_that_differ_are_an_error() -> None:
    """A label to every output."""
    with pytest.raises(ValueError, match="2 outputs do not go with 3 labels"):
        prediction_table([1, 2, 3], [0.1, 0.2])


def test_values_are_not_taken_for_classes() -> None:
    """Where it is known what they are, however much labels of 0 and 1 look like classes."""
    table = prediction_table([0, 1], [0.2, 0.9], are_values=True)
    assert table["prediction"] == [0.2, 0.9]
    assert table["score"] == [None, None]
