"""Values of old and new libraries: they come back equal, and nobody who only looks at them changes them."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from kanoe.environments.uv import find_uv

LOOKS = Path(__file__).with_name("value_looks.py")
# One interpreter each, where it is there.
AGES = {
    "3.6": ["pandas==0.23.4", "scikit-learn==0.20.4", "pytz"],
    "3.7": ["pandas==1.3.5", "scikit-learn==1.0.2"],
    "3.11": ["pandas", "scikit-learn"],
}


@pytest.mark.slow
@pytest.mark.parametrize("minor", AGES)
def test_looking_at_a_value_changes_nothing(minor: str, tmp_path: Path) -> None:
    uv = find_uv()
    made = subprocess.run(
        [uv, "venv", "--python", minor, tmp_path / "env"], capture_output=True, text=True, check=False
    )
    if made.returncode:
        pytest.skip(f"there is no Python {minor}")
    python = tmp_path / "env" / "bin" / "python"
    subprocess.run([uv, "pip", "install", "-q", "--python", python, *AGES[minor]], check=True)
    done = subprocess.run(
        [python, LOOKS], capture_output=True, text=True, check=False, env={**os.environ, "TMPDIR": str(tmp_path)}
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {}
