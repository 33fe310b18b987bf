"""What the optimisers of a model say of themselves: their learning rates, and how many batches they have seen."""

from __future__ import annotations

from typing import Any

import keras

from barograph.integrations.keras.taking import on_host


def optimizers_of(model: Any) -> dict[str, Any]:  # Any, throughout: a user's model may hold anything
    """Name to optimiser: "default" is the one of compile(), others are attributes for a train_step of their own."""
    found = {} if getattr(model, "optimizer", None) is None else {"default": model.optimizer}
    for name, value in getattr(model, "__dict__", {}).items():
        if isinstance(value, keras.optimizers.Optimizer) and value is not found.get("default"):
            found[name] = value
    return found


def learning_rates(model: Any) -> dict[str, float]:
    """`lr/<name>` to the rate in force. Ask between epochs only: inside one a model on jax does not hold its state."""
    rates = {}
    for name, optimizer in optimizers_of(model).items():
        parts = getattr(optimizer, "optimizers", None)  # of a MultiOptimizer
        for part_name, part in {one.name: one for one in parts}.items() if parts else [(name, optimizer)]:
            rate = getattr(part, "learning_rate", None)  # nothing obliges what a user compiles with to have one
            if rate is not None:
                rates[f"lr/{part_name}"] = number(rate)
    return rates


def scheduled_rates(model: Any, iteration: int) -> dict[str, float]:
    """`lr/default` at an iteration, if a schedule decides it: worked out from the schedule, which needs no state."""
    optimizer = getattr(model, "optimizer", None)
    schedule = getattr(getattr(optimizer, "inner_optimizer", optimizer), "_learning_rate", None)
    if not isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
        return {}
    return {"lr/default": number(schedule(iteration))}


def iterations(model: Any) -> int | None:
    """Batches that the optimiser has seen; None if there is no optimiser. Ask between epochs only."""
    optimizer = getattr(model, "optimizer", None)
    # Under mixed precision the inner one counts; with accumulation the public count is that of the updates.
    count = getattr(getattr(optimizer, "inner_optimizer", optimizer), "_iterations", None)
    return None if count is None else int(number(count))


def number(value: Any) -> float:
    """A scalar of the back end, or anything like a number, as a float."""
    value = value.value if isinstance(value, keras.Variable) else value
    return float(on_host(value)) if keras.ops.is_tensor(value) else float(value)
