"""A callback writes to the run it was given, to an open one, or to one of its own; copies write children."""

import copy
import pickle

import pytest

import barograph
from barograph.attachment import Attachment


def test_its_own_run_is_made_once_and_serves_later_fits() -> None:
    """fit, then test: one run, finished after each."""
    attachment = Attachment(name="mine", quiet=True)
    first = attachment.begin()
    first.log({"x": 1.0}, step=0)
    attachment.end()
    assert first.is_finished
    second = attachment.begin()
    second.log({"y": 2.0}, step=1)
    attachment.end()
    assert second is first
    (view,) = barograph.open().runs()
    assert (view.status, view.attempts) == ("finished", [1])
    assert {"x", "y"} <= set(view.metrics())


def test_a_fit_that_did_not_end_is_a_failed_run_and_the_next_a_new_one() -> None:
    """Without a failure hook the next fit tells that the last one crashed."""
    attachment = Attachment(quiet=True)
    first = attachment.begin()
    second = attachment.begin()
    attachment.end()
    assert first is not second
    assert [view.status for view in barograph.open().runs()] in (["finished", "failed"], ["failed", "finished"])


def test_an_open_run_is_joined_and_left_open() -> None:
    """A run that init() made is used; a run that another callback made is not."""
    other = Attachment(quiet=True)
    own = other.begin()
    attachment = Attachment(quiet=True)
    assert attachment.begin() is not own
    attachment.end()
    other.end()
    with barograph.init(quiet=True) as run:
        joined = Attachment(quiet=True)
        assert joined.begin() is run
        joined.end()
        assert not run.is_finished


def test_the_second_fit_continues_the_first_ones_steps() -> None:
    """Offsets are 0, then what the first fit reached; a fit that continues its own count has none."""
    with barograph.init(quiet=True):
        offsets = []
        for first_step, last_step in ((0, 9), (0, 9), (20, 29)):
            attachment = Attachment()
            attachment.begin()
            offset = attachment.start_fit(first_step)
            attachment.reached(last_step + offset)
            attachment.end()
            offsets.append(offset)
    assert offsets == [0, 10, 0]


def test_copies_make_children_of_one_run() -> None:
    """A search that clones a callback is one run with children, in this process and in others."""
    original = Attachment(name="search", quiet=True)
    for _ in range(3):
        clone = copy.deepcopy(original)
        clone.begin().log({"x": 1.0})
        clone.end()
    store = barograph.open()
    assert len(store.run("search").children()) == 3
    assert len(store.runs()) == 4


def test_pickled_copies_make_children_of_one_run() -> None:
    """Copies that came by pickle agree on their parent although none of them is the original."""
    original = Attachment(name="search", quiet=True)
    for data in [pickle.dumps(original) for _ in range(2)]:
        clone = pickle.loads(data)
        clone.begin().log({"x": 1.0})
        clone.end()
    assert len(barograph.open().run("search").children()) == 2


def test_workers_that_train_together_are_the_run_itself() -> None:
    """The one that records is no part of anything; the next training with the same callback is its child."""
    original = Attachment(name="together", quiet=True)
    for data in [pickle.dumps(original) for _ in range(2)]:
        worker = pickle.loads(data)
        worker.begin(rank=0, world=1, by_workers=True).log({"x": 1.0})
        worker.end()
    view = barograph.open().run("together")
    assert "x" in view.metrics()
    assert [child.metrics() for child in view.children()] == [view.metrics()]


def test_workers_within_an_open_run_are_its_child() -> None:
    """They are other processes than the one that has the run open."""
    with barograph.init(name="open", quiet=True):
        worker = pickle.loads(pickle.dumps(Attachment(quiet=True)))
        worker.begin(rank=0, world=1, by_workers=True)
        worker.end()
    assert len(barograph.open().run("open").children()) == 1


def test_copying_makes_no_run() -> None:
    """pickle and deepcopy alone leave nothing behind."""
    original = Attachment(quiet=True)
    pickle.loads(pickle.dumps(original))
    copy.deepcopy(original)
    assert barograph.current_run() is None
    assert barograph.open_runs.open_runs() == []


def test_a_parent_of_parts_is_what_its_parts_are() -> None:
    """A run that only has children in other processes is finished once they are, not empty."""
    original = Attachment(name="search", quiet=True)
    clone = pickle.loads(pickle.dumps(original))
    clone.begin().log({"x": 1.0})
    assert barograph.open().run("search").status == "running"
    clone.end()
    assert barograph.open().run("search").status == "finished"


def test_an_argument_that_init_does_not_know_is_refused_at_once() -> None:
    """A typing mistake must not become a training without a record."""
    with pytest.raises(TypeError, match="projct"):
        Attachment(projct="x")
