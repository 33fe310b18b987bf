"""The parameters of a model: their names, which of them an optimiser trains, and what of each this process records."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.parameter import UninitializedParameter

# what wrappers put into the names of what they wrap: torch.compile, checkpoint_wrapper, FullyShardedDataParallel
_WRAPPERS = ("_orig_mod", "_checkpoint_wrapped_module", "_fsdp_wrapped_module")
_STAGES = ("pp", "pipe", "stage")  # how the dimension of a mesh along which a model is cut into stages is called
_FSDP = "torch.distributed.fsdp.fully_sharded_data_parallel"


class _Flat(NamedTuple):
    """A parameter that FullyShardedDataParallel has laid into one vector with others.

    carrier: the vector, which autograd gives the gradient. is_sharded: each process has a part of it.
    is_recorded_here: this process is the one of those with the same part that records it.
    """

    carrier: torch.Tensor
    is_sharded: bool
    is_recorded_here: bool


class Parameters:
    """The parameters that a model has when it is watched, each once, by name."""

    def __init__(self, model: nn.Module) -> None:
        self.by_name = {clean_name(name): one for name, one in model.named_parameters()}
        self._names = {id(one): name for name, one in self.by_name.items()}
        self._flat = _flattened(model)
        self._frozen = {name: one for name, one in self.by_name.items() if not one.requires_grad}
        self.aliases = self._find_aliases()
        self.are_sharded = any(self.is_sharded(one) for one in self.by_name.values())

    def forget(self) -> None:
        """Let go of the parameters."""
        self.by_name, self._names, self._frozen, self._flat = {}, {}, {}, {}

    def _find_aliases(self) -> set[str]:
        """The names of parameters whose numbers are those of another: tied by their memory."""
        seen: set[tuple[int, torch.Size]] = set()
        aliases = set()
        for name, one in self.by_name.items():
            if isinstance(one, UninitializedParameter) or not (address := local_part(one).data_ptr()):
                continue
            if (address, one.shape) in seen:
                aliases.add(name)
            seen.add((address, one.shape))
        return aliases

    def name_of(self, parameter: torch.Tensor) -> str:
        """The name of a parameter of the model."""
        return self._names[id(parameter)]

    def carrier_of(self, parameter: torch.Tensor) -> torch.Tensor:
        """The tensor to which autograd gives the parameter's gradient."""
        flat = self._flat.get(id(parameter))
        return parameter if flat is None else flat.carrier

    def is_sharded(self, parameter: torch.Tensor) -> bool:
        """Whether each process holds a part of the parameter only."""
        flat = self._flat.get(id(parameter))
        return is_sharded(parameter) if flat is None else flat.is_sharded

    def is_recorded_here(self, parameter: torch.Tensor, rank: int) -> bool:
        """Whether this process records the parameter: every one its shards, the first one what all have alike."""
        if flat := self._flat.get(id(parameter)):
            return flat.is_recorded_here if flat.is_sharded else rank == 0
        if not is_sharded(parameter):
            return rank == 0
        place = parameter.device_mesh.get_coordinate()
        return (
            place is not None
            and all(
                how.is_shard() or (how.is_replicate() and at == 0)
                for how, at in zip(parameter.placements, place, strict=True)
            )
            and _is_first_group(parameter.device_mesh)
        )

    def of(self, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
        """The parameters that an optimiser has."""
        found: dict[str, torch.Tensor] = {}
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                name = self._names.get(id(parameter))
                if name is not None:
                    found[name] = parameter
        return found

    def frozen_besides(self, optimizers: Iterable[torch.optim.Optimizer]) -> dict[str, torch.Tensor]:
        """The parameters that were frozen from the start and that none of the optimisers has.

        Their weights may move all the same: target networks and moving averages are written to without an optimiser.
        """
        if not self._frozen:
            return {}
        trained = {name for optimizer in optimizers for name in self.of(optimizer)}
        return {name: one for name, one in self._frozen.items() if name not in trained}


def clean_name(name: str) -> str:
    """The name of a parameter or module as its author knows it."""
    return ".".join(part for part in name.split(".") if part not in _WRAPPERS)


def is_sharded(tensor: torch.Tensor) -> bool:
    """Whether each process holds a part of the tensor only (DTensor: fully_shard, tensor parallelism)."""
    return hasattr(tensor, "to_local")


def local_part(tensor: torch.Tensor) -> torch.Tensor:
    """This process's part of a sharded tensor, or the tensor."""
    own = getattr(tensor, "to_local", None)
    local: torch.Tensor = own() if own is not None else tensor
    return local.detach()


def _is_first_group(mesh: Any) -> bool:
    """Whether this process is in the first of the groups that hold the same shards.

    The processes of a mesh may be a part of those of a larger one: where a module is sharded by data only and others by
    data and tensor, each group along the tensors holds all of it. Stages of a pipeline hold different modules.
    """
    find_root = getattr(mesh, "_get_root_mesh", None)  # private; without it nothing is known of other groups
    root = None if find_root is None else find_root()
    place = None if root is None else root.get_coordinate()
    if root is None or place is None:
        return True
    names = root.mesh_dim_names or [""] * len(place)
    stage = tuple(at if name.startswith(_STAGES) else slice(None) for name, at in zip(names, place, strict=True))
    return bool((mesh.mesh == root.mesh[stage].flatten()[0]).any())


def _flattened(model: nn.Module) -> dict[int, _Flat]:
    """What FullyShardedDataParallel has done to the parameters of a model, by their ids.

    Its names are private; fully_shard, which has taken its place, makes DTensors and needs none of this.
    """
    found: dict[int, _Flat] = {}
    for module in model.modules():
        handle = getattr(module, "_handle", None)
        if type(module).__module__ != _FSDP or handle is None:
            continue
        carrier = handle.flat_param
        replicas = getattr(module, "_inter_node_pg", None)  # of hybrid sharding: those with the same shards
        flat = _Flat(carrier, handle.uses_sharded_strategy, replicas is None or replicas.rank() == 0)
        found.update((id(one), flat) for one in (carrier, *(carrier._params or ()), *(carrier._shared_params or ())))
    return found


def in_memory_order(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor's numbers as a vector, without a copy unless its memory has gaps."""
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor)
    axes = sorted(range(tensor.ndim), key=tensor.stride, reverse=True)
    return tensor.permute(axes).reshape(-1)
