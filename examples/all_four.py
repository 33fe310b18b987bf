"""Train one model with each of the four frameworks, Barograph attached, and show what was recorded.

python examples/all_four.py
"""

import subprocess
import sys
from pathlib import Path

import barograph

EXAMPLES = ["lightning_digits.py", "keras_digits.py", "xgboost_california.py", "sklearn_breast_cancer.py"]


def main() -> int:
    """Run the four examples one after the other, each as a user would run it."""
    folder = Path(__file__).resolve().parent
    failed = []
    for name in EXAMPLES:
        print(f"\n== {name}", flush=True)
        if subprocess.run([sys.executable, folder / name], check=False).returncode != 0:
            failed.append(name)
    print("\n== What was recorded", flush=True)
    subprocess.run([sys.executable, "-m", "barograph", "ls"], check=False)
    newest = barograph.open().runs()[0]
    print(f"""
Next:
  barograph show {newest.name}
  barograph tail {newest.name}
  barograph export {newest.name} -o points.csv
  barograph sql "select key, count(*) as points from metrics group by key order by key"
""")
    if failed:
        print(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
