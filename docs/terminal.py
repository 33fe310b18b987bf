"""Draw docs/terminal.png: a real training and the command line, as a person sees them.

python docs/terminal.py
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont

_ROOT = Path(__file__).resolve().parent.parent
_WIDTH, _SIZE, _LINE, _EDGE = 104, 15, 20, 18
_BACKGROUND, _TEXT, _PROMPT, _OURS = "#10161d", "#c9d4de", "#7fd0a0", "#e6c27a"


def main() -> None:
    """Run the commands in a store of their own and draw what they print."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "BAROGRAPH_STORE": folder + "/.barograph", "COLUMNS": str(_WIDTH)}
        lines = _run("python examples/xgboost_california.py", environment)
        lines += ["", *_run("barograph ls", environment), ""]
        name = next(line.split()[1] for line in lines if line.startswith("barograph: "))
        shown = _run(f"barograph show {name}", environment)
        lines += [line for line in shown if not line.startswith("  folder")][:46]
    _draw([line.replace(folder, "~")[:_WIDTH] for line in lines], Path(__file__).with_name("terminal.png"))


def _run(command: str, environment: dict[str, str]) -> list[str]:
    words = command.split()
    program = [sys.executable] if words[0] == "python" else [sys.executable, "-m", "barograph"]
    printed = subprocess.run(
        [*program, *words[1:]],
        cwd=_ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    )
    return [f"$ {command}", *printed.stdout.splitlines()]


def _draw(lines: list[str], target: Path) -> None:
    font = ImageFont.truetype(font_manager.findfont("DejaVu Sans Mono"), _SIZE)
    width = round(font.getlength("m") * _WIDTH) + 2 * _EDGE
    picture = Image.new("RGB", (width, _LINE * len(lines) + 2 * _EDGE), _BACKGROUND)
    pen = ImageDraw.Draw(picture)
    for number, line in enumerate(lines):
        colour = _PROMPT if line.startswith("$ ") else _OURS if line.startswith("barograph: ") else _TEXT
        pen.text((_EDGE, _EDGE + number * _LINE), line, font=font, fill=colour)
    picture.quantize(32).save(target, optimize=True)


if __name__ == "__main__":
    main()
