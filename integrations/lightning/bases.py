"""The base classes of every installed Lightning package: `lightning` and `pytorch_lightning` each ship a copy of them.

A class that inherits from both is a real Callback or Logger to either Trainer: alone, in a list, and for LightningCLI.
Taking the package that was imported first would fail whenever the imports are sorted the other way.
"""

import importlib
import importlib.util
import types
from typing import Any

_PACKAGES = ("lightning.pytorch", "pytorch_lightning")  # 2.4 is the lowest version that is tested


def _installed() -> list[types.ModuleType]:
    found: list[types.ModuleType] = []
    problem: Exception | None = None
    for name in _PACKAGES:
        if importlib.util.find_spec(name.partition(".")[0]) is None:
            continue
        try:
            found.append(importlib.import_module(name))
        except Exception as error:  # noqa: BLE001  # one broken package must not take the other away
            problem = error
    if not found:
        raise ImportError(
            "barograph.integrations.lightning needs Lightning 2.4 or later: pip install 'barograph[lightning]'"
        ) from problem
    return found


_modules = _installed()
# new_class and not type(): the loggers' bases are abstract and bring their metaclass
Callback: Any = types.new_class("Callback", tuple(module.Callback for module in _modules))
Logger: Any = types.new_class("Logger", tuple(module.loggers.Logger for module in _modules))


def package_of(trainer: Any) -> types.ModuleType:
    """The package that a Trainer comes from, the user's subclasses of it included."""
    return next(module for module in _modules if isinstance(trainer, module.Trainer))


def dummy_experiment() -> Any:
    """Lightning's own stand-in for an experiment on processes that do not log: it takes every call and does nothing."""
    return _modules[0].loggers.logger.DummyExperiment()
