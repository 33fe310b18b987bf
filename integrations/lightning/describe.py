"""What a training was set up with: model, data, optimisers, schedulers and the whole Trainer."""

from __future__ import annotations

import os
import types
from collections import Counter
from collections.abc import Mapping
from typing import Any

import torch

from barograph.integrations.lightning.bases import package_of
from barograph.integrations.lightning.data import flattened, length
from barograph.integrations.lightning.ends import is_a
from barograph.integrations.lightning.layers import count_elements, count_parameters, count_types

# Arguments of Trainer() that it keeps under the same name, or can tell under it.
_TRAINER = (
    "max_epochs", "min_epochs", "max_steps", "min_steps", "limit_train_batches", "limit_val_batches",
    "limit_test_batches", "limit_predict_batches", "overfit_batches", "fast_dev_run", "val_check_interval",
    "check_val_every_n_epoch", "num_sanity_val_steps", "log_every_n_steps", "accumulate_grad_batches",
    "gradient_clip_val", "reload_dataloaders_every_n_epochs", "precision", "barebones", "num_nodes", "num_devices",
    "world_size", "default_root_dir", "enable_autolog_hparams", "device_ids",
)  # fmt: skip
_LOADER = ("batch_size", "num_workers", "drop_last", "pin_memory", "persistent_workers", "prefetch_factor")
_PLAIN = (str, int, float, bool, type(None))
_PARTS = 200  # of a setting that is a collection; a callback may keep whole predictions


def describe_setup(trainer: Any, module: Any) -> dict[str, Any]:
    """The configuration known before the first batch, in sections."""
    package = package_of(trainer)
    optimizers = {label: _optimizer(one) for label, one in labelled(trainer.optimizers).items()}
    schedulers = [_scheduler_config(config) for config in trainer.lr_scheduler_configs]
    return {
        "model": _model(module),
        "data": _datamodule(trainer.datamodule),
        "trainer": describe_trainer(trainer),
        **({"optimizer": optimizers} if optimizers else {}),
        **({"scheduler": schedulers} if schedulers else {}),
        "framework": {
            "name": package.__name__.partition(".")[0],
            "version": package.__version__,
            "torch": torch.__version__,
            "backend": "torch",
        },
    }


def describe_trainer(trainer: Any) -> dict[str, Any]:
    """Every setting of the Trainer as it is in force, its callbacks and plugins with theirs."""
    found = {name: getattr(trainer, name, None) for name in _TRAINER}
    algorithm = getattr(trainer, "gradient_clip_algorithm", None)
    connector = getattr(trainer, "_accelerator_connector", None)
    return {
        **found,
        "accelerator": type(trainer.accelerator).__name__,
        "strategy": type(trainer.strategy).__name__,
        "precision_plugin": type(trainer.precision_plugin).__name__,
        "gradient_clip_algorithm": getattr(algorithm, "value", algorithm),
        "seed": os.environ.get("PL_GLOBAL_SEED"),  # where seed_everything() leaves it
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "benchmark": torch.backends.cudnn.benchmark,
        "detect_anomaly": getattr(trainer, "_detect_anomaly", None),
        "inference_mode": getattr(trainer.test_loop, "inference_mode", None),
        "sync_batchnorm": getattr(trainer.strategy, "_layer_sync", None) is not None,
        "enable_checkpointing": bool(trainer.checkpoint_callbacks),
        "enable_progress_bar": trainer.progress_bar_callback is not None,
        "enable_model_summary": any(is_a(one, "modelsummary") for one in trainer.callbacks),
        "max_time": next((getattr(one, "_duration", None) for one in trainer.callbacks if is_a(one, "timer")), None),
        "cluster_environment": _class_of(getattr(trainer.strategy, "cluster_environment", None)),
        "checkpoint_io": _class_of(getattr(trainer.strategy, "checkpoint_io", None)),
        "model_registry": getattr(trainer, "_model_registry", None),
        "use_distributed_sampler": getattr(connector, "use_distributed_sampler", None),
        "profiler": type(trainer.profiler).__name__,
        "loggers": [type(logger).__name__ for logger in trainer.loggers],
        "callbacks": [{"class": type(one).__name__, **_plain_attributes(one)} for one in trainer.callbacks],
    }


def _class_of(owner: Any) -> str | None:
    return None if owner is None else type(owner).__name__


def describe_loaders(trainer: Any) -> dict[str, Any]:
    """Size and settings of the data of a fit; known once its first epoch begins."""
    return {
        "train": {"batches": trainer.num_training_batches, "loaders": _loaders(trainer.train_dataloader)},
        "val": {"batches": trainer.num_val_batches, "loaders": _loaders(trainer.val_dataloaders)},
    }


