"""Rank, world and start are read from the environment at init(), in a documented order."""

import os
import subprocess
import sys

import pytest

from barograph.identity import Process, new_name, this_process


@pytest.mark.parametrize(
    ("environment", "rank", "world"),
    [
        ({}, 0, 1),
        ({"RANK": "2", "WORLD_SIZE": "4"}, 2, 4),
        ({"SLURM_PROCID": "3", "SLURM_NTASKS": "8"}, 3, 8),
        ({"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2"}, 1, 2),
        ({"PMI_RANK": "1", "PMI_SIZE": "2"}, 1, 2),
        ({"RANK": "0", "WORLD_SIZE": "2", "SLURM_PROCID": "5", "SLURM_NTASKS": "8"}, 0, 2),
        ({"RANK": "x", "SLURM_PROCID": "5", "SLURM_NTASKS": "8"}, 5, 8),
        ({"RANK": "9", "WORLD_SIZE": "4", "PMI_RANK": "1", "PMI_SIZE": "2"}, 1, 2),
        ({"RANK": "-1", "WORLD_SIZE": "4"}, 0, 1),
        ({"RANK": "1"}, 1, 2),
        ({"LOCAL_RANK": "1", "WORLD_SIZE": "2"}, 1, 2),
        ({"LOCAL_RANK": "0", "WORLD_SIZE": "2"}, 0, 2),
        ({"LOCAL_RANK": "1"}, 1, 2),
        ({"LOCAL_RANK": "0"}, 0, 1),
        ({"WORLD_SIZE": "2"}, 0, 1),
        ({"LOCAL_RANK": "1", "WORLD_SIZE": "4", "NODE_RANK": "1"}, 0, 1),
    ],
)
def test_the_first_usable_rank_decides(environment: dict[str, str], rank: int, world: int) -> None:
    """RANK comes before SLURM_PROCID before Open MPI before PMI; an impossible rank is passed over."""
    process = this_process(environment)
    assert (process.rank, process.world) == (rank, world)


def test_ranks_of_one_start_share_a_run_key() -> None:
    """Two ranks of the same job derive the same key, and another job another one."""
    job = {"TORCHELASTIC_RUN_ID": "abc", "WORLD_SIZE": "2"}
    first, second = (this_process({**job, "RANK": rank}) for rank in "01")
    other = this_process({**job, "RANK": "0", "TORCHELASTIC_RUN_ID": "xyz"})
    assert first.run_key(0) == second.run_key(0) is not None
    assert first.run_key(0) != other.run_key(0)
    assert first.run_key(0) != first.run_key(1)


def test_a_restart_is_another_attempt_of_the_same_run() -> None:
    """The launcher's restart count changes the attempt and not the run."""
    job = {"TORCHELASTIC_RUN_ID": "abc", "WORLD_SIZE": "2", "RANK": "0"}
    before, after = this_process(job), this_process({**job, "TORCHELASTIC_RESTART_COUNT": "1"})
    assert before.run_key(0) == after.run_key(0)
    assert before.attempt_key(0) != after.attempt_key(0)


def test_an_address_alone_does_not_make_two_starts_one_run() -> None:
    """MASTER_ADDR:PORT is the same for every start, so it is no identity."""
    process = this_process({"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"})
    assert process.run_key(0) is None


def test_a_lone_process_shares_nothing() -> None:
    """Without a launcher there is no key to share."""
    assert Process().run_key(0) is None


def test_a_child_that_runs_the_same_script_shares_its_parents_attempts() -> None:
    """As Lightning starts them: the parent had no rank yet when it began its run."""
    code = (
        "import os\n"
        "from barograph.identity import this_process\n"
        "print(this_process({'LOCAL_RANK': '1', 'WORLD_SIZE': '2'}).attempt_key(3))\n"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert told == this_process({}).attempt_key(3)
    assert told != this_process({}).attempt_key(2)


def test_ranks_that_a_framework_tells_of_are_no_children_of_the_script() -> None:
    """Each of them would take itself for the first one otherwise."""
    alone = this_process({})
    assert alone.as_rank(1, 2).attempt_key(0) is None
    assert alone.as_rank(0, 1).attempt_key(0) == alone.attempt_key(0) is not None


def test_names_do_not_touch_random_state() -> None:
    """A name can be said, and random draws go on as if none had been made."""
    import random

    random.seed(1)
    expected = random.random()
    random.seed(1)
    adjective, bird, number = new_name().split("-")
    assert adjective.isalpha()
    assert bird.isalpha()
    assert 1 <= int(number) <= 999
    assert random.random() == expected


def test_rank_is_read_at_init_and_not_at_import() -> None:
    """A rank that is set after `import barograph` counts."""
    code = (
        "import barograph, os\n"
        "os.environ.update(RANK='1', WORLD_SIZE='2', TORCHELASTIC_RUN_ID='late')\n"
        "from barograph.identity import this_process\n"
        "print(this_process().rank)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ, check=True)
    assert result.stdout.strip() == "1"
