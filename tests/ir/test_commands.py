from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kanoe.ir.code import parse_cell
from kanoe.ir.commands import Install, find_installs

# command -> what pip is asked for (requirements alone, or other fields)
PIP: dict[str, list[str] | dict[str, Any] | None] = {
    "pip install pandas": ["pandas"],
    "pip install pandas numpy": ["pandas", "numpy"],
    "pip3 install pandas": ["pandas"],
    "pip3.7 install pandas": ["pandas"],
    "pip install -q pandas": ["pandas"],
    "pip install --quiet pandas": ["pandas"],
    "pip -q install pandas": ["pandas"],
    "pip install pandas -q": ["pandas"],
    "pip install -qq --no-deps pandas": ["pandas"],
    "python -m pip install pandas": ["pandas"],
    "python3.9 -W ignore -m pip install pandas": ["pandas"],
    "/opt/conda/bin/python -m pip install pandas": ["pandas"],
    "/opt/conda/bin/pip install pandas": ["pandas"],
    "{sys.executable} -m pip install pandas": ["pandas"],
    "{ sys.executable } -m pip install pandas": ["pandas"],
    "$sys.executable -m pip install pandas": ["pandas"],
    '"{sys.executable}" -m pip install pandas': ["pandas"],
    "$(which python) -m pip install pandas": ["pandas"],
    "sudo -H pip install pandas": ["pandas"],
    "PIP_NO_CACHE=1 pip install pandas": ["pandas"],
    "yes | pip install pandas": ["pandas"],
    "pip install pandas==1.0.5": ["pandas==1.0.5"],
    "pip install 'pandas>=1.0,<2'": ["pandas>=1.0,<2"],
    'pip install "pandas >= 1.0"': ["pandas >= 1.0"],
    "pip install pandas>=1.0": ["pandas>=1.0"],  # the shell redirects; the author meant a version
    "pip install pandas<2": ["pandas<2"],
    "pip install pandas >=1.0": ["pandas>=1.0"],
    "pip install pandas <2.0": ["pandas<2.0"],
    "pip install pandas == 1.0 numpy": ["pandas==1.0", "numpy"],
    "pip install pandas ==1.0, numpy": ["pandas==1.0", "numpy"],
    "pip install pandas, numpy": ["pandas", "numpy"],
    "pip install pandas>=1.0,<2": ["pandas>=1.0,<2"],
    "pip install pandas~=1.4": ["pandas~=1.4"],
    "pip install pandas\\>=1.0": ["pandas>=1.0"],
    "pip install requests[socks,security]==2.0": ["requests[socks,security]==2.0"],
    "pip install 'x; python_version<\"3.9\"'": ['x; python_version<"3.9"'],
    "pip install torch==1.7.0+cu110 -f https://download/torch.html": ["torch==1.7.0+cu110"],
    "pip install --index-url https://x/simple pandas": ["pandas"],
    "pip install --index-url=https://x/simple pandas": ["pandas"],
    "pip install --extra-index-url https://x pandas --trusted-host y": ["pandas"],
    "pip install -i https://x/simple pandas": ["pandas"],
    "pip install --find-links /kaggle/input/wheels --no-index pandas": ["pandas"],
    "pip install -t /kaggle/working pandas": ["pandas"],
    "pip install --progress-bar off pandas": ["pandas"],
    "pip install pandas > /dev/null": ["pandas"],
    "pip install pandas >/dev/null 2>&1": ["pandas"],
    "pip install pandas &> /dev/null": ["pandas"],
    "pip install pandas 2> /dev/null": ["pandas"],
    "pip install pandas>log.txt": ["pandas"],
    "pip install pandas | tail -1": ["pandas"],
    "pip install pandas # numpy": ["pandas"],
    "pip install pandas; ls numpy": ["pandas"],
    "ls && pip install pandas": ["pandas"],
    "(pip install pandas)": ["pandas"],
    "if true; then pip install pandas; fi": ["pandas"],
    "pip install \\\n  pandas \\\n  numpy": ["pandas", "numpy"],
    "pip install zope.interface ruamel.yaml": ["zope.interface", "ruamel.yaml"],
    "pip install 'name @ https://host/name-1.0.zip'": ["name @ https://host/name-1.0.zip"],
    "pip install name @ git+https://host/name": ["name@git+https://host/name"],
    "pip install torch=={version}": ["torch"],
    "pip install torch==$VERSION": ["torch"],
    "pip install -U pandas": {"requirements": ("pandas",), "upgrade": True},
    "pip install --upgrade pandas": {"requirements": ("pandas",), "upgrade": True},
    "pip install -qU pandas": {"requirements": ("pandas",), "upgrade": True},
    "pip install -r requirements.txt": {"files": ("requirements.txt",)},
    "pip install -rrequirements.txt": {"files": ("requirements.txt",)},
    "pip install -qr requirements.txt x": {"files": ("requirements.txt",), "requirements": ("x",)},
    "pip install --requirement=a.txt -c b.txt x": {"files": ("a.txt",), "constraints": ("b.txt",), "requirements": ("x",)},
    "pip install git+https://github.com/o/r.git@v1#egg=n": {"links": ("git+https://github.com/o/r.git@v1#egg=n",)},
    "pip install -e git+https://github.com/o/r": {"links": ("git+https://github.com/o/r",)},
    "pip install https://host/a-1.0-py3-none-any.whl": {"links": ("https://host/a-1.0-py3-none-any.whl",)},
    "pip install git@github.com:o/r.git": {"links": ("git@github.com:o/r.git",)},
    "pip install .": {"paths": (".",)},
    "pip install -e .": {"paths": (".",)},
    "pip install ../input/a/a-1.0-py3-none-any.whl x": {"paths": ("../input/a/a-1.0-py3-none-any.whl",), "requirements": ("x",)},
    "pip install /kaggle/input/a/": {"paths": ("/kaggle/input/a/",)},
    "pip install a-1.0.tar.gz": {"paths": ("a-1.0.tar.gz",)},
    "pip install './x[all]'": {"paths": ("./x[all]",)},
    "pip install {name}": {"unknown": ("{name}",)},
    "pip install $NAME pandas": {"unknown": ("$NAME",), "requirements": ("pandas",)},
    "pip install =broken": {"unknown": ("=broken",)},
    "uv pip install --system pandas": {"tool": "uv", "requirements": ("pandas",)},
    "uv pip install -p 3.9 pandas": {"tool": "uv", "requirements": ("pandas",)},
    "python -m uv pip install pandas": {"tool": "uv", "requirements": ("pandas",)},
    "uv add pandas": {"tool": "uv", "requirements": ("pandas",)},
    "conda install -y -c conda-forge numpy=1.19 pandas": {"tool": "conda", "requirements": ("numpy=1.19", "pandas")},
    "mamba install conda-forge::numpy": {"tool": "conda", "requirements": ("conda-forge::numpy",)},
    "conda install --file a.txt -n base x": {"tool": "conda", "requirements": ("x",), "files": ("a.txt",)},
    "conda install --yes --prefix {sys.prefix} numpy": {"tool": "conda", "requirements": ("numpy",)},
    "conda install 'python>=3.8' -q": {"tool": "conda", "requirements": ("python>=3.8",)},
    "pip uninstall -y pandas": None,
    "pip list": None,
    "pip freeze > installed.txt": None,
    "pip download pandas": None,
    "apt-get install -y graphviz": None,
    "npm install x": None,
    "echo pip install pandas": None,
    "python setup.py install": None,
    "python -m venv install": None,
    "git add install": None,
    "brew install pandas": None,
    "conda create -n x pandas": None,
    "# pip install pandas": None,
    "install": None,
    "pip": None,
    "": None,
}  # fmt: skip