def labelled(optimizers: list[Any]) -> dict[str, Any]:
    """Each optimiser under its lower-case class name, numbered where there are several of a class."""
    kinds = [type(_unwrapped(optimizer)).__name__.lower() for optimizer in optimizers]
    return {
        kind if kinds.count(kind) == 1 else f"{kind}{kinds[:index].count(kind)}": optimizers[index]
        for index, kind in enumerate(kinds)
    }


def group_labels(optimizers: list[Any]) -> list[tuple[Any, list[str]]]:
    """Each optimiser and what its parameter groups are called in `lr/<group>`.

    A group's name if the user gave it one, else its number; a lone group of no name goes by its optimiser's label,
    which stands before the others where there are several optimisers.
    """
    found = []
    for label, optimizer in labelled(optimizers).items():
        groups = optimizer.param_groups
        numbers = [f"group{index}" if len(groups) > 1 else "" for index in range(len(groups))]
        names = [group.get("name") or number for group, number in zip(groups, numbers, strict=True)]
        prefix = label if len(optimizers) > 1 else ""
        found.append((optimizer, ["/".join(part for part in (prefix, name) if part) or label for name in names]))
    return found


def is_from(layer: Any, *parts: str) -> bool:
    """Whether a layer's class is one of torch's own from one of these parts of torch.nn.modules."""
    package, _, part = type(layer).__module__.rpartition(".")
    return package == "torch.nn.modules" and part in parts


def _model(module: Any) -> dict[str, Any]:
    layers = list(module.modules())
    return {
        "class": type(module).__name__,
        "hyperparameters": hyperparameters(module),
        "automatic_optimization": module.automatic_optimization,
        "activations": dict(Counter(type(layer).__name__ for layer in layers if is_from(layer, "activation"))),
        "types": count_types(module),
        **count_parameters(module),
    }


def _datamodule(datamodule: Any) -> dict[str, Any]:
    if datamodule is None:
        return {}
    return {"class": type(datamodule).__name__, "hyperparameters": hyperparameters(datamodule)}


def hyperparameters(owner: Any) -> dict[str, Any]:
    """What `save_hyperparameters()` kept, without what LightningCLI notes there for itself."""
    found = getattr(owner, "hparams", None) or {}
    return {str(name): value for name, value in found.items() if name not in ("_class_path", "_instantiator")}


def _loaders(loaders: Any) -> list[dict[str, Any]]:
    return [_loader(loader) for loader in flattened(loaders)]


def _loader(loader: Any) -> dict[str, Any]:
    dataset = getattr(loader, "dataset", None)
    return {
        "class": type(loader).__name__,
        **{name: getattr(loader, name) for name in _LOADER if hasattr(loader, name)},
        "sampler": type(loader.sampler).__name__ if getattr(loader, "sampler", None) is not None else None,
        "dataset": type(dataset).__name__ if dataset is not None else None,
        "samples": length(dataset),
    }


def _unwrapped(optimizer: Any) -> Any:
    return getattr(optimizer, "optimizer", optimizer)  # DeepSpeed and Lightning wrap the user's


def _optimizer(optimizer: Any) -> dict[str, Any]:
    groups = [
        {
            **{name: _plain(value) for name, value in group.items() if name != "params"},
            "tensors": len(group["params"]),
            "parameters": count_elements(group["params"]),
        }
        for group in optimizer.param_groups
    ]
    return {"class": type(_unwrapped(optimizer)).__name__, "groups": groups}


def _scheduler_config(config: Any) -> dict[str, Any]:
    names = ("name", "interval", "frequency", "reduce_on_plateau", "monitor")
    return {**_scheduler(config.scheduler), **{name: getattr(config, name, None) for name in names}}


def _scheduler(scheduler: Any) -> dict[str, Any]:
    parts = [_scheduler(part) for part in getattr(scheduler, "_schedulers", ())]  # SequentialLR, ChainedScheduler
    return {
        "class": type(scheduler).__name__,
        "settings": _plain_attributes(scheduler),
        **({"schedulers": parts} if parts else {}),
    }


def _plain_attributes(owner: Any) -> dict[str, Any]:
    """The public attributes of an object that say something in a configuration: no tensors, modules or open files."""
    found = {}
    for name, value in getattr(owner, "__dict__", {}).items():
        if name.startswith("_"):
            continue
        plain = _plain(value)
        if plain is not None or value is None:
            found[name] = plain
    return found


def _plain(value: Any) -> Any:
    """A setting as JSON could hold it; None for what is none, and for collections too large to be one."""
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, torch.Tensor):
        return value.item() if value.numel() == 1 else None
    if isinstance(value, (list, tuple)) and len(value) <= _PARTS:
        return [_plain(part) for part in value]
    if isinstance(value, Mapping) and len(value) <= _PARTS:
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, (types.FunctionType, type)):
        return value.__qualname__
    return None
