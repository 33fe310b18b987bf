"""What the modules of a model put out: statistics of leaf modules' outputs, taken inside the forward pass."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import is_in_torch_dispatch_mode
from torch.utils.hooks import RemovableHandle

from barograph.guard import guarded
from barograph.integrations.torch.parameters import clean_name, local_part
from barograph.integrations.torch.taking import Key, Taken, Taker
from barograph.run import Run
from barograph.tensors.points import ACTIVATIONS

_WHOLE_UP_TO = 1 << 18  # elements of an output; of larger ones evenly spread rows of the batch are taken
_LEAST_ROWS = 16
_HELD_BYTES = 64 * 1024 * 1024  # of copies on a device, until one launch has read them
_RECTIFIERS = (nn.ReLU, nn.ReLU6, nn.Threshold)
_BOUNDS: dict[type[nn.Module], tuple[float, float]] = {
    nn.Sigmoid: (0.0, 1.0),
    nn.Tanh: (-1.0, 1.0),
    nn.Hardtanh: (-1.0, 1.0),
    nn.Hardsigmoid: (0.0, 1.0),
    nn.Softsign: (-1.0, 1.0),
}
_NEAR = 0.01  # of the range: an output so close to its bound is saturated
_SATURATION_SAMPLE = 65_536
_is_tracing = torch.compiler.is_dynamo_compiling


class Activations:
    """Forward hooks on the leaf modules of a model, there only while a step is looked into: others pay nothing.

    Outputs of training mode only. Calls of the same module add up. A call inside a backward pass (checkpointing runs
    the forward again), one that torch.compile traces and those of all replicas of DataParallel but the first are passed
    over; one that was never seen keeps its hook, for torch.compile makes a graph anew when hooks come or go.
    Nothing is kept of an output but numbers; on a device, copies of sampled rows until the end of the step.
    """

    def __init__(self, model: nn.Module, taker: Taker, run: Callable[[], Run | None], device: int | None) -> None:
        """device: the only one whose outputs count, where replicas of the model run on several."""
        self.is_armed = False
        self.sampling = 0
        self.unseen: set[str] = set()  # modules that have put out nothing while armed
        self._taker, self._run, self._device = taker, run, device
        self._taken: list[Taken] = []
        self._held: list[tuple[Key, torch.Tensor]] = []
        self._held_bytes = 0
        self._saturation: dict[str, list[torch.Tensor]] = {}
        self._fired: dict[str, torch.Tensor] = {}
        # An idle hook costs 1.2 us a call, nearly all of it torch's; these are weak, for a watch keeps no model alive.
        self._hooks = [(weakref.ref(module), _Hook(self, name, module)) for name, module in _leaves(model)]
        self._handles: dict[str, RemovableHandle] = {}
        self.unseen.update(hook.name for _, hook in self._hooks)

    @property
    def run(self) -> Run | None:
        """The run that is written to."""
        return self._run()

    def arm(self, sampling: int) -> None:
        """Look at every call from here on. sampling: as for `Taker.take()`."""
        self.is_armed, self.sampling = True, sampling
        for ref, hook in self._hooks:
            module = None if hook.name in self._handles else ref()
            if module is not None and not isinstance(module, torch.jit.ScriptModule):  # which takes no hooks
                self._handles[hook.name] = module.register_forward_hook(hook)

    def disarm(self) -> None:
        """Look at no call any more."""
        self.is_armed = False
        for name in self._handles.keys() - self.unseen:
            self._handles.pop(name).remove()

    def close(self) -> None:
        """Take every hook away."""
        self.unseen = set()
        self.disarm()

    def start_epoch(self) -> None:
        """Forget which units have fired."""
        self._fired = {}

    def collect(self) -> tuple[list[Taken], list[tuple[Key, torch.Tensor]], dict[str, torch.Tensor]]:
        """What the armed calls gave since the last time: statistics, copies on a device to take them of, and scalars.

        Scalars by key: saturation, and dead_units: how many have put out nothing above zero since the epoch began, in
        as much as was looked at.
        """
        shares = {f"{ACTIVATIONS}/{name}/saturation": torch.stack(one).mean() for name, one in self._saturation.items()}
        dead = {f"{ACTIVATIONS}/{name}/dead_units": (~fired).sum() for name, fired in self._fired.items()}
        scalars = shares | dead
        found = self._taken, self._held, scalars
        self._taken, self._held, self._saturation, self._held_bytes = [], [], {}, 0
        return found

    @guarded
    def look(self, name: str, output: Any, is_rectifier: bool, bounds: tuple[float, float] | None) -> None:
        """Take the statistics of what a module has put out."""
        first = _first_tensor(output)
        tensor = None if first is None else local_part(first)
        if tensor is None or not _has_numbers(tensor) or self._device not in (None, tensor.get_device()):
            return
        self.unseen.discard(name)
        rows = _some_rows(tensor)
        if rows.device.type == "cpu":
            self._taken.append(self._taker.take([(ACTIVATIONS, name)], [rows], self.sampling))
        elif self._held_bytes + rows.numel() * rows.element_size() <= _HELD_BYTES:
            self._held.append(((ACTIVATIONS, name), rows.clone()))
            self._held_bytes += rows.numel() * rows.element_size()
        if is_rectifier and rows.ndim > 1:
            units = 1 if rows.ndim > 3 else rows.ndim - 1  # (N, C, H, W) has its units in C, (N, ..., F) in F
            fired = rows.amax([axis for axis in range(rows.ndim) if axis != units]) > 0
            before = self._fired.get(name)
            self._fired[name] = fired if before is None or before.shape != fired.shape else before | fired
        if bounds is not None:
            low, high = bounds
            margin = _NEAR * (high - low)
            sample = rows[: max(1, len(rows) * _SATURATION_SAMPLE // rows.numel())] if rows.ndim else rows
            share = ((sample <= low + margin) | (sample >= high - margin)).float().mean()
            self._saturation.setdefault(name, []).append(share)


class _Hook:
    """The hook of one module. A copy of the module, and one that is loaded from a file, has one that does nothing."""

    def __init__(self, activations: Activations, name: str, module: nn.Module) -> None:
        self._activations, self.name = activations, name
        self._is_rectifier, self._bounds = isinstance(module, _RECTIFIERS), _BOUNDS.get(type(module))

    def __call__(self, module: nn.Module, inputs: Any, output: Any) -> None:
        # while torch.compile traces, the first test is a constant: the graph stays whole and holds nothing of us
        if _is_tracing() or not self._activations.is_armed:
            return
        if module.training and torch._C._current_graph_task_id() == -1:
            self._activations.look(self.name, output, self._is_rectifier, self._bounds)

    def __reduce__(self) -> tuple[Any, ...]:
        # a function of the standard library, so that a saved model can be loaded where we are not installed
        return getattr, (nullcontext(), "__exit__")


def _leaves(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The modules within which no other is called that has an output of its own to show."""
    inside: set[nn.Module] = set()
    for name, module in model.named_modules():
        children = dict(module.named_children())
        if isinstance(module, nn.MultiheadAttention):  # reads the weights of its parts without calling them
            inside.update(children.values())
            children.clear()
        parametrizations = children.pop("parametrizations", None)  # they put out weights
        if parametrizations is not None:
            inside.update(parametrizations.modules())
        if not children and module not in inside:
            yield clean_name(name) or type(module).__name__, module


