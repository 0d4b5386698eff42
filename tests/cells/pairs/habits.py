"""What people do on Kaggle: objects fitted in place, registries, counters, modules of their own, handles that cells share."""

TEXT = r"""
=== pipeline-fitted-in-place
# %%
import numpy as np
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.linear_model import Ridge
X = np.arange(12.0).reshape(6, 2); y = X[:, 0] * 2 + X[:, 1] ** 2
# %%
pipe = make_pipeline(StandardScaler(), Ridge(alpha=1.0))
# %%-
pipe.set_params(ridge__alpha=0.1);
# %%+
pipe.set_params(ridge__alpha=10.0);
# %%!
pipe.fit(X, y);
# %%!
print(pipe.predict(X[:2]).round(3))

=== step-of-a-pipeline-is-shared
# %%
import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler
X = np.arange(6.0).reshape(3, 2)
# %%
scaler = MinMaxScaler()
pipe = Pipeline([("scale", scaler)])
# %%-
pipe.fit(X);
# %%+
pipe.fit(X * 4);
# %%!
print(scaler.data_max_.tolist())

=== dictionary-of-models
# %%
import numpy as np
from sklearn.linear_model import Ridge
X = np.arange(10.0).reshape(5, 2); y = X.sum(axis=1)
models = {"weak": Ridge(alpha=0.1), "strong": Ridge(alpha=9.0)}
# %%-
models["weak"].alpha = 0.5
# %%+
models["weak"].alpha = 5.0
# %%!
for model in models.values():
    model.fit(X, y);
# %%!
scores = {name: round(model.coef_[0], 4) for name, model in models.items()}
print(scores)

=== random-state-object-shared-by-two-models
# %%
import numpy as np
from sklearn.tree import DecisionTreeClassifier
from sklearn.ensemble import RandomForestClassifier
X = np.random.RandomState(3).rand(40, 4); y = (X[:, 0] > X[:, 1]).astype(int)
# %%~
state = np.random.RandomState(0)
# %%-
first = RandomForestClassifier(n_estimators=2, random_state=state).fit(X, y)
# %%+
first = RandomForestClassifier(n_estimators=3, random_state=state).fit(X, y)
# %%!
second = RandomForestClassifier(n_estimators=2, random_state=state).fit(X, y)
# %%!
print(second.predict_proba(X).sum(axis=0).round(4).tolist(), state.randint(1000))

=== slice-dropped-in-place
# %%
import pandas as pd
frame = pd.DataFrame({"a": [1, 2, 3], "b": [4, 5, 6], "c": [7, 8, 9]})
# %%
part = frame[frame.a > 1]
# %%-
part.drop(columns="b", inplace=True)
# %%+
part.drop(columns="c", inplace=True)
# %%!
print(list(part), part.shape)
# %%
print(list(frame))

=== concatenated-and-split-again
# %%
import gc
import pandas as pd
train = pd.DataFrame({"x": [1, 2, 3], "y": [0, 1, 0]})
test = pd.DataFrame({"x": [4, 5]})
# %%
count = len(train)
full = pd.concat([train, test], ignore_index=True)
del train, test
gc.collect();
# %%-
full["z"] = full["x"] * 2
# %%+
full["z"] = full["x"] * 3
# %%!
train, test = full[:count], full[count:]
# %%!
print(train.z.tolist(), test.z.tolist())

=== groupby-object-and-its-frame
# %%
import pandas as pd
frame = pd.DataFrame({"k": ["a", "b", "a"], "v": [1, 2, 3]})
# %%~
groups = frame.groupby("k")
# %%-
frame.loc[0, "v"] = 10
# %%+
frame.loc[0, "v"] = 20
# %%!
print(groups["v"].sum().to_dict())

=== attrs-of-a-frame
# %%
import pandas as pd
frame = pd.DataFrame({"v": [1, 2]})
# %%-
frame.attrs["source"] = "first"
# %%+
frame.attrs["source"] = "second"
# %%!
print(frame.head(1).attrs)

=== index-of-a-frame-named-by-a-function
# %%
import pandas as pd
frame = pd.DataFrame({"a": [1, 2]}, index=pd.Index([5, 6], name="row"))
def rename(index, name):
    index.name = name
# %%
kept = frame.index
# %%-
rename(kept, "line")
# %%+
rename(kept, "entry")
# %%!
print(frame.reset_index().columns.tolist())

=== matrix-view-of-an-array
# %%
import numpy as np
values = np.arange(4)
# %%
shown = values.view(np.recarray)
# %%-
values[0] = 7
# %%+
values[0] = 9
# %%!
print(np.asarray(shown).tolist())

=== folds-from-a-generator
# %%~
import numpy as np
from sklearn.model_selection import KFold
folds = KFold(3).split(np.arange(6))
# %%-
train, valid = next(folds)
# %%+
next(folds); train, valid = next(folds)
# %%!
print(valid.tolist())
# %%!
print([list(held) for _, held in folds])

=== tee-of-an-iterator
# %%~
import itertools
left, right = itertools.tee(iter(range(5)))
# %%-
next(left)
# %%+
next(left); next(left)
# %%!
print(list(right), list(left))

=== global-counter
# %%
calls = 0
def work(x):
    global calls
    calls += 1
    return x * calls
# %%-
a = work(1)
# %%+
a = work(1) + work(1)
# %%!
b = work(1)
# %%!
print(a, b, calls)

=== counter-in-a-closure
# %%
def make():
    n = 0
    def count():
        nonlocal n
        n += 1
        return n
    return count
tick = make()
# %%-
tick();
# %%+
tick(); tick();
# %%!
print(tick())

=== default-that-grows
# %%
def add(x, seen=[]):
    seen.append(x)
    return seen
# %%-
add(1);
# %%+
add(2);
# %%!
print(add(3))

=== attribute-of-a-configuration-class
# %%
class CFG:
    seed = 1
    folds = [0, 1]
def describe():
    return CFG.seed, list(CFG.folds)
# %%-
CFG.seed = 2; CFG.folds.append(2)
# %%+
CFG.seed = 3; CFG.folds.append(3)
# %%!
print(describe())
# %%
print(max.__name__)

=== registry-by-a-decorator
# %%
REGISTRY = {}
def register(name):
    def wrap(function):
        REGISTRY[name] = function
        return function
    return wrap
# %%-
@register("mean")
def centre(values): return sum(values) / len(values)
# %%+
@register("middle")
def centre(values): return sorted(values)[len(values) // 2]
# %%!
print(sorted(REGISTRY), [function([1, 2, 9]) for function in REGISTRY.values()])

=== subclasses-of-a-base
# %%
class Base:
    found = []
    def __init_subclass__(cls, **options):
        Base.found.append(cls.__name__)
# %%-
class First(Base): pass
# %%+
class Second(Base): pass
# %%!
print(Base.found, [kind.__name__ for kind in Base.__subclasses__()])

=== single-dispatch-registered-later
# %%
from functools import singledispatch
@singledispatch
def show(x): return "any"
# %%-
@show.register(int)
def _int(x): return "int"
# %%+
@show.register(str)
def _str(x): return "str"
# %%!
print(show(1), show("a"))

=== cache-of-a-function
# %%~
from functools import lru_cache
@lru_cache(None)
def square(n): return n * n
# %%-
square(2);
# %%+
square(2); square(3);
# %%!
print(square.cache_info().currsize, square(2))

=== shared-default-factory
# %%
from dataclasses import dataclass, field
shared = []
@dataclass
class Bag:
    items: list = field(default_factory=lambda: shared)
# %%-
Bag().items.append(1)
# %%+
Bag().items.append(2)
# %%!
print(Bag(), shared)

=== weak-reference-to-what-goes
# %%
import weakref, gc
class Thing: pass
thing = Thing()
ref = weakref.ref(thing)
# %%-
pass
# %%+
del thing; gc.collect();
# %%!
print(ref() is None)

=== name-of-a-builtin-taken
# %%-
sum = lambda values: -1
# %%+
sum = lambda values: -2
# %%!
print(sum([1, 2]))
# %%~
del sum
# %%
print(sum([1, 2]))

=== names-made-by-globals
# %%-
for n in range(3): globals()[f"part_{n}"] = n
# %%+
for n in range(3): globals()[f"part_{n}"] = n * 10
# %%!
print(part_2)

=== main-as-a-module
# %%-
import __main__; __main__.flag = 1
# %%+
import __main__; __main__.flag = 2
# %%!
print(flag)

=== environment-through-an-alias
# %%
import os
env = os.environ
# %%-
env["PAIR_HABIT"] = "one"
# %%+
env["PAIR_HABIT"] = "two"
# %%!
print(os.getenv("PAIR_HABIT"))

=== transform-output-of-sklearn
# %%
import numpy as np, pandas as pd, sklearn
from sklearn.preprocessing import StandardScaler
frame = pd.DataFrame({"a": [1.0, 2.0]})
# %%-
sklearn.set_config(transform_output="default")
# %%+
sklearn.set_config(transform_output="pandas")
# %%!
print(type(StandardScaler().fit_transform(frame)).__name__)

=== encoder-of-a-library-patched
# %%
import json
# %%-
json.JSONEncoder.default = lambda self, value: "one"
# %%+
json.JSONEncoder.default = lambda self, value: "two"
# %%!
print(json.dumps({"x": object()}))

=== interactivity
# %%
from IPython.core.interactiveshell import InteractiveShell
# %%-
InteractiveShell.ast_node_interactivity = "last_expr"
# %%+
InteractiveShell.ast_node_interactivity = "all"
# %%!
1 + 1
2 + 2

=== precision-magic
# %%-
%precision 3
# %%+
%precision 5
# %%!
2 / 3

=== axes-carried-to-later-cells
# %%~
import matplotlib.pyplot as plt
figure, axes = plt.subplots(); plt.close(figure)
# %%-
axes.plot([1, 2], [3, 4]);
# %%+
axes.plot([1, 2], [5, 6]);
# %%!
print([line.get_ydata().tolist() for line in axes.lines])

=== connection-kept
# %%~
import sqlite3
connection = sqlite3.connect("kept.db")
connection.execute("create table t (v integer)");
# %%-
connection.execute("insert into t values (1)"); connection.commit()
# %%+
connection.execute("insert into t values (2)"); connection.commit()
# %%!
print(connection.execute("select v from t").fetchall())

=== future-kept
# %%~
from concurrent.futures import ThreadPoolExecutor
pool = ThreadPoolExecutor(1)
# %%-
future = pool.submit(pow, 2, 3)
# %%+
future = pool.submit(pow, 2, 4)
# %%!
print(future.result())

=== handler-that-collects
# %%
import logging
records = []
class Collect(logging.Handler):
    def emit(self, record): records.append(record.getMessage())
# %%~
logger = logging.getLogger("pairs.habits"); logger.handlers.clear(); logger.addHandler(Collect())
# %%-
logger.setLevel("WARNING")
# %%+
logger.setLevel("INFO")
# %%!
logger.info("quiet"); logger.warning("loud")
# %%!
print(records)

=== archive-made-and-unpacked
# %%
import os, shutil
os.makedirs("packed", exist_ok=True)
# %%-
with open("packed/a.txt", "w") as file: file.write("one")
# %%+
with open("packed/a.txt", "w") as file: file.write("two!")
# %%!
shutil.unpack_archive(shutil.make_archive("whole", "tar", "packed"), "unpacked")
os.remove("whole.tar")
# %%!
print(open("unpacked/a.txt").read())

=== folder-chosen-by-chdir
# %%
import os
for name in ("one", "two"): os.makedirs(name, exist_ok=True)
# %%-
os.chdir("one")
# %%+
os.chdir("two")
# %%!
with open("note.txt", "w") as file: file.write("here")
# %%!
print(os.path.basename(os.getcwd()), os.listdir("."))

=== package-of-ones-own
# %%
!mkdir -p pairpack
# %%
%%writefile pairpack/__init__.py
from .core import answer
# %%-
%%writefile pairpack/core.py
def answer(): return 1
# %%+
%%writefile pairpack/core.py
def answer(): return 22
# %%!
import pairpack
# %%!
print(pairpack.answer(), pairpack.core.answer())
# %%
print("nothing of it")

=== folder-of-modules-chosen-by-the-search-path
# %%
import os, sys
for name in ("left", "right"):
    os.makedirs(name, exist_ok=True)
    with open(name + "/pair_side.py", "w") as file: file.write(f"SIDE = '{name}'\n")
# %%-
sys.path.insert(0, "left")
# %%+
sys.path.insert(0, "right")
# %%!
from pair_side import SIDE
# %%!
print(SIDE)

=== own-module-counts-its-calls
# %%
%%writefile pair_count.py
import functools
calls = {}
@functools.wraps(len)
def counted(name):
    calls[name] = calls.get(name, 0) + 1
    return calls[name]
class Tool:
    used = 0
    def use(self):
        Tool.used += 1
        return counted("tool")
# %%
from pair_count import Tool, counted
tool = Tool()
# %%-
tool.use();
# %%+
tool.use(); tool.use();
# %%!
print(counted("tool"), Tool.used)

=== own-modules-share-a-configuration
# %%
with open("pair_conf.py", "w") as file: file.write("DEBUG = 0\n")
with open("pair_user.py", "w") as file: file.write("import pair_conf\ndef debug(): return pair_conf.DEBUG\n")
# %%
import pair_conf, pair_user
# %%-
pair_conf.DEBUG = 1
# %%+
pair_conf.DEBUG = 2
# %%!
print(pair_user.debug())

=== own-module-gives-a-class
# %%-
with open("pair_shapes.py", "w") as file:
    file.write("class Box:\n    def __init__(self, a): self.a = a\n    def area(self): return self.a\n")
# %%+
with open("pair_shapes.py", "w") as file:
    file.write("class Box:\n    def __init__(self, a): self.a = a\n    def area(self): return self.a * self.a\n")
# %%!
from pair_shapes import Box
# %%~
box = Box(3)
# %%!
print(box.area())

=== own-module-reloads-itself
# %%
%load_ext autoreload
%autoreload 2
# %%
with open("pair_auto.py", "w") as file: file.write("def f(): return 1\n")
import pair_auto
# %%-
import os, time
with open("pair_auto.py", "w") as file: file.write("def f(): return 222\n")
os.utime("pair_auto.py", (2000000000, 2000000000))
# %%+
import os, time
with open("pair_auto.py", "w") as file: file.write("def f(): return 3333\n")
os.utime("pair_auto.py", (2000000000, 2000000000))
# %%!
print(pair_auto.f())

=== own-module-with-properties
# %%
with open("pair_props.py", "w") as file:
    file.write("import functools\nclass Tool:\n    def __init__(self, n): self.n = n\n    @property\n    def twice(self): return self.n * 2\n"
        "@functools.lru_cache(None)\ndef slow(n): return n\n@functools.wraps(slow)\ndef fast(n): return n\n")
# %%
from pair_props import Tool, fast
tool = Tool(2)
# %%-
tool.n = 3
# %%+
tool.n = 4
# %%!
print(tool.twice)
# %%
print(fast(1))
# %%
other = Tool(1); print(other.twice)

=== imported-in-a-function
# %%
def load():
    import pair_late
    return pair_late.VALUE
# %%-
with open("pair_late.py", "w") as file: file.write("VALUE = [1]\n")
# %%+
with open("pair_late.py", "w") as file: file.write("VALUE = [22]\n")
# %%!
load().append(5)
# %%!
print(load())

=== submodule-of-a-library
# %%
import email.mime
# %%-
import email.mime.base
# %%+
import email.mime.audio
# %%!
print(hasattr(email.mime, "audio"))
# %%
print("else")
"""
