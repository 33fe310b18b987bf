"""What is built from the repository is whole: a wheel that imports and records, a source archive that can build it."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

_ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that git knows, as a stranger gets them."""
    folder = tmp_path_factory.mktemp("checkout")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=_ROOT, capture_output=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    archive = subprocess.run(
        ["tar", "--create", "--null", "--files-from=-"], cwd=_ROOT, input=listed.stdout, capture_output=True, check=True
    )
    subprocess.run(["tar", "--extract"], cwd=folder, input=archive.stdout, check=True)
    return folder


def _build(checkout: Path, kind: str, target: Path) -> Path:
    target.mkdir()
    code = f"import setuptools.build_meta as backend; backend.build_{kind}({str(target)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=checkout, capture_output=True, check=True, timeout=300)
    (built,) = target.iterdir()
    return built


def test_the_wheel_imports_and_records(checkout: Path, tmp_path: Path) -> None:
    """Installed from the wheel, a run is written and read; types and the format's page come along."""
    wheel = _build(checkout, "wheel", tmp_path / "wheel")
    assert "abi3" in wheel.name
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    for part in ("py.typed", "journal/FORMAT.md", "integrations/keras/__init__.py", "integrations/xgboost/__init__.py"):
        assert (site / "barograph" / part).exists(), part
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import barograph\n"
        "assert barograph.__file__.startswith(sys.argv[1]), barograph.__file__\n"
        "with barograph.init(store=sys.argv[2], quiet=True, name='n') as run:\n"
        "    run.log({'x': 1.0})\n"
        "assert barograph.open(sys.argv[2]).run('n').metric('x').values.tolist() == [1.0]\n"
    )
    subprocess.run([sys.executable, "-c", code, str(site), str(tmp_path / "store")], check=True, timeout=60)


def test_the_source_archive_holds_what_a_build_needs(checkout: Path, tmp_path: Path) -> None:
    """C sources, stubs, licence and integrations are in it."""
    archive = _build(checkout, "sdist", tmp_path / "sdist")
    with tarfile.open(archive) as files:
        names = {name.partition("/")[2] for name in files.getnames()}
    for part in (
        "core/barograph/journal/_append.c", "core/barograph/tensors/_kernel.c", "core/barograph/data/_rows.c",
        "core/barograph/journal/FORMAT.md",
        "core/barograph/py.typed", "integrations/lightning/__init__.py", "LICENSE", "pyproject.toml",
    ):  # fmt: skip
        assert part in names, part
