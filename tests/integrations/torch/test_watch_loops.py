"""watch() in loops that do something to gradients, or to the order of things."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402  # needs torch
from torch._subclasses.fake_tensor import FakeTensorMode  # noqa: E402
from torch.utils.checkpoint import checkpoint  # noqa: E402

from barograph import testing  # noqa: E402
from barograph.integrations.torch import watch  # noqa: E402
from barograph.integrations.torch.taking import Taken, Taker  # noqa: E402
from barograph.reading import RunView  # noqa: E402


def small_model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2))


def batch(number: int = 0) -> Any:
    return torch.randn(16, 6, generator=torch.Generator().manual_seed(number))


def true_gradients(model: nn.Module, batches: int = 1) -> dict[str, float]:
    """The norms of the gradients of the model as it is, by name; the model is left without gradients."""
    for number in range(batches):
        (model(batch(number)).pow(2).mean() / batches).backward()
    norms = {name: float(one.grad.norm()) for name, one in model.named_parameters() if one.grad is not None}
    model.zero_grad()
    return norms


def written_gradients(view: RunView, names: Any) -> dict[str, float]:
    return {name: view.metric(f"gradients/{name}/norm").values[0] for name in names}


def assert_close(found: dict[str, float], expected: dict[str, float]) -> None:
    assert found.keys() == expected.keys()
    np.testing.assert_allclose(list(found.values()), list(expected.values()), rtol=1e-5)


def test_gradients_are_complete_under_accumulation() -> None:
    """Of four backward passes before a step the sum counts."""
    model = small_model()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    expected = true_gradients(model, 4)
    with testing.temporary_run() as temporary, watch(model):
        for number in range(4):
            (model(batch(number)).pow(2).mean() / 4).backward()
        optimizer.step()
        view = temporary.view()
        assert_close(written_gradients(view, expected), expected)
        assert view.histogram("gradients/0.weight").records[0].count == 48
        assert view.histogram("activations/0").records[0].count == 4 * 16 * 8


@pytest.mark.parametrize("clip", [torch.nn.utils.clip_grad_norm_, torch.nn.utils.clip_grad_value_])
def test_gradients_are_those_before_clipping(clip: Any) -> None:
    """Norms are of what backward left; what the optimiser saw, and the factor between them, stand beside it."""
    model = small_model()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    expected = true_gradients(model)
    with testing.temporary_run() as temporary, watch(model):
        model(batch()).pow(2).mean().backward()
        clip(model.parameters(), 0.01)
        seen = float(torch.cat([one.grad.reshape(-1) for one in model.parameters()]).norm())
        optimizer.step()
        view = temporary.view()
        assert_close(written_gradients(view, expected), expected)
        whole = float(np.linalg.norm(list(expected.values())))
        figures = [view.metric(f"gradients/{name}").values[0] for name in ("norm", "norm_clipped", "clip_factor")]
        np.testing.assert_allclose(figures, [whole, seen, seen / whole], rtol=1e-5)


def test_clipping_that_changes_nothing_has_factor_one() -> None:
    """A norm below the limit gives exactly 1; without clipping there is no factor."""
    model = small_model()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with testing.temporary_run() as temporary, watch(model):
        for clips in (False, True):
            optimizer.zero_grad()
            model(batch()).pow(2).mean().backward()
            if clips:
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1e9)
            optimizer.step()
        factor = temporary.view().metric("gradients/clip_factor")
    assert (factor.steps.tolist(), factor.values.tolist()) == ([1], [1.0])


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("clips", [False, True])
@pytest.mark.parametrize("scale", [1024.0, 1000.0])
def test_gradients_are_unscaled_under_a_scaler(fused: bool, clips: bool, scale: float) -> None:
    """The loss scale is taken out, whether the scaler, the user or a fused optimiser unscales; clipping is seen."""
    model = small_model()
    optimizer = torch.optim.Adam(model.parameters(), 0.1, fused=fused)
    scaler = torch.amp.GradScaler("cpu", init_scale=scale)
    expected = true_gradients(model)
    with testing.temporary_run() as temporary, watch(model):
        scaler.scale(model(batch()).pow(2).mean()).backward()
        if clips:
            scaler.unscale_(optimizer)
            torch.nn.utils.clip_grad_norm_(model.parameters(), 0.01)
        scaler.step(optimizer)
        scaler.update()
        view = temporary.view()
        assert_close(written_gradients(view, expected), expected)
        record = view.histogram("gradients/0.weight").records[0]
        assert record.quantiles(0.999) <= record.max < 1
        whole = float(np.linalg.norm(list(expected.values())))
        if clips:
            assert view.metric("gradients/clip_factor").values[0] == pytest.approx(0.01 / whole, rel=1e-3)
        else:
            assert "gradients/clip_factor" not in view.metrics()


def test_a_step_that_overflowed_is_no_step() -> None:
    """What the scaler skips is not written; the next step has its own gradients only."""
    model = small_model()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    expected = true_gradients(model)
    with testing.temporary_run() as temporary, watch(model):
        for factor in (torch.inf, 1.0):
            optimizer.zero_grad()
            scaler.scale(model(batch()).pow(2).mean() * factor).backward()
            scaler.step(optimizer)
            scaler.update()
        view = temporary.view()
        assert view.metric("gradients/norm").steps.tolist() == [0]
        assert_close(written_gradients(view, expected), expected)


def test_a_backward_pass_that_failed_leaves_no_trace() -> None:
    """After an error of the user's inside backward the next pass is read as usual."""

    class Failing(torch.autograd.Function):
        @staticmethod
        def forward(context: Any, inputs: Any) -> Any:
            return inputs.clone()

        @staticmethod
        def backward(context: Any, gradient: Any) -> Any:
            raise ZeroDivisionError("the user's own")

    model = small_model()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    expected = true_gradients(model)
    with testing.temporary_run() as temporary, watch(model):
        with pytest.raises(ZeroDivisionError):
            model[2](Failing.apply(model[:2](batch()))).pow(2).mean().backward()
        optimizer.zero_grad()
        model(batch()).pow(2).mean().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.01)
        optimizer.step()
        assert_close(written_gradients(temporary.view(), expected), expected)


