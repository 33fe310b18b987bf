"""What watch() writes of a model, when, and that the training does not notice."""

from __future__ import annotations

import copy
import gc
import pickle
import warnings
import weakref
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402  # needs torch

import barograph  # noqa: E402
from barograph import testing  # noqa: E402
from barograph.integrations.torch import Watch, watch  # noqa: E402


def small_model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2))


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int = 3, inputs: Any = None) -> None:
    """Some steps on seeded data; inputs: what to draw, None for a batch of 16."""
    draw = torch.Generator().manual_seed(1)
    for _ in range(steps):
        batch = torch.randn(16, 6, generator=draw) if inputs is None else inputs()
        optimizer.zero_grad()
        output = model(batch)
        (output[0] if isinstance(output, tuple) else output).pow(2).mean().backward()
        optimizer.step()


def test_weights_gradients_updates_and_activations_are_written() -> None:
    """Each parameter and each leaf module has figures and a histogram, under its own name."""
    model = small_model()
    with testing.temporary_run() as temporary, watch(model):
        train(model, torch.optim.SGD(model.parameters(), 0.1))
        view = temporary.view()
        names = [name for name, _ in model.named_parameters()]
        kinds = ["weights", "gradients"]
        assert view.histograms() == sorted(
            [f"{kind}/{name}" for kind in kinds for name in names] + [f"activations/{index}" for index in range(3)]
        )
        for key in (f"{kind}/{name}/norm" for kind in kinds for name in names):
            assert view.metric(key).steps.tolist() == [0, 1, 2]
        assert view.metric("activations/1/zero_fraction").values[0] > 0.1
        assert view.histogram("activations/0").records[0].count == 16 * 8
        (started,) = view.events("watch_start")
    assert started.data["parameters"] == 4
    assert started.data["modules_unseen"] == 0


def test_figures_are_those_of_the_tensors() -> None:
    """Weights are those after the step, gradients those that backward left."""
    model = small_model()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with testing.temporary_run() as temporary, watch(model):
        train(model, optimizer, 1)
        view = temporary.view()
        for name, parameter in model.named_parameters():
            for kind, tensor in (("weights", parameter.detach()), ("gradients", parameter.grad)):
                found = [view.metric(f"{kind}/{name}/{figure}").values[0] for figure in ("norm", "mean", "std")]
                expected = [tensor.norm(), tensor.mean(), tensor.std(correction=0)]
                np.testing.assert_allclose(found, [float(one) for one in expected], rtol=1e-5, atol=1e-9)
        whole = torch.cat([parameter.grad.reshape(-1) for parameter in model.parameters()]).norm()
        assert view.metric("gradients/norm").values[0] == pytest.approx(float(whole), rel=1e-6)


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.AdamW])
def test_update_ratio_is_what_the_optimizer_did(kind: Any) -> None:
    """The ratio equals the norm of the true difference over the norm of the weights before it."""
    model = small_model()
    optimizer = kind(model.parameters(), lr=0.01, weight_decay=0.1)
    with testing.temporary_run() as temporary, watch(model):
        train(model, optimizer, 2)
        before = {name: one.detach().clone() for name, one in model.named_parameters()}
        train(model, optimizer, 1)
        for name, parameter in model.named_parameters():
            expected = float((parameter.detach() - before[name]).norm() / before[name].norm())
            found = temporary.view().metric(f"updates/{name}/ratio").values[-1]
            assert found == pytest.approx(expected, rel=1e-5)


def test_update_ratio_of_a_large_parameter_comes_from_a_sample() -> None:
    """Of a parameter of 400,000 elements a part is read, and the ratio is within a few percent."""
    torch.manual_seed(0)
    model = nn.Linear(1000, 400)
    before = model.weight.detach().clone()
    with testing.temporary_run() as temporary, watch(model):
        train(model, torch.optim.SGD(model.parameters(), 1.0), 1, lambda: torch.randn(4, 1000))
        found = temporary.view().metric("updates/weight/ratio").values[0]
    assert found == pytest.approx(float((model.weight.detach() - before).norm() / before.norm()), rel=0.05)


@pytest.mark.parametrize("compiled", [False, True])
def test_training_is_the_same_to_the_bit(compiled: bool) -> None:
    """Weights, state of the optimiser and random state do not depend on the watch."""

    def trained(watched: bool) -> tuple[list[bytes], Any]:
        model = nn.Sequential(*small_model(), nn.Dropout(0.5))
        optimizer = torch.optim.Adam(model.parameters(), 1e-2)
        called = torch.compile(model, backend="aot_eager", fullgraph=True) if compiled else model
        with testing.temporary_run():
            watching = watch(model, log_every=2) if watched else None
            train(called, optimizer, 8)
            if watching is not None:
                watching.close()
        values = [*model.parameters(), *(one["exp_avg_sq"] for one in optimizer.state.values())]
        return [one.detach().numpy().tobytes() for one in values], torch.rand(1).item()

    assert trained(True) == trained(False)


