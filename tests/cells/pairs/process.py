"""What a process holds besides names: iterators, random states, settings, patches, threads, the environment."""

TEXT = r"""
=== iterator-shared
# %%-
numbers = iter([1, 2, 3, 4])
# %%+
numbers = iter([5, 6, 7, 8])
# %%!
first = next(numbers)
# %%!
second = next(numbers)
# %%!
print(first, second, list(numbers))

=== iterator-consumed-by-the-edited-cell
# %%~
numbers = iter([1, 2, 3, 4])
# %%-
next(numbers)
# %%+
next(numbers); next(numbers)
# %%!
print(next(numbers))

=== generator-consumed-by-several
# %%~
def stream():
    for n in range(10):
        yield n
batches = stream()
# %%-
a = next(batches)
# %%+
a = next(batches) + next(batches)
# %%!
b = next(batches)
# %%!
print(a, b)

=== generator-last-cell-edited
# %%~
batches = (n * n for n in range(10))
# %%~
first = next(batches)
# %%~
second = next(batches)
# %%-
print(first, second)
# %%+
print(first, second, next(batches))

=== generator-reads-a-global-late
# %%
scale = 1
# %%~
values = (n * scale for n in range(3))
# %%-
scale = 10
# %%+
scale = 20
# %%!
print(list(values))

=== zip-and-enumerate-kept
# %%~
pairs = zip("abc", [1, 2, 3])
# %%-
print(next(pairs))
# %%+
print("none taken")
# %%!
print(list(pairs))

=== itertools-count
# %%
import itertools
counter = itertools.count(1)
# %%-
next(counter)
# %%+
next(counter); next(counter)
# %%!
print(next(counter))

=== reader-of-a-file-kept-open
# %%
with open("lines.txt", "w") as out:
    out.write("a\nb\nc\n")
# %%~
source = open("lines.txt")
# %%-
source.readline()
# %%+
source.readline(); source.readline()
# %%!
print(source.readline())

=== random-seed-then-draws
# %%
import random
random.seed(1)
# %%-
a = random.random()
# %%+
a = random.random() + random.random()
# %%!
b = random.random()
# %%!
print(round(b, 6))

=== random-seed-changed
# %%-
import random
random.seed(1)
# %%+
import random
random.seed(2)
# %%!
print(random.randint(0, 10 ** 9))
# %%
print("no draw")
# %%!
print(random.choice(range(10 ** 6)))

=== random-draw-inserted
# %%
import random
random.seed(7)
# %%+
random.shuffle(list(range(5)))
# %%!
print(random.random())

=== random-reseeded-later
# %%
import random
random.seed(1)
# %%-
a = random.random()
# %%+
a = random.random() * 0 + random.random()
# %%
random.seed(5)
# %%
print(random.random())
# %%!
print(round(a, 6))

=== random-state-saved-and-set
# %%
import random
random.seed(3)
saved = random.getstate()
# %%-
random.random()
# %%+
random.random(); random.random()
# %%
random.setstate(saved)
# %%
print(random.random())

=== own-random-object
# %%
import random
own = random.Random(4)
# %%-
own.random()
# %%+
own.random(); own.random()
# %%!
print(own.random())
# %%
random.seed(1); print(random.random())

=== numpy-seed-then-draws
# %%
import numpy as np
np.random.seed(0)
# %%-
noise = np.random.rand(2)
# %%+
noise = np.random.rand(3)
# %%!
weights = np.random.rand(2)
# %%!
print(weights.round(6), noise.size)

=== numpy-seed-in-a-function
# %%
import numpy as np
def seed_everything(seed):
    import random, os
    random.seed(seed)
    os.environ["PYTHONHASHSEED"] = str(seed)
    np.random.seed(seed)
# %%-
seed_everything(42)
# %%+
seed_everything(43)
# %%
table = {"a": 1}
# %%!
print(np.random.randint(0, 10 ** 9))
# %%
print(table)

=== numpy-generator-shared
# %%
import numpy as np
rng = np.random.default_rng(0)
# %%-
a = rng.integers(100)
# %%+
a = rng.integers(100, size=2)
# %%!
print(rng.integers(10 ** 9))

=== pandas-sample-draws-from-numpy
# %%
import numpy as np, pandas as pd
np.random.seed(0)
frame = pd.DataFrame({"a": range(100)})
# %%-
np.random.permutation(3)
# %%+
np.random.permutation(30)
# %%!
print(frame.sample(3).a.tolist())
# %%
print(frame.a.sum())

=== sklearn-draws-from-the-global-generator
# %%
import numpy as np
from sklearn.model_selection import train_test_split
np.random.seed(1)
X = np.arange(20)
# %%-
np.random.rand()
# %%+
np.random.rand(5)
# %%!
train, test = train_test_split(X, test_size=4)
# %%!
print(test)

=== sklearn-with-a-state-of-its-own
# %%
import numpy as np
from sklearn.model_selection import train_test_split
np.random.seed(1)
X = np.arange(20)
# %%-
np.random.rand()
# %%+
np.random.rand(5)
# %%~
train, test = train_test_split(X, test_size=4, random_state=0)
# %%
print(test)

=== sklearn-fit-changes-the-model
# %%
import numpy as np
from sklearn.linear_model import LinearRegression
X, y = np.arange(6.0).reshape(-1, 1), np.arange(6.0)
model = LinearRegression()
models = {"linear": model}
# %%-
models["linear"].fit(X, y)
# %%+
models["linear"].fit(X, 2 * y)
# %%!
print(model.coef_.round(6))

=== sklearn-pipeline-parameter
# %%
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.linear_model import Ridge
import numpy as np
X, y = np.arange(6.0).reshape(-1, 1), np.arange(6.0) ** 2
steps = make_pipeline(StandardScaler(), Ridge())
# %%-
steps.set_params(ridge__alpha=1.0)
# %%+
steps.set_params(ridge__alpha=10.0)
# %%!
print(steps.fit(X, y).predict(X).round(4))

=== sklearn-scaler-fit-on-train
# %%
import numpy as np
from sklearn.preprocessing import StandardScaler
scaler = StandardScaler()
train, test = np.array([[1.0], [3.0]]), np.array([[5.0]])
# %%-
train = scaler.fit_transform(train)
# %%+
train = scaler.fit_transform(train * 2)
# %%!
print(scaler.transform(test))

=== environment-variable
# %%
import os
# %%-
os.environ["MODE"] = "fast"
# %%+
os.environ["MODE"] = "slow"
# %%!
print(os.environ["MODE"])
# %%
print("else")

=== environment-variable-of-a-child
# %%
import os
# %%-
os.environ["MODE"] = "fast"
# %%+
os.environ["MODE"] = "slow"
# %%!
!echo $MODE

=== environment-variable-by-getenv-default
# %%
import os
# %%-
pass
# %%+
os.environ["DEBUG_PAIR"] = "1"
# %%!
print(os.getenv("DEBUG_PAIR", "unset"))

=== environment-variable-by-a-magic
# %%-
%env LEVEL=1
# %%+
%env LEVEL=2
# %%!
import os
print(os.environ["LEVEL"])

=== working-directory
# %%
import os
os.makedirs("a", exist_ok=True); os.makedirs("b", exist_ok=True)
open("a/name.txt", "w").write("in a"); open("b/name.txt", "w").write("in b");
# %%-
os.chdir("a")
# %%+
os.chdir("b")
# %%!
print(open("name.txt").read())

=== working-directory-by-a-magic
# %%
import os
os.makedirs("sub", exist_ok=True)
# %%-
pass
# %%+
%cd -q sub
# %%!
print(os.path.basename(os.getcwd()) == "sub")

=== search-path
# %%
import os, sys
for folder in ("one", "two"):
    os.makedirs(folder, exist_ok=True)
    with open(f"{folder}/pair_module.py", "w") as out:
        out.write(f"NAME = {folder!r}\n")
# %%-
sys.path.insert(0, "one")
# %%+
sys.path.insert(0, "two")
# %%!
import pair_module
# %%!
print(pair_module.NAME)

=== recursion-limit
# %%
import sys
# %%-
sys.setrecursionlimit(2000)
# %%+
sys.setrecursionlimit(3000)
# %%!
print(sys.getrecursionlimit())

=== warnings-silenced
# %%
import warnings
# %%-
warnings.filterwarnings("ignore")
# %%+
warnings.filterwarnings("default")
# %%!
warnings.warn("careful")
# %%~
print("quiet")

=== warnings-patched
# %%
import warnings
def ignore(*args, **options):
    pass
# %%-
warnings.warn = ignore
# %%+
pass
# %%!
warnings.warn("careful")

=== warnings-patched-then-more
# %%
import warnings
def ignore(*args, **options):
    pass
warnings.warn = ignore
# %%-
print("one")
# %%+
print("two"); warnings.warn("unseen")
# %%~
warnings.warn("unseen too")
print("end")

=== pandas-option
# %%
import pandas as pd
frame = pd.DataFrame({"a": [0.123456789]})
# %%-
pd.set_option("display.precision", 2)
# %%+
pd.set_option("display.precision", 4)
# %%!
print(frame)
# %%!
frame

=== pandas-option-attribute
# %%
import pandas as pd
frame = pd.DataFrame({"a": range(100)})
# %%-
pd.options.display.max_rows = 4
# %%+
pd.options.display.max_rows = 6
# %%!
print(frame)

=== pandas-option-in-a-context
# %%
import pandas as pd
frame = pd.DataFrame({"a": [0.123456789]})
# %%-
with pd.option_context("display.precision", 2):
    print(frame)
# %%+
with pd.option_context("display.precision", 3):
    print(frame)
# %%
print(frame)

=== pandas-float-format-is-a-lambda
# %%
import pandas as pd
frame = pd.DataFrame({"a": [0.5]})
# %%-
pd.options.display.float_format = lambda x: "%.3f" % x
# %%+
pd.options.display.float_format = lambda x: "%.5f" % x
# %%!
print(frame)

=== pandas-method-patched
# %%
import pandas as pd
frame = pd.DataFrame({"a": [1, 2]})
# %%-
pd.DataFrame.first_value = lambda self: self.a[0]
# %%+
pd.DataFrame.first_value = lambda self: self.a[0] + 100
# %%!
print(frame.first_value())

=== pandas-accessor-registered
# %%
import pandas as pd
frame = pd.DataFrame({"a": [1, 2]})
# %%-
@pd.api.extensions.register_dataframe_accessor("pair")
class Accessor:
    def __init__(self, frame): self.frame = frame
    def total(self): return self.frame.a.sum()
# %%+
@pd.api.extensions.register_dataframe_accessor("pair")
class Accessor:
    def __init__(self, frame): self.frame = frame
    def total(self): return self.frame.a.sum() * 2
# %%!
print(frame.pair.total())

=== numpy-print-options
# %%
import numpy as np
numbers = np.array([1 / 3])
# %%-
np.set_printoptions(precision=2)
# %%+
np.set_printoptions(precision=4)
# %%!
print(numbers)

=== numpy-error-state
# %%
import numpy as np
# %%-
np.seterr(all="ignore")
# %%+
np.seterr(divide="raise")
# %%!
try:
    print(np.float64(1.0) / np.float64(0.0))
except FloatingPointError as problem:
    print("raised")

=== tqdm-registers-with-pandas
# %%
import pandas as pd
from tqdm import tqdm
frame = pd.DataFrame({"a": [1, 2]})
# %%-
pass
# %%+
tqdm.pandas(disable=True)
# %%!
try:
    print(frame.a.progress_apply(lambda x: x + 1).tolist())
except AttributeError:
    print("not registered")

=== tqdm-registered-and-a-later-cell-edited
# %%
import pandas as pd
from tqdm import tqdm
tqdm.pandas(disable=True)
frame = pd.DataFrame({"a": [1, 2]})
# %%-
print(frame.a.progress_apply(lambda x: x + 1).tolist())
# %%+
print(frame.a.progress_apply(lambda x: x + 2).tolist())

=== matplotlib-rc
# %%
import matplotlib
matplotlib.use("agg")
import matplotlib.pyplot as plt
# %%-
plt.rcParams["figure.figsize"] = (4, 3)
# %%+
plt.rcParams["figure.figsize"] = (6, 2)
# %%!
figure, axes = plt.subplots()
print(figure.get_size_inches().tolist())
plt.close(figure)

=== matplotlib-style
# %%
import matplotlib
matplotlib.use("agg")
import matplotlib.pyplot as plt
# %%-
plt.style.use("ggplot")
# %%+
plt.style.use("dark_background")
# %%
print("no figure", 1)
# %%!
print(plt.rcParams["axes.facecolor"])

=== figure-over-two-cells
# %%~
import matplotlib
matplotlib.use("agg")
import matplotlib.pyplot as plt
figure, axes = plt.subplots()
# %%-
axes.plot([1, 2])
# %%+
axes.plot([1, 2]); axes.plot([2, 1])
# %%!
print(len(axes.lines))
# %%!
axes.set_title("after")
figure.savefig("figure.png", metadata={"Software": None})

=== current-figure-is-hidden
# %%~
import matplotlib
matplotlib.use("agg")
import matplotlib.pyplot as plt
plt.figure();
# %%-
plt.plot([1, 2]);
# %%+
plt.plot([1, 2]); plt.plot([3, 4]);
# %%!
print(len(plt.gca().lines))
# %%
print("end")

=== logging-level
# %%
import logging, sys
logger = logging.getLogger("pair")
logger.addHandler(logging.StreamHandler(sys.stdout))
# %%-
logger.setLevel(logging.INFO)
# %%+
logger.setLevel(logging.ERROR)
# %%!
logger.info("informed")
# %%
print("plain")

=== logging-handler-to-a-file
# %%
import logging
logger = logging.getLogger("pair-file")
logger.setLevel(logging.INFO)
# %%-
logger.addHandler(logging.FileHandler("run.log"))
logger.info("one")
# %%+
logger.addHandler(logging.FileHandler("run.log"))
logger.info("uno")
# %%!
logger.info("two")
# %%!
print(open("run.log").read())

=== locale
# %%
import locale
# %%-
locale.setlocale(locale.LC_CTYPE, "C")
# %%+
locale.setlocale(locale.LC_CTYPE, "C.UTF-8")
# %%!
print(locale.setlocale(locale.LC_CTYPE))

=== decimal-precision
# %%
import decimal
# %%-
decimal.getcontext().prec = 4
# %%+
decimal.getcontext().prec = 6
# %%!
print(decimal.Decimal(1) / 3)

=== context-variable
# %%
import contextvars
mode = contextvars.ContextVar("mode", default="none")
# %%-
token = mode.set("a")
# %%+
token = mode.set("b")
# %%!
print(mode.get())

=== time-zone
# %%
import os, time
# %%-
os.environ["TZ"] = "UTC"; time.tzset()
# %%+
os.environ["TZ"] = "Asia/Tokyo"; time.tzset()
# %%!
print(time.strftime("%H:%M", time.localtime(0)))

=== standard-output-replaced
# %%
import sys, io
# %%-
kept, sys.stdout = sys.stdout, io.StringIO()
# %%+
kept = sys.stdout
# %%!
print("heard?")
# %%!
sys.stdout = kept
print("back")

=== module-attribute-patched
# %%
import textwrap
plain = textwrap.shorten
# %%-
textwrap.shorten = lambda text, width: "patched " + plain(text, width)
# %%+
textwrap.shorten = lambda text, width: "mended " + plain(text, width)
# %%!
print(textwrap.shorten("a b", 10))

=== class-of-a-library-patched
# %%
import fractions
# %%-
fractions.Fraction.__str__ = lambda self: "one"
# %%+
fractions.Fraction.__str__ = lambda self: "two"
# %%!
print(str(fractions.Fraction(1, 3)))

=== attribute-of-an-imported-library-is-a-list
# %%
import string
string.collected = []
# %%-
string.collected.append(1)
# %%+
string.collected.append(2)
# %%!
print(string.collected)

=== open-replaced
# %%
import builtins
real = builtins.open
seen = []
def spy(*args, **options):
    seen.append(args[0])
    return real(*args, **options)
# %%-
builtins.open = spy
# %%+
pass
# %%!
import shutil
open("x.txt", "w").write("1"); shutil.copyfile("x.txt", "y.txt");
# %%!
print(len(seen) > 0)
# %%!
builtins.open = real

=== thread-fills-a-list
# %%
import threading
rows = []
# %%-
worker = threading.Thread(target=lambda: rows.append("a")); worker.start(); worker.join()
# %%+
worker = threading.Thread(target=lambda: rows.append("b")); worker.start(); worker.join()
# %%!
print(rows)

=== thread-goes-on-after-its-cell
# %%
import threading
rows, gate = [], threading.Event()
def work(text):
    gate.wait(5)
    rows.append(text)
# %%-
worker = threading.Thread(target=work, args=("a",)); worker.start()
# %%+
worker = threading.Thread(target=work, args=("b",)); worker.start()
# %%!
gate.set(); worker.join()
# %%!
print(rows)

=== queue-and-lock
# %%~
import queue, threading
box = queue.Queue()
lock = threading.Lock()
# %%-
with lock:
    box.put(1)
# %%+
with lock:
    box.put(2)
# %%!
print(box.get(timeout=1))

=== pool-of-processes
# %%-
scale = 2
# %%+
scale = 3
# %%
def work(n):
    return n * scale
# %%!
import multiprocessing
with multiprocessing.get_context("fork").Pool(2) as pool:
    print(pool.map(work, range(3)))

=== pool-of-threads
# %%
from concurrent.futures import ThreadPoolExecutor
seen = []
def work(n):
    seen.append(n)
    return n
# %%-
with ThreadPoolExecutor(1) as pool:
    list(pool.map(work, [1, 2]))
# %%+
with ThreadPoolExecutor(1) as pool:
    list(pool.map(work, [3, 4]))
# %%!
print(seen)

=== child-changes-nothing-here
# %%
rows = []
# %%-
import multiprocessing
child = multiprocessing.get_context("fork").Process(target=lambda: rows.append(1)); child.start(); child.join()
# %%+
import multiprocessing
child = multiprocessing.get_context("fork").Process(target=lambda: rows.append(2)); child.start(); child.join()
# %%
print(rows)

=== async-task-finishes-later
# %%
import asyncio
done = []
async def later(text):
    await asyncio.sleep(0.01)
    done.append(text)
# %%-
task = asyncio.ensure_future(later("a"))
# %%+
task = asyncio.ensure_future(later("b"))
# %%!
await task
# %%!
print(done)

=== coroutine-kept
# %%
async def value(n):
    return n
# %%-
waiting = value(1)
# %%+
waiting = value(2)
# %%!
print(await waiting)

=== joblib-parallel
# %%
from joblib import Parallel, delayed
# %%-
scale = 2
# %%+
scale = 5
# %%
def work(n):
    return n * scale
# %%!
print(Parallel(n_jobs=1)(delayed(work)(n) for n in range(3)))

=== garbage-is-freed
# %%
import weakref
class Big: pass
big = Big()
alive = weakref.ref(big)
# %%-
keep = big
# %%+
keep = None
# %%!
del big
print(alive() is None)

=== weak-dictionary
# %%
import weakref
class Key: pass
key = Key()
table = weakref.WeakKeyDictionary()
# %%-
table[key] = 1
# %%+
table[key] = 2
# %%!
print(table[key])

=== sqlite-in-memory
# %%~
import sqlite3
database = sqlite3.connect(":memory:")
database.execute("create table t (n)");
# %%-
database.execute("insert into t values (1)");
# %%+
database.execute("insert into t values (2)");
# %%!
print(database.execute("select * from t").fetchall())

=== string-stream
# %%
import io
buffer = io.StringIO()
# %%-
buffer.write("one");
# %%+
buffer.write("two");
# %%!
print(buffer.getvalue())

=== import-order-and-submodules
# %%
import wsgiref
# %%-
pass
# %%+
import wsgiref.util
# %%!
print(hasattr(wsgiref, "util"))

=== import-with-an-alias
# %%-
import math as numbers
# %%+
import cmath as numbers
# %%!
print(numbers.sqrt(4))

=== from-import-kept-while-the-library-is-patched
# %%
import textwrap
from textwrap import dedent
# %%-
textwrap.dedent = str.upper
# %%+
textwrap.dedent = str.title
# %%
print(dedent("  ab"))
# %%!
print(textwrap.dedent("  ab"))

=== experimental-switch
# %%
import numpy as np
# %%-
from sklearn.experimental import enable_iterative_imputer
# %%+
from sklearn.experimental import enable_iterative_imputer, enable_halving_search_cv
# %%~
from sklearn.impute import IterativeImputer
print(IterativeImputer.__name__)
# %%-
print("end")
# %%+
print("the end")

=== experimental-switch-kept-later-edited
# %%
from sklearn.experimental import enable_iterative_imputer
# %%-
x = 1
# %%+
x = 2
# %%~
from sklearn.impute import IterativeImputer
# %%+
from sklearn.impute import IterativeImputer as again
print(again.__name__)

=== atexit-and-signal
# %%
import signal
fired = []
# %%-
previous = signal.signal(signal.SIGUSR1, lambda *a: fired.append("a"))
# %%+
previous = signal.signal(signal.SIGUSR1, lambda *a: fired.append("b"))
# %%!
import os
os.kill(os.getpid(), signal.SIGUSR1)
# %%!
print(fired)

=== profile-of-values-that-print
# %%
class Loud:
    def __init__(self): self.n = 1
    def __getattr__(self, name):
        print("asked", name) if not name.startswith("_") else None
        raise AttributeError(name)
    def __hash__(self):
        print("hashed")
        return 1
    def __eq__(self, other):
        print("compared")
        return False
    def __bool__(self):
        print("tested")
        return True
    def __len__(self):
        print("measured")
        return 3
loud = Loud()
# %%-
loud.n = 2
# %%+
loud.n = 3
# %%!
print(loud.n)

=== memory-address-of-a-default-repr
# %%
class Plain: pass
plain = Plain()
# %%-
note = 1
# %%+
note = 2
# %%!
print(type(plain).__name__, note)

=== ordered-dictionary-moves
# %%
table = dict(a=1, b=2)
# %%-
table["a"] = table.pop("a")
# %%+
table["b"] = table.pop("b")
# %%!
print(list(table))

=== nan-and-signed-zero
# %%-
x = 0.0
# %%+
x = -0.0
# %%!
print(x)

=== true-is-not-one
# %%-
flag = True
# %%+
flag = 1
# %%!
print(flag)

=== equal-but-another-type
# %%-
import numpy as np
value = np.float32(1.5)
# %%+
import numpy as np
value = np.float64(1.5)
# %%!
print(type(value).__name__)

=== dtype-only
# %%-
import numpy as np
values = np.array([1, 2], dtype="int32")
# %%+
import numpy as np
values = np.array([1, 2], dtype="int64")
# %%!
print(values.dtype)

=== categorical-order
# %%
import pandas as pd
frame = pd.DataFrame({"size": ["s", "l"]})
# %%-
frame["size"] = pd.Categorical(frame["size"], ["s", "l"], ordered=True)
# %%+
frame["size"] = pd.Categorical(frame["size"], ["l", "s"], ordered=True)
# %%!
print(frame.sort_values("size")["size"].tolist())
"""
