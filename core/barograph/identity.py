"""Who this process is: its rank, the start it shares with other processes, and the names that runs are given."""

import dataclasses
import os
import sys
from collections.abc import Mapping

# The documented order: the first pair whose rank is set decides, whatever the others say.
_RANK_VARIABLES = (
    ("RANK", "WORLD_SIZE"),  # torchrun, and whatever follows its convention
    ("SLURM_PROCID", "SLURM_NTASKS"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("PMIX_RANK", "PMIX_SIZE"),
    ("PMI_RANK", "PMI_SIZE"),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Process:
    """One process among those of a start: rank in [0, world), and the start's key if all of them can derive it.

    launch: the same text in every process of one launched job, None for a process of its own.
    restart: how often the launcher has started the job again; part of what makes an attempt.
    origin: the process that the others were started by with the same script, in a process of its own it itself: what
    a framework starts by itself (Lightning) knows no launcher. None where nothing is to be had of that.
    """

    rank: int = 0
    world: int = 1
    launch: str | None = None
    restart: str = "0"
    origin: str | None = None

    def run_key(self, n: int) -> str | None:
        """What all ranks hash to the id of the n-th run that this start makes."""
        return None if self.launch is None else _hash(f"{self.launch}:{n}")

    def attempt_key(self, n: int) -> str | None:
        """What all ranks of one attempt share."""
        if self.launch is None:
            return None if self.origin is None else _hash(f"{self.origin}:{n}")
        return _hash(f"{self.launch}:{n}:{self.restart}")

    def as_rank(self, rank: int, world: int) -> "Process":
        """The same process as its framework counts it; others that it tells of are no children of this one's script."""
        is_of_family = self.world > 1 or world == 1
        return dataclasses.replace(self, rank=rank, world=world, origin=self.origin if is_of_family else None)


def this_process(environment: Mapping[str, str] | None = None) -> Process:
    """Read rank, world and launcher from the environment as it is now (at `init()`, never at import).

    Order: RANK, SLURM_PROCID, OMPI_COMM_WORLD_RANK, PMIX_RANK, PMI_RANK, jax.distributed, LOCAL_RANK. A rank that is no
    number, or lies outside its world, is passed over. LOCAL_RANK alone is what Lightning gives the processes that it
    starts on the first machine; on others it does not tell the rank.
    """
    source = os.environ if environment is None else environment
    for rank_name, world_name in _RANK_VARIABLES:
        rank, world = _number(source.get(rank_name)), _number(source.get(world_name))
        if rank is None or (world is not None and rank >= world):
            continue
        return Process(rank, world if world is not None else rank + 1, _launch(source), _restart(source))
    return _jax_process() or _of_same_script(source)


def _of_same_script(source: Mapping[str, str]) -> Process:
    """This process by LOCAL_RANK: a child that runs the same script, or the one that began."""
    rank, world = _number(source.get("LOCAL_RANK")) or 0, _number(source.get("WORLD_SIZE")) or 1
    if _number(source.get("NODE_RANK") or source.get("GROUP_RANK") or "0") != 0:
        return Process()
    origin = _process_key(os.getppid() if rank else os.getpid())
    # WORLD_SIZE is gone again after the fit
    return Process(rank, max(world, rank + 1) if "LOCAL_RANK" in source else 1, origin=origin)


def _launch(source: Mapping[str, str]) -> str | None:
    """The identity of the job, as every one of its processes sees it; None if nothing here tells two starts apart."""
    elastic = source.get("TORCHELASTIC_RUN_ID", "")
    if elastic and elastic != "none":  # torchrun's default for --rdzv-id, the same for every start
        return f"torchelastic:{elastic}"
    if job := source.get("SLURM_JOB_ID"):
        return f"slurm:{job}:{source.get('SLURM_STEP_ID', '')}"
    for name in ("OMPI_MCA_ess_base_jobid", "PMIX_NAMESPACE", "PMI_JOBID"):
        if job := source.get(name):
            return f"{name}:{job}"
    world, local = _number(source.get("WORLD_SIZE")), _number(source.get("LOCAL_WORLD_SIZE"))
    address = f"{source.get('MASTER_ADDR', '')}:{source.get('MASTER_PORT', '')}"
    if world is None or (world == 1 and local is None):
        return None
    if local == world:
        # All ranks are children of one launcher on this machine, and the address alone is the same for every start.
        return f"launcher:{address}:{_parent_process()}"
    return None


def _restart(source: Mapping[str, str]) -> str:
    count = source.get("TORCHELASTIC_RESTART_COUNT") or source.get("SLURM_RESTART_COUNT") or "0"
    one_machine = source.get("LOCAL_WORLD_SIZE", "") == source.get("WORLD_SIZE")
    # the same --rdzv-id given to a second start is another attempt, not the same one
    return f"{count}:{_parent_process()}" if one_machine else count


def _parent_process() -> str:
    return _process_key(os.getppid()) or ""


def _process_key(pid: int) -> str | None:
    """What tells a process on this machine from all others there were; None if the system does not let it be read."""
    from barograph.system.machine import boot_id, process_start_s

    try:
        return f"{boot_id()}:{pid}:{process_start_s(pid)}"
    except OSError:
        return None


def _jax_process() -> Process | None:
    """jax's own idea of the process, only if jax.distributed was initialised; asking never starts a back end."""
    state = getattr(sys.modules.get("jax._src.distributed"), "global_state", None)
    rank, world = getattr(state, "process_id", None), getattr(state, "num_processes", None)
    if not isinstance(rank, int) or not isinstance(world, int) or getattr(state, "client", None) is None:
        return None
    return Process(rank, world, f"jax:{getattr(state, 'coordinator_address', '')}:{os.getppid() if world == 1 else ''}")


def _number(text: str | None) -> int | None:
    try:
        number = int(text or "")
    except ValueError:
        return None
    return number if number >= 0 else None


def _hash(text: str) -> str:
    import hashlib  # only a launched job needs it

    return hashlib.blake2s(text.encode("utf-8", "surrogateescape"), digest_size=10).hexdigest()


_ADJECTIVES = (
    "amber azure bold brave bright brisk calm clear cool copper coral crisp deep dry early easy fair fine firm fresh "
    "gentle gilded glad golden grand green hazy high humid icy keen kind late light lively long lucid mellow mild "
    "misty noble pale polar proud pure quick quiet rapid rosy sharp silent silver sleek slow snowy soft solar steady "
    "still sunny swift tall tidal vivid warm wide windy wise young"
).split()
_BIRDS = (
    "albatross avocet bittern bunting buzzard condor coot crane crow curlew dipper dove dunlin eagle egret eider "
    "falcon finch fulmar gannet godwit goose grebe grouse gull harrier hawk heron hobby ibis jackdaw jay kestrel kite "
    "lapwing lark linnet magpie martin merlin nightjar oriole osprey owl petrel pipit plover puffin quail rail raven "
    "redstart robin rook sandpiper shrike siskin skua snipe starling stork swallow swan swift teal tern thrush "
    "wagtail warbler wheatear wren"
).split()


def new_name() -> str:
    """A name that a person can say, such as calm-heron-12. Touches no random state."""
    number = int.from_bytes(os.urandom(8), "little")
    number, adjective = divmod(number, len(_ADJECTIVES))
    number, bird = divmod(number, len(_BIRDS))
    return f"{_ADJECTIVES[adjective]}-{_BIRDS[bird]}-{1 + number % 999}"