def test_a_tied_weight_counts_once() -> None:
    """A parameter that two modules share, or whose memory two parameters share, is written under its first name."""
    model = nn.Sequential(nn.Linear(6, 6, bias=False), nn.Linear(6, 6, bias=False), nn.Linear(6, 6, bias=False))
    model[1].weight = model[0].weight
    model[2].weight.data = model[0].weight.data
    with testing.temporary_run() as temporary, watch(model):
        train(model, torch.optim.SGD(model.parameters(), 0.1), 1)
        weights = [key for key in temporary.view().histograms() if key.startswith("weights/")]
    assert weights == ["weights/0.weight"]


def test_calls_of_the_same_module_add_up() -> None:
    """A module that is called three times a step has one record, of all three outputs."""

    class Looping(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(6, 6)

        def forward(self, inputs: Any) -> Any:
            return self.layer(self.layer(self.layer(inputs)))

    model = Looping()
    with testing.temporary_run() as temporary, watch(model):
        train(model, torch.optim.SGD(model.parameters(), 0.1), 1)
        assert temporary.view().histogram("activations/layer").records[0].count == 3 * 16 * 6


def test_frozen_parameters_have_weights_only() -> None:
    """What has no gradient is written with what it holds, whether the optimiser has it or not."""
    model = small_model()
    model[0].weight.requires_grad_(False)
    model[2].weight.requires_grad_(False)
    trained = [model[0].weight, model[0].bias, model[2].bias]
    with testing.temporary_run() as temporary, watch(model):
        train(model, torch.optim.SGD(trained, 0.1), 2)
        view = temporary.view()
        keys = view.histograms()
        assert view.histogram("weights/2.weight").records[1].count == 16
    assert [f"weights/{name}.weight" in keys for name in (0, 2)] == [True, True]
    assert [key for key in keys if key.startswith("gradients/")] == ["gradients/0.bias", "gradients/2.bias"]


def test_modules_with_tuples_for_outputs() -> None:
    """Of recurrent and attention modules the first tensor counts, attention as one module."""

    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.recurrent = nn.LSTM(6, 8, batch_first=True)
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, inputs: Any) -> Any:
            states, _ = self.recurrent(inputs)
            return self.attention(states, states, states)

    model = Both()
    with testing.temporary_run() as temporary, watch(model):
        train(model, torch.optim.SGD(model.parameters(), 0.1), 1, lambda: torch.randn(4, 5, 6))
        view = temporary.view()
        assert [key for key in view.histograms() if key.startswith("activations/")] == [
            "activations/attention",
            "activations/recurrent",
        ]
        assert view.histogram("activations/recurrent").records[0].count == 4 * 5 * 8


def test_dead_units_are_units_that_never_fired() -> None:
    """A unit that is zero for every sample is dead; one that is often zero is not. A new epoch counts anew."""
    model = small_model()
    with torch.no_grad():
        model[0].bias[:3] = -100.0
    with testing.temporary_run() as temporary, watch(model, log_every=1) as watching:
        train(model, torch.optim.SGD(model.parameters(), 0.0), 2)
        watching.start_epoch()
        with torch.no_grad():
            model[0].bias[:2] = 100.0
        train(model, torch.optim.SGD(model.parameters(), 0.0), 1)
        assert temporary.view().metric("activations/1/dead_units").values.tolist() == [3, 3, 1]


def test_channels_are_the_units_of_a_picture() -> None:
    """Behind a convolution a dead unit is a channel that never fired."""
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU())
    with torch.no_grad():
        model[0].bias[1] = -100.0
    with testing.temporary_run() as temporary, watch(model):
        train(model, torch.optim.SGD(model.parameters(), 0.0), 1, lambda: torch.randn(2, 1, 8, 8))
        assert temporary.view().metric("activations/1/dead_units").values.tolist() == [1]


def test_saturation_is_the_share_near_the_bounds() -> None:
    """A tanh driven to its bounds is saturated, one near zero is not."""
    for scale, expected in ((1000.0, 1.0), (1e-3, 0.0)):
        model = nn.Sequential(nn.Linear(6, 8), nn.Tanh())
        with testing.temporary_run() as temporary, watch(model):
            train(model, torch.optim.SGD(model.parameters(), 0.0), 1, lambda scale=scale: scale * torch.randn(16, 6))
            found = temporary.view().metric("activations/1/saturation").values[0]
        assert found == pytest.approx(expected, abs=0.05)


