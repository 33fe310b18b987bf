"""Runs, artifacts and data sets are joined by their content, over a whole store and in both directions."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import barograph
from barograph.errors import StoreError
from barograph.reading import open_store
from barograph.reading.lineage import Branch, Lineage, Node, _grown
from barograph.store.objects import digest_of

Begin = Callable[..., Any]  # Any: the Recorder of tests/core/conftest.py


def _tree(branches: list[Branch]) -> dict[str, Any]:
    """Names within names; one that is told elsewhere ends in an ellipsis."""
    return {one.node.name + ("..." if one.is_repeated else ""): _tree(one.branches) for one in branches}


@pytest.fixture
def chain(store: Path, tmp_path: Path) -> Path:
    """clean makes words.csv; embed makes emb.npy of it; train and other use emb.npy, each from another place."""
    words, emb, model = (tmp_path / name for name in ("words.csv", "emb.npy", "model.pt"))
    words.write_bytes(b"words")
    with barograph.init(name="clean", quiet=True) as run:
        run.log_artifact(words, kind="data")
    with barograph.init(name="embed", quiet=True) as run:
        run.use_artifact("words.csv")
        emb.write_bytes(b"embedding")
        run.log_artifact(emb, copy=False)
    moved = tmp_path / "downloads" / "vectors.npy"
    moved.parent.mkdir()
    emb.rename(moved)
    for name in ("train", "other"):
        with barograph.init(name=name, quiet=True) as run:
            run.use_artifact(moved)
            model.write_bytes(name.encode())
            run.log_artifact(model, kind="model")
    return tmp_path


def test_an_input_given_by_its_path_is_known_by_its_content(chain: Path) -> None:
    """Which embedding was used, and where it came from."""
    found = open_store().lineage("train")
    assert found.node.kind == "run"
    assert _tree(found.sources) == {"emb.npy": {"embed": {"words.csv": {"clean": {}}}}}
    assert _tree(found.results) == {"model.pt": {}}


def test_downwards_everything_that_came_of_it_is_told(chain: Path) -> None:
    """Of a run, of an artifact by name, by digest, and by a file with its content."""
    below = {"embed": {"emb.npy": {"train": {"model.pt": {}}, "other": {"model.pt": {}}}}}
    assert _tree(open_store().lineage("clean").results) == {"words.csv": below}
    for wanted in (
        "words.csv",
        "words.csv:1",
        digest_of(b"words"),
        digest_of(b"words")[7:19],
        str(chain / "words.csv"),
    ):
        found = open_store().lineage(wanted)
        assert (found.node.kind, _tree(found.results)) == ("artifact", below)
        assert _tree(found.sources) == {"clean": {}}


def test_a_loop_ends(store: Path, tmp_path: Path) -> None:
    """A run that goes on from its own checkpoint."""
    (tmp_path / "last.ckpt").write_bytes(b"weights")
    with barograph.init(name="loop", quiet=True) as run:
        run.log_artifact(tmp_path / "last.ckpt")
        run.use_artifact(tmp_path / "last.ckpt")
    assert _tree(open_store().lineage("loop").sources) == {"last.ckpt": {"loop...": {}}}


def test_empty_files_join_nothing(store: Path, tmp_path: Path) -> None:
    """That they are equal proves nothing."""
    (tmp_path / "empty").write_bytes(b"")
    with barograph.init(name="one", quiet=True) as run:
        run.log_artifact(tmp_path / "empty")
    with barograph.init(name="two", quiet=True) as run:
        run.use_artifact(tmp_path / "empty")
    assert _tree(open_store().lineage("two").sources) == {"empty": {}}


def test_data_sets_are_joined_by_their_fingerprint(store: Path, begin: Begin) -> None:
    """Two runs that read the same rows."""
    for name, ordered in (("one", "f1"), ("two", "f1"), ("three", "f2")):
        run = begin(name)
        run.record("dataset", name="train", rows=10, fingerprint={"ordered": ordered, "unordered": "u"})
        run.record("dataset", name="strange", fingerprint=[1])
        run.end()
    assert _tree(open_store().lineage("f1").results) == {"one": {}, "two": {}}
    assert _tree(open_store().lineage("train").results) == {"three": {}}
    assert open_store().lineage("two").sources[0].node.about == "10 rows"


def test_what_nothing_answers_to_is_an_error(chain: Path) -> None:
    """Which names what comes close."""
    with pytest.raises(StoreError, match=r"words\.csv"):
        open_store().lineage("word.csv")
    assert open_store().lineage("trai").node.name == "train"


def test_a_chain_of_any_length_is_told() -> None:
    """Deeper than Python's own stack."""
    nodes = [Node("run", str(number), str(number)) for number in range(5000)]
    below = {node: {after: None} for node, after in pairwise(nodes)}
    found = Lineage(nodes[0], [], _grown(nodes[0], below))
    assert len(found.as_dict()["nodes"]) == 5000
    assert found.as_dict()["results"][-1] == ["4998", "4999"]


def test_a_run_that_cannot_be_read_hides_none_of_the_others(chain: Path) -> None:
    """Sealed or not, damaged or not, what can be read is joined."""
    with open_store() as store:
        for name in ("clean", "embed", "other"):
            store.seal(name)
        (records,) = (store.run("other").path / "segments").glob("*.records.parquet")
    whole = _tree(open_store().lineage("clean").results)
    records.write_bytes(b"PAR1")
    assert _tree(open_store().lineage("clean").results) == {
        "words.csv": {"embed": {"emb.npy": {"train": {"model.pt": {}}}}}
    }
    assert whole == {"words.csv": {"embed": {"emb.npy": {"train": {"model.pt": {}}, "other": {"model.pt": {}}}}}}


def test_as_json_every_node_stands_once(chain: Path) -> None:
    """With the joints in both directions, from what was first to what came of it."""
    found = open_store().lineage("embed").as_dict()
    names = {node["id"]: node["name"] for node in found["nodes"]}
    assert len(names) == len(found["nodes"]) == 8
    assert [[names[one] for one in joint] for joint in found["sources"]] == [
        ["words.csv", "embed"],
        ["clean", "words.csv"],
    ]
    assert [names[one] for one in found["results"][0]] == ["embed", "emb.npy"]
