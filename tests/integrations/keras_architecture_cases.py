"""The architecture that BarographCallback keeps, on the back end that KERAS_BACKEND names; run by test_keras.py."""

import json
from typing import Any

import keras
import numpy as np
import pytest

import barograph
from barograph.integrations.keras import BarographCallback

# Keras and what it stands on use what numpy, jax or torch are about to take away
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def build(*layers: Any, loss: Any = "mse") -> Any:
    """A small network, compiled."""
    model = keras.Sequential([keras.Input((4,)), *layers, keras.layers.Dense(1)])
    model.compile("sgd", loss, jit_compile=False)
    return model


def fit(model: Any, *callbacks: Any) -> None:
    """One epoch."""
    x = np.ones((8, 4), "float32")
    model.fit(x, x[:, :1], callbacks=list(callbacks), verbose=0)


def architectures() -> list[str]:
    """What the one run keeps."""
    (view,) = barograph.open().runs()
    return [str(one.text) for one in view.texts("model/architecture")]


def test_a_model_can_be_made_again_from_its_architecture() -> None:
    """Layer by layer, with all their settings, and not compiled."""
    model = build(
        keras.layers.Dense(3, "relu", kernel_regularizer=keras.regularizers.L2(0.5)), keras.layers.Dropout(0.5)
    )
    fit(model, BarographCallback())
    (found,) = architectures()
    again = keras.models.model_from_json(found)
    assert json.loads(again.to_json())["config"] == json.loads(found)["config"]
    assert not again.compiled


def test_a_model_is_drawn_once_in_a_run() -> None:
    """However often it is trained; another one is drawn as well."""
    callback = BarographCallback(name="both")
    first = build()
    with barograph.init(name="both"):
        for model in (first, first, build(keras.layers.Dense(2))):
            fit(model, callback)
    assert len(architectures()) == 2


class Own(keras.Model):  # type: ignore[misc]  # Keras has no annotations
    """A model that cannot say what it is made of."""

    def __init__(self, head: Any) -> None:
        super().__init__()
        self.head = head

    def call(self, x: Any) -> Any:
        """One layer."""
        return self.head(x)

    def get_config(self) -> Any:
        """Nothing."""
        raise RuntimeError("not telling")


def test_a_model_that_cannot_be_written_has_no_architecture() -> None:
    """And nobody is warned; its layers are a table all the same."""
    model = Own(keras.layers.Dense(1))
    model.compile("sgd", "mse", jit_compile=False)
    fit(model, BarographCallback())
    assert architectures() == []
    (view,) = barograph.open().runs()
    assert len(view.tables("model/layers")) == 1


def test_a_lambda_costs_neither_a_warning_nor_the_architecture() -> None:
    """In a layer, and in a loss, which is no part of it."""

    class Loss:
        def __call__(self, right: Any, said: Any) -> Any:
            return keras.ops.mean(keras.ops.square(right - said))

    fit(build(keras.layers.Lambda(lambda x: x * 2, output_shape=(4,)), loss=Loss()), BarographCallback())
    (found,) = architectures()
    assert '"Lambda"' in found
    assert "Loss" not in found


def test_a_table_of_numbers_is_not_written_out() -> None:
    """Such as the vectors of words that an embedding begins with: Keras would take each for a Python number."""
    vectors = keras.initializers.Constant(np.zeros((20_000, 4), "float32"))
    model = keras.Sequential([keras.Input((4,)), keras.layers.Embedding(20_000, 4, embeddings_initializer=vectors)])
    model.compile("sgd", "mse", jit_compile=False)
    model.predict(np.ones((2, 4)), callbacks=[BarographCallback()], verbose=0)
    assert architectures() == []


def test_weights_do_not_count_as_settings() -> None:
    """A large layer is drawn as a small one is."""
    fit(build(keras.layers.Dense(20_000)), BarographCallback())
    assert len(architectures()) == 1


def test_the_model_is_as_it_was() -> None:
    """It still says how it is compiled."""
    model = build()
    fit(model, BarographCallback())
    assert "get_compile_config" not in vars(model)
    assert model.get_compile_config()["loss"] == "mse"