def test_an_output_that_is_changed_in_place_is_seen_before() -> None:
    """An in-place ReLU does not take the negatives out of what the layer before it is said to have put out."""
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(inplace=True))
    with testing.temporary_run() as temporary, watch(model):
        train(model, torch.optim.SGD(model.parameters(), 0.0), 1)
        assert temporary.view().histogram("activations/0").records[0].min < 0


def test_rows_of_large_outputs_are_sampled() -> None:
    """Of an output of a million elements sixteen rows of the batch are read."""
    model = nn.Sequential(nn.Linear(6, 16_384))
    with testing.temporary_run() as temporary, watch(model):
        train(model, torch.optim.SGD(model.parameters(), 0.0), 1, lambda: torch.randn(64, 6))
        assert temporary.view().histogram("activations/0").records[0].count == 16 * 16_384


def test_evaluation_is_not_watched() -> None:
    """Outputs in evaluation mode belong to no step."""
    model = small_model()
    with testing.temporary_run() as temporary, watch(model):
        model.eval()(torch.randn(100, 6))
        model.train()
        train(model, torch.optim.SGD(model.parameters(), 0.1), 1)
        assert temporary.view().histogram("activations/0").records[0].count == 16 * 8


def test_steps_that_are_looked_into() -> None:
    """With a fixed period: the first three, and each multiple; histograms at their own period."""
    model = small_model()
    with testing.temporary_run() as temporary, watch(model, log_every=4, histogram_every=8, first_steps=3):
        train(model, torch.optim.SGD(model.parameters(), 0.1), 18)
        view = temporary.view()
        assert view.metric("weights/0.weight/norm").steps.tolist() == [0, 1, 2, 4, 8, 12, 16]
        assert view.metric("gradients/0.weight/norm").steps.tolist() == [0, 1, 2, 4, 8, 12, 16]
        assert view.histogram("weights/0.weight").steps.tolist() == [0, 8, 16]
        assert view.histogram("activations/0").steps.tolist() == [0, 8, 16]


def test_the_step_may_come_from_the_caller() -> None:
    """step= says where the points stand."""
    model = small_model()
    with testing.temporary_run() as temporary, watch(model, step=lambda: 1000):
        train(model, torch.optim.SGD(model.parameters(), 0.1), 1)
        assert temporary.view().metric("weights/0.weight/norm").steps.tolist() == [1000]


def test_a_loss_spike_is_looked_into() -> None:
    """The step after a loss far above its mean, or not finite, is logged whatever the period."""
    model = small_model()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with testing.temporary_run() as temporary, watch(model, log_every=1000, first_steps=3) as watching:
        for loss in (1.0, 1.0, 1.0, 1.0, 50.0, 1.0, float("nan"), 1.0):
            watching.note_loss(loss)
            train(model, optimizer, 1)
        assert temporary.view().metric("gradients/norm").steps.tolist() == [0, 1, 2, 5, 7]


