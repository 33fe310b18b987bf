"""A whole run with secrets in every place that is recorded: none is on the disk, and nothing else is missing."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

import barograph
from barograph.cli import main

from .credentials import LOOK_ALIKES, SHAPES, visible
from .repositories import environment, git, make_repository, write

SCRIPT = """
import json, os, sys, time
import late_module
import barograph
texts = json.loads(open(sys.argv[1]).read())
run = barograph.init(config={"texts": texts, **{f"setting{n}": text for n, text in enumerate(texts)}},
                     notes=texts[0], tags=texts[:3])
for text in texts:
    print("using", text)
    print(text, file=sys.stderr, end="\\n\\n")
    sys.stderr.write(f"{text}\\r50%\\r{text}\\r\\x1b[1mdone\\n")
run.event("connected", urls=texts)
run.log({"loss": 1.0})
view = barograph.open(run.store_path).run(run.id)
while not view.environment["complete"]:  # which the end waits a second for, too little on a machine that is busy
    time.sleep(0.01)
raise RuntimeError("could not connect with " + " or ".join(texts))
"""


def everything(store: Path) -> Iterator[bytes]:
    """All bytes of a store; of Parquet, which is compressed, the texts in it."""
    for path in store.rglob("*"):
        if path.suffix == ".parquet":
            for row in duckdb.execute("SELECT * FROM read_parquet(?)", [str(path)]).fetchall():
                yield json.dumps(row, default=str).encode()
        if path.is_file():
            yield path.read_bytes()
        yield path.name.encode()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A repository with secrets in its remote, its changes, its new files and its modules."""
    root = make_repository(tmp_path / "project", {"train.py": "1\n", "late_module.py": "1\n"})
    texts = [around.replace("{}", secret) for around, secret in SHAPES.values()]
    git(root, "remote", "add", "origin", "https://ada:hunter2-of-the-remote@example.com/o/r.git")
    code = "\n".join(f"value{number} = '''{text}'''" for number, text in enumerate(texts))
    write(root, {"train.py": SCRIPT, "late_module.py": f"{code}\n", "new.py": f"{code}\n"})
    write(root, {"conf.yaml": "\n".join(f"entry{number}: {json.dumps(text)}" for number, text in enumerate(texts))})
    write(root, {"notes.md": "no source", ".env": "PIN=hunter2-of-the-file\n"})
    write(tmp_path, {"texts.json": json.dumps(texts)})
    return root


