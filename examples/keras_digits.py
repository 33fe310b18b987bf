"""Recognise handwritten digits with a small convolutional network in Keras 3, on any of its back ends.

python examples/keras_digits.py
"""

import os

os.environ.setdefault("KERAS_BACKEND", "torch")  # or jax, or tensorflow; must be chosen before Keras is imported

import keras
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from barograph.integrations.keras import BarographCallback

EPOCHS = 15


def build() -> keras.Model:
    """A network of two convolutions with dropout, compiled."""
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(8, 3, activation="relu", padding="same"),
            keras.layers.MaxPooling2D(),
            keras.layers.Conv2D(16, 3, activation="relu", padding="same"),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.AdamW(learning_rate=3e-3, weight_decay=1e-4),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy", keras.metrics.SparseTopKCategoricalAccuracy(k=3, name="top3")],
    )
    return model


def main() -> None:
    """Train with early stopping, then evaluate on digits the network has not seen."""
    keras.utils.set_random_seed(1)
    digits = load_digits()
    images = (digits.images / 16.0).astype("float32")[..., None]
    x_train, x_test, y_train, y_test = train_test_split(
        images, digits.target, test_size=0.2, stratify=digits.target, random_state=1
    )

    recorder = BarographCallback(project="digits", tags=["example", "keras"], log_predictions=8)

    model = build()
    model.fit(
        x_train,
        y_train,
        epochs=EPOCHS,
        batch_size=128,
        validation_split=0.15,
        verbose=0,
        callbacks=[
            recorder,
            keras.callbacks.ReduceLROnPlateau(monitor="val_loss", factor=0.5, patience=2),
            keras.callbacks.EarlyStopping(monitor="val_loss", patience=3, restore_best_weights=True),
        ],
    )
    scores = model.evaluate(x_test, y_test, verbose=0, return_dict=True, callbacks=[recorder])
    print(f"accuracy on {len(y_test)} digits not seen in training: {scores['accuracy']:.3f}")


if __name__ == "__main__":
    main()
