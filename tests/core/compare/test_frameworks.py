"""A seeded training of each framework comes out the same to the bit when it is run again from its record."""

from __future__ import annotations

from typing import Any

import pytest

from barograph.compare.reproduction import reproduce

TORCH = """
import numpy as np
import torch
import barograph

torch.manual_seed(3)
x = torch.randn(64, 4)
y = x.sum(1, keepdim=True)
model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Dropout(0.1), torch.nn.Linear(8, 1))
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=16, shuffle=True)
with barograph.init(config={"lr": 0.01}, quiet=True) as run:
    run.log_dataset("train", x, y)
    for epoch in range(2):
        for inputs, targets in loader:
            loss = torch.nn.functional.mse_loss(model(inputs), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            run.log({"train/loss": loss})
    run.log_weights(model.state_dict())
"""
LIGHTNING = """
import lightning as L
import torch
from barograph.integrations.lightning import BarographCallback


class Model(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1))

    def training_step(self, batch, index):
        x, y = batch
        loss = torch.nn.functional.mse_loss(self.layers(x), y)
        self.log("train/loss", loss)
        return loss

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.01)


L.seed_everything(3)
x = torch.randn(64, 4)
data = torch.utils.data.TensorDataset(x, x.sum(1, keepdim=True))
loader = torch.utils.data.DataLoader(data, batch_size=16, shuffle=True)
trainer = L.Trainer(
    max_epochs=2, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
    enable_model_summary=False, log_every_n_steps=1, callbacks=[BarographCallback(quiet=True)],
)
trainer.fit(Model(), loader)
"""
KERAS = """
import keras
import numpy as np
from barograph.integrations.keras import BarographCallback

keras.utils.set_random_seed(3)
x = np.random.normal(size=(64, 4)).astype("float32")
y = x.sum(1, keepdims=True)
model = keras.Sequential([keras.layers.Dense(8, activation="relu"), keras.layers.Dropout(0.1), keras.layers.Dense(1)])
model.compile(optimizer="adam", loss="mse")
model.fit(x, y, epochs=2, batch_size=16, verbose=0, callbacks=[BarographCallback(quiet=True)])
"""
XGBOOST = """
import numpy as np
import xgboost as xgb
from barograph.integrations.xgboost import BarographCallback

generator = np.random.default_rng(3)
x = generator.normal(size=(80, 4))
y = x.sum(1)
train, valid = xgb.DMatrix(x[:60], y[:60]), xgb.DMatrix(x[60:], y[60:])
parameters = {"subsample": 0.5, "seed": 3, "nthread": 1}
xgb.train(parameters, train, 5, evals=[(valid, "valid")], verbose_eval=False, callbacks=[BarographCallback(quiet=True)])
"""
SKLEARN = """
import numpy as np
from sklearn.ensemble import RandomForestClassifier
from barograph.integrations.sklearn import autolog

generator = np.random.default_rng(3)
x = generator.normal(size=(80, 4))
y = (x.sum(1) > 0).astype(int)
with autolog(quiet=True):
    RandomForestClassifier(n_estimators=5, random_state=3).fit(x, y)
"""
TRAININGS = {
    "torch": (TORCH, {}),
    "lightning": (LIGHTNING, {}),
    "keras": (KERAS, {"KERAS_BACKEND": "torch"}),
    "xgboost": (XGBOOST, {}),
    "sklearn": (SKLEARN, {}),
}


@pytest.mark.parametrize("framework", TRAININGS)
def test_a_seeded_training_is_repeated_to_the_bit(make_project: Any, framework: str) -> None:
    """With nothing but the callback, the record holds all that it takes."""
    pytest.importorskip(framework)
    code, variables = TRAININGS[framework]
    project = make_project(train=code)
    view = project.train(**variables)
    found = reproduce(view, project.store, into=project.path.parent / "again")
    assert found.verdict is not None, found.reason
    assert found.verdict.kind == "identical", found.verdict.as_dict()
    assert found.verdict.compared["points"] > 0
    assert found.verdict.compared["weights"] > 0