def test_looks_that_are_too_dear_become_rarer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the overhead budget the period doubles, which is said once; a period that was fixed stays."""
    monkeypatch.setenv("BAROGRAPH_OVERHEAD_BUDGET", "1e-9")
    for log_every, expected in ((None, [0, 1, 2, 3]), (20, [0, 1, 2, 3, 20, 40, 60, 80, 100])):
        model = small_model()
        with testing.temporary_run() as temporary, watch(model, log_every=log_every):
            train(model, torch.optim.SGD(model.parameters(), 0.1), 102)
            view = temporary.view()
            assert view.metric("gradients/norm").steps.tolist() == expected
            assert [event.data["log_every"] for event in view.events("watch_widened")] == ([] if log_every else [100])


def test_without_a_run_nothing_happens() -> None:
    """A watched model trains on when no run is open, and is looked into once there is one."""
    model = small_model()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with watch(model, log_every=1):
        train(model, optimizer, 2)
        with testing.temporary_run() as temporary:
            train(model, optimizer, 3)
            assert temporary.view().metric("weights/0.weight/norm").steps.tolist() == [3, 4]
        train(model, optimizer, 1)


def test_run_watch_finds_the_integration() -> None:
    """run.watch(model) writes to that run; of a model that nobody knows it says so."""
    model = small_model()
    with testing.temporary_run() as temporary, barograph.init(store=temporary.run.store_path, quiet=True):
        with temporary.run.watch(model, log_every=5) as watching:
            train(model, torch.optim.SGD(model.parameters(), 0.1), 1)
        assert isinstance(watching, Watch)
        assert "weights/0.weight" in temporary.view().histograms()
        with pytest.raises(TypeError, match=r"nothing to watch a builtins\.dict"):
            temporary.run.watch({})
        with pytest.raises(ValueError, match="log_every must be at least 1 step, got 0"):
            temporary.run.watch(model, log_every=0)


def test_closing_removes_every_hook() -> None:
    """After close() neither model nor parameters nor optimiser nor torch itself holds anything of ours."""
    from torch.optim import optimizer as of_torch

    model = small_model()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with testing.temporary_run():
        for given in (None, optimizer):
            watching = watch(model, given)
            train(model, optimizer, 1)
            assert any(module._forward_hooks for module in model.modules())
            assert any(parameter._post_accumulate_grad_hooks for parameter in model.parameters())
            watching.close()
            assert not any(module._forward_hooks for module in model.modules())
            assert not any(parameter._post_accumulate_grad_hooks for parameter in model.parameters())
            assert not optimizer._optimizer_step_pre_hooks
            assert not optimizer._optimizer_step_post_hooks
            assert not of_torch._global_optimizer_pre_hooks
            assert not of_torch._global_optimizer_post_hooks


def test_a_module_that_is_not_looked_into_has_no_hook() -> None:
    """Between looks a call of a module costs what it costs without us."""
    model = small_model()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with testing.temporary_run(), watch(model, optimizer, log_every=100, first_steps=1):
        train(model, optimizer, 4)  # three are always looked into
        assert not any(module._forward_hooks for module in model.modules())


def test_nothing_is_kept_alive() -> None:
    """Outputs and gradients go when the training lets them go, and so do model and watch without a close()."""
    from torch.optim import optimizer as of_torch

    gone: list[weakref.ref[Any]] = []
    with testing.temporary_run():
        model = small_model()
        gone.append(weakref.ref(watch(model)))
        gone += [weakref.ref(one) for one in (model, *model.parameters())]
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        output = model(torch.randn(4, 6))
        output.sum().backward()
        optimizer.step()
        seen = [weakref.ref(output), *(weakref.ref(one.grad) for one in model.parameters())]
        optimizer.zero_grad()
        del output
        assert not any(one() is not None for one in seen)
        del model, optimizer
        gc.collect()
        assert not any(one() is not None for one in gone)
        assert not of_torch._global_optimizer_pre_hooks


def test_a_watched_model_can_be_copied_and_saved() -> None:
    """Copies are not watched, and a saved model needs nothing of ours to be loaded."""
    model = small_model()
    with testing.temporary_run() as temporary, watch(model):
        train(model, torch.optim.SGD(model.parameters(), 0.1), 1)
        saved = pickle.dumps(model)
        assert b"barograph" not in saved
        for other in (copy.deepcopy(model), pickle.loads(saved)):
            train(other, torch.optim.SGD(other.parameters(), 0.1), 2)
        assert temporary.view().metric("activations/0/mean").steps.tolist() == [0]


@pytest.mark.expects_guard
@pytest.mark.parametrize("broken", ["take", "add_gradients", "add_activations", "finish"])
def test_an_error_of_ours_does_not_reach_the_training(broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever of ours fails inside whichever hook, there is a warning and the training goes on."""
    from barograph.integrations.torch.look import Look
    from barograph.integrations.torch.taking import Taker

    def fail(*arguments: Any, **options: Any) -> None:
        raise ZeroDivisionError("ours")

    model = small_model()
    with testing.temporary_run(), watch(model, log_every=1) as watching:
        monkeypatch.setattr(Taker if broken == "take" else Look, broken, fail)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            train(model, torch.optim.SGD(model.parameters(), 0.1), 3)
        monkeypatch.undo()
        watching.close()
    assert any("training goes on" in str(one.message) for one in caught)


def test_switched_off_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """With BAROGRAPH_MODE=disabled no tensor is read."""
    from barograph.integrations.torch.taking import Taker

    monkeypatch.setenv("BAROGRAPH_MODE", "disabled")
    monkeypatch.setattr(Taker, "take", lambda *arguments: pytest.fail("something was taken"))
    model = small_model()
    with barograph.init(quiet=True) as run, run.watch(model):
        train(model, torch.optim.SGD(model.parameters(), 0.1), 2)


def test_values_that_are_not_finite_are_counted() -> None:
    """A gradient with NaN has its count written, and the rest of its figures from what is finite."""
    model = small_model()
    optimizer = torch.optim.SGD(model.parameters(), 0.0)
    with testing.temporary_run() as temporary, watch(model):
        model(torch.full((4, 6), torch.nan)).sum().backward()
        optimizer.step()
        view = temporary.view()
        assert view.metric("gradients/0.weight/not_finite").values.tolist() == [48]
        assert view.metric("activations/0/not_finite").values.tolist() == [32]
