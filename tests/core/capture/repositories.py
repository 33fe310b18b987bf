"""Real git repositories for tests, whatever the user's own configuration says."""

import os
import subprocess
from pathlib import Path

AUTHOR = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com", "-c", "init.defaultBranch=main")


def environment(**variables: str) -> dict[str, str]:
    """That of this process, in which git knows no configuration of the user's or of a hook."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return clean | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"} | variables


def git(folder: Path, *arguments: str) -> str:
    """What git prints."""
    command = ["git", *AUTHOR, "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment()).stdout.strip()


def make_repository(root: Path, files: dict[str, str | bytes] | None = None) -> Path:
    """A repository with one commit of these files."""
    root.mkdir(parents=True)
    git(root, "init")
    write(root, files or {"train.py": "print(1)\n"})
    git(root, "add", ".")
    git(root, "commit", "-m", "First")
    return root


def write(root: Path, files: dict[str, str | bytes]) -> None:
    """Put files into a folder."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
