"""Counting what a training step multiplies and adds, without changing a bit of what it computes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import FunctionType, MethodType
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode, _get_current_dispatch_mode

# Parts of the names of operations that multiply matrices, whether or not torch knows a formula for them.
_MULTIPLY = frozenset(
    "mm addmm bmm baddbmm matmul einsum linear conv1d conv2d conv3d convolution attention rnn lstm gru".split()
)
# Their gradients are computed in another way, with other last digits, while any mode looks on: FunctionsManual.cpp of
# torch asks whether one is there.
_DERIVED_OTHERWISE = ("prod", "cumprod", "linalg_det")
_COMPILED = "torch.compile is in use, and what it makes of a model cannot be looked into"


class FlopCounter(TorchDispatchMode):  # type: ignore[misc]  # torch does not annotate it
    """Adds up the floating point operations between begin() and end(), by the formulas of torch.utils.flop_counter.

    Those count what multiplies matrices: twice rows times columns times depth. Each operation runs as it would have;
    torch's own FlopCounterMode takes some apart in Python, with other random numbers. What is computed again for
    activation checkpointing counts, too. problem: why the sum is not whole; None if it is.
    """

    supports_higher_order_operators = True

    def __init__(self) -> None:
        # takes a quarter of a second to import, so only who counts does
        from torch.utils.flop_counter import flop_registry

        super().__init__()
        self.flops = 0
        self.problem: str | None = None
        self._is_on = False
        self._compiled: dict[str, int] = {}
        aten = torch.ops.aten
        self._formulas: dict[Any, Any] = {
            **flop_registry,
            aten._scaled_dot_product_flash_attention_for_cpu: flop_registry[aten._scaled_dot_product_flash_attention],
            aten._scaled_dot_product_flash_attention_for_cpu_backward: flop_registry[
                aten._scaled_dot_product_flash_attention_backward
            ],
        }

    @classmethod
    def is_infra_mode(cls) -> bool:
        """Torch's word for modes that torch.compile may work under; under others it leaves code as it is, or raises."""
        return True

    def begin(self) -> None:
        """Count from here on, on this thread and on those that autograd uses for it."""
        self._compiled = _compiled_so_far()
        self.__enter__()
        self._is_on = True

    def before_backward(self) -> None:
        """Leave a backward pass alone that would not be the same."""
        if self.problem is not None:
            self.end()

    def end(self) -> None:
        """Count no more; what stands above in the stack of modes is the user's, and left."""
        if self._is_on and _get_current_dispatch_mode() is self:
            self._is_on = False
            self.__exit__(None, None, None)
            if self._compiled != _compiled_so_far():
                self.problem = _COMPILED

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if self.problem is None:
            try:
                self._count(func, types, args, kwargs, result)
            except Exception as error:  # noqa: BLE001  # a formula that these arguments do not fit
                self.problem = f"{func}: {type(error).__name__}: {error}"
        return result

    def _count(self, func: Any, types: Any, args: Any, kwargs: Any, result: Any) -> None:
        if not isinstance(func, torch._ops.OpOverload):
            self.problem = f"the model uses {func}"
            return
        packet = func._overloadpacket
        name = packet.__name__.lstrip("_")
        formula = self._formulas.get(packet)
        if name in _DERIVED_OTHERWISE and torch.is_grad_enabled():
            self.problem = f"while it is counted, the gradient of {name} would be computed in another way"
        elif formula is None:
            if not _MULTIPLY.isdisjoint(name.split("_")):
                self.problem = (
                    f"torch has no formula for {packet}" + " in inference mode" * torch.is_inference_mode_enabled()
                )
        elif types:
            self.problem = f"the tensors are of a class of their own ({next(iter(types)).__name__})"
        else:
            self.flops += int(formula(*args, **kwargs, out_val=result))


def reason_against(module: torch.nn.Module) -> str | None:
    """Why the operations of a module cannot be counted; None if they can."""
    if any(isinstance(part, torch.jit.ScriptModule) for part in module.modules()):
        return "a part of the model is compiled by torch.jit"
    if "torch._dynamo" in sys.modules and any(map(_is_compiled, _within_reach(module))):
        return _COMPILED
    return None


def _within_reach(module: torch.nn.Module) -> Iterator[object]:
    """What the parts of a module have, and what is a name where their classes are written."""
    parts = list(module.modules())
    classes = {kind for part in parts for kind in type(part).__mro__}
    yield from parts
    for part in parts:
        yield from list(vars(part).values())
    for kind in classes:
        yield from vars(kind).values()
    for name in {kind.__module__ for kind in classes}:
        found = list(vars(sys.modules.get(name, torch)).items())
        yield from (value for named, value in found if not named.startswith("__"))  # as what Dynamo leaves there


def _is_compiled(value: object) -> bool:
    if isinstance(value, torch.nn.Module):
        return type(value).__name__ == "OptimizedModule"
    is_wrapped = isinstance(value, (FunctionType, MethodType)) and hasattr(value, "_torchdynamo_orig_callable")
    return is_wrapped and not getattr(value, "_torchdynamo_disable", False)  # which keeps the compiler out


def _compiled_so_far() -> dict[str, int]:
    """Torch's own count of what torch.compile has made; empty before it is used."""
    found = sys.modules.get("torch._dynamo.utils")
    return dict(found.counters["stats"]) if found is not None else {}
