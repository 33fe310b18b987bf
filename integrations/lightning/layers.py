"""The layers of a model as a table: classes, shapes as the first batch showed them, and parameters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch import nn

from barograph.guard import guarded
from barograph.integrations.lightning.shadow import ForwardHook
from barograph.run import Run

_ROWS = 5_000  # layers listed in a summary
_COLUMNS = ("layer", "class", "input_shape", "output_shape", "parameters", "trainable_parameters")


class Shapes:
    """What goes into and out of every layer, seen at its first call; close() takes the hooks away.

    Runs nothing, so touches no random state. What torch.compile makes of a model is left whole: there are no shapes.
    """

    def __init__(self, module: nn.Module, run: Run) -> None:
        self.run = run
        self.seen: dict[str, tuple[str, str]] = {}
        self._handles = []
        for name, layer in _layers(module):
            self._handles.append(layer.register_forward_hook(ForwardHook(partial(self._look, name))))

    @guarded
    def _look(self, name: str, inputs: Any, output: Any) -> None:
        if name not in self.seen:
            self.seen[name] = shape_of(inputs), shape_of(output)

    def close(self) -> None:
        """Take the hooks away."""
        for handle in self._handles:
            handle.remove()
        self._handles = []


def shape_of(value: Any) -> str:
    """The shapes of the tensors in what a layer takes or gives; empty where there is none."""
    if isinstance(value, torch.Tensor) and value.is_nested:
        return "nested"
    if isinstance(value, torch.Tensor):
        return "x".join(map(str, value.shape)) or "scalar"
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, (tuple, list)) else ()
    return ", ".join(shape for part in parts if (shape := shape_of(part)))


def layer_table(module: nn.Module, shapes: Mapping[str, tuple[str, str]]) -> list[dict[str, Any]]:
    """A row for each layer: what it is, what it takes and gives, and how many parameters are its own."""
    rows = []
    for name, layer in _layers(module):
        own = list(layer.parameters(recurse=False))
        taken, given = shapes.get(name, ("", ""))
        trainable = count_elements(one for one in own if one.requires_grad)
        figures = (name, type(layer).__name__, taken, given, count_elements(own), trainable)
        rows.append(dict(zip(_COLUMNS, figures, strict=True)))
    return rows


def summarize_layers(module: nn.Module, shapes: Mapping[str, tuple[str, str]] | None = None) -> str:
    """The table as text, with the model's parameter counts below it."""
    rows = layer_table(module, shapes or {})
    counts = count_parameters(module)
    columns = [column for column in _COLUMNS if shapes or not column.endswith("_shape")]
    cells = [columns]
    cells += [[f"{one:,}" if isinstance(one := row[name], int) else one for name in columns] for row in rows[:_ROWS]]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    is_number = [name.endswith("parameters") for name in columns]
    lines = [
        "  ".join(
            f"{text:>{width}}" if right else f"{text:<{width}}"
            for text, width, right in zip(line, widths, is_number, strict=True)
        ).rstrip()
        for line in cells
    ]
    if len(rows) > _ROWS:
        lines.append(f"and {len(rows) - _ROWS:,} more layers")
    lines.append(f"{counts['parameters']:,} parameters, {counts['trainable_parameters']:,} of them trainable")
    return "\n".join(lines)


def count_parameters(module: nn.Module) -> dict[str, int]:
    """Elements of all parameters and of those that are trained, and the bytes that they take."""
    everything = list(module.parameters())
    return {
        "parameters": count_elements(everything),
        "trainable_parameters": count_elements(one for one in everything if one.requires_grad),
        "size_bytes": sum(count_elements([one]) * one.dtype.itemsize for one in everything),
    }


def count_types(module: nn.Module) -> dict[str, int]:
    """Elements of the parameters by their type."""
    counts: Counter[str] = Counter()
    for one in module.parameters():
        counts[str(one.dtype).removeprefix("torch.")] += count_elements([one])
    return dict(counts)


def count_elements(parameters: Any) -> int:
    """Elements of these parameters; a lazy layer has none before its first batch."""
    return sum(one.numel() for one in parameters if not nn.parameter.is_lazy(one))


def _layers(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The modules that hold parameters of their own or nothing else."""
    for name, layer in module.named_modules():
        if name and (next(layer.parameters(recurse=False), None) is not None or not any(layer.children())):
            yield name, layer
