"""The edits themselves: cells inserted, deleted, moved, doubled, tagged; and changes that change nothing."""

TEXT = r"""
=== nothing-changed
# %%
x = [1]
# %%
x.append(2)
# %%
print(x)

=== early-cutoff
# %%-
x = 1 + 2
# %%+
x = 4 - 1
# %%
y = x * 10
# %%
print(y)

=== early-cutoff-of-a-frame
# %%-
import pandas as pd
frame = pd.DataFrame({"a": [1, 2]})
# %%+
import pandas as pd
frame = pd.DataFrame([[1], [2]], columns=["a"])
# %%
total = frame.a.sum()
# %%
print(total)

=== early-cutoff-in-the-middle
# %%-
threshold = 5
# %%+
threshold = 6
# %%!
big = [n for n in (1, 9, 10) if n > threshold]
print(threshold)
# %%
print(big)

=== plot-cell-in-the-middle
# %%
data = [3, 1, 2]
# %%
model = sorted(data)
# %%-
print("shown", data)
# %%+
print("seen", data)
# %%
print(model)

=== inserted-print
# %%
x = 1
# %%+
print("new cell")
# %%
print(x)

=== inserted-change
# %%
x = [1]
# %%+
x.append(2)
# %%!
print(x)

=== deleted-change
# %%
x = [1]
# %%-
x.append(2)
# %%!
print(x)

=== deleted-definition-of-an-unread-name
# %%
x = 1
# %%-
unused = 2
# %%
print(x)

=== deleted-name-is-missed
# %%
x = 1
# %%-
extra = 5
# %%!
try:
    print(extra)
except NameError:
    print("no extra")
# %%
print(x)

=== inserted-name-is-found
# %%
x = 1
# %%+
extra = 5
# %%!
if "extra" in globals():
    print("found", extra)
else:
    print("not there")
# %%
print(x)

=== name-tested-in-dir
# %%
# %%+
flag = True
# %%!
print("flag" in dir())

=== del-and-again
# %%
x = 1
# %%-
del x
x = 2
# %%+
x = 3
# %%!
print(x)

=== del-moves
# %%
a = b = 1
# %%-
del a
# %%+
del b
# %%!
print(sorted(name for name in ("a", "b") if name in globals()))

=== two-cells-swapped
# %%
x = [1]
# %%-
x.append("a")
# %%!
x.append("b")
# %%+
x.append("a")
# %%!
print(x)

=== independent-cells-swapped
# %%
import math
# %%-
a = math.floor(1.5)
# %%
b = math.ceil(1.5)
# %%=
a = math.floor(1.5)
# %%
print(a, b)

=== cell-doubled
# %%
x = [1]
# %%
x.append(2)
# %%+
x.append(2)
# %%!
print(x)

=== cell-doubled-without-effect
# %%
x = 4
# %%
print(x)
# %%=
print(x)
# %%
y = x

=== same-code-twice-already
# %%-
n = 0
# %%+
n = 5
# %%!
n += 1
# %%!
n += 1
# %%!
print(n)

=== moved-above-its-change
# %%
x = [1]
# %%+
print(x)
# %%
x.append(2)
# %%-
print(x)
# %%
x.append(3)
# %%
print(len(x))

=== markdown-edited
# %%
x = 1
# %%-[markdown]
Title
# %%+[markdown]
Other title
# %%
print(x)

=== whitespace-edited
# %%-
x = 1
# %%+
x  =  1
# %%
print(x)

=== comment-added
# %%-
x = [1, 2]
# %%+
# the numbers
x = [1, 2]
# %%
print(x)

=== rename-of-a-variable
# %%-
train = [1, 2]
# %%+
training = [1, 2]
train = training
# %%
print(train)

=== value-becomes-unused
# %%
x = 2
# %%-
y = x
# %%+
y = 7
# %%
x = 3
# %%!
print(y)

=== error-expected-changes
# %%-
divisor = 0
# %%+
divisor = 2
# %%! tags=["raises-exception"]
done = 0
result = 1 / divisor
done = 1
# %%!
print(done)

=== half-done-before-an-error
# %%
rows = []
# %%- tags=["raises-exception"]
rows.append(1)
raise ValueError("stop")
# %%+ tags=["raises-exception"]
rows.append(2)
raise ValueError("stop")
# %%!
print(rows)

=== error-kept
# %%
x = 1
# %% tags=["raises-exception"]
x += 1
1 / 0
# %%-
y = 1
# %%+
y = 2
# %%!
print(x, y)

=== exception-object-kept
# %%
try:
    int("x")
except ValueError as problem:
    kept = problem
# %%-
kept.note = "a"
# %%+
kept.note = "b"
# %%!
print(kept, kept.note)

=== tag-skip-added
# %%
x = [1]
# %%-
x.append(2)
# %%= tags=["skip"]
x.append(2)
# %%!
print(x)

=== tag-cache-disabled
# %%
x = 1
# %%+ tags=["cache:disabled"]
print("always", x)
# %%
y = x + 1
# %%
print(y)

=== always-run-cell-writes-the-same
# %%! tags=["cache:disabled"]
x = 5
# %%
print(x)
# %%-
print(1)
# %%+
print(2)

=== always-run-cell-that-mutates
# %%
rows = []
# %%! tags=["cache:disabled"]
rows.append(1)
# %%-
rows.append(2)
# %%+
rows.append(3)
# %%!
print(rows)

=== undo
# %%-
x = 1
# %%+
x = 2
# %%!
print(x)
# %%
z = 1

=== semicolon-hides-the-result
# %%
x = 5
# %%-
x
# %%+
x;
# %%
print(x)

=== long-chain-one-branch
# %%
a = 1
# %%
b = 2
# %%-
c = a + 1
# %%+
c = a + 2
# %%
d = b + 1
# %%!
e = c + d
# %%
f = d * 2
# %%
print(f)
# %%!
print(e)

=== everything-depends
# %%-
n = 1
# %%+
n = 2
# %%!
a = [n]
# %%!
b = a * 2
# %%!
c = {"b": b}
# %%!
print(c)

=== reads-everything-by-locals
# %%
a = 1
# %%-
b = 2
# %%+
b = 3
# %%!
print({name: value for name, value in dict(locals()).items() if name in ("a", "b")})

=== star-star-globals
# %%-
word = "one"
# %%+
word = "two"
# %%!
print("{word}!".format(**globals()))

=== globals-written
# %%-
globals()["made"] = 1
# %%+
globals()["made"] = 2
# %%!
print(made)

=== globals-loop
# %%-
for name in ("p", "q"):
    globals()[f"df_{name}"] = name
# %%+
for name in ("p", "q"):
    globals()[f"df_{name}"] = name * 2
# %%!
print(df_p)
# %%!
print(df_q)

=== exec-of-a-string
# %%-
code = "out = 1"
# %%+
code = "out = 2"
# %%!
exec(code)
# %%!
print(out)

=== eval-in-a-function
# %%
def look(expression):
    return eval(expression)
# %%-
secret = 1
# %%+
secret = 2
# %%!
print(look("secret + 1"))

=== exec-mutates
# %%
rows = []
# %%-
exec("rows.append(1)")
# %%+
exec("rows.append(2)")
# %%!
print(rows)

=== vars-of-main
# %%-
value = 1
# %%+
value = 2
# %%!
import __main__
print(__main__.value)

=== set-on-main
# %%
import __main__
# %%-
__main__.fresh = 1
# %%+
__main__.fresh = 2
# %%!
print(fresh)

=== user-namespace-of-the-shell
# %%-
hidden = 1
# %%+
hidden = 2
# %%!
print(get_ipython().user_ns["hidden"])

=== user-namespace-pushed
# %%-
get_ipython().push({"pushed": 1})
# %%+
get_ipython().push({"pushed": 2})
# %%!
print(pushed)

=== star-import-shadows
# %%
def sqrt(x):
    return "mine"
# %%-
pass
# %%+
from math import *
# %%!
print(sqrt(4))

=== builtin-shadowed
# %%-
sum = 3
# %%+
sum = 4
# %%
print(max(1, 2))
# %%!
print(sum)

=== builtin-shadow-removed
# %%
# %%-
def len(x):
    return 99
# %%+
pass
# %%!
print(len([1]))

=== builtin-replaced-in-builtins
# %%
import builtins
# %%-
builtins.answer = 1
# %%+
builtins.answer = 2
# %%!
print(answer)

=== underscore
# %%-
1 + 1
# %%+
1 + 2
# %%!
print(_)
# %%
print("after")

=== out-by-number
# %%-
"first"
# %%+
"other"
# %%
"second"
# %%!
print(Out[1])
# %%
print(Out[2])

=== result-is-an-alias
# %%
rows = [1]
# %%
rows
# %%-
rows.append(2)
# %%+
rows.append(3)
# %%!
print(_)

=== input-history
# %%-
x = "written"
# %%+
x = "typed"
# %%!
print(In[1])

=== underscore-as-a-throwaway
# %%-
for _ in range(3):
    pass
# %%+
for _ in range(5):
    pass
# %%!
print(_)

=== walrus-and-comprehension
# %%-
values = [y := 1, y ** 2]
# %%+
values = [y := 3, y ** 2]
# %%!
print(y)
# %%!
print(values)

=== unpacking
# %%-
first, *rest = [1, 2, 3]
# %%+
first, *rest = [1, 2, 4]
# %%
print(first)
# %%!
print(rest)

=== condition-defines
# %%-
flag = True
# %%+
flag = False
# %%!
if flag:
    model = "big"
# %%!
try:
    print(model)
except NameError:
    print("none")

=== rebound-before-it-is-read
# %%-
x = 1
# %%+
x = 2
# %%
x = 5
print(x)
# %%
print(x)

=== augmented
# %%-
n = 1
# %%+
n = 2
# %%!
n += 10
# %%!
print(n)

=== same-name-four-times
# %%
df = [1, 2, 3]
# %%-
df = [n for n in df if n > 1]
# %%+
df = [n for n in df if n > 2]
# %%!
df = [n * 2 for n in df]
# %%!
print(df)
# %%
df = "new"
# %%
print(df)
"""
