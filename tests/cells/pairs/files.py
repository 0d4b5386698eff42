"""Files: written, read, tested for, deleted; by Python, by libraries, by children; modules that a cell writes."""

TEXT = r"""
=== text-written-and-read
# %%-
open("a.txt", "w").write("one");
# %%+
open("a.txt", "w").write("two");
# %%
print("between")
# %%!
print(open("a.txt").read())

=== file-written-equal
# %%-
with open("a.txt", "w") as out:
    out.write("same")
# %%+
with open("a.txt", "w") as out:
    print("same", end="", file=out)
# %%
print(open("a.txt").read())

=== csv-by-pandas
# %%
import pandas as pd
frame = pd.DataFrame({"a": [1, 2]})
# %%-
frame.to_csv("out.csv", index=False)
# %%+
(frame * 10).to_csv("out.csv", index=False)
# %%!
again = pd.read_csv("out.csv")
# %%!
print(again)

=== pickle-file
# %%
import pickle
# %%-
with open("m.pkl", "wb") as out:
    pickle.dump({"n": 1}, out)
# %%+
with open("m.pkl", "wb") as out:
    pickle.dump({"n": 2}, out)
# %%!
with open("m.pkl", "rb") as source:
    print(pickle.load(source))

=== pickle-of-a-notebook-class
# %%-
class Model:
    rate = 1
# %%+
class Model:
    rate = 2
# %%!
import pickle
with open("m.pkl", "wb") as out:
    pickle.dump(Model(), out)
# %%!
with open("m.pkl", "rb") as source:
    print(pickle.load(source).rate)

=== pickle-load-needs-the-class
# %%
class Model:
    def show(self): return "a"
# %%
import pickle
pickle.dump(Model(), open("m.pkl", "wb"))
# %%-
class Model:
    def show(self): return "b"
# %%+
class Model:
    def show(self): return "c"
# %%!
print(pickle.load(open("m.pkl", "rb")).show())

=== array-file
# %%
import numpy as np
# %%-
np.save("x.npy", np.arange(3))
# %%+
np.save("x.npy", np.arange(4))
# %%!
print(np.load("x.npy").sum())

=== array-file-mapped
# %%
import numpy as np
np.save("x.npy", np.arange(3))
# %%~
mapped = np.load("x.npy", mmap_mode="r+")
# %%-
mapped[0] = 7; mapped.flush()
# %%+
mapped[0] = 8; mapped.flush()
# %%!
print(np.load("x.npy"))

=== joblib-file
# %%
import joblib
# %%-
joblib.dump([1, 2], "x.joblib");
# %%+
joblib.dump([1, 3], "x.joblib");
# %%!
print(joblib.load("x.joblib"))

=== sqlite-file
# %%
import sqlite3
with sqlite3.connect("d.sqlite") as database:
    database.execute("create table if not exists t (n)")
database.close()
# %%-
with sqlite3.connect("d.sqlite") as database:
    database.execute("insert into t values (1)")
database.close()
# %%+
with sqlite3.connect("d.sqlite") as database:
    database.execute("insert into t values (2)")
database.close()
# %%!
with sqlite3.connect("d.sqlite") as database:
    print(database.execute("select n from t").fetchall())
database.close()

=== json-and-path
# %%
from pathlib import Path
import json
# %%-
Path("c.json").write_text(json.dumps({"k": 1}));
# %%+
Path("c.json").write_text(json.dumps({"k": 2}));
# %%!
print(json.loads(Path("c.json").read_text()))

=== zip-archive
# %%
import zipfile
# %%-
with zipfile.ZipFile("a.zip", "w") as archive:
    archive.writestr(zipfile.ZipInfo("x.txt"), "one")
# %%+
with zipfile.ZipFile("a.zip", "w") as archive:
    archive.writestr(zipfile.ZipInfo("x.txt"), "two")
# %%!
with zipfile.ZipFile("a.zip") as archive:
    archive.extractall("unpacked")
# %%!
print(open("unpacked/x.txt").read())

=== appended-log
# %%
with open("log.txt", "w") as out:
    out.write("start\n")
# %%-
with open("log.txt", "a") as out:
    out.write("one\n")
# %%+
with open("log.txt", "a") as out:
    out.write("uno\n")
# %%!
with open("log.txt", "a") as out:
    out.write("two\n")
# %%!
print(open("log.txt").read())

=== appended-without-a-start
# %%-
open("log.txt", "a").write("a\n");
# %%+
open("log.txt", "a").write("b\n");
# %%!
open("log.txt", "a").write("c\n");
# %%!
print(open("log.txt").read())

=== exists-branch
# %%-
pass
# %%+
open("model.bin", "w").write("x");
# %%!
import os
if os.path.exists("model.bin"):
    print("load")
else:
    print("train")
# %%
print("rest")

=== exists-branch-then-written
# %%
import os
if os.path.exists("model.bin"):
    print("load")
else:
    print("train")
    open("model.bin", "w").write("x")
# %%-
print("one")
# %%+
print("two")
# %%
print(os.path.exists("model.bin"))

=== deleted-file
# %%
import os
open("a.txt", "w").write("1"); open("b.txt", "w").write("2");
# %%-
os.remove("a.txt")
# %%+
os.remove("b.txt")
# %%!
print(sorted(name for name in os.listdir(".") if name.endswith(".txt")))

=== renamed-file
# %%
import os
open("a.txt", "w").write("1");
# %%-
os.rename("a.txt", "b.txt")
# %%+
os.rename("a.txt", "c.txt")
# %%!
print(os.path.exists("b.txt"))
# %%!
print(os.path.exists("c.txt"))

=== globbed
# %%
import glob
open("part1.csv", "w").write("1");
# %%-
pass
# %%+
open("part2.csv", "w").write("2");
# %%!
print(sorted(glob.glob("part*.csv")))

=== glob-of-other-files
# %%
import glob
open("part1.csv", "w").write("1");
# %%-
open("part1.csv", "w").write("3");
# %%+
open("part1.csv", "w").write("4");
# %%~
print(sorted(glob.glob("part*.csv")))

=== folder-made
# %%
import os
# %%-
os.makedirs("out/one", exist_ok=True)
# %%+
os.makedirs("out/two", exist_ok=True)
# %%!
print(os.listdir("out"))

=== folder-removed
# %%
import os, shutil
os.makedirs("out/deep", exist_ok=True)
open("out/deep/x.txt", "w").write("x");
# %%-
shutil.rmtree("out/deep")
# %%+
shutil.rmtree("out")
# %%!
print(os.path.isdir("out"))

=== copied-file
# %%
import shutil
# %%-
open("a.txt", "w").write("1");
# %%+
open("a.txt", "w").write("2");
# %%!
shutil.copy("a.txt", "b.txt");
# %%!
print(open("b.txt").read())

=== link
# %%
import os
open("one.txt", "w").write("1"); open("two.txt", "w").write("2");
# %%-
os.symlink("one.txt", "link")
# %%+
os.symlink("two.txt", "link")
# %%!
print(open("link").read())

=== read-through-a-link
# %%
import os
open("real.txt", "w").write("0");
os.symlink("real.txt", "link");
# %%-
open("real.txt", "w").write("1");
# %%+
open("real.txt", "w").write("2");
# %%!
print(open("link").read())

=== size-of-a-file
# %%
import os
# %%-
open("a.txt", "w").write("1");
# %%+
open("a.txt", "w").write("12");
# %%!
print(os.path.getsize("a.txt"))

=== mode-of-a-file
# %%
import os
open("run.sh", "w").write("echo ran\n");
# %%-
os.chmod("run.sh", 0o644)
# %%+
os.chmod("run.sh", 0o755)
# %%!
print(os.access("run.sh", os.X_OK) if os.getuid() else oct(os.stat("run.sh").st_mode)[-3:])

=== child-reads
# %%-
open("a.txt", "w").write("1");
# %%+
open("a.txt", "w").write("2");
# %%!
!cat a.txt

=== child-writes
# %%-
!echo one > a.txt
# %%+
!echo two > a.txt
# %%!
print(open("a.txt").read())

=== subprocess-reads-and-writes
# %%
import subprocess, sys
# %%-
open("in.txt", "w").write("1");
# %%+
open("in.txt", "w").write("2");
# %%!
subprocess.run([sys.executable, "-c", "open('out.txt', 'w').write(open('in.txt').read() * 2)"], check=True);
# %%!
print(open("out.txt").read())

=== bash-cell
# %%-
%%bash
mkdir -p data
echo one > data/x
# %%+
%%bash
mkdir -p data
echo two > data/x
# %%!
%%bash
cat data/x

=== writefile-and-import
# %%-
%%writefile pair_helper.py
def answer():
    return 1
# %%+
%%writefile pair_helper.py
def answer():
    return 2
# %%!
import pair_helper
# %%!
print(pair_helper.answer())
# %%
print("else")

=== writefile-and-run
# %%-
%%writefile job.py
value = 1
print("job", value)
# %%+
%%writefile job.py
value = 2
print("job", value)
# %%!
%run job.py
# %%!
print(value)

=== writefile-and-subprocess
# %%-
%%writefile job.py
print("one")
# %%+
%%writefile job.py
print("two")
# %%!
!python job.py

=== writefile-appended
# %%
%%writefile notes.txt
first
# %%-
%%writefile -a notes.txt
second
# %%+
%%writefile -a notes.txt
third
# %%!
%cat notes.txt

=== own-module-holds-state
# %%
%%writefile pair_state.py
rows = []
# %%
import pair_state
# %%-
pair_state.rows.append(1)
# %%+
pair_state.rows.append(2)
# %%!
print(pair_state.rows)

=== own-module-reloaded
# %%
with open("pair_reload.py", "w") as out:
    out.write("VALUE = 1\n")
import pair_reload
# %%-
with open("pair_reload.py", "w") as out:
    out.write("VALUE = 200\n")
# %%+
with open("pair_reload.py", "w") as out:
    out.write("VALUE = 3000\n")
# %%!
import importlib
importlib.reload(pair_reload);
# %%!
print(pair_reload.VALUE)

=== module-written-too-late
# %%
import sys
sys.dont_write_bytecode = True
with open("pair_early.py", "w") as out:
    out.write("VALUE = 1\n")
import pair_early
# %%-
with open("pair_early.py", "w") as out:
    out.write("VALUE = 200\n")
# %%+
with open("pair_early.py", "w") as out:
    out.write("VALUE = 3000\n")
# %%
print(pair_early.VALUE)
# %%
import pair_early as again
print(again.VALUE)

=== temporary-folder
# %%
import tempfile, os
folder = tempfile.mkdtemp(dir="/tmp")
# %%-
open(os.path.join(folder, "x"), "w").write("1");
# %%+
open(os.path.join(folder, "x"), "w").write("2");
# %%!
print(open(os.path.join(folder, "x")).read())

=== fixed-place-in-tmp
# %%-
open("/tmp/pair-fixed.txt", "w").write("1");
# %%+
open("/tmp/pair-fixed.txt", "w").write("2");
# %%!
print(open("/tmp/pair-fixed.txt").read())

=== home-folder
# %%
import os
home = os.path.expanduser("~")
# %%-
open(os.path.join(home, ".pair-settings"), "w").write("1");
# %%+
open(os.path.join(home, ".pair-settings"), "w").write("2");
# %%!
print(open(os.path.expanduser("~/.pair-settings")).read())

=== tree-walked
# %%
import os
os.makedirs("d/e", exist_ok=True)
# %%-
open("d/e/x.txt", "w").write("1");
# %%+
open("d/e/y.txt", "w").write("1");
# %%!
for folder, folders, files in os.walk("d"):
    print(folder, files)

=== listing-after-several-writers
# %%
for n in range(2):
    open(f"f{n}.txt", "w").write(str(n))
# %%-
open("f2.txt", "w").write("2");
# %%+
open("g2.txt", "w").write("2");
# %%
open("f3.txt", "w").write("3");
# %%!
import os
print(sorted(name for name in os.listdir() if name.endswith(".txt")))

=== overwritten-file-keeps-its-reader
# %%
open("x.txt", "w").write("first");
# %%
early = open("x.txt").read()
# %%-
open("x.txt", "w").write("second");
# %%+
open("x.txt", "w").write("third");
# %%
print(early)
# %%!
print(open("x.txt").read())

=== file-deleted-by-the-edit
# %%
import os
open("x.txt", "w").write("first");
# %%-
kept = True
# %%+
os.remove("x.txt")
# %%!
print(os.path.exists("x.txt"))

=== writer-deleted
# %%
import os
# %%-
open("x.txt", "w").write("first");
# %%!
print(os.path.exists("x.txt"))

=== submission-written-last
# %%
import pandas as pd
ids = [1, 2]
# %%-
guess = [0, 1]
# %%+
guess = [1, 1]
# %%!
pd.DataFrame({"id": ids, "y": guess}).to_csv("submission.csv", index=False)

=== two-writers-of-one-file
# %%-
open("x.txt", "w").write("a");
# %%+
open("x.txt", "w").write("b");
# %%
open("x.txt", "w").write("c");
# %%
print(open("x.txt").read())

=== read-and-written-by-one-cell
# %%-
open("n.txt", "w").write("1");
# %%+
open("n.txt", "w").write("5");
# %%!
n = int(open("n.txt").read())
open("n.txt", "w").write(str(n + 1));
# %%!
print(open("n.txt").read())

=== modification-time-is-compared
# %%
import os
open("old.txt", "w").write("1");
os.utime("old.txt", (1_000_000_000, 1_000_000_000))
# %%-
open("new.txt", "w").write("2");
# %%+
open("new.txt", "w").write("3");
# %%~
print(os.path.getmtime("new.txt") > os.path.getmtime("old.txt"))

=== os-level-descriptors
# %%
import os
# %%-
d = os.open("x.bin", os.O_CREAT | os.O_WRONLY); os.write(d, b"one"); os.close(d)
# %%+
d = os.open("x.bin", os.O_CREAT | os.O_WRONLY); os.write(d, b"two"); os.close(d)
# %%!
d = os.open("x.bin", os.O_RDONLY); print(os.read(d, 10)); os.close(d)

=== file-object-written-later
# %%
out = open("x.txt", "w")
# %%-
print(out.write("one")); out.flush()
# %%+
print(out.write("uno")); out.flush()
# %%!
out.write(" two"); out.close()
# %%!
print(open("x.txt").read())

=== shelve
# %%
import shelve
# %%-
with shelve.open("shelf") as shelf: shelf["k"] = 1
# %%+
with shelve.open("shelf") as shelf: shelf["k"] = 2
# %%!
with shelve.open("shelf") as shelf: print(shelf["k"])

=== parquet-like-foreign-reader
# %%
import subprocess
# %%-
open("t.csv", "w").write("a\n1\n");
# %%+
open("t.csv", "w").write("a\n2\n");
# %%!
print(subprocess.check_output("sort -n t.csv | tail -1", shell=True, text=True))

=== file-name-from-a-variable
# %%
for n in (1, 2):
    open(f"v{n}.txt", "w").write(f"content {n}")
# %%-
chosen = 1
# %%+
chosen = 2
# %%!
print(open(f"v{chosen}.txt").read())

=== unread-file-changes
# %%-
open("unread.txt", "w").write("1");
# %%+
open("unread.txt", "w").write("2");
# %%
open("read.txt", "w").write("r");
# %%
print(open("read.txt").read())
"""