def test_no_secret_reaches_the_disk(
    project: Path, tmp_path: Path, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Settings, arguments, variables, remote, output, changes, new files, modules, events, notes, tags, exceptions."""
    texts = json.loads((tmp_path / "texts.json").read_text())
    arguments = [part for text in texts for part in (text, f"--option={text}", "--option", text)]
    variables = {"XLA_FLAGS": " ".join(texts), "SLURM_JOB_NAME": texts[0], "HF_TOKEN": "hunter2-of-a-variable"}
    command = [sys.executable, "train.py", str(tmp_path / "texts.json"), "--token", "hunter2-of-an-option", *arguments]
    done = subprocess.run(
        command, cwd=project, env=environment(**variables), capture_output=True, text=True, check=False
    )
    assert "RuntimeError" in done.stderr
    (view,) = barograph.open(store).runs()
    assert (view.status, view.environment["complete"]) == ("failed", True)
    assert len(view.console()) > len(texts)
    before = b"\n".join(everything(store))
    main(["seal", "--store", str(store)])
    found = before + b"\n".join(everything(store))
    missed = {}
    for name, (_, secret) in SHAPES.items():
        at = found.find(visible(secret).encode())
        if at >= 0:
            missed[name] = found[max(0, at - 150) : at + 50]
    assert not missed
    assert b"hunter2-of" not in found
    assert found.count(b"[redacted]") > 10 * len(texts)
    capsys.readouterr()
    main(["scan", "--store", str(store), "--json"])
    told = json.loads(capsys.readouterr().out)
    assert (told["findings"], told["unread"]) == ([], [])


def test_what_only_looks_like_a_secret_is_kept(tmp_path: Path, store: Path) -> None:
    """In settings, events, output and code: not one redaction."""
    assert len(LOOK_ALIKES) >= 100
    settings = {f"case{number}": {name: value} for number, (name, value) in enumerate(LOOK_ALIKES)}
    code = "import json, time, barograph\nsettings = json.load(open('settings.json'))\n"
    code += "with barograph.init(config=settings) as run:\n    run.event('seen', cases=settings)\n"
    code += "    for case in settings.values():\n        for name, value in case.items(): print(name, value)\n"
    code += "    while not barograph.open(run.store_path).run(run.id).environment['complete']: time.sleep(0.01)\n"
    root = make_repository(tmp_path / "project")
    write(root, {"train.py": code, "settings.json": json.dumps(settings, indent=1)})
    subprocess.run([sys.executable, "train.py"], cwd=root, env=environment(), capture_output=True, check=True)
    (view,) = barograph.open(store).runs()
    assert view.environment["complete"] is True
    assert view.config == settings
    assert view.events("seen")[0].data == {"cases": settings}
    assert view.console()
    assert b"[redacted]" not in b"\n".join(everything(store))


def test_a_scan_finds_what_got_in(tmp_path: Path, store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Texts, tables, names of metrics and files are the user's own; the scan names the places, never the secret."""
    texts = [around.replace("{}", secret) for around, secret in SHAPES.values()]
    with barograph.init(quiet=True) as run:
        for number, text in enumerate(texts):
            run.log_text(f"note{number}", f"line one\nuse {text} please")
        run.log_table("table", [{"login": texts[2]}])
        run.log_text("long", "words and words\n" * 10_000 + texts[3])
        run.log({f"metric {texts[4]}": 1.0})
    for sealed in (False, True):
        if sealed:
            main(["seal", "--store", str(store)])
        capsys.readouterr()
        assert main(["scan", "--store", str(store), "--json"]) == 1
        told = capsys.readouterr().out
        findings = json.loads(told)["findings"]
        assert len({one["where"] for one in findings if "record" in one["where"] or "body" in one["where"]}) >= 2
        assert len(findings) >= len(texts) + 3
        assert not any(visible(secret) in told for _, secret in SHAPES.values())
        assert {Path(one["file"]).suffix for one in findings} >= {".txt", ".parquet" if sealed else ".journal"}


def test_a_scan_of_odd_files_ends(tmp_path: Path, store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Binary files, broken JSON and Parquet, links: what could not be read is named."""
    with barograph.init(quiet=True):
        pass
    token = SHAPES["github classic"][0].replace("{}", SHAPES["github classic"][1])
    write(store, {"objects/a/model.bin": b"\0\1\2" + token.encode() + b"\0" + os.urandom(1000), "runs/x/run.json": "{"})
    write(store, {"runs/x/segments/a.parquet": b"PAR1 no parquet", "runs/x/journals/a.journal": b"\xf5\xba nothing"})
    (store / "link.txt").symlink_to(tmp_path / "elsewhere")
    assert main(["scan", "--store", str(store), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert [Path(one["file"]).name for one in told["findings"]] == ["model.bin"]
    assert {Path(line.partition(": ")[0]).name for line in told["unread"]} >= {"a.parquet", "link.txt"}


def test_a_scan_of_nothing_is_a_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A store that is not there is not called clean."""
    assert main(["scan", "--store", str(tmp_path / "nowhere")]) == 2


def test_the_console_command_prints_what_was_printed(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As text, with times if wanted, and as JSON."""
    with barograph.init(quiet=True, name="talker"):
        print("hello")
    capsys.readouterr()
    main(["console", "talker"])
    assert capsys.readouterr().out == "hello\n"
    main(["console", "talker", "--times"])
    assert capsys.readouterr().out.endswith("stdout  hello\n")
    main(["console", "talker", "--json"])
    (line,) = json.loads(capsys.readouterr().out)
    assert (line["stream"], line["text"]) == ("stdout", "hello")
