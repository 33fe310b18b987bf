"""Predict house prices with XGBoost: a regression with early stopping, a second metric and a categorical column.

The data is drawn in the likeness of the California housing table, so that nothing has to be downloaded.
"""

import numpy as np
import xgboost as xgb
from sklearn.model_selection import train_test_split

from barograph.integrations.xgboost import BarographCallback

COLUMNS = ["median_income", "house_age", "rooms", "bedrooms", "population", "latitude", "longitude", "district"]
DISTRICTS = np.array([[37.8, -122.4], [34.0, -118.3], [32.7, -117.1], [38.6, -121.5]])  # the four big cities


def draw_houses(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A table of blocks of houses, and the median price of each in 100,000 dollars."""
    draw = np.random.default_rng(seed)
    district = draw.integers(0, len(DISTRICTS), count)
    place = DISTRICTS[district] + draw.normal(0, 0.7, (count, 2))
    income = draw.lognormal(1.2, 0.45, count)
    age = draw.uniform(1, 52, count)
    rooms = draw.normal(5.4, 1.2, count).clip(2)
    bedrooms = rooms * draw.normal(0.2, 0.02, count)
    population = draw.lognormal(7.0, 0.7, count)
    distance = np.linalg.norm(DISTRICTS[:, None] - place, axis=2).min(axis=0)
    price = 0.5 * income + 0.15 * (rooms - 5) + 0.8 * np.exp(-2 * distance) + 0.004 * age + draw.normal(0, 0.3, count)
    return np.column_stack([income, age, rooms, bedrooms, population, place, district]), price.clip(0.15, 5.0)


def main() -> None:
    """Train until the validation error stops falling."""
    houses, prices = draw_houses(8_000)
    inputs, test_inputs, labels, test_labels = train_test_split(houses, prices, test_size=0.2, random_state=0)
    inputs, valid_inputs, labels, valid_labels = train_test_split(inputs, labels, test_size=0.2, random_state=0)
    kinds = ["q"] * (len(COLUMNS) - 1) + ["c"]
    train = xgb.DMatrix(inputs, labels, feature_names=COLUMNS, feature_types=kinds, enable_categorical=True)
    valid = xgb.DMatrix(valid_inputs, valid_labels, feature_names=COLUMNS, feature_types=kinds, enable_categorical=True)
    test = xgb.DMatrix(test_inputs, test_labels, feature_names=COLUMNS, feature_types=kinds, enable_categorical=True)

    params = {
        "objective": "reg:squarederror",
        "eval_metric": ["mae", "rmse"],
        "eta": 0.1,
        "max_depth": 5,
        "subsample": 0.8,
        "lambda": 2.0,
        "seed": 0,
    }
    booster = xgb.train(
        params,
        train,
        num_boost_round=400,
        evals=[(train, "train"), (valid, "valid")],
        early_stopping_rounds=15,
        verbose_eval=False,
        callbacks=[
            BarographCallback(project="california", config={"data": {"name": "drawn houses"}}, log_predictions=8)
        ],
    )

    predicted = booster.predict(test, iteration_range=(0, booster.best_iteration + 1))
    error = float(np.abs(predicted - test_labels).mean())
    print(f"best round {booster.best_iteration}, mean absolute error on the test set {error:.3f}")


if __name__ == "__main__":
    main()