@pytest.mark.parametrize("command", PIP)
def test_installs(command: str) -> None:
    expected = PIP[command]
    found = find_installs(command, 1)
    if expected is None:
        assert found == ()
        return
    fields = expected if isinstance(expected, dict) else {"requirements": tuple(expected)}
    assert found == (Install(**{"tool": "pip", "line": 1, **fields}),)


# cell -> (requirement, line) of each install
CELLS = {
    "!pip install a": [("a", 1)],
    "x = 1\n!pip install a && pip install b; pip install c": [("a", 2), ("b", 2), ("c", 2)],
    "%pip install a": [("a", 1)],
    "%pip install a>=1 -q  # why": [("a>=1", 1)],
    "pip install a": [("a", 1)],
    "\npip install a\n": [("a", 2)],
    "pip install a\nimport a": [("a", 1)],
    "print 'x'\n!pip install a\n  pip install b": [("a", 2), ("b", 3)],
    "%%bash\nset -e\npip install a\n# pip install b\npip install c \\\n  d": [("a", 3), ("c", 5), ("d", 5)],
    "%%sh\nfor x in a b; do\n  pip install a\ndone": [("a", 3)],
    "%%capture\n!pip install a": [("a", 2)],
    "%%capture\n\n%pip install a": [("a", 3)],
    "%time !pip install a": [("a", 1)],
    "x = !pip install a": [("a", 1)],
    "!!pip install a": [("a", 1)],
    "%sx pip install a": [("a", 1)],
    "%system pip install a": [("a", 1)],
    "%conda install a": [("a", 1)],
    "%mamba install a": [("a", 1)],
    "%uv pip install a": [("a", 1)],
    "conda install a": [("a", 1)],
    "try:\n    import a\nexcept ImportError:\n    !pip install a\n    import a": [("a", 4)],
    "!pip install \\\n  a \\\n  b": [("a", 1), ("b", 1)],
    "import os\nos.system('pip install a')": [("a", 2)],
    "subprocess.run('pip install a', shell=True)": [("a", 1)],
    "subprocess.check_call([sys.executable, '-m', 'pip', 'install', 'a', name])": [("a", 1)],
    "subprocess.run(('pip', 'install', 'a>=1'))": [("a>=1", 1)],
    "get_ipython().system('pip install a')": [("a", 1)],
    "get_ipython().run_line_magic('pip', 'install a')": [("a", 1)],
    "'''\n!pip install a\n'''": [],
    "text = '!pip install a'": [],
    "# !pip install a": [],
    "%%writefile a.sh\npip install a": [],
    "%%script false --no-raise-error\npip install a": [],
    "os.system(f'pip install {a}')": [],
    "pip_install = 3": [],
}


@pytest.mark.parametrize("source", CELLS)
def test_installs_of_cells(source: str) -> None:
    installs = parse_cell(source).installs
    assert [(text, install.line) for install in installs for text in install.requirements] == CELLS[source]


@given(st.text(alphabet="pip install conda-m{}$&|;<>=!\"'\\\n#()@/.~[]*, x1", max_size=80))
def test_no_command_raises(command: str) -> None:
    for install in find_installs("pip install " + command, 1):
        assert install.line >= 1
