"""Do the integrations keep their promises with the oldest and the newest version of their framework?

    python tests/versions.py [lightning] [keras] [xgboost] [sklearn] [--own]

For each version an environment is built in a temporary folder, with a wheel of this repository as git knows it, the
framework, and nothing of the other frameworks. The questions that every integration answers (barograph.testing) are
asked in it, and a table is printed; the exit status is 1 if an answer was wrong. With --own the integration's own tests
run as well. Takes a minute or two a version and downloads some hundred MB; CI asks the newest versions in its own
environment.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path(__file__).parent.parent
_NAME = re.compile(r"[A-Za-z0-9_.-]+")


@dataclass(frozen=True, slots=True)
class Framework:
    """packages: pinned to each version in turn. needs: to train at all; own_needs: for the integration's own tests.

    loose: what constraints.txt pins too high for the oldest version.
    """

    packages: Sequence[str]
    versions: Sequence[str]
    needs: Sequence[str] = ()
    own_needs: Sequence[str] = ()
    loose: Sequence[str] = ()


FRAMEWORKS = {
    "lightning": Framework(
        ["lightning", "pytorch-lightning"],
        ["2.4.0", "2.6.6"],
        needs=["torch"],
        own_needs=["jsonargparse[signatures]", "omegaconf", "scikit-learn"],
        loose=["fsspec", "packaging"],
    ),
    "keras": Framework(["keras"], ["3.7.0", "3.15.1"], needs=["torch"]),
    "xgboost": Framework(["xgboost"], ["2.1.0", "3.2.0"], own_needs=["scikit-learn", "pandas"]),
    "sklearn": Framework(["scikit-learn"], ["1.6.0", "1.9.1"], own_needs=["pandas", "joblib"]),
}


def main() -> int:
    """Ask and print; 1 if an answer was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("frameworks", nargs="*", metavar="framework", help=", ".join(FRAMEWORKS))
    parser.add_argument("--own", action="store_true", help="run the integration's own tests as well")
    wanted = parser.parse_args()
    if unknown := set(wanted.frameworks) - set(FRAMEWORKS):
        parser.error(f"no such framework: {', '.join(sorted(unknown))}")
    rows, is_right = [], True
    with tempfile.TemporaryDirectory(prefix="barograph-versions-") as folder:
        checkout, wheel = _build(Path(folder))
        for name in wanted.frameworks or FRAMEWORKS:
            for version in FRAMEWORKS[name].versions:
                began_s = time.perf_counter()
                answers = _ask(name, version, wanted.own, checkout, wheel)
                is_right &= answers.returncode == 0
                *_, verdict = (answers.stdout or answers.stderr).strip().splitlines()
                rows.append(f"{name:10} {version:8} {time.perf_counter() - began_s:5.0f} s  {verdict}")
                print(rows[-1], flush=True)
                if answers.returncode != 0:
                    print(answers.stdout + answers.stderr, file=sys.stderr)
    print("", f"{'framework':10} {'version':8} {'took':>7}  what the tests say", *rows, sep="\n")
    return not is_right


def _build(folder: Path) -> tuple[Path, Path]:
    """The files that git knows, apart from the working tree, and a wheel made of them."""
    checkout = folder / "checkout"
    checkout.mkdir()
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=_ROOT, capture_output=True, check=True).stdout
    archive = ["tar", "--create", "--null", "--files-from=-"]
    packed = subprocess.run(archive, cwd=_ROOT, input=listed, capture_output=True, check=True).stdout
    subprocess.run(["tar", "--extract"], cwd=checkout, input=packed, check=True)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(checkout)]
    built = subprocess.run(build, capture_output=True, text=True, check=False)
    if built.returncode != 0:
        raise SystemExit(built.stderr)
    (wheel,) = folder.glob("*.whl")
    return checkout, wheel


def _ask(name: str, version: str, own: bool, checkout: Path, wheel: Path) -> subprocess.CompletedProcess[str]:
    """Build the environment for one version and run the tests in it."""
    framework = FRAMEWORKS[name]
    with tempfile.TemporaryDirectory(prefix=f"{name}-{version}-", dir=checkout.parent) as environment:
        subprocess.run([sys.executable, "-m", "venv", environment], check=True)
        python = str(Path(environment) / "bin" / "python")
        pinned = [f"{package}=={version}" for package in framework.packages]
        needs = [*framework.needs, *(framework.own_needs if own else ())]
        constraints = Path(environment) / "constraints.txt"
        constraints.write_text(_constraints_without({*framework.packages, *framework.loose}), "utf-8")
        install = [python, "-m", "pip", "install", "--quiet", "--constraint", str(constraints), str(wheel), "pytest"]
        installed = subprocess.run([*install, *pinned, *needs], capture_output=True, text=True, check=False)
        if installed.returncode != 0:
            return installed
        tests = ["tests/integrations/test_conformance.py", "-k", name]
        if own:
            own_tests = sorted((checkout / "tests" / "integrations").glob(f"test_*{name}*.py"))
            tests = [str(path.relative_to(checkout)) for path in own_tests] + tests
        asked = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests]
        return subprocess.run(asked, cwd=checkout, capture_output=True, text=True, check=False)


def _constraints_without(packages: set[str]) -> str:
    """The versions that the tests run with, except for these packages."""
    lines = (_ROOT / "constraints.txt").read_text("utf-8").splitlines()
    named = [(line, _NAME.match(line)) for line in lines]
    return "\n".join(line for line, name in named if name is not None and name[0].lower() not in packages)


if __name__ == "__main__":
    sys.exit(main())
