"""The demo: `kanoe run examples/titanic`, and in five lines what happened and where to look."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parent.parent / "examples" / "titanic"


def main() -> int:
    """Run the example; return the exit code of `kanoe run`."""
    command = [sys.executable, "-m", "kanoe", "run", str(EXAMPLE), "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    report = json.loads(done.stdout)
    if done.returncode != 0:
        print(f"The demo did not succeed (exit code {done.returncode}); the lines above say why.")
        return done.returncode
    folder, cells = report["directory"], report["tasks"]
    rows = sum(1 for _ in (Path(folder) / "working" / "submission.csv").open()) - 1
    print()
    print(
        f"1. Kanoe ran {len(cells)} cells of examples/titanic/exploration.ipynb in {report['seconds']:.0f} s, unmodified."
    )
    print("2. It found what the notebook imports, built that environment, and gave it Kaggle's folders in a sandbox.")
    print(f"3. The notebook wrote {rows} predictions:     {folder}/working/submission.csv")
    print(f"4. The executed notebook and its page:    {folder}/notebook.html")
    print("5. Your turn:                             .venv/bin/kanoe run YOUR-NOTEBOOK.ipynb")
    return 0


if __name__ == "__main__":
    sys.exit(main())