@pytest.mark.parametrize("set_to_none", [True, False])
def test_gradients_that_are_taken_away_or_zeroed(set_to_none: bool) -> None:
    """Either way of zero_grad() gives the gradients of each step alone."""
    model = small_model()
    optimizer = torch.optim.SGD(model.parameters(), 0.0)
    expected = true_gradients(model)
    with testing.temporary_run() as temporary, watch(model):
        for _ in range(3):
            optimizer.zero_grad(set_to_none=set_to_none)
            model(batch()).pow(2).mean().backward()
            optimizer.step()
        values = temporary.view().metric("gradients/0.weight/norm").values
    np.testing.assert_allclose(values, [expected["0.weight"]] * 3, rtol=1e-5)


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.SparseAdam])
def test_sparse_gradients_count_with_their_zeros(kind: Any) -> None:
    """The gradient of a sparse embedding has the statistics of the whole table; a row that occurs twice is added up."""
    torch.manual_seed(0)
    model = nn.Embedding(50, 4, sparse=True)
    rows = torch.tensor([3, 3, 7])
    model(rows).pow(2).sum().backward()
    expected = model.weight.grad.to_dense()
    before = model.weight.detach().clone()
    model.zero_grad()
    with testing.temporary_run() as temporary, watch(model):
        model(rows).pow(2).sum().backward()
        kind(model.parameters(), lr=0.1).step()
        view = temporary.view()
        record = view.histogram("gradients/weight").records[0]
        ratio = view.metric("updates/weight/ratio").values[0]
        assert view.metric("gradients/weight/norm").values[0] == pytest.approx(float(expected.norm()), rel=1e-6)
    assert (record.count, record.zeros) == (200, 200 - 8)
    assert ratio == pytest.approx(float((model.weight.detach() - before).norm() / before.norm()), rel=1e-5)


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.LBFGS])
def test_gradients_that_come_within_the_step(kind: Any) -> None:
    """With a closure those of its last call count."""
    model = small_model()
    optimizer = kind(model.parameters(), lr=0.1)
    norms: list[float] = []

    def closure() -> Any:
        optimizer.zero_grad()
        loss = model(batch()).pow(2).mean()
        loss.backward()
        norms.append(float(model[0].weight.grad.norm()))
        return loss

    with testing.temporary_run() as temporary, watch(model):
        for _ in range(2):
            optimizer.step(closure)
        found = temporary.view().metric("gradients/0.weight/norm").values
    assert found[1] == pytest.approx(norms[-1], rel=1e-5)