def _first_tensor(output: Any) -> torch.Tensor | None:
    """The first tensor of numbers in whatever a module puts out: RNN and attention modules give tuples."""
    if isinstance(output, torch.Tensor):
        return output if output.is_floating_point() and not output.is_nested else None
    parts = output.values() if isinstance(output, dict) else output if isinstance(output, (tuple, list)) else ()
    return next((found for part in parts if (found := _first_tensor(part)) is not None), None)


def _has_numbers(tensor: torch.Tensor) -> bool:
    """Whether there is something to read: not while the model is traced, exported or transformed by torch.func."""
    return (
        type(tensor) in (torch.Tensor, nn.Parameter)
        and tensor.numel() > 0
        and not torch.compiler.is_compiling()
        and not torch.jit.is_tracing()
        and not is_in_torch_dispatch_mode()  # selective checkpointing counts operations: none of ours may come between
        and not torch._C._functorch.is_functorch_wrapped_tensor(tensor)
    )


def _some_rows(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor, or of a large one evenly spread rows of the batch, at least _LEAST_ROWS."""
    if tensor.numel() <= _WHOLE_UP_TO or tensor.ndim < 2:
        return tensor
    count = max(_LEAST_ROWS, tensor.shape[0] * _WHOLE_UP_TO // tensor.numel())
    return tensor[:: max(1, tensor.shape[0] // count)]
