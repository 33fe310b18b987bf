"""watch() where several processes train one model."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from barograph.reading import RunView, open_store  # noqa: E402  # needs torch

_TRAINING = """
import os, sys, torch
import torch.distributed as dist
from torch import nn
import barograph
from barograph.integrations.torch import watch

rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
dist.init_process_group("gloo", init_method=f"file://{sys.argv[1]}", rank=rank, world_size=world)
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
%s
draw = torch.Generator().manual_seed(1)
with barograph.init(quiet=True) as run, watch(wrapped):
    optimizer = torch.optim.SGD(wrapped.parameters(), 0.1)
    for _ in range(2):
        batch = torch.randn(16, 6, generator=draw)[rank::world]
        wrapped(batch).pow(2).mean().backward()
        torch.nn.utils.clip_grad_norm_(wrapped.parameters(), 0.01)
        optimizer.step()
        optimizer.zero_grad()
dist.destroy_process_group()
"""
_REPLICATED = "wrapped = nn.parallel.DistributedDataParallel(model)"
_SHARDED = """
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
wrapped = fully_shard(model, mesh=init_device_mesh("cpu", (world,)))
"""
_SHARDED_BY_DATA_ONLY = """
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
mesh = init_device_mesh("cpu", {shape}, mesh_dim_names=("data", {other!r}))
wrapped = fully_shard(model, mesh=mesh["data"])
"""
_FLAT = """
from torch.distributed.fsdp import FullyShardedDataParallel, ShardingStrategy
wrapped = FullyShardedDataParallel(
    model, use_orig_params=True, device_id=torch.device("cpu"), sharding_strategy=ShardingStrategy.{strategy}
)
"""


def trained_by(world: int, wrapping: str, folder: Path) -> RunView:
    """The run of processes that train the same model, each on its part of every batch."""
    launched = {**os.environ, "WORLD_SIZE": str(world), "TORCHELASTIC_RUN_ID": "two", "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", _TRAINING % wrapping, str(folder / "meeting")],
            env={**launched, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(world)
    ]
    told = [process.communicate(timeout=180)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * world, told
    assert "barograph:" not in "".join(told)
    (view,) = open_store(os.environ["BAROGRAPH_STORE"]).runs()
    return view


def gradients_of_one() -> dict[str, torch.Tensor]:
    """The gradients of the first step, as one process has them on the whole batch."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
    model(torch.randn(16, 6, generator=torch.Generator().manual_seed(1))).pow(2).mean().backward()
    return {name: one.grad for name, one in model.named_parameters()}


def test_replicas_write_reduced_gradients_once_and_activations_each(tmp_path: Path) -> None:
    """Rank 0 writes gradients, complete and before clipping; every rank writes what its own modules put out."""
    view = trained_by(2, _REPLICATED, tmp_path)
    for name, gradient in gradients_of_one().items():
        metric = view.metric(f"gradients/{name}/norm", rank=None)
        assert metric.steps.tolist() == [0, 1]
        assert metric.values[0] == pytest.approx(float(gradient.norm()), rel=1e-5)
        assert view.histogram(f"weights/{name}").records[0].count == gradient.numel()
    assert view.metric("activations/0/mean", rank=None).steps.tolist() == [0, 0, 1, 1]
    assert view.metric("activations/0/mean", rank=1).steps.tolist() == [0, 1]
    assert view.histogram("activations/0").records[0].count == 16 * 8


@pytest.mark.parametrize("wrapping", [_SHARDED, _FLAT.format(strategy="FULL_SHARD")], ids=["fully_shard", "FSDP"])
def test_shards_are_added_up_when_they_are_read(wrapping: str, tmp_path: Path) -> None:
    """Each rank writes its shards; read, they are the record of the whole weight and gradient before clipping."""
    view = trained_by(2, wrapping, tmp_path)
    for name, gradient in gradients_of_one().items():
        for key in (f"gradients/{name}", f"weights/{name}"):
            assert view.histogram(key).steps.tolist() == [0, 1]
            assert view.histogram(key).records[0].count == gradient.numel()
        record = view.histogram(f"gradients/{name}").records[0]
        np.testing.assert_allclose(
            [record.l2, record.mean, record.min, record.max],
            [float(one) for one in (gradient.norm(), gradient.mean(), gradient.min(), gradient.max())],
            rtol=1e-4,
        )
        assert f"gradients/{name}/norm" not in view.metrics()
        assert 0 in view.metric(f"updates/{name}/ratio", rank=None).steps
    assert view.histogram("activations/0").records[0].count == 16 * 8


@pytest.mark.parametrize(("world", "shape", "other"), [(4, (2, 2), "tensor"), (2, (1, 2), "tensor"), (2, (1, 2), "pp")])
def test_groups_with_the_same_shards_are_counted_once(
    world: int, shape: tuple[int, int], other: str, tmp_path: Path
) -> None:
    """The mesh that a module is sharded on may be a part of a larger one; stages of a pipeline are no such groups."""
    wrapping = _SHARDED_BY_DATA_ONLY.format(shape=shape, other=other)
    view = trained_by(world, wrapping, tmp_path)
    for name, gradient in gradients_of_one().items():
        groups = 2 if other == "pp" else 1
        assert view.histogram(f"weights/{name}").records[0].count == gradient.numel() * groups
        assert view.histogram(f"gradients/{name}").records[0].count == gradient.numel() * groups


def test_what_a_sharding_wrapper_has_not_sharded_is_written_once(tmp_path: Path) -> None:
    """Under NO_SHARD every process has everything, as under DistributedDataParallel."""
    view = trained_by(2, _FLAT.format(strategy="NO_SHARD"), tmp_path)
    for name, gradient in gradients_of_one().items():
        assert view.metric(f"gradients/{name}/norm", rank=None).steps.tolist() == [0, 1]
        assert view.metric(f"gradients/{name}/norm").values[0] == pytest.approx(float(gradient.norm()), rel=1e-5)
        assert view.histogram(f"weights/{name}").records[0].count == gradient.numel()