def test_several_optimizers() -> None:
    """Of two that play against each other each has its own gradients, though both losses reach both halves."""
    torch.manual_seed(0)
    model = nn.ModuleDict({"maker": nn.Linear(6, 6), "judge": nn.Linear(6, 1)})
    makers = torch.optim.SGD(model["maker"].parameters(), 0.1)
    judges = torch.optim.SGD(model["judge"].parameters(), 0.1)
    norms: dict[str, list[float]] = {"maker": [], "judge": []}
    with testing.temporary_run() as temporary, watch(model, log_every=10, first_steps=3):
        for _ in range(12):
            made = model["maker"](batch())
            loss = model["judge"](made).pow(2).mean()
            makers.zero_grad()
            loss.backward()
            norms["maker"].append(float(model["maker"].weight.grad.norm()))
            makers.step()
            judges.zero_grad()
            (model["judge"](made.detach()) - 1).pow(2).mean().backward()
            norms["judge"].append(float(model["judge"].weight.grad.norm()))
            judges.step()
        view = temporary.view()
        for half, seen in norms.items():
            metric = view.metric(f"gradients/{half}.weight/norm")
            assert metric.steps.tolist() == [0, 1, 2, 10]
            np.testing.assert_allclose(metric.values, [seen[step] for step in metric.steps], rtol=1e-5)
        assert view.metric("gradients/norm").steps.tolist() == [0, 1, 2, 10]
        assert view.metric("gradients/optimizer1/norm").steps.tolist() == [0, 1, 2, 10]


def test_another_optimizer_goes_on_with_the_count() -> None:
    """One that takes over the parameters does not begin at step 0 again."""
    model = small_model()
    with testing.temporary_run() as temporary, watch(model, log_every=1):
        for _ in range(2):
            optimizer = torch.optim.SGD(model.parameters(), 0.1)
            for _ in range(2):
                optimizer.zero_grad()
                model(batch()).pow(2).mean().backward()
                optimizer.step()
        assert temporary.view().metric("gradients/norm").steps.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointing_runs_nothing_twice(reentrant: bool) -> None:
    """The forward pass that is run again for backward is not counted; gradients are complete."""
    model = small_model()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    expected = true_gradients(model)
    with testing.temporary_run() as temporary, watch(model):
        inputs = batch().requires_grad_(True)
        checkpoint(model, inputs, use_reentrant=reentrant).pow(2).mean().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.01)
        optimizer.step()
        view = temporary.view()
        assert view.histogram("activations/0").records[0].count == 16 * 8
        assert_close(written_gradients(view, expected), expected)


def test_data_parallel_counts_its_first_replica() -> None:
    """Wrapped, a model is watched under its own names; a copy on another device puts nothing in."""
    model = small_model()
    wrapped = nn.DataParallel(model)
    wrapped.device_ids = [-1]  # what get_device() says of the CPU: the first replica is here
    with testing.temporary_run() as temporary:
        for devices, expected in (([-1], 16 * 8), ([5], None)):
            wrapped.device_ids = devices
            with watch(wrapped):
                model(batch()).pow(2).mean().backward()
                torch.optim.SGD(model.parameters(), 0.1).step()
            keys = temporary.view().histograms()
            assert "weights/0.weight" in keys
            if expected is not None:
                assert temporary.view().histogram("activations/0").records[0].count == expected
        assert temporary.view().histogram("activations/0").steps.tolist() == [0]


@pytest.mark.parametrize("before", [True, False])
def test_a_compiled_model_is_left_whole(before: bool) -> None:
    """Whether watched before or after compiling: one graph, compiled once, weights and gradients; and a word on why
    there are no activations."""
    model = small_model()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    torch._dynamo.reset()
    with testing.temporary_run() as temporary, torch._dynamo.config.patch(error_on_recompile=True):
        watching = watch(model, log_every=3) if before else None
        called = torch.compile(model, backend="aot_eager", fullgraph=True)
        watching = watching or watch(called, log_every=3)
        with watching:
            for _ in range(7):
                optimizer.zero_grad()
                called(batch()).pow(2).mean().backward()
                optimizer.step()
        view = temporary.view()
        assert view.metric("gradients/0.weight/norm").steps.tolist()[-2:] == [3, 6]
        assert view.metric("weights/0.weight/norm").steps.tolist()[-2:] == [3, 6]
        (started,) = view.events("watch_start")
    assert started.data["modules_unseen_first"] == ["0", "1", "2"]
    assert "torch.compile" in started.data["modules_unseen_reason"]


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("made_by", [partial(torch.compile, backend="eager", fullgraph=True), torch.jit.script])
def test_a_compiled_part_is_left_whole(made_by: Callable[[torch.nn.Module], torch.nn.Module]) -> None:
    """Where torch.compile or TorchScript made one module, the others' activations are seen, under their own names."""
    model = small_model()
    model[0] = made_by(model[0])
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with testing.temporary_run() as temporary, watch(model):
        model(batch()).pow(2).mean().backward()
        optimizer.step()
        view = temporary.view()
        keys = view.histograms()
        (started,) = view.events("watch_start")
    assert {"weights/0.weight", "gradients/0.weight", "activations/1", "activations/2"} <= set(keys)
    assert started.data["modules_unseen_first"] == ["0"]


