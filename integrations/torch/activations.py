"""What the modules of a model put out: statistics of leaf modules' outputs, taken inside the forward pass."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from barograph.integrations.torch.statistics import of_tensors
from barograph.tensors.statistics import Statistics

_WHOLE_UP_TO = 1 << 18  # elements of an output; of larger ones evenly spread rows of the batch are taken
_LEAST_ROWS = 16
_HELD_BYTES = 64 * 1024 * 1024  # of copies on a device, until one launch has read them
_RECTIFIERS = (nn.ReLU, nn.ReLU6, nn.Threshold)
_BOUNDS: dict[type[nn.Module], tuple[float, float]] = {
    nn.Sigmoid: (0.0, 1.0), nn.Tanh: (-1.0, 1.0), nn.Hardtanh: (-1.0, 1.0), nn.Hardsigmoid: (0.0, 1.0),
    nn.Softsign: (-1.0, 1.0),
}  # fmt: skip
_NEAR = 0.01  # of the range: an output so close to its bound is saturated
_SATURATION_SAMPLE = 65_536


class Activations:
    """Forward hooks on the leaf modules of a model, attached once; unless armed, one flag is tested a call.

    Outputs of training mode only. Calls of the same module add up. A call inside a backward pass (checkpointing runs
    the forward again) and one that torch.compile traces are passed over. Nothing is kept of an output but numbers;
    on a device, copies of its sampled rows until `collect` reads them in one launch.
    """

    def __init__(self, model: nn.Module, failed: Callable[[Exception], None]) -> None:
        self.armed = False
        self.spent_s = 0.0
        self._failed = failed
        self._records: dict[str, Statistics] = {}
        self._saturation: dict[str, list[float]] = {}
        self._fired: dict[str, torch.Tensor] = {}
        self._held: dict[str, list[torch.Tensor]] = {}
        self._held_bytes = 0
        self.dropped = 0
        self.sampling = 0
        self._handles = [
            module.register_forward_hook(self._hook(name, module))
            for name, module in model.named_modules()
            if name and not any(True for _ in module.children())
        ]

    def close(self) -> None:
        """Take the hooks away."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def start_epoch(self) -> None:
        """Forget which units have fired."""
        self._fired = {}

    def collect(self) -> tuple[dict[str, Statistics], dict[str, list[torch.Tensor]], dict[str, float]]:
        """What the armed calls gave since the last time: statistics, copies on a device, and further scalars.

        Scalars by `<module>/<what>`: saturation, and dead_units: how many have put out nothing above zero since the
        epoch began.
        """
        scalars = {f"{name}/saturation": sum(shares) / len(shares) for name, shares in self._saturation.items()}
        scalars |= {
            f"{name}/dead_units": float(fired.numel() - int(fired.sum()))
            for name, fired in self._fired.items()
            if fired.device.type == "cpu"
        }
        found = self._records, self._held, scalars
        self._records, self._held, self._saturation, self._held_bytes = {}, {}, {}, 0
        return found

    def _hook(self, name: str, module: nn.Module) -> Callable[[nn.Module, Any, Any], None]:
        is_rectifier = isinstance(module, _RECTIFIERS)
        bounds = _BOUNDS.get(type(module))

        def look(module: nn.Module, inputs: Any, output: Any) -> None:
            # while torch.compile traces, the first test is a constant: the graph stays whole and holds nothing of us
            if torch.compiler.is_compiling() or not self.armed:
                return
            if not module.training or torch._C._current_graph_task_id() != -1:
                return
            start = time.perf_counter()
            try:
                tensor = _first_tensor(output)
                if tensor is not None and tensor.numel():
                    self._look(name, tensor.detach(), is_rectifier, bounds)
            except Exception as error:  # noqa: BLE001  # told by the watch as one of ours
                self._failed(error)
            self.spent_s += time.perf_counter() - start

        return look

    def _look(self, name: str, tensor: torch.Tensor, is_rectifier: bool, bounds: tuple[float, float] | None) -> None:
        rows = _some_rows(tensor)
        if tensor.device.type == "cpu":
            record = of_tensors([rows], sampling=self.sampling)[0]
            self._records[name] = self._records[name] + record if name in self._records else record
        elif self._held_bytes + rows.numel() * rows.element_size() <= _HELD_BYTES:
            self._held.setdefault(name, []).append(rows.clone())
            self._held_bytes += rows.numel() * rows.element_size()
        else:
            self.dropped += 1
        if is_rectifier:
            dimension = 1 if rows.ndim >= 4 else rows.ndim - 1  # (N, C, H, W) has its units in C, (N, ..., F) in F
            others = [axis for axis in range(rows.ndim) if axis != dimension]
            fired = (rows > 0).any(dim=others) if others else rows > 0
            before = self._fired.get(name)
            self._fired[name] = fired if before is None or before.shape != fired.shape else before | fired
        if bounds is not None and tensor.device.type == "cpu":
            flat = rows.reshape(-1)
            sample = flat[:: max(1, flat.numel() // _SATURATION_SAMPLE)]
            low, high = bounds
            margin = _NEAR * (high - low)
            share = ((sample <= low + margin) | (sample >= high - margin)).float().mean().item()
            self._saturation.setdefault(name, []).append(share)


def _first_tensor(output: Any) -> torch.Tensor | None:
    """The first tensor of numbers in whatever a module puts out: RNN and attention modules give tuples."""
    if isinstance(output, torch.Tensor):
        return output if output.is_floating_point() else None
    parts = output.values() if isinstance(output, dict) else output if isinstance(output, (tuple, list)) else ()
    return next((found for part in parts if (found := _first_tensor(part)) is not None), None)


def _some_rows(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor, or of a large one evenly spread rows of the batch, at least _LEAST_ROWS."""
    if tensor.numel() <= _WHOLE_UP_TO or tensor.ndim < 2:
        return tensor
    count = max(_LEAST_ROWS, tensor.shape[0] * _WHOLE_UP_TO // tensor.numel())
    return tensor[:: max(1, tensor.shape[0] // count)]
