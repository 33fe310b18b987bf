"""Recognise handwritten digits with a plain PyTorch loop, and look inside the model while it learns.

With a folder as argument it also draws two pictures of what was recorded: python examples/torch_digits.py docs
"""

import sys
from collections import OrderedDict
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

import barograph

EPOCHS = 40
CONFIG = {"lr": 0.02, "momentum": 0.9, "batch_size": 32, "clip_norm": 1.0}


def build_model() -> nn.Sequential:
    """Four layers whose names appear in every record."""
    return nn.Sequential(
        OrderedDict(
            layer1=nn.Linear(64, 256),
            tanh1=nn.Tanh(),
            layer2=nn.Linear(256, 256),
            relu2=nn.ReLU(),
            layer3=nn.Linear(256, 256),
            relu3=nn.ReLU(),
            output=nn.Linear(256, 10),
        )
    )


def main() -> None:
    """Train, and draw if a folder is given."""
    torch.manual_seed(0)
    pixels, digits = load_digits(return_X_y=True)
    train_x, test_x, train_y, test_y = (
        torch.from_numpy(part) for part in train_test_split(pixels.astype("float32") / 16, digits, random_state=0)
    )
    model = build_model()
    optimizer = torch.optim.SGD(model.parameters(), CONFIG["lr"], CONFIG["momentum"])

    with barograph.init(project="digits", config=CONFIG) as run, run.watch(model, optimizer, log_every=25):
        step = 0
        for epoch in range(EPOCHS):
            for batch in torch.randperm(len(train_x)).split(int(CONFIG["batch_size"])):
                loss = nn.functional.cross_entropy(model(train_x[batch]), train_y[batch])
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), CONFIG["clip_norm"])
                optimizer.step()
                run.log({"train/loss": loss.item(), "epoch": epoch}, step)
                step += 1
            model.eval()
            with torch.no_grad():
                accuracy = (model(test_x).argmax(1) == test_y).float().mean().item()
            model.train()
            run.log({"test/accuracy": accuracy}, step - 1)
        print(f"accuracy on the test set {accuracy:.3f}")

    if len(sys.argv) > 1:
        draw(run.id, Path(sys.argv[1]))


def draw(run_id: str, folder: Path) -> None:
    """Two pictures of a run: how a weight's values spread over time, and how far gradients reach back."""
    import matplotlib.pyplot as plt

    view = barograph.open().run(run_id)
    names = [key.removeprefix("gradients/") for key in view.histograms() if key.startswith("gradients/")]
    weights = [name for name in names if name.endswith("weight")]

    figure, axes = plt.subplots(1, len(weights), figsize=(10, 3.2), layout="constrained")
    for axis, name in zip(axes, weights, strict=True):
        histogram = view.histogram(f"weights/{name}", bins=80)
        shares = histogram.counts / histogram.counts.max(axis=1, keepdims=True)
        axis.pcolormesh(histogram.steps, (histogram.edges[1:] + histogram.edges[:-1]) / 2, shares.T, cmap="magma")
        axis.plot(histogram.steps, histogram.quantiles[:, [2, -3]], color="white", linewidth=0.8)
        axis.set(title=name, xlabel="step")
    axes[0].set_ylabel("weight")
    figure.suptitle("Weights over the training, with the 5th and 95th percentile")
    figure.savefig(folder / "weights.png", dpi=90)

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    for index, name in enumerate(weights):
        colour = plt.get_cmap("plasma")(index / len(weights))
        gradient, update = view.metric(f"gradients/{name}/norm"), view.metric(f"updates/{name}/ratio")
        left.semilogy(gradient.steps, gradient.values, color=colour, label=name)
        right.semilogy(update.steps, update.values, color=colour, label=name)
    left.set(title="Gradient norm of each layer", xlabel="step")
    right.set(title="Update, as a share of the weight", xlabel="step")
    right.axhline(1e-3, color="grey", linestyle=":", linewidth=1)
    right.legend(frameon=False)
    figure.savefig(folder / "gradients.png", dpi=90)


if __name__ == "__main__":
    main()