def test_batches_of_half_precision() -> None:
    """Under autocast and with bfloat16 weights everything is read in its own precision."""
    model = small_model().to(torch.bfloat16)
    optimizer = torch.optim.SGD(model.parameters(), 0.5)
    before = model[0].weight.detach().clone().float()
    with testing.temporary_run() as temporary, watch(model):
        model(batch().to(torch.bfloat16)).pow(2).mean().backward()
        expected = float(model[0].weight.grad.float().norm())
        optimizer.step()
        view = temporary.view()
        assert view.metric("gradients/0.weight/norm").values[0] == pytest.approx(expected, rel=1e-3)
        moved = (model[0].weight.detach().float() - before).norm() / before.norm()
        assert view.metric("updates/0.weight/ratio").values[0] == pytest.approx(float(moved), rel=1e-5)


def test_a_model_that_is_traced_or_transformed_is_passed_over() -> None:
    """torch.func, export and fake tensors work on a watched model, and put nothing into its record."""
    model = small_model()
    parameters = dict(model.named_parameters())
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with testing.temporary_run() as temporary, watch(model):
        torch.func.vmap(lambda row: torch.func.functional_call(model, parameters, (row,)))(batch())
        torch.export.export(model, (batch(),))
        with FakeTensorMode(allow_non_fake_inputs=True):
            model(torch.randn(16, 6))
        model(batch()).pow(2).mean().backward()
        optimizer.step()
        assert temporary.view().histogram("activations/0").records[0].count == 16 * 8


def test_parameters_that_come_to_be_with_the_first_batch() -> None:
    """A lazy module is watched from its first step on."""
    model = nn.Sequential(nn.LazyLinear(4))
    with testing.temporary_run() as temporary, watch(model):
        model(batch())
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        for _ in range(2):
            optimizer.zero_grad()
            model(batch()).pow(2).mean().backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1e-3)
            optimizer.step()
        values = temporary.view().metric("gradients/0.weight/norm").values
    assert len(values) == 2
    assert values[1] > 1e-3


def test_what_arrives_later_is_written_at_its_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Statistics that are on their way from a device when the step ends come to the same points as others."""
    on_their_way: list[Taken] = []
    take = Taker.take

    def take_slowly(self: Taker, *arguments: Any) -> Taken:
        taken = take(self, *arguments)
        taken.missing += 1
        on_their_way.append(taken)
        return taken

    def poll(self: Taker) -> None:
        for taken in [on_their_way.pop(0) for _ in range(len(on_their_way) // 2 + 1) if on_their_way]:
            taken.arrive()

    def points(late: bool) -> dict[str, Any]:
        if late:
            monkeypatch.setattr(Taker, "take", take_slowly)
            monkeypatch.setattr(Taker, "poll", poll)
            monkeypatch.setattr(Taker, "pending", property(lambda self: len(on_their_way)))
        model = small_model()
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        scaler = torch.amp.GradScaler("cpu", init_scale=64.0)
        with testing.temporary_run() as temporary:
            with watch(model):
                for number in range(3):
                    optimizer.zero_grad()
                    scaler.scale(model(batch(number)).pow(2).mean()).backward()
                    scaler.unscale_(optimizer)
                    torch.nn.utils.clip_grad_norm_(model.parameters(), 0.01)
                    scaler.step(optimizer)
                    scaler.update()
            view = temporary.view()
            keys = [key for key in view.metrics() if not key.startswith("system/")]
            return {key: (view.metric(key).steps.tolist(), view.metric(key).values.tolist()) for key in keys}

    expected = points(late=False)
    assert points(late=True) == expected
    assert expected["gradients/clip_factor"][0] == [0, 1, 2]


def test_a_caller_may_tell_the_steps_itself() -> None:
    """With attach=False nothing hangs on parameters or optimisers; gradients told to be final are taken as they are."""
    model = small_model()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    expected = true_gradients(model)
    with testing.temporary_run() as temporary, watch(model, attach=False, step=lambda: 7) as watching:
        model(batch()).pow(2).mean().backward()
        watching.before_step(optimizer, gradients_are_final=True)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.01)
        optimizer.step()
        watching.after_step(optimizer)
        assert not optimizer._optimizer_step_post_hooks
        assert not any(one._post_accumulate_grad_hooks for one in model.parameters())
        view = temporary.view()
        assert_close(written_gradients(view, expected), expected)
        factor = view.metric("gradients/clip_factor")
    assert factor.steps.tolist() == [7]
    assert factor.values[0] == pytest.approx(0.01 / np.linalg.norm(list(expected.values())), rel=1e-3)
